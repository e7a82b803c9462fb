package connect

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"dormant/registry"
	"dormant/scanner"
)

// inside tells the test binary that it runs in the namespace made for it.
const inside = "DORMANT_CONNECT_INSIDE"

// TestNetwork runs TestInside in a network namespace of its own.
func TestNetwork(t *testing.T) {
	t.Parallel()
	cmd := exec.Command(os.Args[0], "-test.run=^TestInside$", "-test.v")
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}}
	}
	out, err := cmd.CombinedOutput()
	if _, ran := errors.AsType[*exec.ExitError](err); err != nil && !ran {
		if os.Getenv("DORMANT_REQUIRE_NETNS") == "1" {
			t.Fatalf("no network namespace here: %v", err)
		}
		t.Skipf("no network namespace here: %v", err)
	}
	if err != nil {
		t.Errorf("inside: %v\n%s", err, out)
	}
}

// world is this namespace as the scanner's side and a router behind a veth pair.
type world struct {
	open4, open6, reply4, reply6 scanner.Target // on the router

	unplug func() error // sets the router's end down
}

// build makes the router: 10.77.0.2 and fd77::2, with a route of each kind for
// a part of 10.88.0.0/16 and fd88::/16.
func build(t *testing.T) world {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	here, err := netns.Get()
	must(err)
	there, err := netns.New()
	must(err)
	t.Cleanup(func() { here.Close(); there.Close() })
	// The thread is in the router's namespace now.
	for file, value := range map[string]string{
		"ipv4/ip_forward": "1", "ipv6/conf/all/forwarding": "1", "ipv4/icmp_ratemask": "0", "ipv6/icmp/ratelimit": "0",
	} {
		must(os.WriteFile("/proc/sys/net/"+file, []byte(value), 0))
	}
	must(netns.Set(here))
	router, err := netlink.NewHandleAt(there)
	must(err)
	local, err := netlink.NewHandleAt(here)
	must(err)
	defer router.Close()
	defer local.Close()
	must(local.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "a0"}, PeerName: "b0"}))
	peer, err := local.LinkByName("b0")
	must(err)
	must(local.LinkSetNsFd(peer, int(there)))
	up := func(h *netlink.Handle, name string, addrs ...string) int {
		link, err := h.LinkByName(name)
		must(err)
		for _, a := range addrs {
			addr, err := netlink.ParseAddr(a)
			must(err)
			addr.Flags = unix.IFA_F_NODAD
			must(h.AddrAdd(link, addr))
		}
		must(h.LinkSetUp(link))
		return link.Attrs().Index
	}
	up(local, "lo")
	up(router, "lo")
	a0 := up(local, "a0", "10.77.0.1/24", "fd77::1/64")
	up(router, "b0", "10.77.0.2/24", "fd77::2/64")
	route := func(h *netlink.Handle, dst string, r netlink.Route) {
		_, prefix, err := net.ParseCIDR(dst)
		must(err)
		r.Dst = prefix
		must(h.RouteAdd(&r))
	}
	route(local, "10.88.0.0/16", netlink.Route{LinkIndex: a0, Gw: net.ParseIP("10.77.0.2")})
	route(local, "fd88::/16", netlink.Route{LinkIndex: a0, Gw: net.ParseIP("fd77::2")})
	route(local, "10.89.0.0/16", netlink.Route{LinkIndex: a0, Gw: net.ParseIP("10.77.0.200")}) // a gateway that is not there
	route(local, "fd89::/16", netlink.Route{LinkIndex: a0, Gw: net.ParseIP("fd77::200")})
	route(local, "10.66.0.0/16", netlink.Route{Type: unix.RTN_PROHIBIT})
	route(local, "10.67.0.0/16", netlink.Route{Type: unix.RTN_UNREACHABLE})
	for dst, kind := range map[string]int{
		"10.88.1.0/24": unix.RTN_PROHIBIT, "10.88.2.0/24": unix.RTN_UNREACHABLE, "10.88.3.0/24": unix.RTN_BLACKHOLE,
		"fd88:1::/32": unix.RTN_PROHIBIT, "fd88:3::/32": unix.RTN_BLACKHOLE,
	} {
		route(router, dst, netlink.Route{Type: kind})
	}
	for _, f := range []string{"ipv4", "ipv6"} {
		must(os.WriteFile("/proc/sys/net/"+f+"/neigh/a0/retrans_time_ms", []byte("100"), 0))
	}
	must(netns.Set(there))
	v4, v6 := listen(t, "10.77.0.2"), listen(t, "fd77::2")
	must(netns.Set(here))
	unplug := func() error {
		router, err := netlink.NewHandleAt(there)
		if err != nil {
			return err
		}
		defer router.Close()
		b0, err := router.LinkByName("b0")
		if err != nil {
			return err
		}
		return router.LinkSetDown(b0)
	}
	return world{v4.openTCP, v6.openTCP, v4.replyUDP, v6.replyUDP, unplug}
}

