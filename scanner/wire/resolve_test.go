//go:build linux

package wire_test

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/time/rate"

	"dormant/registry"
	"dormant/scanner"
	"dormant/scanner/netlab"
	"dormant/scanner/wire"
)

// each yields every address of the prefixes.
func each(prefixes []netip.Prefix) iter.Seq[netip.Addr] {
	return func(yield func(netip.Addr) bool) {
		for _, p := range prefixes {
			for a := p.Addr(); p.Contains(a); a = a.Next() {
				if !yield(a) {
					return
				}
			}
		}
	}
}

// resolve runs Resolve beside Receive and returns how long it took.
func resolve(t *testing.T, b *wire.Backend, addrs iter.Seq[netip.Addr], pace func(context.Context, int) error) time.Duration {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var receiving sync.WaitGroup
	receiving.Go(func() { // ends with ctx
		if err := b.Receive(ctx, func(o scanner.Observation) { t.Errorf("observation %+v while resolving", o) }); err != nil {
			t.Errorf("Receive: %v", err)
		}
	})
	defer receiving.Wait()
	defer cancel()
	start := time.Now()
	if err := b.Resolve(ctx, addrs, pace); err != nil {
		t.Errorf("Resolve: %v", err)
	}
	return time.Since(start)
}

func unpaced(ctx context.Context, _ int) error { return ctx.Err() }

// TestResolveNet resolves a /24 with 20 hosts and an IPv6 /120 with 3 at a
// thousand requests a second: everybody is found, the pace is kept, and a second
// Resolve asks nobody who is known. Twenty neighbours are enough to show that
// nothing gets lost, so the silent ones of IPv4 are asked once; three are not.
func TestResolveNet(t *testing.T) {
	scan, far := netlab.Pair(t, "scan0", "net0")
	scan.Addr("scan0", "10.1.0.1/24", "fd01::1/64")
	want := map[netip.Addr]bool{}
	for i := range 20 {
		a := netip.AddrFrom4([4]byte{10, 1, 0, byte(5 + 12*i)})
		far.Addr("net0", a.String()+"/32")
		want[a] = true
	}
	for _, a := range []string{"fd01::5", "fd01::77", "fd01::ff"} {
		far.Addr("net0", a+"/128")
		want[netip.MustParseAddr(a)] = true
	}
	want[netip.MustParseAddr("10.1.0.1")], want[netip.MustParseAddr("fd01::1")] = true, true // this host
	nets := prefixes("10.1.0.0/24", "fd01::/120")
	b := open(t, scan, wire.Config{Prefixes: nets})

	paced, limit := 0, rate.NewLimiter(1000, 64)
	took := resolve(t, b, each(nets), func(ctx context.Context, n int) error {
		paced += n
		return limit.WaitN(ctx, n)
	})
	t.Logf("two nets of 256 addresses took %v", took)
	got := map[netip.Addr]bool{}
	for a := range each(nets) {
		state, reason, ok := b.Reachable(a)
		if ok {
			got[a] = true
		} else if state != scanner.Unreachable || reason != scanner.ARPNoReply {
			t.Errorf("Reachable(%v) = %v, %v; want unreachable, arp-no-reply", a, state, reason)
		}
	}
	if d := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); d != "" {
		t.Errorf("reachable addresses (-want +got):\n%s", d)
	}
	c := b.Counters()
	want4, want6 := uint64(255+200), uint64(255+2*252)
	if c.ARPSent > uint64(paced) || c.ARPSent < want4+want6 || c.ARPSent > want4+want6+3 {
		t.Errorf("%d requests, %d paced; want one for each of 255 addresses and ten more for 20 of them, and for 255 more with 252 three times", c.ARPSent, paced)
	}
	if c.ARPAnswer != 23 || c.SharedMAC != 23 { // one machine has them all
		t.Errorf("%d answers, %d of one MAC; want 23 and 23", c.ARPAnswer, c.SharedMAC)
	}
	again := resolve(t, b, func(yield func(netip.Addr) bool) {
		for a := range want {
			if !yield(a) {
				return
			}
		}
	}, unpaced)
	if n := b.Counters().ARPSent; n != c.ARPSent || again > 100*time.Millisecond {
		t.Errorf("resolving again took %v and sent %d requests, want none", again, n-c.ARPSent)
	}
}

