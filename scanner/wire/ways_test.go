//go:build linux

package wire_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"dormant/registry"
	"dormant/scanner"
	"dormant/scanner/netlab"
	"dormant/scanner/wire"
)

// TestAnswerByAnotherWay asks by one interface a host whose route back leads to
// the other one.
func TestAnswerByAnotherWay(t *testing.T) {
	scan, far := netlab.Pair(t, "out0", "in0")
	netlab.Join(scan, "back0", far, "from0")
	scan.Addr("out0", "10.1.0.1/24")
	scan.Addr("back0", "10.9.0.1/24")
	far.Addr("in0", "10.1.0.2/24")
	far.Addr("from0", "10.9.0.2/24")
	far.Addr("lo", "10.3.0.9/32")
	far.Sysctl("net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.in0.rp_filter=0")
	scan.Route(netlab.Route{Dst: "10.3.0.0/24", Via: "10.1.0.2"})
	far.Route(netlab.Route{Dst: "10.1.0.1/32", Via: "10.9.0.1"})
	far.Listen(at("10.3.0.9", openPort))
	back := scan.Capture("back0")

	b := open(t, scan, wire.Config{Prefixes: prefixes("10.3.0.0/24")})
	targets := []scanner.Target{
		target("10.3.0.9", openPort, registry.TCP), target("10.3.0.9", closedPort, registry.TCP), target("10.3.0.9", closedPort, registry.UDP),
	}
	got := ask(t, b, 300*time.Millisecond, targets...)
	for i, want := range []scanner.State{scanner.Open, scanner.Closed, scanner.Closed} {
		if o := got[targets[i]]; o.State != want || o.From != targets[i].Addr || o.RTT == 0 {
			t.Errorf("%v: %v from %v after %v; want %v from itself", targets[i], o.State, o.From, o.RTT, want)
		}
	}
	if len(back.Frames()) < len(targets) {
		t.Errorf("%d frames came in on the other interface: the answers did not take it", len(back.Frames()))
	}
}

// TestEars: every other interface with an address is listened on; one that cannot
// be is said and passed over.
func TestEars(t *testing.T) {
	scan, far := netlab.New(t), netlab.New(t)
	scan.Sysctl("net.ipv6.conf.default.disable_ipv6=1")
	for _, name := range []string{"out0", "back0", "deaf0", "idle0"} {
		netlab.Join(scan, name, far, name)
	}
	scan.Addr("out0", "10.1.0.1/24")
	scan.Addr("back0", "10.2.0.1/24")
	scan.Addr("deaf0", "10.3.0.1/24")
	var opened []string
	var log bytes.Buffer
	cfg := wire.Config{Prefixes: prefixes("10.1.0.0/24", "10.9.0.0/24"), Log: slog.New(slog.NewTextHandler(&log, nil)),
		OpenLink: func(spec wire.LinkSpec) (wire.Link, error) {
			if spec.Name == "deaf0" {
				return nil, errors.New("no memory")
			}
			opened = append(opened, fmt.Sprintf("%s %t", spec.Name, spec.ListenOnly))
			return &fakeLink{}, nil
		}}
	var b *wire.Backend
	var err error
	scan.Do(func() { b, err = wire.Open(cfg) })
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if d := cmp.Diff([]string{"out0 false", "lo false", "back0 true"}, opened); d != "" {
		t.Errorf("links opened, and whether only to listen (-want +got):\n%s", d)
	}
	if !strings.Contains(log.String(), "interface=deaf0") || strings.Contains(log.String(), "idle0") {
		t.Errorf("want the log to tell of deaf0, and not of idle0:\n%s", log.String())
	}
	if d := cmp.Diff([]string{"no way to 10.9.0.0/24: no network that has it is known: no route"}, b.Faults()); d != "" {
		t.Errorf("faults (-want +got):\n%s", d)
	}
}