// TestInside asks every kind of target through a real router. It needs the
// namespace that TestNetwork makes.
func TestInside(t *testing.T) {
	if os.Getenv(inside) == "" {
		t.Skip("TestNetwork runs this in a namespace of its own")
	}
	w := build(t)
	at := func(addr string, proto registry.Proto) scanner.Target {
		return scanner.Target{Addr: netip.MustParseAddr(addr), Port: registry.Port{Number: 1947, Proto: proto}}
	}
	router4, router6 := netip.MustParseAddr("10.77.0.2"), netip.MustParseAddr("fd77::2")
	nobody := netip.Addr{}
	const ttl = 64 // of the router's ICMP errors and replies
	type outcome struct {
		State  scanner.State
		Reason scanner.Reason
		From   netip.Addr
		TTL    uint8
	}
	want := map[scanner.Target]outcome{
		w.open4:  {scanner.Open, scanner.SynAck, router4, 0},
		w.open6:  {scanner.Open, scanner.SynAck, router6, 0},
		w.reply4: {scanner.Open, scanner.UDPReply, router4, ttl},
		w.reply6: {scanner.Open, scanner.UDPReply, router6, ttl},
	}
	for _, proto := range []registry.Proto{registry.TCP, registry.UDP} {
		want[at("10.88.1.1", proto)] = outcome{scanner.Filtered, scanner.ICMPAdminProhibited, router4, ttl}
		want[at("10.88.2.1", proto)] = outcome{scanner.Unreachable, scanner.ICMPHostUnreachable, router4, ttl}
		want[at("fd88:1::1", proto)] = outcome{scanner.Filtered, scanner.ICMPAdminProhibited, router6, ttl}
		want[at("fd88:4::1", proto)] = outcome{scanner.Unreachable, scanner.ICMPNetUnreachable, router6, ttl}
		want[at("10.77.0.9", proto)] = outcome{scanner.Unreachable, scanner.ARPNoReply, nobody, 0}
		want[at("10.77.0.255", proto)] = outcome{scanner.Unreachable, scanner.ARPNoReply, nobody, 0} // the broadcast address
		want[at("fd77::9", proto)] = outcome{scanner.Unreachable, scanner.ARPNoReply, nobody, 0}
		want[at("10.99.0.1", proto)] = outcome{scanner.Unknown, scanner.LocalError, nobody, 0} // no route
		want[at("10.66.0.1", proto)] = outcome{scanner.Unknown, scanner.LocalError, nobody, 0} // a prohibiting one
		want[at("10.67.0.1", proto)] = outcome{scanner.Unknown, scanner.LocalError, nobody, 0} // nor is this one the target's word
		want[at("10.88.3.1", proto)] = outcome{}                                               // silence
		want[at("fd88:3::1", proto)] = outcome{}
	}
	// Only once: Linux sends five such errors to one peer, then one in a second.
	want[at("10.88.4.1", registry.TCP)] = outcome{scanner.Unreachable, scanner.ICMPNetUnreachable, router4, ttl}
	want[at("10.77.0.2", registry.TCP)] = outcome{scanner.Closed, scanner.Rst, router4, 0}
	want[at("10.77.0.2", registry.UDP)] = outcome{scanner.Closed, scanner.ICMPPortUnreachable, router4, ttl}
	var probes []scanner.Probe
	for target, o := range want {
		probes = append(probes, scanner.Probe{Target: target})
		if o.State == 0 {
			delete(want, target)
		}
	}
	b := fresh(t, Config{Timeout: 800 * time.Millisecond})
	got := map[scanner.Target]outcome{}
	for _, o := range hear(t, b, time.Second, probes...) {
		got[o.Target] = outcome{o.State, o.Reason, o.From, o.TTL}
		if o.Reason == scanner.SynAck && o.Window == 0 {
			t.Errorf("%v: no window", o.Target)
		}
	}
	if d := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); d != "" {
		t.Errorf("outcomes (-want +got):\n%s", d)
	}
	for addr, want := range map[string]bool{
		"10.88.3.1": true, "fd88:3::1": true, "10.77.0.2": false, "fd77::2": false, // a neighbour
		"10.77.0.1": false, "127.0.0.1": false, "10.99.0.1": false, // this host, no way there
	} {
		if got := b.Routed(netip.MustParseAddr(addr)); got != want {
			t.Errorf("Routed(%s) = %v, want %v", addr, got, want)
		}
	}
	t.Run("neighbour", testNeighbour)
	t.Run("slow neighbour", testSlowNeighbour)
	t.Run("tunnel", testTunnel)
	t.Run("gateway", testGateway)
	t.Run("interface", func(t *testing.T) { testInterface(t, w) })
	t.Run("self", testSelf)
	t.Run("descriptors", func(t *testing.T) { testDescriptors(t, w.open4) })
	t.Run("faults", func(t *testing.T) { testFaults(t, w) }) // nobody is there afterwards
}

