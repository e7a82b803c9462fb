package lab

import (
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
)

// TestEverywhere: the box accepts on every canary port, or the lab says in one
// line what is missing.
func TestEverywhere(t *testing.T) {
	if !manyDescriptors(t) {
		l, err := New(Config{Prefix: anyPrefix(), Everywhere: true, Ready: func([]Host) { t.Error("ready without enough descriptors") }})
		if err != nil {
			t.Fatal(err)
		}
		before := openDescriptors(t)
		if err := l.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "too many open files: raise the limit (ulimit -n 41000)") {
			t.Errorf("Run = %v, want that the limit is too low", err)
		}
		if after := openDescriptors(t); after > before+8 { // the runtime keeps a few of its own
			t.Errorf("%d descriptors are open after Run has failed, %d before", after, before)
		}
		return
	}
	h := runningWith(t, Config{Everywhere: true})[everywhereHost]
	for _, port := range []uint16{firstCanary, 31337, lastCanary, 3588} {
		c, err := net.Dial("tcp", netip.AddrPortFrom(h.Addr, port).String())
		if err != nil {
			t.Errorf("%d: %v, want a connection", port, err)
			continue
		}
		_ = c.Close() // only the handshake counts
	}
}

// TestEverywherePart tries the box on as many ports as most processes may open.
func TestEverywherePart(t *testing.T) {
	addr := anyPrefix().Addr().Next()
	box, err := listenEverywhere(addr, 20000, 20500)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { box.run(t.Context()); close(ended) }() // ends by close, below
	for _, tt := range []struct {
		port uint16
		open bool
	}{{19999, false}, {20000, true}, {20250, true}, {20500, true}, {20501, false}} {
		c, err := net.Dial("tcp", netip.AddrPortFrom(addr, tt.port).String())
		if (err == nil) != tt.open {
			t.Errorf("%d: %v, want open %t", tt.port, err, tt.open)
		}
		if err == nil {
			if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil {
				t.Errorf("%d: read %d, %v; want that it closes without a byte", tt.port, n, err)
			}
			_ = c.Close() // it was closed from the other side
		}
	}
	box.close()
	<-ended
	if c, err := net.Dial("tcp", netip.AddrPortFrom(addr, 20250).String()); err == nil {
		_ = c.Close()
		t.Error("20250 is open after the end")
	}
}

// manyDescriptors reports whether this process may open enough for the box that
// accepts on every port.
func manyDescriptors(t *testing.T) bool {
	const enough = 41000
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil || limit.Cur < enough {
		t.Logf("without the box that accepts on every port: %d descriptors are allowed, it takes %d", limit.Cur, enough)
		return false
	}
	return true
}

// openDescriptors counts by trying: /proc cannot be read by who has none left.
func openDescriptors(t *testing.T) (n int) {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	var st syscall.Stat_t
	for fd := range int(limit.Cur) {
		if syscall.Fstat(fd, &st) == nil {
			n++
		}
	}
	return n
}
