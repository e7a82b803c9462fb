//go:build linux

package wire

import (
	"bytes"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"dormant/scanner/netlab"
	"dormant/scanner/ways"
)

func mustPrefixes(texts ...string) (all []netip.Prefix) {
	for _, p := range texts {
		all = append(all, netip.MustParsePrefix(p))
	}
	return all
}

// crossroads is a namespace with everything that tells addresses apart: two
// interfaces, gateways, more specific routes, routes that send nothing, a
// second table by rule, an IPv6 gateway for IPv4, own addresses.
func crossroads(t *testing.T) *netlab.NS {
	ns, far := netlab.Pair(t, "a0", "far0")
	netlab.Join(ns, "b0", far, "far1")
	ns.Addr("a0", "10.1.0.1/24", "10.1.9.1/24", "fd01::1/64")
	ns.Addr("b0", "10.2.0.1/25", "fd02::1/64")
	ns.Addr("lo", "10.1.0.77/32")
	ns.Route(
		netlab.Route{Dst: "10.0.0.0/8", Via: "10.1.0.254"},
		netlab.Route{Dst: "10.3.0.0/16", Via: "10.2.0.2"},
		netlab.Route{Dst: "10.3.4.0/30", Via: "10.1.0.253"},
		netlab.Route{Dst: "10.3.4.2/32", Type: unix.RTN_BLACKHOLE},
		netlab.Route{Dst: "10.3.5.0/24", Type: unix.RTN_UNREACHABLE},
		netlab.Route{Dst: "10.3.6.0/24", Type: unix.RTN_PROHIBIT},
		netlab.Route{Dst: "10.5.0.0/24", Dev: "b0", Src: "10.2.0.1"},
		netlab.Route{Dst: "0.0.0.0/0", Via: "10.2.0.3", Table: 77},
		netlab.Route{Dst: "12.0.0.0/8", Via: "10.2.0.4", Table: 78},
		netlab.Route{Dst: "fd00::/8", Via: "fd01::fe"},
		netlab.Route{Dst: "2001:db8:9::/64", Via: "fd01::fe", Table: 79},
		netlab.Route{Dst: "fd05::/120", Via: "fd02::fe"},
		netlab.Route{Dst: "fd05::80/122", Type: unix.RTN_UNREACHABLE},
	)
	for _, rule := range []netlink.Rule{
		{Dst: ipNetOf("10.6.0.64/26"), Table: 77, Priority: 100},
		{Src: ipNetOf("10.2.0.1/32"), Table: 78, Priority: 101},
		{Src: ipNetOf("fd01::/64"), Table: 79, Priority: 102},
	} {
		r := netlink.NewRule()
		r.Dst, r.Src, r.Table, r.Priority = rule.Dst, rule.Src, rule.Table, rule.Priority
		if err := ns.Netlink.RuleAdd(r); err != nil {
			t.Fatal(err)
		}
	}
	b0, err := ns.Netlink.LinkByName("b0")
	if err != nil {
		t.Fatal(err)
	}
	if err := ns.Netlink.RouteAdd(&netlink.Route{Dst: ipNetOf("10.7.0.0/24"), LinkIndex: b0.Attrs().Index,
		Via: &netlink.Via{AddrFamily: netlink.FAMILY_V6, Addr: netip.MustParseAddr("fd02::fe").AsSlice()}}); err != nil {
		t.Fatal(err)
	}
	return ns
}

// inside opens the kernel of a namespace.
func inside(t *testing.T, ns *netlab.NS) *kernel {
	var k *kernel
	var err error
	ns.Do(func() { k, err = openKernel() })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.close)
	return k
}