// A run that loses its way is not complete, although what it asked looks as
// silent as before.
func testFaults(t *testing.T, w world) {
	move := func(to func(netlink.Link, *netlink.Addr) error) error {
		a0, err := netlink.LinkByName("a0")
		if err != nil {
			return err
		}
		addr, err := netlink.ParseAddr("10.77.0.7/24")
		if err != nil {
			return err
		}
		return to(a0, addr)
	}
	for _, tt := range []struct {
		name            string
		source          string // beside the kernel's choice
		before, happens func() error
		why             string // of an incomplete run
	}{
		{name: "nothing"},
		{name: "address gone", source: "10.77.0.7", why: "address 10.77.0.7 is gone from a0",
			before:  func() error { return move(netlink.AddrAdd) },
			happens: func() error { return move(netlink.AddrDel) }},
		{name: "carrier lost", happens: w.unplug, why: "interface a0 has lost its carrier"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := Config{Timeout: 50 * time.Millisecond}
			if tt.before != nil {
				if err := tt.before(); err != nil {
					t.Fatal(err)
				}
				cfg.Source = netip.MustParseAddr(tt.source)
			}
			batches := 0
			hold := func(context.Context) (err error) {
				if batches++; batches == 5 && tt.happens != nil {
					err = tt.happens()
				}
				return err
			}
			engine, err := scanner.New(fresh(t, cfg), scanner.Config{Rate: 1000, Hold: hold, Cooldown: 200 * time.Millisecond})
			if err != nil {
				t.Fatal(err)
			}
			plan, err := scanner.NewPlan([]netip.Prefix{netip.MustParsePrefix("10.88.3.0/25")}, []registry.Port{{Number: 1947, Proto: registry.TCP}}, 1)
			if err != nil {
				t.Fatal(err)
			}
			s, err := engine.Run(t.Context(), plan, func(scanner.Observation) {})
			if err != nil || s.Complete != (tt.why == "") || tt.why != "" && !slices.Contains(s.Why, tt.why) {
				t.Errorf("Run = %+v, %v; want it incomplete because %q", s, err, tt.why)
			}
		})
	}
}

