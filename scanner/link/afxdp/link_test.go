//go:build linux

package afxdp_test

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"net/netip"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"dormant/registry"
	"dormant/scanner"
	"dormant/scanner/backendtest"
	"dormant/scanner/link/afxdp"
	"dormant/scanner/netlab"
	"dormant/scanner/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var ports = wire.SourcePorts{First: 0xf000}

// open opens a link inside ns. It skips the test where AF_XDP is forbidden.
func open(t testing.TB, ns *netlab.NS, name string) *afxdp.Link {
	t.Helper()
	l, err := tryOpen(t, ns, name)
	if errors.Is(err, unix.EAFNOSUPPORT) {
		t.Skipf("AF_XDP: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func tryOpen(t testing.TB, ns *netlab.NS, name string) (l *afxdp.Link, err error) {
	t.Helper()
	found, err := ns.Netlink.LinkByName(name)
	if err != nil {
		t.Fatal(err)
	}
	ns.Do(func() {
		l, err = afxdp.Open(wire.LinkSpec{Name: name, Index: found.Attrs().Index, Medium: wire.Ethernet, IPv4: true, Ports: ports}, afxdp.Config{})
	})
	return l, err
}

// numbered returns a frame with a number, of which the filter of a link lets
// SYN-ACKs pass.
func numbered(n uint32, size int) []byte {
	b := make([]byte, size)
	b[0], b[6], b[12] = 0xff, 2, 8 // to everybody, from a made-up address, IPv4
	ip := b[14:]
	ip[0], ip[8], ip[9] = 0x45, 64, 6
	binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)))
	binary.BigEndian.PutUint16(ip[22:], ports.First)
	binary.BigEndian.PutUint32(ip[24:], n)
	ip[32], ip[33] = 5<<4, 0x12
	return b
}

// TestFramesArrive sends many times what the rings hold, in batches of all
// sizes, and expects every frame once, in order, unharmed.
func TestFramesArrive(t *testing.T) {
	a, b := netlab.Pair(t, "a0", "b0")
	from, to := open(t, a, "a0"), open(t, b, "b0")
	const count, waiting = 50_000, 2_000
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	next, done := uint32(0), make(chan error, 1)
	var arrived atomic.Uint32
	go func() { // ends with ctx
		done <- to.ReadFrames(ctx, func(frame []byte, _ time.Time) {
			n := binary.BigEndian.Uint32(frame[14+24:])
			if want := numbered(next, 54+int(next%400)); ctx.Err() == nil && (n != next || !slices.Equal(frame, want)) {
				t.Errorf("frame %d of %d bytes arrived, want %d of %d", n, len(frame), next, len(want))
				cancel()
			}
			arrived.Store(next + 1)
			if next++; next == count {
				cancel()
			}
		})
	}()
	for n, size := uint32(0), 1; n < count; size = size%700 + 1 {
		for n-arrived.Load() > waiting && ctx.Err() == nil { // a busy machine must not overrun the receiver's ring
			time.Sleep(time.Millisecond)
		}
		var batch [][]byte
		for ; len(batch) < size && n < count; n++ {
			batch = append(batch, numbered(n, 54+int(n%400)))
		}
		for rest := batch; len(rest) > 0; {
			sent, err := from.WriteFrames(rest)
			if rest = rest[sent:]; err != nil && !errors.Is(err, wire.ErrBusy) {
				t.Fatal(err)
			}
		}
		time.Sleep(10 * time.Microsecond) // below what the receiving kernel queues
	}
	if err := <-done; err != nil || next != count {
		t.Fatalf("ReadFrames = %v after %d frames of %d", err, next, count)
	}
	for name, l := range map[string]*afxdp.Link{"sender": from, "receiver": to} {
		if drops, err := l.Drops(); drops != 0 || err != nil {
			t.Errorf("%s: Drops = %d, %v; want none", name, drops, err)
		}
	}
}

