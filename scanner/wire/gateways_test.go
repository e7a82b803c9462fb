//go:build linux

package wire_test

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"

	"dormant/registry"
	"dormant/scanner"
	"dormant/scanner/netlab"
	"dormant/scanner/wire"
)

// TestGatewayDies: what lies behind a gateway that falls silent looks filtered
// although the carrier stays, so that is told. One that never answered us is no
// witness, and another MAC is followed.
func TestGatewayDies(t *testing.T) {
	far0 := func(far *netlab.NS, do func(netlink.Link) error) {
		link, err := far.Netlink.LinkByName("net0")
		if err == nil {
			err = do(link)
		}
		if err != nil {
			t.Error(err)
		}
	}
	lose := func(prefix string) func(far *netlab.NS) {
		return func(far *netlab.NS) {
			far0(far, func(l netlink.Link) error {
				addr, err := netlink.ParseAddr(prefix)
				if err != nil {
					return err
				}
				return far.Netlink.AddrDel(l, addr)
			})
		}
	}
	gain := func(far *netlab.NS) {
		far0(far, func(l netlink.Link) error {
			addr, err := netlink.ParseAddr("10.1.0.2/24")
			if err != nil {
				return err
			}
			return far.Netlink.AddrAdd(l, addr)
		})
	}
	nothing := func(*netlab.NS) {}
	for _, tt := range []struct {
		name, target string
		before       func(scan, far *netlab.NS)
		happens      [2]func(far *netlab.NS) // before each of two checks
		want         [2][]string             // after it
		open         bool                    // the target afterwards
		warns        string                  // "" is nothing about a MAC
	}{
		{name: "nothing happens", target: "10.2.0.10", open: true},
		{name: "dies", target: "10.2.0.10", happens: [2]func(*netlab.NS){nothing, lose("10.1.0.2/24")},
			want: [2][]string{nil, {"the gateway 10.1.0.2 no longer answers"}}, open: true}, // it still forwards
		{name: "dies, IPv6", target: "fd02::10", happens: [2]func(*netlab.NS){lose("fd01::2/64")},
			want: [2][]string{{"the gateway fd01::2 no longer answers"}, {"the gateway fd01::2 no longer answers"}}, open: true},
		{name: "comes back", target: "10.2.0.10", happens: [2]func(*netlab.NS){lose("10.1.0.2/24"), gain},
			want: [2][]string{{"the gateway 10.1.0.2 no longer answers"}, {"the gateway 10.1.0.2 did not answer for a while"}}, open: true},
		{name: "silent for a moment", target: "10.2.0.10", open: true, happens: [2]func(*netlab.NS){func(far *netlab.NS) {
			lose("10.1.0.2/24")(far)
			time.AfterFunc(400*time.Millisecond, func() { gain(far) }) // the first requests are over, the second chance is not
		}}},
		{name: "answers when the kernel asks", target: "10.2.0.10", open: true, before: func(_, far *netlab.NS) {
			lose("10.1.0.2/24")(far)
			time.AfterFunc(1200*time.Millisecond, func() { gain(far) })
		}},
		{name: "never answers, but is known", target: "10.2.0.10", open: true,
			before: func(scan, far *netlab.NS) {
				scan.Neighbour("scan0", "10.1.0.2", far.MAC("net0"))
				lose("10.1.0.2/24")(far)
			}},
		{name: "never answers, but was known", target: "10.2.0.10", open: true,
			before: func(scan, far *netlab.NS) {
				mac := far.MAC("net0")
				link, err := scan.Netlink.LinkByName("scan0")
				if err == nil {
					err = scan.Netlink.NeighSet(&netlink.Neigh{LinkIndex: link.Attrs().Index, IP: net.IPv4(10, 1, 0, 2), HardwareAddr: mac, State: netlink.NUD_STALE})
				}
				if err != nil {
					t.Error(err)
				}
				lose("10.1.0.2/24")(far)
			}},
		{name: "gets another MAC", target: "10.2.0.10", open: true, warns: "is=02:00:00:00:00:63", happens: [2]func(*netlab.NS){func(far *netlab.NS) {
			far0(far, func(l netlink.Link) error {
				return far.Netlink.LinkSetHardwareAddr(l, net.HardwareAddr{2, 0, 0, 0, 0, 99})
			})
		}}},
		{name: "with the carrier", target: "10.2.0.10", happens: [2]func(*netlab.NS){func(far *netlab.NS) { far.Down("net0") }},
			want: [2][]string{{"interface scan0 has lost its carrier"}, {"interface scan0 has lost its carrier"}}},
		{name: "of nobody", target: "10.1.0.10", happens: [2]func(*netlab.NS){lose("10.1.0.2/24")}, open: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			scan, far := lab(t)
			far.Listen(at(tt.target, openPort))
			far.Route(netlab.Route{Dst: "10.1.0.1/32", Dev: "net0", Src: "10.1.0.10"}, netlab.Route{Dst: "fd01::1/128", Dev: "net0"}) // stay when an address goes
			if tt.before != nil {
				tt.before(scan, far)
			}
			asked := target(tt.target, openPort, registry.TCP)
			var log bytes.Buffer
			b := open(t, scan, wire.Config{Prefixes: []netip.Prefix{netip.PrefixFrom(asked.Addr, asked.Addr.BitLen())}, Log: slog.New(slog.NewTextHandler(&log, nil))})
			ctx, cancel := context.WithCancel(t.Context())
			var receiving sync.WaitGroup
			answered := make(chan scanner.Observation, 9)
			receiving.Go(func() { // ends with ctx
				if err := b.Receive(ctx, func(o scanner.Observation) {
					if o.State == scanner.Open {
						answered <- o
					}
				}); err != nil {
					t.Errorf("Receive: %v", err)
				}
			})
			if err := b.Resolve(ctx, slices.Values([]netip.Addr{asked.Addr}), unpaced); err != nil {
				t.Fatal(err)
			}
			for i, happens := range tt.happens {
				if happens != nil {
					happens(far)
				}
				if err := b.Check(ctx, unpaced); err != nil {
					t.Errorf("Check = %v, want nil", err)
				}
				if d := cmp.Diff(tt.want[i], b.Faults()); d != "" {
					t.Errorf("faults after check %d (-want +got):\n%s", i+1, d)
				}
			}
			if _, err := b.Send(ctx, []scanner.Probe{{Target: asked}}); err != nil {
				t.Error(err)
			}
			time.Sleep(100 * time.Millisecond)
			cancel()
			receiving.Wait()
			if said := log.String(); strings.Count(said, "another MAC") != strings.Count(tt.warns, "is=") || !strings.Contains(said, tt.warns) {
				t.Errorf("want one warning of another MAC with %q:\n%s", tt.warns, said)
			}
			if open := len(answered) > 0; open != tt.open {
				t.Errorf("%v answered: %t, want %t", asked, open, tt.open)
			}
		})
	}
}