// A neighbour who is not there is said to be, also when the kernel takes longer
// to find out than the try has patience and the engine has reason to wait.
func testNeighbour(t *testing.T) {
	for _, f := range []string{"ipv4", "ipv6"} {
		if err := os.WriteFile("/proc/sys/net/"+f+"/neigh/a0/retrans_time_ms", []byte("700"), 0); err != nil {
			t.Fatal(err)
		}
	}
	engine, err := scanner.New(fresh(t, Config{Timeout: 100 * time.Millisecond}), scanner.Config{Rate: 1000, Retries: 1})
	if err != nil {
		t.Fatal(err)
	}
	prefixes := []netip.Prefix{netip.MustParsePrefix("10.77.0.2/32"), netip.MustParsePrefix("10.77.0.40/31"), netip.MustParsePrefix("fd77::40/127")}
	plan, err := scanner.NewPlan(prefixes, []registry.Port{{Number: 1947, Proto: registry.TCP}, {Number: 1947, Proto: registry.UDP}}, 1)
	if err != nil {
		t.Fatal(err)
	}
	got := map[scanner.Reason]int{}
	s, err := engine.Run(t.Context(), plan, func(o scanner.Observation) { got[o.Reason]++ })
	want := map[scanner.Reason]int{scanner.Rst: 1, scanner.ICMPPortUnreachable: 1, scanner.ARPNoReply: 8}
	if d := cmp.Diff(want, got); d != "" || err != nil || s.Unreachable != 8 || !s.Complete {
		t.Errorf("Run = %+v, %v; reasons (-want +got):\n%s", s, err, d)
	}
	if !NoNeighbour(netip.MustParseAddr("10.77.0.40")) || NoNeighbour(netip.MustParseAddr("10.77.0.2")) || NoNeighbour(netip.MustParseAddr("10.88.3.1")) {
		t.Error("NoNeighbour: want 10.77.0.40 only")
	}
}

// A gateway that is not there is a fault of this side, and makes no target filtered.
func testGateway(t *testing.T) {
	engine, err := scanner.New(fresh(t, Config{Timeout: 100 * time.Millisecond}), scanner.Config{Rate: 1000, Retries: 1})
	if err != nil {
		t.Fatal(err)
	}
	prefixes := []netip.Prefix{netip.MustParsePrefix("10.77.0.2/32"), netip.MustParsePrefix("10.89.0.0/31"), netip.MustParsePrefix("fd89::/127")}
	plan, err := scanner.NewPlan(prefixes, []registry.Port{{Number: 1947, Proto: registry.TCP}, {Number: 1947, Proto: registry.UDP}}, 1)
	if err != nil {
		t.Fatal(err)
	}
	s, err := engine.Run(t.Context(), plan, func(scanner.Observation) {})
	if err != nil || s.Unknown != 8 || s.Closed != 2 || s.Complete || !strings.Contains(strings.Join(s.Why, "; "), "does not answer") {
		t.Errorf("Run: %v, %d unknown and %d closed, why %q; want 8, 2, and the gateway", err, s.Unknown, s.Closed, s.Why)
	}
}