// TestRoutesAreTheKernels asks the kernel for thousands of single addresses
// and expects the same of the map that was made of whole prefixes.
func TestRoutesAreTheKernels(t *testing.T) {
	k := inside(t, crossroads(t))
	prefixes := mustPrefixes("10.1.0.0/16", "10.2.0.0/23", "10.3.0.0/16", "10.4.0.0/30", "10.5.0.0/23", "10.6.0.0/24", "10.7.0.0/24",
		"127.0.0.0/24", "11.0.0.0/24", "fd01::/120", "fd02::/120", "fd05::/112", "::1/128")
	m := mapper{kernel: k, log: slog.New(slog.DiscardHandler)}
	rs, err := m.mapAll(prefixes)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(5, 6))
	kinds := map[ways.Way]bool{}
	check := func(addr netip.Addr) {
		want, err := k.way(addr, netip.Addr{}, 0)
		if errors.Is(err, ways.ErrNoRoute) {
			want = ways.Way{}
		} else if err != nil {
			t.Fatal(err)
		}
		got := rs.of(addr)
		if got == nil || got.way != want {
			t.Fatalf("route to %v = %+v, want %+v", addr, got, want)
		}
		kinds[want] = true
	}
	for _, p := range prefixes {
		check(p.Addr())
		check(lastOf(p))
		for range 300 {
			check(randomIn(r, p))
		}
	}
	for _, a := range []string{"10.3.4.0", "10.3.4.1", "10.3.4.2", "10.3.4.3", "10.3.4.4", "10.1.0.1", "10.1.0.77", "10.1.0.255", "10.6.0.63", "10.6.0.64", "10.6.0.127", "10.6.0.128", "fd05::80", "fd05::bf", "fd05::c0"} {
		check(netip.MustParseAddr(a))
	}
	if len(kinds) < 12 {
		t.Errorf("the test met only %d different ways", len(kinds))
	}
	for _, outside := range []string{"10.4.0.4", "10.8.0.0", "9.255.255.255", "fd05::1:0", "::2", "fd00::1"} {
		if got := rs.of(netip.MustParseAddr(outside)); got != nil {
			t.Errorf("route to %s, which was not asked for: %+v", outside, got.way)
		}
	}
	if n := len(rs.v4) + len(rs.v6); n > 80 {
		t.Errorf("the map has %d ranges: neighbouring ones should be joined", n)
	}
}

// TestManyHosts maps a long list of single addresses, as a target file gives
// it, and says once what cannot be sent to.
func TestManyHosts(t *testing.T) {
	k := inside(t, crossroads(t))
	var hosts []netip.Prefix
	for i := range 20_000 {
		hosts = append(hosts, netip.PrefixFrom(netip.AddrFrom4([4]byte{10 + byte(i%2), 3, byte(i >> 8), byte(i)}), 32))
	}
	var log bytes.Buffer
	m := mapper{kernel: k, log: slog.New(slog.NewTextHandler(&log, nil))}
	rs, err := m.mapAll(hosts)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 1))
	for range 500 {
		addr := hosts[r.IntN(len(hosts))].Addr()
		want, err := k.way(addr, netip.Addr{}, 0)
		if err != nil && !errors.Is(err, ways.ErrNoRoute) {
			t.Fatal(err)
		}
		if got := rs.of(addr); got == nil || got.way != want {
			t.Fatalf("route to %v = %+v, want %+v", addr, got, want)
		}
	}
	if n := bytes.Count(log.Bytes(), []byte("\n")); n != 1 || !bytes.Contains(log.Bytes(), []byte("10.3.4.2/32: the route is a blackhole")) {
		t.Errorf("%d log lines, want one that names an example:\n%s", n, &log)
	}
}

// TestPathless: what cannot be sent to is told, with an example.
func TestPathless(t *testing.T) {
	k := inside(t, crossroads(t))
	for _, tt := range []struct {
		prefixes []netip.Prefix
		want     string
	}{
		{mustPrefixes("10.1.0.9/32", "fd01::/120"), ""},
		{mustPrefixes("fe80::/64"), ""}, // asked by zones
		{mustPrefixes("10.1.0.9/32", "10.3.4.2/32"), "no way to 10.3.4.2/32: the route is a blackhole: no route"},
		{mustPrefixes("10.3.5.0/24", "169.254.1.0/24", "fd05::80/122"), "no way to 3 prefixes, such as 10.3.5.0/24: the route says unreachable: no route"},
	} {
		m := mapper{kernel: k, log: slog.New(slog.DiscardHandler)}
		rs, err := m.mapAll(tt.prefixes)
		if err != nil || rs.pathless != tt.want {
			t.Errorf("%v: pathless %q, %v; want %q", tt.prefixes, rs.pathless, err, tt.want)
		}
	}
}

