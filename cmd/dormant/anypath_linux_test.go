package main

import (
	"net/netip"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"

	"dormant/scanner/netlab"
)

// TestAnyPathInOneRun scans, in one run, what is on two links and behind a
// gateway on each, in a VLAN, in IPv6, on link-local addresses that are the same
// on both links, behind a gateway whose answers come back by the other link, and
// this host itself.
func TestAnyPathInOneRun(t *testing.T) {
	t.Parallel() // it waits, most of the time
	scan, left := netlab.Pair(t, "left0", "net0")
	right := netlab.New(t)
	netlab.Join(scan, "right0", right, "net0")
	scan.Addr("left0", "10.1.0.1/24", "fd01::1/64", "fe80::1/64")
	scan.Addr("right0", "10.2.0.1/24", "fe80::1/64")
	left.Addr("net0", "10.1.0.2/24", "fd01::2/64", "fe80::2/64")
	right.Addr("net0", "10.2.0.2/24", "fe80::2/64")
	left.Addr("lo", "10.3.0.9/32")
	right.Addr("lo", "10.4.0.9/32", "10.5.0.9/32")
	for _, ns := range []*netlab.NS{left, right} {
		ns.Sysctl("net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.net0.rp_filter=0", "net.ipv4.icmp_ratelimit=0", "net.ipv6.icmp.ratelimit=0")
		ns.Listen(netip.MustParseAddrPort("[::]:1947")) // IPv4, too
	}
	left.Route(netlab.Route{Dst: "10.0.0.0/8", Via: "10.1.0.1"})
	right.Route(netlab.Route{Dst: "10.0.0.0/8", Via: "10.2.0.1"})
	scan.Route(netlab.Route{Dst: "10.3.0.0/24", Via: "10.1.0.2"}, netlab.Route{Dst: "10.4.0.0/24", Via: "10.2.0.2"})
	// 10.5.0.9 is asked from 10.1.0.1, and answers to that by a way of its own.
	netlab.Join(scan, "back0", right, "back1")
	scan.Addr("back0", "10.9.0.1/24")
	right.Addr("back1", "10.9.0.2/24")
	right.Route(netlab.Route{Dst: "10.2.0.1/32", Via: "10.9.0.1"})
	scan.Route(netlab.Route{Dst: "10.5.0.0/24", Via: "10.2.0.2", Src: "10.2.0.1"})
	there := []string{"10.1.0.2", "10.2.0.2", "10.3.0.9", "10.4.0.9", "10.5.0.9", "fd01::2", "fe80::2%left0", "fe80::2%right0", "127.0.0.1"}
	nobody := []string{"10.1.0.3", "10.2.0.3", "fd01::3", "fe80::3%right0"}
	if vlan(t, scan, "left0", "10.6.0.1/24") && vlan(t, left, "net0", "10.6.0.2/24") {
		there, nobody = append(there, "10.6.0.2"), append(nobody, "10.6.0.3")
	}
	scan.Listen(netip.MustParseAddrPort("127.0.0.1:1947"))

	want := map[string]string{}
	for _, addr := range there {
		want[addr+":1947"], want[addr+":475"], want[addr+":475/udp"] = "open syn-ack  ", "closed rst  ", "closed icmp-3-3  "
	}
	for _, addr := range nobody {
		for _, port := range []string{":1947", ":475", ":475/udp"} {
			want[addr+port] = "unreachable arp-no-reply  "
		}
	}
	dir := t.TempDir()
	out := filepath.Join(dir, "out.csv")
	run, said := inside(t, scan, dir, append([]string{"scan", "--ports", "1947/tcp,475", "--no-identify", "--no-history", "--quiet", "--states", "all",
		"--host-rate", "1000", "--backend", "afpacket", "-o", out}, append(there, nobody...)...)...)
	if got := code(t, run); got != exitOK || said.Len() > 0 {
		t.Fatalf("exit %d: %s", got, said)
	}
	if d := cmp.Diff(want, rows(t, out)); d != "" {
		t.Errorf("states (-want +got):\n%s", d)
	}
}

// vlan adds VLAN 7 to an interface, and says so when this kernel has none.
func vlan(t *testing.T, ns *netlab.NS, parent, addr string) bool {
	t.Helper()
	link, err := ns.Netlink.LinkByName(parent)
	if err != nil {
		t.Fatal(err)
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.ParentIndex = parent+".7", link.Attrs().Index
	if err := ns.Netlink.LinkAdd(&netlink.Vlan{LinkAttrs: attrs, VlanId: 7}); err != nil {
		t.Logf("without a VLAN, which cannot be made here: %v", err)
		return false
	}
	ns.Up(attrs.Name)
	ns.Addr(attrs.Name, addr)
	return true
}
