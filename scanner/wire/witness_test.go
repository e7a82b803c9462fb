//go:build linux

package wire_test

import (
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"dormant/registry"
	"dormant/scanner"
	"dormant/scanner/netlab"
	"dormant/scanner/wire"
)

// TestWitness: what happens to the ways while the backend stands is told
// afterwards, and nothing else is.
func TestWitness(t *testing.T) {
	for _, tt := range []struct {
		name   string
		befall func(t *testing.T, scan, far *netlab.NS)
		want   []string // parts of the faults, in order
		drops  bool
	}{
		{"nothing", func(*testing.T, *netlab.NS, *netlab.NS) {}, nil, false},
		{"another address comes", func(_ *testing.T, scan, _ *netlab.NS) { scan.Addr("scan0", "10.1.0.77/24") }, nil, false},
		{"the cable is pulled", func(_ *testing.T, _, far *netlab.NS) { far.Down("net0") }, []string{"interface scan0 has lost its carrier"}, true},
		{"the address is taken away", func(t *testing.T, scan, _ *netlab.NS) {
			scan.Addr("scan0", "10.1.0.77/24")
			l, err := scan.Netlink.LinkByName("scan0")
			if err != nil {
				t.Fatal(err)
			}
			addr, _ := netlink.ParseAddr("10.1.0.1/24")
			if err := scan.Netlink.AddrDel(l, addr); err != nil {
				t.Fatal(err)
			}
		}, []string{"10.3.0.0"}, false},
		{"the route is taken away", func(t *testing.T, scan, _ *netlab.NS) {
			dst, _ := netlink.ParseIPNet("10.3.0.0/24")
			if err := scan.Netlink.RouteDel(&netlink.Route{Dst: dst}); err != nil {
				t.Fatal(err)
			}
		}, []string{"the route to 10.3.0.0 that stood at the start is gone"}, false},
		{"the interface is deleted", func(t *testing.T, scan, _ *netlab.NS) {
			l, err := scan.Netlink.LinkByName("scan0")
			if err != nil {
				t.Fatal(err)
			}
			if err := scan.Netlink.LinkDel(l); err != nil {
				t.Fatal(err)
			}
		}, []string{"interface scan0 is gone", "10.3.0.0"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			scan, far := netlab.Pair(t, "scan0", "net0")
			scan.Addr("scan0", "10.1.0.1/24")
			far.Addr("net0", "10.1.0.2/24")
			scan.Route(netlab.Route{Dst: "10.3.0.0/24", Via: "10.1.0.2"})
			b := open(t, scan, wire.Config{Prefixes: prefixes("10.3.0.0/24")})
			asked := target("10.3.0.9", openPort, registry.TCP)
			ask(t, b, 50*time.Millisecond, asked)
			tt.befall(t, scan, far)
			if tt.drops {
				_, _ = b.Send(t.Context(), []scanner.Probe{{Target: asked}, {Target: asked}})
			}
			faults := b.Faults()
			if len(faults) != len(tt.want) {
				t.Fatalf("faults %q, want %q", faults, tt.want)
			}
			for i, want := range tt.want {
				if !strings.Contains(faults[i], want) {
					t.Errorf("fault %q, want one with %q", faults[i], want)
				}
			}
			if dropped := b.Counters().LinkDrops > 0; dropped != tt.drops {
				t.Errorf("frames thrown away: %t, want %t", dropped, tt.drops)
			}
		})
	}
}