func randomIn(r *rand.Rand, p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < 8*len(b); i++ {
		if r.IntN(2) == 1 {
			b[i/8] |= 0x80 >> (i % 8)
		}
	}
	addr, _ := netip.AddrFromSlice(b)
	return addr
}

func TestWays(t *testing.T) {
	ns := crossroads(t)
	k := inside(t, ns)
	index := func(name string) int {
		l, err := ns.Netlink.LinkByName(name)
		if err != nil {
			t.Fatal(err)
		}
		return l.Attrs().Index
	}
	for _, tt := range []struct {
		addr, iface, src string // asked with
		want             string // interface, source, gateway; "" for no route
	}{
		{"10.1.0.9", "", "", "a0 10.1.0.1 -"},
		{"10.1.9.9", "", "", "a0 10.1.9.1 -"},
		{"10.1.0.255", "", "", "a0 10.1.0.1 -"}, // broadcast: only ARP will tell
		{"10.3.0.9", "", "", "b0 10.2.0.1 10.2.0.2"},
		{"10.3.4.1", "", "", "a0 10.1.0.1 10.1.0.253"},
		{"10.3.4.2", "", "", ""},
		{"10.3.5.1", "", "", ""},
		{"10.3.6.1", "", "", ""},
		{"11.0.0.1", "", "", ""},
		{"10.6.0.65", "", "", "b0 10.2.0.1 10.2.0.3"},
		{"10.7.0.1", "", "", "b0 10.2.0.1 fd02::fe"},
		{"127.0.0.5", "", "", "lo 127.0.0.1 -"},
		{"10.1.0.77", "", "", "lo 10.1.0.77 -"},
		{"fd01::9", "", "", "a0 fd01::1 -"},
		{"fd05::1", "", "", "b0 fd02::1 fd02::fe"},
		{"2001:db8:9::1", "", "", "a0 fd01::1 fd01::fe"}, // by a rule for the source that is selected
		{"2001:db8:9::1", "b0", "", ""},
		{"2001:db8:9::1", "", "fd02::1", ""},
		{"2001:db8:8::1", "", "", ""},
		{"10.3.0.9", "b0", "", "b0 10.2.0.1 10.2.0.2"},
		{"10.3.0.9", "a0", "", "a0 10.1.0.1 10.1.0.254"}, // the less specific route is there
		{"11.0.0.1", "a0", "", ""},                       // not "on the link" for want of a route
		{"10.1.0.1", "b0", "", "lo 10.1.0.1 -"},          // this host stays this host
		{"12.0.0.1", "", "", ""},                         // a rule by source leads there, only
		{"12.0.0.1", "", "10.2.0.1", "b0 10.2.0.1 10.2.0.4"},
		{"12.0.0.1", "b0", "", "b0 10.2.0.1 10.2.0.4"}, // as connect(2), which selects the source first
		{"12.0.0.1", "a0", "", ""},
		{"10.1.0.9", "lo", "", ""}, // not "on the link" of the loopback interface
		{"10.1.0.9", "", "10.2.0.1", "a0 10.2.0.1 -"},
		{"fd01::9", "", "10.2.0.1", "a0 fd01::1 -"}, // of the other family
	} {
		var i int
		var src netip.Addr
		if tt.iface != "" {
			i = index(tt.iface)
		}
		if tt.src != "" {
			src = netip.MustParseAddr(tt.src)
		}
		var h ways.Way
		var err error
		ns.Do(func() { h, err = k.way(netip.MustParseAddr(tt.addr), src, i) })
		got := ""
		if err == nil {
			l, _ := ns.Netlink.LinkByIndex(h.Index)
			name, gateway := l.Attrs().Name, "-"
			if h.Local {
				name = "lo"
			}
			if h.Gateway.IsValid() {
				gateway = h.Gateway.String()
			}
			got = name + " " + h.Source.String() + " " + gateway
		} else if !errors.Is(err, ways.ErrNoRoute) {
			t.Errorf("%s: %v", tt.addr, err)
		}
		if got != tt.want {
			t.Errorf("%s by %q from %q: %q, want %q", tt.addr, tt.iface, tt.src, got, tt.want)
		}
	}
}