func TestBadFrames(t *testing.T) {
	a, b := netlab.Pair(t, "a0", "b0")
	seen := b.Capture("b0")
	l := open(t, a, "a0")
	good := numbered(1, 60)
	for _, tt := range []struct {
		name   string
		frames [][]byte
		want   int
	}{
		{"empty", [][]byte{good, {}, good}, 1},
		{"too long", [][]byte{good, good, make([]byte, 513)}, 2},
	} {
		if n, err := l.WriteFrames(tt.frames); n != tt.want || err == nil || errors.Is(err, wire.ErrBusy) {
			t.Errorf("%s: WriteFrames = %d, %v; want %d and an error about the next", tt.name, n, err, tt.want)
		}
	}
	time.Sleep(50 * time.Millisecond)
	sent := 0
	for _, f := range seen.Frames() {
		if slices.Equal(f, good) {
			sent++
		}
	}
	if sent != 3 {
		t.Errorf("%d good frames arrived, want 3", sent)
	}
}

func TestDownInterface(t *testing.T) {
	a, _ := netlab.Pair(t, "a0", "b0")
	l := open(t, a, "a0")
	a.Down("a0")
	if _, err := l.WriteFrames([][]byte{numbered(1, 60)}); !errors.Is(err, wire.ErrLinkDown) {
		t.Errorf("WriteFrames = %v, want %v", err, wire.ErrLinkDown)
	}
}