// TestLossIsNoticed: where one request or answer in ten gets lost, those who have
// answered show it, and the silent are asked again until all are found.
func TestLossIsNoticed(t *testing.T) {
	scan, far := netlab.Pair(t, "scan0", "net0")
	scan.Addr("scan0", "10.1.0.1/24")
	const live = 60
	for i := range live {
		far.Addr("net0", fmt.Sprintf("10.1.0.%d/32", 10+i))
	}
	far.Lossy("net0", 50)
	nets := prefixes("10.1.0.0/24")
	b := open(t, scan, wire.Config{Prefixes: nets})
	resolve(t, b, each(nets), unpaced)
	c := b.Counters()
	if c.ARPAnswer < live-1 { // three in a row are lost once in a thousand times
		t.Errorf("%d of %d neighbours found", c.ARPAnswer, live)
	}
	if least := uint64(255 + 200 + 2*(255-live)); c.ARPSent < least {
		t.Errorf("%d requests, want %d at least: each of the silent is asked three times", c.ARPSent, least)
	}
}

// TestResolveIsQuick: one live and one dead neighbour cost no more than the
// waits that are due for the dead one.
func TestResolveIsQuick(t *testing.T) {
	scan, _ := lab(t)
	b := open(t, scan, wire.Config{Prefixes: prefixes("10.1.0.0/24")})
	live, dead := netip.MustParseAddr("10.1.0.10"), netip.MustParseAddr("10.1.0.99")
	if d := resolve(t, b, slices.Values([]netip.Addr{live}), unpaced); d > 150*time.Millisecond {
		t.Errorf("a live neighbour took %v, want its round-trip time", d)
	}
	if d := resolve(t, b, slices.Values([]netip.Addr{dead}), unpaced); d < 250*time.Millisecond || d > time.Second {
		t.Errorf("a dead neighbour took %v, want three waits of 100 ms", d)
	}
}

// TestKernelKnows shows that what the kernel has confirmed or was told is not
// asked again.
func TestKernelKnows(t *testing.T) {
	scan, far := lab(t)
	scan.Neighbour("scan0", "10.1.0.50", far.MAC("net0"))
	b := open(t, scan, wire.Config{Prefixes: prefixes("10.1.0.48/30")})
	resolve(t, b, slices.Values([]netip.Addr{netip.MustParseAddr("10.1.0.50")}), unpaced)
	if _, _, ok := b.Reachable(netip.MustParseAddr("10.1.0.50")); !ok || b.Counters().ARPSent != 0 {
		t.Errorf("reachable = %t after %d requests, want true after none", ok, b.Counters().ARPSent)
	}
}

// TestKernelsNeighboursShowLoss: they are not asked who they are, but they too can
// show that nothing gets lost, or by being gone that something might.
func TestKernelsNeighboursShowLoss(t *testing.T) {
	for _, tt := range []struct {
		name string
		here bool
		want uint64
	}{
		{"they answer", true, 243 + 200},
		{"they are gone", false, 3*243 + 200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			scan, far := netlab.Pair(t, "scan0", "net0")
			scan.Addr("scan0", "10.1.0.1/24")
			far.Addr("net0", "10.1.0.2/24")
			for i := range 11 {
				addr := fmt.Sprintf("10.1.0.%d", 10+i)
				scan.Neighbour("scan0", addr, far.MAC("net0"))
				if tt.here {
					far.Addr("net0", addr+"/32")
				}
			}
			nets := prefixes("10.1.0.0/24")
			b := open(t, scan, wire.Config{Prefixes: nets})
			resolve(t, b, each(nets), unpaced)
			if c := b.Counters(); c.ARPAnswer != 1 || c.ARPSent < tt.want || c.ARPSent > tt.want+2 {
				t.Errorf("%d requests and %d answers, want %d and that of 10.1.0.2", c.ARPSent, c.ARPAnswer, tt.want)
			}
			if _, _, ok := b.Reachable(netip.MustParseAddr("10.1.0.20")); !ok {
				t.Error("the kernel's neighbour is not reachable")
			}
		})
	}
}

// TestSilentGateway: nothing is known of what lies behind it, and it is said.
func TestSilentGateway(t *testing.T) {
	scan, _ := netlab.Pair(t, "scan0", "net0")
	scan.Addr("scan0", "10.1.0.1/24")
	scan.Route(netlab.Route{Dst: "10.2.0.0/16", Via: "10.1.0.254"})
	var log bytes.Buffer
	b := open(t, scan, wire.Config{Prefixes: prefixes("10.2.0.0/24"), Log: slog.New(slog.NewTextHandler(&log, nil))})
	behind := netip.MustParseAddr("10.2.0.5")
	resolve(t, b, slices.Values([]netip.Addr{behind}), unpaced)
	if state, reason, ok := b.Reachable(behind); ok || state != scanner.Unknown || reason != scanner.LocalError {
		t.Errorf("Reachable = %v, %v, %t; want unknown, local-error, false", state, reason, ok)
	}
	if !bytes.Contains(log.Bytes(), []byte("gateway=10.1.0.254")) {
		t.Errorf("the log does not name the gateway: %s", &log)
	}
	if d := cmp.Diff([]string{"the gateway 10.1.0.254 does not answer"}, b.Faults()); d != "" {
		t.Errorf("faults (-want +got):\n%s", d)
	}
}