func TestAsker(t *testing.T) {
	with := func(own ...string) *iface {
		f := &iface{}
		for _, a := range own {
			f.own = append(f.own, netip.MustParseAddr(a))
		}
		return f
	}
	for _, tt := range []struct {
		name      string
		f         *iface
		src, want string
	}{
		{"an address of the link", with("fe80::1", "fd01::1"), "fd01::1", "fd01::1"},
		{"one of another interface", with("fd01::1", "fe80::1"), "fd09::9", "fe80::1"},
		{"and no link-local one", with("fd01::1"), "fd09::9", "fd09::9"},
		{"IPv4", with("fe80::1"), "10.9.0.9", "10.9.0.9"},
	} {
		src := netip.MustParseAddr(tt.src)
		if got := tt.f.asker(src, src.Is6()); got.String() != tt.want {
			t.Errorf("%s: asked from %v, want %s", tt.name, got, tt.want)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	ns := crossroads(t)
	ns.Down("b0")
	ns.Sysctl("net.ipv6.conf.a0.accept_dad=1", "net.ipv6.conf.a0.dad_transmits=100")
	a0, err := ns.Netlink.LinkByName("a0")
	if err != nil {
		t.Fatal(err)
	}
	if err := ns.Netlink.AddrAdd(a0, &netlink.Addr{IPNet: &net.IPNet{IP: net.ParseIP("fd01::77"), Mask: net.CIDRMask(64, 128)}}); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		cfg  Config
		want string
	}{
		{"unknown interface", Config{Interface: "eth9"}, `"eth9" does not exist`},
		{"interface that is down", Config{Interface: "b0"}, `"b0" is down`},
		{"source of somebody else", Config{Source: netip.MustParseAddr("10.1.0.99")}, "10.1.0.99 is not an address of this host"},
		{"source that another host may have", Config{Source: netip.MustParseAddr("fd01::77")}, "fd01::77 is not an address of this host, or a tentative one"},
		{"unknown zone", Config{Zones: []string{"eth9"}}, `"eth9" does not exist`},
		{"zone of another interface", Config{Interface: "a0", Zones: []string{"lo"}}, `targets of zone "lo" do not leave by the interface that was asked for`},
	} {
		tt.cfg.Prefixes, tt.cfg.Log = mustPrefixes("10.1.0.0/24"), slog.New(slog.DiscardHandler)
		tt.cfg.OpenLink = func(LinkSpec) (Link, error) { return nil, errors.New("opened a link all the same") }
		var err error
		ns.Do(func() { _, err = Open(tt.cfg) })
		if !errors.Is(err, ErrInterface) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: Open = %v, want an ErrInterface that says %s", tt.name, err, tt.want)
		}
	}
}

func ipNetOf(prefix string) *net.IPNet {
	_, n, err := net.ParseCIDR(prefix)
	if err != nil {
		panic(err)
	}
	return n
}

// A VRF is only a routing table: its interfaces hear for themselves, and what this
// host answers in it comes by none of them.
func TestIsVRF(t *testing.T) {
	links := []netlink.Link{
		&netlink.Bond{LinkAttrs: netlink.LinkAttrs{Index: 2}},
		&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Index: 3}},
		&netlink.Vrf{LinkAttrs: netlink.LinkAttrs{Index: 4}},
	}
	for index, want := range []bool{4: true, 5: false} {
		if got := isVRF(links, index); got != want {
			t.Errorf("interface %d is a VRF: %v, want %v", index, got, want)
		}
	}
}
