//go:build linux

package wire_test

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"golang.org/x/sys/unix"

	"dormant/registry"
	"dormant/scanner"
	"dormant/scanner/netlab"
	"dormant/scanner/wire"
)

// ask resolves, sends one probe to each target that is reachable, and returns
// the observations that came within wait. Targets that are not reachable are
// observations, too.
func ask(t *testing.T, b *wire.Backend, wait time.Duration, targets ...scanner.Target) map[scanner.Target]scanner.Observation {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	got := map[scanner.Target]scanner.Observation{}
	var receiving sync.WaitGroup
	receiving.Go(func() { // ends with ctx
		if err := b.Receive(ctx, func(o scanner.Observation) { got[o.Target] = o }); err != nil {
			t.Errorf("Receive: %v", err)
		}
	})
	addrs := func(yield func(netip.Addr) bool) {
		for _, target := range targets {
			if !yield(target.Addr) {
				return
			}
		}
	}
	unpaced := func(ctx context.Context, _ int) error { return ctx.Err() }
	if err := b.Resolve(ctx, addrs, unpaced); err != nil {
		t.Fatalf("Resolve: %v", err)
	}
	silent := map[scanner.Target]scanner.Observation{}
	var batch []scanner.Probe
	for _, target := range targets {
		if state, reason, ok := b.Reachable(target.Addr); !ok {
			silent[target] = scanner.Observation{Target: target, State: state, Reason: reason}
			continue
		}
		batch = append(batch, scanner.Probe{Target: target, Payload: []byte("question")})
	}
	if n, err := b.Send(ctx, batch); n != len(batch) || err != nil {
		t.Fatalf("Send = %d, %v, want %d, nil", n, err, len(batch))
	}
	time.Sleep(wait)
	cancel()
	receiving.Wait()
	maps.Copy(got, silent)
	return got
}