// TestNoCarrier pulls the cable. The device throws every frame away, which the
// kernel may tell or not: nothing may hang, and no frame may count twice.
func TestNoCarrier(t *testing.T) {
	a, b := netlab.Pair(t, "a0", "b0")
	l := open(t, a, "a0")
	b.Down("b0")
	for range 3 {
		start := time.Now()
		if n, err := l.WriteFrames([][]byte{numbered(1, 60), numbered(2, 60)}); n > 2 || n < 2 && err == nil {
			t.Errorf("WriteFrames = %d, %v; want at most 2, and an error for less", n, err)
		}
		if d := time.Since(start); d > time.Second {
			t.Errorf("WriteFrames took %v", d)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func TestQueueInUse(t *testing.T) {
	a, _ := netlab.Pair(t, "a0", "b0")
	first := open(t, a, "a0")
	start := time.Now()
	if _, err := tryOpen(t, a, "a0"); !errors.Is(err, unix.EBUSY) || time.Since(start) < time.Second/2 {
		t.Errorf("a second link: %v after %v, want %v after a second", err, time.Since(start), unix.EBUSY)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := tryOpen(t, a, "a0")
	if err != nil {
		t.Fatalf("after the first was closed: %v", err)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
	if err := again.Close(); err != nil {
		t.Errorf("closing again: %v", err)
	}
}

func TestUnsuited(t *testing.T) {
	ns := netlab.New(t)
	for _, link := range []netlink.Link{
		&netlink.Dummy{LinkAttrs: netlink.LinkAttrs{Name: "dummy0"}},
		&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br0"}},
	} {
		if err := ns.Netlink.LinkAdd(link); err != nil {
			t.Logf("%s cannot be made here: %v", link.Attrs().Name, err)
			continue
		}
		ns.Up(link.Attrs().Name)
		if _, err := tryOpen(t, ns, link.Attrs().Name); !errors.Is(err, afxdp.ErrUnsupported) {
			t.Errorf("%s: %v, want %v", link.Attrs().Name, err, afxdp.ErrUnsupported)
		}
	}
	for _, medium := range []wire.Medium{wire.IP, wire.Host} {
		if _, err := afxdp.Open(wire.LinkSpec{Name: "x", Index: 1, Medium: medium, IPv4: true}, afxdp.Config{}); !errors.Is(err, afxdp.ErrUnsupported) {
			t.Errorf("medium %d: %v, want %v", medium, err, afxdp.ErrUnsupported)
		}
	}
}

func TestZeroCopyIsRefused(t *testing.T) {
	a, _ := netlab.Pair(t, "a0", "b0")
	open(t, a, "a0").Close()
	found, err := a.Netlink.LinkByName("a0")
	if err != nil {
		t.Fatal(err)
	}
	a.Do(func() {
		_, err = afxdp.Open(wire.LinkSpec{Name: "a0", Index: found.Attrs().Index, Medium: wire.Ethernet, IPv4: true, Ports: ports}, afxdp.Config{ZeroCopy: true})
	})
	if err == nil {
		t.Error("zero-copy on veth: no error, want one: the driver cannot")
	}
}

func TestWithoutPrivilege(t *testing.T) {
	a, _ := netlab.Pair(t, "a0", "b0")
	found, err := a.Netlink.LinkByName("a0")
	if err != nil {
		t.Fatal(err)
	}
	a.Do(func() {
		runtime.LockOSThread() // the thread ends with Do; its capabilities are nobody else's
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var none [2]unix.CapUserData
		if err = unix.Capset(&header, &none[0]); err != nil {
			return
		}
		_, err = afxdp.Open(wire.LinkSpec{Name: "a0", Index: found.Attrs().Index, Medium: wire.Ethernet, IPv4: true, Ports: ports}, afxdp.Config{})
	})
	if !errors.Is(err, wire.ErrPrivilege) {
		t.Errorf("Open = %v, want %v", err, wire.ErrPrivilege)
	}
}

func TestWriteAllocatesNothing(t *testing.T) {
	a, _ := netlab.Pair(t, "a0", "b0")
	l := open(t, a, "a0")
	batch := make([][]byte, 64)
	for i := range batch {
		batch[i] = numbered(uint32(i), 74)
	}
	if n := testing.AllocsPerRun(100, func() { _, _ = l.WriteFrames(batch) }); n != 0 {
		t.Errorf("WriteFrames of 64 frames allocates %v times, want never", n)
	}
}

// TestContract runs the suite of all backends over this link.
func TestContract(t *testing.T) {
	scan, far := netlab.Pair(t, "scan0", "net0")
	open(t, scan, "scan0").Close() // skips where there is no AF_XDP
	scan.Addr("scan0", "10.1.0.1/24", "fd01::1/64")
	far.Addr("net0", "10.1.0.10/24", "fd01::10/64")
	far.Sysctl("net.ipv6.icmp.ratelimit=0")
	for _, addr := range []string{"10.1.0.10", "fd01::10"} {
		t.Run(addr, func(t *testing.T) {
			a := netip.MustParseAddr(addr)
			target := func(number uint16, proto registry.Proto) scanner.Target {
				return scanner.Target{Addr: a, Port: registry.Port{Number: number, Proto: proto}}
			}
			far.Listen(netip.AddrPortFrom(a, 1947))
			far.Answer([]byte("pong"), netip.AddrPortFrom(a, 1947))
			var b *wire.Backend
			var err error
			scan.Do(func() {
				b, err = wire.Open(wire.Config{
					Prefixes: []netip.Prefix{netip.PrefixFrom(a, a.BitLen())}, Log: slog.New(slog.DiscardHandler),
					OpenLink: func(spec wire.LinkSpec) (wire.Link, error) { return afxdp.Open(spec, afxdp.Config{}) },
				})
			})
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			backendtest.Run(t, b, backendtest.World{
				Open: target(1947, registry.TCP), Closed: target(3588, registry.TCP),
				OpenUDP: target(1947, registry.UDP), ClosedUDP: target(3588, registry.UDP),
				Payload: []byte("ping"), Reply: []byte("pong"), Wait: 300 * time.Millisecond,
			})
		})
	}
}

// BenchmarkWriteFrames sends batches of 64 small frames into a namespace that
// wants none of them.
func BenchmarkWriteFrames(b *testing.B) {
	near, _ := netlab.Pair(b, "a0", "b0")
	l := open(b, near, "a0")
	batch := make([][]byte, 64)
	for i := range batch {
		batch[i] = numbered(uint32(i), 74)
	}
	frames := 0
	b.ReportAllocs()
	for b.Loop() {
		n, err := l.WriteFrames(batch)
		if frames += n; err != nil && !errors.Is(err, wire.ErrBusy) {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(frames), "ns/frame")
}