// TestManyWays asks through two interfaces, a gateway on each, one of them an
// IPv6 one for IPv4, link-local targets, and this host, in one run.
func TestManyWays(t *testing.T) {
	scan, left := netlab.Pair(t, "left0", "net0")
	right := netlab.New(t)
	netlab.Join(scan, "right0", right, "net0")
	scan.Addr("left0", "10.1.0.1/24", "fd01::1/64", "fe80::1/64")
	scan.Addr("right0", "10.2.0.1/24", "fe80::1/64")
	left.Addr("net0", "10.1.0.2/24", "fd01::2/64", "fe80::2/64")
	right.Addr("net0", "10.2.0.2/24", "fe80::2/64", "fe80::3/64")
	left.Addr("lo", "10.3.0.9/32")
	right.Addr("lo", "10.4.0.9/32", "10.5.0.9/32")
	left.Route(netlab.Route{Dst: "10.0.0.0/8", Via: "10.1.0.1"})
	right.Route(netlab.Route{Dst: "10.0.0.0/8", Via: "10.2.0.1"})
	scan.Route(netlab.Route{Dst: "10.3.0.0/24", Via: "10.1.0.2"}, netlab.Route{Dst: "10.4.0.0/24", Via: "10.2.0.2"})
	scan.RouteVia("10.5.0.0/24", "fe80::3", "right0")

	far := []string{"10.1.0.2", "10.2.0.2", "10.3.0.9", "10.4.0.9", "10.5.0.9", "fd01::2", "10.1.0.1"}
	targets := []scanner.Target{}
	for _, a := range far {
		targets = append(targets, target(a, closedPort, registry.TCP), target(a, closedPort, registry.UDP))
	}
	for _, a := range []string{"fe80::2%left0", "fe80::2%right0", "fe80::3%right0"} {
		targets = append(targets, target(a, closedPort, registry.TCP))
	}
	b := open(t, scan, wire.Config{Prefixes: prefixes("10.0.0.0/13", "fd01::/120"), Zones: []string{"left0", "right0"}})
	got := ask(t, b, 300*time.Millisecond, targets...)
	for _, target := range targets {
		o := got[target]
		if o.State != scanner.Closed || o.From != target.Addr || o.RTT == 0 {
			t.Errorf("%v: %v, %v from %v after %v; want closed, from itself", target, o.State, o.Reason, o.From, o.RTT)
		}
		if near := target.Addr.String() == "10.1.0.2"; near && !bytes.Equal(o.MAC, left.MAC("net0")) || target.Addr.String() == "10.3.0.9" && o.MAC != nil {
			t.Errorf("%v: MAC %x, want that of a neighbour only", target, o.MAC)
		}
	}
	if _, _, ok := b.Reachable(netip.MustParseAddr("fe80::3%left0")); ok {
		t.Error("fe80::3 is reachable on the left, where it is not")
	}
}

// TestEveryAttemptIsTold sends four attempts to a port that answers and one
// that refuses, and expects each answer to know which it answers.
func TestEveryAttemptIsTold(t *testing.T) {
	scan, far := lab(t)
	far.Listen(at("10.1.0.10", openPort))
	b := open(t, scan, wire.Config{Prefixes: prefixes("10.1.0.10/32")})
	resolve(t, b, slices.Values([]netip.Addr{netip.MustParseAddr("10.1.0.10")}), unpaced)
	ctx, cancel := context.WithCancel(t.Context())
	var attempts []uint8
	var receiving sync.WaitGroup
	receiving.Go(func() { // ends with ctx
		_ = b.Receive(ctx, func(o scanner.Observation) {
			attempts = append(attempts, o.Attempt)
			if o.RTT <= 0 || o.RTT > 200*time.Millisecond {
				t.Errorf("attempt %d has the round-trip time %v", o.Attempt, o.RTT)
			}
		})
	})
	for attempt := range uint8(6) {
		batch := []scanner.Probe{{Target: target("10.1.0.10", openPort, registry.TCP), Attempt: attempt}}
		if attempt%2 == 1 {
			batch[0].Target = target("10.1.0.10", closedPort, registry.TCP)
		}
		if _, err := b.Send(ctx, batch); err != nil {
			t.Fatal(err)
		}
		time.Sleep(30 * time.Millisecond)
	}
	cancel()
	receiving.Wait()
	if d := cmp.Diff([]uint8{0, 1, 2, 3, 4, 5}, attempts); d != "" {
		t.Errorf("attempts (-want +got):\n%s", d)
	}
}
