//go:build linux

package afpacket_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"dormant/scanner/link/afpacket"
	"dormant/scanner/netlab"
	"dormant/scanner/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var ports = wire.SourcePorts{First: 0xf000}

func open(t *testing.T, ns *netlab.NS, name string) *afpacket.Link {
	t.Helper()
	return openBy(t, ns, name, 1)
}

// openBy opens a link that sends by several lanes.
func openBy(t *testing.T, ns *netlab.NS, name string, lanes int) *afpacket.Link {
	t.Helper()
	found, err := ns.Netlink.LinkByName(name)
	if err != nil {
		t.Fatal(err)
	}
	var l *afpacket.Link
	ns.Do(func() {
		l, err = afpacket.Open(wire.LinkSpec{Name: name, Index: found.Attrs().Index, Medium: wire.Ethernet, IPv4: true, IPv6: true, Ports: ports, Lanes: lanes})
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// answer returns a frame that the filter passes: a SYN-ACK with a number.
func answer(n uint32) []byte {
	b := make([]byte, 14+20+20)
	b[0], b[6], b[12] = 0xff, 2, 8 // to everybody, from a made-up address, IPv4
	ip := b[14:]
	ip[0], ip[8], ip[9] = 0x45, 64, 6
	binary.BigEndian.PutUint16(ip[2:], 40)
	binary.BigEndian.PutUint16(ip[22:], ports.First)
	binary.BigEndian.PutUint32(ip[24:], n)
	ip[32], ip[33] = 5<<4, 0x12
	return b
}

// read starts ReadFrames. The function that it returns waits for its end.
func read(ctx context.Context, l *afpacket.Link, fn func(frame []byte, at time.Time)) func() error {
	done := make(chan error, 1)
	go func() { done <- l.ReadFrames(ctx, fn) }() // ends with ctx or the link; waited for by the caller
	return func() error {
		select {
		case err := <-done:
			return err
		case <-time.After(5 * time.Second):
			return errors.New("ReadFrames does not return")
		}
	}
}

// TestFramesArrive sends more frames than a batch, a ring block and the ring
// itself hold, and expects each of them once, in order, unharmed, with a time.
func TestFramesArrive(t *testing.T) {
	a, b := netlab.Pair(t, "a0", "b0")
	from, to := open(t, a, "a0"), open(t, b, "b0")
	const count = 100_000
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	start, next := time.Now(), uint32(0)
	wait := read(ctx, to, func(frame []byte, at time.Time) {
		if n := binary.BigEndian.Uint32(frame[14+24:]); n != next || len(frame) != 54 {
			t.Errorf("frame %d of %d bytes arrived, want number %d of 54", n, len(frame), next)
			cancel()
		}
		if at.Before(start) || time.Since(at) > 10*time.Second {
			t.Errorf("frame %d has the time %v", next, at)
		}
		if next++; next == count {
			cancel()
		}
	})
	batch := make([][]byte, 100)
	for n := uint32(0); n < count; {
		for i := range batch {
			batch[i] = answer(n)
			n++
		}
		for rest := batch; len(rest) > 0; {
			sent, err := from.WriteFrames(rest)
			if rest = rest[sent:]; err != nil && !errors.Is(err, wire.ErrBusy) {
				t.Fatal(err)
			}
		}
		time.Sleep(10 * time.Microsecond) // below what the receiving kernel queues
	}
	if err := wait(); err != nil {
		t.Fatal(err)
	}
	drops, err := to.Drops()
	if err != nil || next+uint32(drops) != count || drops != 0 {
		t.Errorf("%d frames arrived and %d were dropped (%v), want all %d", next, drops, err, count)
	}
}

// TestVLANs: a tag that says no more than a priority makes no difference; what has
// one of a VLAN that this host has no interface of is from another network.
func TestVLANs(t *testing.T) {
	a, b := netlab.Pair(t, "a0", "b0")
	from, to := open(t, a, "a0"), open(t, b, "b0")
	tagged := func(n uint32, tag uint16) []byte {
		f := answer(n)
		return slices.Insert(f, 12, 0x81, 0, byte(tag>>8), byte(tag))
	}
	arp := func(mac byte, tag ...byte) []byte {
		f := slices.Concat([]byte{255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0, mac}, tag, []byte{8, 6, 0, 1, 8, 0, 6, 4, 0, 2})
		return append(f, make([]byte, 20)...)
	}
	other := answer(6)
	other[0] = 4 // the MAC of another host
	frames := [][]byte{other, tagged(1, 100), arp(9, 0x81, 0, 0, 100), tagged(2, 0), tagged(3, 7<<13), tagged(4, 7<<13|4094), arp(7), answer(5)}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	var got []string
	wait := read(ctx, to, func(frame []byte, _ time.Time) {
		if frame[13] == 6 {
			got = append(got, fmt.Sprint("ARP ", frame[11]))
		} else {
			got = append(got, fmt.Sprint("number ", binary.BigEndian.Uint32(frame[14+24:])))
		}
		if len(got) == 4 {
			time.AfterFunc(50*time.Millisecond, cancel) // nothing more is to come
		}
	})
	if n, err := from.WriteFrames(frames); n != len(frames) || err != nil {
		t.Fatalf("WriteFrames = %d, %v", n, err)
	}
	if err := wait(); err != nil {
		t.Fatal(err)
	}
	slices.Sort(got) // each protocol has a ring of its own
	if d := cmp.Diff([]string{"ARP 7", "number 2", "number 3", "number 5"}, got); d != "" {
		t.Errorf("frames (-want +got):\n%s", d)
	}
}

// TestLanes writes by three lanes at the same time and expects every frame once.
func TestLanes(t *testing.T) {
	a, b := netlab.Pair(t, "a0", "b0")
	from, to := openBy(t, a, "a0", 3), open(t, b, "b0")
	all := append([]wire.Writer{from}, from.Lanes()...)
	if len(all) != 3 {
		t.Fatalf("%d lanes, want 3", len(all))
	}
	const each = 640
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	seen := map[uint32]int{}
	wait := read(ctx, to, func(frame []byte, _ time.Time) {
		if seen[binary.BigEndian.Uint32(frame[14+24:])]++; len(seen) == len(all)*each {
			cancel()
		}
	})
	var writers sync.WaitGroup
	for lane, w := range all {
		writers.Go(func() { // ends when all is written
			for n := range uint32(each) {
				frames := [][]byte{answer(uint32(lane*each) + n)}
				for sent, err := w.WriteFrames(frames); sent == 0; sent, err = w.WriteFrames(frames) {
					if !errors.Is(err, wire.ErrBusy) {
						t.Errorf("lane %d: %v", lane, err)
						return
					}
				}
			}
		})
	}
	writers.Wait()
	if err := wait(); err != nil || len(seen) != len(all)*each {
		t.Errorf("ReadFrames = %v after %d frames of %d", err, len(seen), len(all)*each)
	}
	for n, times := range seen {
		if times != 1 {
			t.Errorf("frame %d arrived %d times", n, times)
		}
	}
}

// TestOwnFramesAreNotHeard shows that a link does not hear what it sends.
func TestOwnFramesAreNotHeard(t *testing.T) {
	a, _ := netlab.Pair(t, "a0", "b0")
	l := open(t, a, "a0")
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	wait := read(ctx, l, func(frame []byte, _ time.Time) { t.Errorf("heard %x", frame) })
	if n, err := l.WriteFrames([][]byte{answer(1), answer(2)}); n != 2 || err != nil {
		t.Fatal(n, err)
	}
	if err := wait(); err != nil {
		t.Fatal(err)
	}
}

// TestDropsAreCounted fills the ring while nobody reads.
func TestDropsAreCounted(t *testing.T) {
	a, b := netlab.Pair(t, "a0", "b0")
	from, to := open(t, a, "a0"), open(t, b, "b0")
	batch := make([][]byte, 64)
	for i := range batch {
		batch[i] = append(answer(0), make([]byte, 1400)...)
	}
	sent := uint64(0)
	for range 200 { // 12,800 frames of 1.5 KB: more than twice the ring
		n, err := from.WriteFrames(batch)
		if sent += uint64(n); err != nil && !errors.Is(err, wire.ErrBusy) {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Microsecond)
	}
	time.Sleep(50 * time.Millisecond)
	first, err := to.Drops()
	if err != nil || first == 0 {
		t.Fatalf("Drops = %d, %v after %d frames that nobody read, want some", first, err, sent)
	}
	read := uint64(0)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := to.ReadFrames(ctx, func([]byte, time.Time) { read++ }); err != nil {
		t.Fatal(err)
	}
	if again, err := to.Drops(); again != first || err != nil {
		t.Errorf("Drops = %d, %v the second time, want %d: it must not forget", again, err, first)
	}
	if read+first != sent {
		t.Errorf("%d read and %d dropped, want %d together", read, first, sent)
	}
	if err := to.Close(); err != nil {
		t.Fatal(err)
	}
	if after, err := to.Drops(); after != first || err != nil {
		t.Errorf("Drops = %d, %v after Close, want %d", after, err, first)
	}
}

// TestStalledReader: frames that come in one by one, while the reader gets no
// processor for a third of a second, are all there afterwards: each fills a block
// of its own, however small it is.
func TestStalledReader(t *testing.T) {
	a, b := netlab.Pair(t, "a0", "b0")
	from, to := open(t, a, "a0"), open(t, b, "b0")
	const count = 40
	for n := range uint32(count) {
		if _, err := from.WriteFrames([][]byte{answer(n)}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(9 * time.Millisecond) // longer than a block that is not full waits
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	got := 0
	wait := read(ctx, to, func([]byte, time.Time) {
		if got++; got == count {
			cancel()
		}
	})
	err := wait()
	if drops, derr := to.Drops(); got != count || drops > 0 || err != nil || derr != nil {
		t.Errorf("%d frames of %d, %d dropped, %v, %v", got, count, drops, err, derr)
	}
}

func TestReadFramesEnds(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(ns *netlab.NS, l *afpacket.Link, cancel func())
		want error
	}{
		{"by context", func(_ *netlab.NS, _ *afpacket.Link, cancel func()) { cancel() }, nil},
		{"by Close", func(_ *netlab.NS, l *afpacket.Link, _ func()) { _ = l.Close() }, nil},
		{"by the interface", func(ns *netlab.NS, _ *afpacket.Link, _ func()) { ns.Down("a0") }, wire.ErrLinkDown},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, _ := netlab.Pair(t, "a0", "b0")
			l := open(t, a, "a0")
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			wait := read(ctx, l, func([]byte, time.Time) {})
			time.Sleep(20 * time.Millisecond)
			start := time.Now()
			tt.end(a, l, cancel)
			if err := wait(); !errors.Is(err, tt.want) {
				t.Errorf("ReadFrames = %v, want %v", err, tt.want)
			}
			if d := time.Since(start); d > time.Second {
				t.Errorf("ReadFrames took %v to end", d)
			}
		})
	}
}

func TestWriteOnDownInterface(t *testing.T) {
	a, _ := netlab.Pair(t, "a0", "b0")
	l := open(t, a, "a0")
	a.Down("a0")
	if n, err := l.WriteFrames([][]byte{answer(1)}); n != 0 || !errors.Is(err, wire.ErrLinkDown) {
		t.Errorf("WriteFrames = %d, %v; want 0, %v", n, err, wire.ErrLinkDown)
	}
}

func TestWithoutPrivilege(t *testing.T) {
	ns := netlab.New(t)
	var err error
	ns.Do(func() {
		runtime.LockOSThread() // the thread ends with Do; its capabilities are nobody else's
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var none [2]unix.CapUserData
		if err = unix.Capset(&header, &none[0]); err != nil {
			return
		}
		_, err = afpacket.Open(wire.LinkSpec{Name: "lo", Index: 1, Medium: wire.Host, IPv4: true, Ports: ports})
	})
	if !errors.Is(err, wire.ErrPrivilege) {
		t.Errorf("Open = %v, want %v", err, wire.ErrPrivilege)
	}
}

// TestNothingIsLeftOpen: what Open has opened is closed, also where it fails.
func TestNothingIsLeftOpen(t *testing.T) {
	ns := netlab.New(t)
	open := func() (n int) {
		all, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(all)
	}
	for _, tt := range []struct {
		name string
		spec wire.LinkSpec
		ok   bool
	}{
		{"Ethernet", wire.LinkSpec{Index: 1, Medium: wire.Ethernet, IPv4: true, IPv6: true, Lanes: 3}, true},
		{"this host", wire.LinkSpec{Index: 1, Medium: wire.Host, IPv4: true, IPv6: true}, true},
		{"to listen", wire.LinkSpec{Index: 1, Medium: wire.Ethernet, IPv4: true, IPv6: true, ListenOnly: true}, true},
		{"no such interface", wire.LinkSpec{Index: 1 << 20, Medium: wire.Ethernet, IPv4: true}, false},
		{"no such medium", wire.LinkSpec{Index: 1, IPv4: true}, false},
	} {
		before := open()
		var l *afpacket.Link
		var err error
		ns.Do(func() { l, err = afpacket.Open(tt.spec) })
		if (err == nil) != tt.ok {
			t.Errorf("%s: Open = %v, want success %t", tt.name, err, tt.ok)
		}
		if err == nil {
			if err := l.Close(); err != nil {
				t.Error(err)
			}
		}
		if after := open(); after != before {
			t.Errorf("%s: %d descriptors open, want %d as before", tt.name, after, before)
		}
	}
}