// TestAnswers asks everything that a network can say about a port, in both
// families at once, on the link and behind a router.
func TestAnswers(t *testing.T) {
	scan, far := lab(t)
	far.Addr("lo", "10.2.0.11/32")
	far.Listen(at("10.2.0.10", openPort), at("fd02::10", openPort), at("10.1.0.11", openPort))
	far.Answer([]byte("pong"), at("10.2.0.10", openPort), at("fd02::10", openPort))
	far.Answer(make([]byte, 4000), at("10.1.0.11", openPort)) // comes in fragments
	far.Route(
		netlab.Route{Dst: "10.3.1.0/24", Type: unix.RTN_UNREACHABLE}, netlab.Route{Dst: "fd03:1::/64", Type: unix.RTN_UNREACHABLE},
		netlab.Route{Dst: "10.3.2.0/24", Type: unix.RTN_PROHIBIT}, netlab.Route{Dst: "fd03:2::/64", Type: unix.RTN_PROHIBIT},
		netlab.Route{Dst: "10.3.3.0/24", Type: unix.RTN_BLACKHOLE}, netlab.Route{Dst: "fd03:3::/64", Type: unix.RTN_BLACKHOLE},
	)
	scan.Route(netlab.Route{Dst: "10.4.1.0/24", Type: unix.RTN_UNREACHABLE}, netlab.Route{Dst: "10.4.2.0/24", Type: unix.RTN_BLACKHOLE},
		netlab.Route{Dst: "fd04:1::/64", Type: unix.RTN_PROHIBIT})
	b := open(t, scan, wire.Config{Prefixes: prefixes("10.0.0.0/8", "fd00::/8")})

	const tcp, udp = registry.TCP, registry.UDP
	type answer struct {
		target scanner.Target
		state  scanner.State
		reason scanner.Reason
		from   string // "" for nobody
	}
	var targets []scanner.Target
	want := map[scanner.Target]scanner.Observation{}
	for _, a := range []answer{
		{target("10.2.0.10", openPort, tcp), scanner.Open, scanner.SynAck, "10.2.0.10"},
		{target("fd02::10", openPort, tcp), scanner.Open, scanner.SynAck, "fd02::10"},
		{target("10.1.0.11", openPort, tcp), scanner.Open, scanner.SynAck, "10.1.0.11"},
		{target("10.2.0.10", openPort, udp), scanner.Open, scanner.UDPReply, "10.2.0.10"},
		{target("fd02::10", openPort, udp), scanner.Open, scanner.UDPReply, "fd02::10"},
		{target("10.1.0.11", openPort, udp), scanner.Open, scanner.UDPReply, "10.1.0.11"},
		{target("10.2.0.11", closedPort, tcp), scanner.Closed, scanner.Rst, "10.2.0.11"},
		{target("fd02::10", closedPort, tcp), scanner.Closed, scanner.Rst, "fd02::10"},
		{target("10.2.0.11", closedPort, udp), scanner.Closed, scanner.ICMPPortUnreachable, "10.2.0.11"},
		{target("fd02::10", closedPort, udp), scanner.Closed, scanner.ICMPPortUnreachable, "fd02::10"},
		{target("10.3.1.1", openPort, tcp), scanner.Unreachable, scanner.ICMPHostUnreachable, "10.1.0.2"},
		{target("fd03:1::1", openPort, tcp), scanner.Unreachable, scanner.ICMPNetUnreachable, "fd01::10"},
		{target("10.3.2.1", openPort, tcp), scanner.Filtered, scanner.ICMPAdminProhibited, "10.1.0.2"},
		{target("fd03:2::1", openPort, udp), scanner.Filtered, scanner.ICMPAdminProhibited, "fd01::10"},
		{target("10.1.0.99", openPort, tcp), scanner.Unreachable, scanner.ARPNoReply, ""},
		{target("10.1.0.255", openPort, tcp), scanner.Unreachable, scanner.ARPNoReply, ""},
		{target("fd01::99", openPort, tcp), scanner.Unreachable, scanner.ARPNoReply, ""},
		{target("10.4.1.1", openPort, tcp), scanner.Unknown, scanner.LocalError, ""},
		{target("10.4.2.1", openPort, udp), scanner.Unknown, scanner.LocalError, ""},
		{target("fd04:1::1", openPort, tcp), scanner.Unknown, scanner.LocalError, ""},
		{target("10.3.3.1", openPort, tcp), 0, 0, ""}, // silence
		{target("fd03:3::1", openPort, udp), 0, 0, ""},
	} {
		targets = append(targets, a.target)
		if a.state == 0 {
			continue
		}
		o := scanner.Observation{Target: a.target, State: a.state, Reason: a.reason}
		if a.from != "" {
			o.From, o.TTL = netip.MustParseAddr(a.from), 64
			if a.target.Addr == o.From && netip.MustParsePrefix("10.1.0.0/24").Contains(o.From) {
				o.MAC = far.MAC("net0")
			}
		}
		if a.reason == scanner.UDPReply && !o.From.IsUnspecified() {
			o.Payload = []byte("pong")
		}
		want[a.target] = o
	}
	for addr, want := range map[string]bool{
		"10.2.0.10": true, "fd02::10": true, "10.1.0.11": false, "fd01::99": false, // a neighbour
		"10.4.1.1": false, "10.1.0.1": false, // no way there, this host
	} {
		if got := b.Routed(netip.MustParseAddr(addr)); got != want {
			t.Errorf("Routed(%s) = %v, want %v", addr, got, want)
		}
	}
	started := time.Now()
	got := ask(t, b, 400*time.Millisecond, targets...)

	fragmented := target("10.1.0.11", openPort, udp)
	if o := got[fragmented]; len(o.Payload) != 1472 { // what fits into the first of the fragments
		t.Errorf("%v: payload of %d bytes, want 1472", fragmented, len(o.Payload))
	}
	for target, o := range got {
		if o.From.IsValid() && (o.RTT <= 0 || o.RTT > time.Second) {
			t.Errorf("%v: RTT = %v, want above 0", target, o.RTT)
		}
		if o.From.IsValid() && (o.At.Before(started) || o.At.After(time.Now())) {
			t.Errorf("%v: At = %v, want between the start and now", target, o.At)
		}
		if (o.Reason == scanner.SynAck) != (o.Window > 0) {
			t.Errorf("%v: window %d with %v", target, o.Window, o.Reason)
		}
	}
	ignore := cmpopts.IgnoreFields(scanner.Observation{}, "At", "RTT", "Window")
	equal := cmp.Options{ignore, cmpopts.EquateComparable(netip.Addr{}), cmp.FilterPath(func(p cmp.Path) bool {
		return p.Last().String() == ".Payload" // judged above where it is not the same for all
	}, cmp.Comparer(func(a, b []byte) bool { return len(a) == 1472 || len(b) == 1472 || string(a) == string(b) }))}
	for _, target := range slices.SortedFunc(maps.Keys(want), scanner.Target.Compare) {
		if d := cmp.Diff(want[target], got[target], equal); d != "" {
			t.Errorf("%v (-want +got):\n%s", target, d)
		}
		delete(got, target)
	}
	for target, o := range got {
		t.Errorf("%v was not to be answered, got %v %v from %v", target, o.State, o.Reason, o.From)
	}
	if c := b.Counters(); c.SendErrors != 0 || c.RingDrops != 0 || c.Invalid != 0 {
		t.Errorf("counters %+v: want no send errors, no drops, nothing invalid", c)
	}
}