// One interface only: what is there answers, and this host; what is behind another,
// or nowhere, is not taken for somebody on the link.
func testInterface(t *testing.T, w world) {
	here := listen(t, "127.0.0.1").openTCP
	elsewhere := scanner.Target{Addr: netip.MustParseAddr("10.99.0.1"), Port: here.Port}
	for _, tt := range []struct {
		device string
		want   map[scanner.Target]scanner.Reason
	}{
		{"a0", map[scanner.Target]scanner.Reason{
			w.open4: scanner.SynAck, w.reply6: scanner.UDPReply, here: scanner.SynAck, elsewhere: scanner.LocalError}},
		{"lo", map[scanner.Target]scanner.Reason{
			w.open4: scanner.LocalError, w.reply6: scanner.LocalError, here: scanner.SynAck, elsewhere: scanner.LocalError}},
	} {
		b := fresh(t, Config{Timeout: 100 * time.Millisecond, Interface: tt.device})
		got := map[scanner.Target]scanner.Reason{}
		for _, o := range hear(t, b, 500*time.Millisecond, scanner.Probe{Target: w.open4}, scanner.Probe{Target: w.reply6}, scanner.Probe{Target: here}, scanner.Probe{Target: elsewhere}) {
			got[o.Target] = o.Reason
		}
		if d := cmp.Diff(tt.want, got, cmpopts.EquateComparable(netip.Addr{})); d != "" {
			t.Errorf("by %s (-want +got):\n%s", tt.device, d)
		}
	}
}

// ports makes these the only ephemeral ports of the namespace.
func ports(t *testing.T, span string) {
	t.Helper()
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_local_port_range", []byte(span), 0); err != nil {
		t.Fatal(err)
	}
}

// With two ephemeral ports, every other connect to one of them would meet
// itself: closed all the same, always.
func testSelf(t *testing.T) {
	ports(t, "40000 40001")
	defer ports(t, "32768 60999")
	for name, asker := range askers(t) {
		b := fresh(t, Config{InFlight: 1})
		b.asker = asker
		closed := scanner.Target{Addr: netip.MustParseAddr("127.0.0.1"), Port: registry.Port{Number: 40000, Proto: registry.TCP}}
		datagram := closed
		datagram.Port.Proto = registry.UDP
		probes := slices.Concat(slices.Repeat([]scanner.Probe{{Target: closed}}, 20), slices.Repeat([]scanner.Probe{{Target: datagram}}, 20))
		got := hear(t, b, 5*time.Second, probes...)
		if len(got) != len(probes) {
			t.Errorf("%s: %d observations of %d", name, len(got), len(probes))
		}
		for _, o := range got {
			if o.State != scanner.Closed {
				t.Errorf("%s: %v = %v %v, want closed", name, o.Target, o.State, o.Reason)
			}
		}
		t.Logf("%s: %d tries made again", name, b.Counters().SendRetry)
	}
}

// With fewer descriptors than tries every probe waits for one, and none fails.
func testDescriptors(t *testing.T, open scanner.Target) {
	b := fresh(t, Config{InFlight: 64})
	spare, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer spare.Close()
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	defer syscall.Setrlimit(syscall.RLIMIT_NOFILE, &old)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: uint64(spare.Fd()) + 9, Max: old.Max}); err != nil {
		t.Fatal(err)
	}
	got := hear(t, b, 20*time.Second, slices.Repeat([]scanner.Probe{{Target: open}}, 32)...) // each held until farewell is over
	for _, o := range got {
		if o.State != scanner.Open {
			t.Errorf("%v = %v %v, want open", o.Target, o.State, o.Reason)
		}
	}
	if c := b.Counters(); len(got) != 32 || c.SendRetry == 0 || c.SendErrors != 0 {
		t.Errorf("%d observations, counters %+v; want 32, some waits and no error", len(got), c)
	}
}

// Ending the context cuts short what would have taken seconds.
func TestCutShort(t *testing.T) {
	for name, asker := range askers(t) {
		silent := listen(t, "127.0.0.1").silentUDP
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		started := time.Now()
		a, err := asker.ask(ctx, scanner.Probe{Target: silent}, time.Minute)
		cancel()
		if took := time.Since(started); a.reason != 0 || err != nil || took > 5*time.Second {
			t.Errorf("%s: ask = %v, %v after %v; want silence at once", name, a.reason, err, took)
		}
	}
}
