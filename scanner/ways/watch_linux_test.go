package ways

import (
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"

	"dormant/scanner/netlab"
)

// Of many routes a few are looked at each time, and all of them in turn.
func TestLookInTurn(t *testing.T) {
	asked := map[netip.Addr]int{}
	w := &Watch{ways: map[Way]netip.Addr{}, astray: map[Way]change{}}
	w.route = func(addr netip.Addr) (Way, error) {
		asked[addr]++
		return Way{}, errors.New("no route")
	}
	const count = 3*maxLooks/2 + 1
	for n := range byte(count) {
		w.ways[Way{Index: 7, Gateway: netip.AddrFrom4([4]byte{10, 1, 0, n})}] = netip.AddrFrom4([4]byte{10, 2, 0, n})
	}
	w.ways[Way{Index: 8}] = netip.Addr{} // link-local targets: there is no route to ask for
	w.lookAtRoutes()
	if len(asked) != maxLooks {
		t.Errorf("%d routes looked at the first time, want %d", len(asked), maxLooks)
	}
	w.lookAtRoutes()
	if len(asked) != count || len(w.astray) != count {
		t.Errorf("%d routes looked at and %d found astray after two times, want all %d", len(asked), len(w.astray), count)
	}
}

// An address that is gone by the time that another comes is told of all the same.
func TestAddressGoneBeforeAnother(t *testing.T) {
	ns, far := netlab.Pair(t, "a0", "far0")
	netlab.Join(ns, "b0", far, "far1")
	ns.Addr("a0", "10.1.0.1/24")
	first := netip.MustParseAddr("10.1.0.1")
	a0, err := ns.Netlink.LinkByName("a0")
	if err != nil {
		t.Fatal(err)
	}
	b0, err := ns.Netlink.LinkByName("b0")
	if err != nil {
		t.Fatal(err)
	}
	var k Kernel
	ns.Do(func() { k, err = OpenKernel() })
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	w, err := Begin(k, func(netip.Addr) (Way, error) { return Way{}, ErrNoRoute }, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	w.Add(Way{Index: a0.Attrs().Index, Source: first}, netip.Addr{})
	if err := ns.Netlink.AddrDel(a0, &netlink.Addr{IPNet: &net.IPNet{IP: first.AsSlice(), Mask: net.CIDRMask(24, 32)}}); err != nil {
		t.Fatal(err)
	}
	ns.Addr("b0", "10.2.0.1/24")
	w.Add(Way{Index: b0.Attrs().Index, Source: netip.MustParseAddr("10.2.0.1")}, netip.Addr{})
	if d := cmp.Diff([]string{"address 10.1.0.1 is gone from a0"}, w.Faults()); d != "" {
		t.Errorf("faults (-want +got):\n%s", d)
	}
}