// TestChosenWay: the interface and the source that were asked for are used.
func TestChosenWay(t *testing.T) {
	scan, far := netlab.Pair(t, "left0", "left0")
	netlab.Join(scan, "right0", far, "right0")
	scan.Addr("left0", "10.1.0.1/24", "fd01::1/64", "fe80::1/64")
	scan.Addr("right0", "10.2.0.1/24")
	scan.Route(netlab.Route{Dst: "10.3.0.0/24", Via: "10.1.0.2"}, netlab.Route{Dst: "10.3.0.0/16", Via: "10.2.0.2"})
	for _, tt := range []struct {
		name string
		cfg  wire.Config
		want string // interface and sources
	}{
		{"as the routes say", wire.Config{Prefixes: prefixes("10.3.0.0/24")}, "left0 [10.1.0.1]"},
		{"by an interface", wire.Config{Prefixes: prefixes("10.3.0.0/24"), Interface: "right0"}, "right0 [10.2.0.1]"},
		{"from a source", wire.Config{Prefixes: prefixes("10.3.0.0/24"), Source: netip.MustParseAddr("10.2.0.1")}, "left0 [10.2.0.1]"},
		{"a zone", wire.Config{Zones: []string{"left0"}}, "left0 [fe80::1]"},
		{"a zone, from a source", wire.Config{Zones: []string{"left0"}, Source: netip.MustParseAddr("fd01::1")}, "left0 [fd01::1]"},
		{"a zone, from an IPv4 source", wire.Config{Zones: []string{"left0"}, Source: netip.MustParseAddr("10.1.0.1")}, "left0 [fe80::1]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := ""
			tt.cfg.Log = slog.New(slog.DiscardHandler)
			tt.cfg.OpenLink = func(spec wire.LinkSpec) (wire.Link, error) {
				if !spec.ListenOnly {
					got += fmt.Sprint(spec.Name, " ", spec.Sources)
				}
				return &fakeLink{}, nil
			}
			var b *wire.Backend
			var err error
			scan.Do(func() { b, err = wire.Open(tt.cfg) })
			if err != nil || got != tt.want {
				t.Fatalf("sends by %s, %v; want %s", got, err, tt.want)
			}
			if err := b.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestRules has routing rules that go by more than the destination. The one by
// source is followed as connect(2) does, the one by port is told of.
func TestRules(t *testing.T) {
	scan, near := netlab.Pair(t, "a0", "in0")
	far := netlab.New(t)
	netlab.Join(scan, "b0", far, "in0")
	scan.Addr("a0", "10.1.0.1/24")
	scan.Addr("b0", "10.2.0.1/24")
	near.Addr("in0", "10.1.0.2/24")
	far.Addr("in0", "10.2.0.2/24")
	far.Addr("lo", "10.3.0.9/32")
	far.Route(netlab.Route{Dst: "10.1.0.0/24", Via: "10.2.0.1"})
	far.Listen(at("10.3.0.9", openPort))
	scan.Route(netlab.Route{Dst: "10.3.0.0/24", Via: "10.1.0.2"}, netlab.Route{Dst: "10.3.0.0/24", Via: "10.2.0.2", Table: 77})
	bySource := netlink.NewRule()
	bySource.Src, bySource.Table = &net.IPNet{IP: net.IPv4(10, 1, 0, 1), Mask: net.CIDRMask(32, 32)}, 77
	if err := scan.Netlink.RuleAdd(bySource); err != nil {
		t.Skipf("this kernel has no routing rules: %v", err)
	}
	asked := target("10.3.0.9", openPort, registry.TCP)
	var log bytes.Buffer
	cfg := wire.Config{Prefixes: prefixes("10.3.0.0/24"), Log: slog.New(slog.NewTextHandler(&log, nil))}
	if o := ask(t, open(t, scan, cfg), 300*time.Millisecond, asked)[asked]; o.State != scanner.Open {
		t.Errorf("%v: %v, %v; want open, by the rule for 10.1.0.1", asked, o.State, o.Reason)
	}
	if strings.Contains(log.String(), "not followed") {
		t.Errorf("a rule by source is said not to be followed:\n%s", log.String())
	}
	byPort := netlink.NewRule()
	byPort.Dport, byPort.Table, byPort.IPProto = netlink.NewRulePortRange(openPort, openPort), 77, unix.IPPROTO_TCP
	if err := scan.Netlink.RuleAdd(byPort); err != nil {
		t.Skipf("this kernel has no routing rules by port: %v", err)
	}
	open(t, scan, cfg)
	if strings.Count(log.String(), "not followed") != 1 {
		t.Errorf("a rule by port, want it said once that it is not followed:\n%s", log.String())
	}
}

// TestVLAN asks through a VLAN interface.
func TestVLAN(t *testing.T) {
	scan, far := netlab.Pair(t, "eth0", "eth0")
	for ns, addr := range map[*netlab.NS]string{scan: "10.6.0.1/24", far: "10.6.0.9/24"} {
		parent, err := ns.Netlink.LinkByName("eth0")
		if err != nil {
			t.Fatal(err)
		}
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.ParentIndex = "eth0.100", parent.Attrs().Index
		if err := ns.Netlink.LinkAdd(&netlink.Vlan{LinkAttrs: attrs, VlanId: 100}); err != nil {
			t.Skipf("a VLAN interface cannot be made here: %v", err)
		}
		ns.Up("eth0.100")
		ns.Addr("eth0.100", addr)
	}
	far.Listen(at("10.6.0.9", openPort))
	b := open(t, scan, wire.Config{Prefixes: prefixes("10.6.0.0/24")})
	asked := target("10.6.0.9", openPort, registry.TCP)
	o := ask(t, b, 300*time.Millisecond, asked)[asked]
	if o.State != scanner.Open || !bytes.Equal(o.MAC, far.MAC("eth0.100")) {
		t.Errorf("%v: %v from MAC %x, want open from %v", asked, o.State, o.MAC, far.MAC("eth0.100"))
	}
}

// TestStacked asks through a macvlan, the interface below which is listened on, too:
// what comes in for the upper one is not the lower one's.
func TestStacked(t *testing.T) {
	scan, far := netlab.Pair(t, "eth0", "eth0")
	parent, err := scan.Netlink.LinkByName("eth0")
	if err != nil {
		t.Fatal(err)
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.ParentIndex = "upper", parent.Attrs().Index
	if err := scan.Netlink.LinkAdd(&netlink.Macvlan{LinkAttrs: attrs, Mode: netlink.MACVLAN_MODE_BRIDGE}); err != nil {
		t.Skipf("a macvlan cannot be made here: %v", err)
	}
	scan.Up("upper")
	scan.Addr("eth0", "fe80::5/64")
	scan.Addr("upper", "10.6.0.1/24", "fe80::1/64")
	far.Addr("eth0", "10.6.0.9/24", "fe80::9/64")
	far.Listen(at("10.6.0.9", openPort), netip.MustParseAddrPort("[fe80::9%eth0]:1947"))
	b := open(t, scan, wire.Config{Prefixes: prefixes("10.6.0.0/24"), Zones: []string{"upper"}})
	asked := []scanner.Target{target("10.6.0.9", openPort, registry.TCP), target("fe80::9%upper", openPort, registry.TCP)}
	got := ask(t, b, 300*time.Millisecond, asked...)
	for _, want := range asked {
		if o := got[want]; o.State != scanner.Open || !bytes.Equal(o.MAC, far.MAC("eth0")) {
			t.Errorf("%v: %v from MAC %x, want open from %v", want, o.State, o.MAC, far.MAC("eth0"))
		}
	}
	if len(got) != len(asked) {
		t.Errorf("%d targets answered, want the %d that were asked: %v", len(got), len(asked), got)
	}
}

// TestNoARP asks over Ethernet on which nobody is asked for an address: the kernel
// sends to the interface's own there.
func TestNoARP(t *testing.T) {
	scan, far := netlab.Pair(t, "eth0", "eth0")
	for ns, addr := range map[*netlab.NS]string{scan: "10.6.0.1/24", far: "10.6.0.9/24"} {
		link, err := ns.Netlink.LinkByName("eth0")
		if err == nil {
			err = ns.Netlink.LinkSetHardwareAddr(link, net.HardwareAddr{2, 0, 0, 0, 0, 1})
		}
		if err == nil {
			err = ns.Netlink.LinkSetARPOff(link)
		}
		if err != nil {
			t.Fatal(err)
		}
		ns.Addr("eth0", addr)
	}
	far.Listen(at("10.6.0.9", openPort))
	b := open(t, scan, wire.Config{Prefixes: prefixes("10.6.0.0/24")})
	asked := target("10.6.0.9", openPort, registry.TCP)
	if o := ask(t, b, 300*time.Millisecond, asked)[asked]; o.State != scanner.Open || b.Counters().ARPSent != 0 {
		t.Errorf("%v: %v after %d neighbour requests, want open after none", asked, o.State, b.Counters().ARPSent)
	}
}

// TestSmallMTU asks over a link that carries no more than IPv4 must
// (RFC 791: 68 bytes) or IPv6 must (RFC 8200: 1280).
func TestSmallMTU(t *testing.T) {
	for _, tt := range []struct {
		addr, own string
		mtu       int
	}{{"10.1.0.9", "10.1.0.1", 68}, {"fd01::9", "fd01::1", 1280}} {
		t.Run(tt.addr, func(t *testing.T) {
			scan, far := netlab.Pair(t, "scan0", "net0")
			for ns, addr := range map[*netlab.NS]string{scan: tt.own, far: tt.addr} {
				name := map[*netlab.NS]string{scan: "scan0", far: "net0"}[ns]
				link, err := ns.Netlink.LinkByName(name)
				if err != nil {
					t.Fatal(err)
				}
				if err := ns.Netlink.LinkSetMTU(link, tt.mtu); err != nil {
					t.Fatal(err)
				}
				bits := map[bool]string{true: "/24", false: "/64"}[netip.MustParseAddr(addr).Is4()]
				ns.Addr(name, addr+bits)
			}
			far.Listen(at(tt.addr, openPort))
			a := netip.MustParseAddr(tt.addr)
			b := open(t, scan, wire.Config{Prefixes: []netip.Prefix{netip.PrefixFrom(a, a.BitLen())}})
			asked := target(tt.addr, openPort, registry.TCP)
			if o := ask(t, b, 300*time.Millisecond, asked)[asked]; o.State != scanner.Open {
				t.Errorf("%v: %v, %v; want open", asked, o.State, o.Reason)
			}
		})
	}
}

// TestProxyARP has a router that answers ARP for everybody.
func TestProxyARP(t *testing.T) {
	scan, far := netlab.Pair(t, "scan0", "net0")
	scan.Addr("scan0", "10.1.0.1/24")
	far.Addr("net0", "10.1.0.2/24")
	far.Sysctl("net.ipv4.ip_forward=1", "net.ipv4.conf.net0.proxy_arp=1", "net.ipv4.neigh.net0.proxy_delay=0")
	far.Route(netlab.Route{Dst: "10.1.0.128/25", Dev: "lo"})
	var log bytes.Buffer
	b := open(t, scan, wire.Config{Prefixes: prefixes("10.1.0.0/24"), Log: slog.New(slog.NewTextHandler(&log, nil))})
	var targets []scanner.Target
	for a := netip.MustParseAddr("10.1.0.128"); a.Compare(netip.MustParseAddr("10.1.0.254")) < 0; a = a.Next() {
		targets = append(targets, target(a.String(), closedPort, registry.TCP))
	}
	ask(t, b, 50*time.Millisecond, targets...)
	if c := b.Counters(); c.SharedMAC < 100 {
		t.Errorf("%d addresses share a MAC, want those of the proxy, about 126", c.SharedMAC)
	}
	if !bytes.Contains(log.Bytes(), []byte("one MAC")) || !bytes.Contains(log.Bytes(), []byte(far.MAC("net0").String())) {
		t.Errorf("the log does not tell of the proxy and its MAC %v:\n%s", far.MAC("net0"), log.String())
	}
}
