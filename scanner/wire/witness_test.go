//go:build linux

package wire_test

import (
	"net"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"

	"dormant/registry"
	"dormant/scanner"
	"dormant/scanner/netlab"
	"dormant/scanner/wire"
)

// TestWitness: what happens to the ways while the backend stands is told
// afterwards, and nothing else is.
func TestWitness(t *testing.T) {
	link := func(t *testing.T, ns *netlab.NS, name string) netlink.Link {
		t.Helper()
		l, err := ns.Netlink.LinkByName(name)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	remove := func(t *testing.T, scan *netlab.NS, prefix string) {
		t.Helper()
		addr, err := netlink.ParseAddr(prefix)
		if err != nil {
			t.Fatal(err)
		}
		if err := scan.Netlink.AddrDel(link(t, scan, "scan0"), addr); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name   string
		befall func(t *testing.T, b *wire.Backend, scan, far *netlab.NS)
		want   []string
		drops  bool // of two more probes
	}{
		{"nothing", func(*testing.T, *wire.Backend, *netlab.NS, *netlab.NS) {}, nil, false},
		{"another address comes", func(_ *testing.T, _ *wire.Backend, scan, _ *netlab.NS) { scan.Addr("scan0", "10.1.0.77/24") }, nil, false},
		{"the cable is pulled", func(_ *testing.T, _ *wire.Backend, _, far *netlab.NS) { far.Down("net0") },
			[]string{"interface scan0 has lost its carrier"}, false}, // to send slower would not help
		{"the cable is pulled for a while", func(_ *testing.T, _ *wire.Backend, _, far *netlab.NS) {
			far.Down("net0")
			far.Up("net0")
		}, []string{"interface scan0 had lost its carrier for a while"}, false},
		{"the other end takes no frame of that size", func(t *testing.T, _ *wire.Backend, _, far *netlab.NS) {
			if err := far.Netlink.LinkSetMTU(link(t, far, "net0"), 68); err != nil {
				t.Fatal(err)
			}
		}, nil, true},
		{"the address is taken away", func(t *testing.T, _ *wire.Backend, scan, _ *netlab.NS) {
			scan.Addr("scan0", "10.1.0.77/24")
			remove(t, scan, "10.1.0.1/24")
		}, []string{"address 10.1.0.1 is gone from scan0"}, false},
		{"the address is taken away for a while", func(t *testing.T, _ *wire.Backend, scan, _ *netlab.NS) {
			time.Sleep(30 * time.Millisecond) // the kernel's clock has hundredths of a second
			remove(t, scan, "10.1.0.1/24")
			scan.Addr("scan0", "10.1.0.1/24")
			scan.Route(netlab.Route{Dst: "10.3.0.0/24", Via: "10.1.0.2"})
		}, []string{"address 10.1.0.1 was gone from scan0 for a while"}, false},
		{"the route is taken away", func(_ *testing.T, _ *wire.Backend, scan, _ *netlab.NS) { scan.Unroute("10.3.0.0/24") },
			[]string{"the route to 10.3.0.0 that stood at the start is gone"}, false},
		{"the route is taken away for a while", func(_ *testing.T, b *wire.Backend, scan, _ *netlab.NS) {
			scan.Unroute("10.3.0.0/24")
			b.Counters()
			scan.Route(netlab.Route{Dst: "10.3.0.0/24", Via: "10.1.0.2"})
			b.Counters()
		}, []string{"the route to 10.3.0.0 was gone for a while"}, false},
		{"another gateway for a while", func(_ *testing.T, b *wire.Backend, scan, _ *netlab.NS) {
			scan.Route(netlab.Route{Dst: "10.3.0.0/25", Via: "10.1.0.3"})
			b.Counters()
			scan.Unroute("10.3.0.0/25")
		}, []string{"the route to 10.3.0.0 was not by gateway 10.1.0.2 for a while"}, false},
		{"on the link", func(_ *testing.T, _ *wire.Backend, scan, _ *netlab.NS) {
			scan.Route(netlab.Route{Dst: "10.3.0.0/25", Dev: "scan0"})
		}, []string{"the route to 10.3.0.0 no longer is by gateway 10.1.0.2"}, false},
		{"another MAC", func(t *testing.T, _ *wire.Backend, scan, _ *netlab.NS) {
			if err := scan.Netlink.LinkSetHardwareAddr(link(t, scan, "scan0"), net.HardwareAddr{2, 0, 0, 0, 0, 2}); err != nil {
				t.Fatal(err)
			}
		}, []string{"interface scan0 has another link-layer address now"}, false},
		{"the interface is deleted", func(t *testing.T, _ *wire.Backend, scan, _ *netlab.NS) {
			if err := scan.Netlink.LinkDel(link(t, scan, "scan0")); err != nil {
				t.Fatal(err)
			}
		}, []string{"interface scan0 is gone"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			scan, far := netlab.Pair(t, "scan0", "net0")
			scan.Addr("scan0", "10.1.0.1/24")
			far.Addr("net0", "10.1.0.2/24")
			scan.Route(netlab.Route{Dst: "10.3.0.0/24", Via: "10.1.0.2"})
			b := open(t, scan, wire.Config{Prefixes: prefixes("10.3.0.0/24")})
			asked := target("10.3.0.9", openPort, registry.TCP)
			ask(t, b, 50*time.Millisecond, asked)
			tt.befall(t, b, scan, far)
			long := scanner.Probe{Target: target("10.3.0.9", openPort, registry.UDP), Payload: make([]byte, 200)}
			_, _ = b.Send(t.Context(), []scanner.Probe{long, long})
			if d := cmp.Diff(tt.want, b.Faults()); d != "" {
				t.Errorf("faults (-want +got):\n%s", d)
			}
			if dropped := b.Counters().LinkDrops > 0; dropped != tt.drops {
				t.Errorf("frames thrown away: %t, want %t", dropped, tt.drops)
			}
		})
	}
}