// TestNothingElseIsSent looks at every frame that reaches the other side: only
// requests for the asked neighbours and probes to the asked targets, and no
// probe to an address that nobody has.
func TestNothingElseIsSent(t *testing.T) {
	scan, far := lab(t)
	seen := far.Capture("net0")
	b := open(t, scan, wire.Config{Prefixes: prefixes("10.1.0.8/29", "10.2.0.0/28", "fd01::10/127"), Ports: []registry.Port{{Number: openPort, Proto: registry.TCP}}})
	var targets []scanner.Target
	asked := map[string]bool{}
	for _, p := range prefixes("10.1.0.8/29", "10.2.0.0/28", "fd01::10/127") {
		for a := p.Addr(); p.Contains(a); a = a.Next() {
			targets = append(targets, target(a.String(), openPort, registry.TCP))
			asked[a.String()] = true
		}
	}
	ask(t, b, 200*time.Millisecond, targets...)

	probes, requests, solicited := map[string]int{}, map[string]int{}, map[string]int{}
	for _, frame := range seen.Frames() {
		p := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.Default)
		if arp, ok := p.Layer(layers.LayerTypeARP).(*layers.ARP); ok && arp.Operation == layers.ARPRequest {
			requests[netip.AddrFrom4([4]byte(arp.DstProtAddress)).String()]++
			continue
		}
		if ns, ok := p.Layer(layers.LayerTypeICMPv6NeighborSolicitation).(*layers.ICMPv6NeighborSolicitation); ok {
			solicited[ns.TargetAddress.String()]++
			continue
		}
		tcp, ok := p.TransportLayer().(*layers.TCP)
		if !ok || tcp.RST { // what the kernel says by itself: RST to the SYN-ACK, ND, MLD
			continue
		}
		probes[p.NetworkLayer().NetworkFlow().Dst().String()]++
		if tcp.DstPort != openPort || !tcp.SYN || tcp.ACK {
			t.Errorf("a segment that is not a probe of ours: %+v", tcp)
		}
	}
	wantProbes := map[string]int{"10.1.0.10": 1, "10.1.0.11": 1, "10.1.0.12": 1, "fd01::10": 1}
	for i := range 16 {
		wantProbes[netip.AddrFrom4([4]byte{10, 2, 0, byte(i)}).String()] = 1
	}
	if d := cmp.Diff(wantProbes, probes); d != "" {
		t.Errorf("probes by address (-want +got):\n%s", d)
	}
	// three answer the first request; the five silent ones are asked twice more,
	// and the gateway once
	wantRequests := map[string]int{"10.1.0.2": 1, "10.1.0.10": 1, "10.1.0.11": 1, "10.1.0.12": 1,
		"10.1.0.8": 3, "10.1.0.9": 3, "10.1.0.13": 3, "10.1.0.14": 3, "10.1.0.15": 3}
	if d := cmp.Diff(wantRequests, requests); d != "" {
		t.Errorf("ARP requests by address (-want +got):\n%s", d)
	}
	if solicited["fd01::10"] != 1 || solicited["fd01::11"] != 3 {
		t.Errorf("solicitations by address %v, want one for fd01::10, three for fd01::11", solicited)
	}
	if c := b.Counters(); c.ARPSent != 23 || c.ARPAnswer != 5 {
		t.Errorf("counters: %d requests and %d answers, want 23 and 5", c.ARPSent, c.ARPAnswer)
	}
}

// TestLargeFrames: an answer in one frame that is longer than a block of the ring,
// from this host or where frames are jumbo, comes in cut short, and counts all the
// same: with as much as is kept of one.
func TestLargeFrames(t *testing.T) {
	scan, far := netlab.Pair(t, "scan0", "net0")
	for name, ns := range map[string]*netlab.NS{"scan0": scan, "net0": far} {
		l, err := ns.Netlink.LinkByName(name)
		if err == nil {
			err = ns.Netlink.LinkSetMTU(l, 65535)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	scan.Addr("scan0", "10.1.0.1/24", "fd01::1/64")
	far.Addr("net0", "10.1.0.2/24", "fd01::2/64")
	long := make([]byte, 40_000)
	scan.Answer(long, at("10.1.0.1", openPort), at("fd01::1", openPort))
	far.Answer(long, at("10.1.0.2", openPort), at("fd01::2", openPort))
	b := open(t, scan, wire.Config{Prefixes: prefixes("10.1.0.0/30", "fd01::/126"), Rate: 100, Ports: []registry.Port{{Number: openPort, Proto: registry.UDP}}})
	var targets []scanner.Target
	for _, a := range []string{"10.1.0.1", "fd01::1", "10.1.0.2", "fd01::2"} {
		targets = append(targets, target(a, openPort, registry.UDP))
	}
	got := ask(t, b, 200*time.Millisecond, targets...)
	for _, asked := range targets {
		if o := got[asked]; o.State != scanner.Open || len(o.Payload) != scanner.MaxPayload {
			t.Errorf("%v: %v with %d bytes, want open with %d", asked, o.State, len(o.Payload), scanner.MaxPayload)
		}
	}
}
