package connect

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"

	"dormant/scanner/netlab"
)

// bay is a scanner's side with two ways: scan0 to 10.1.0.0/24 and fd01::/64 and
// what is behind them, spare0 to 10.2.0.0/24.
type bay struct {
	t                *testing.T
	scan, far, other *netlab.NS
}

func newBay(t *testing.T) bay {
	scan, far := netlab.Pair(t, "scan0", "net0")
	other := netlab.New(t)
	netlab.Join(scan, "spare0", other, "away0")
	scan.Sysctl("net.ipv6.conf.scan0.keep_addr_on_down=1")
	scan.Addr("scan0", "10.1.0.1/24", "10.1.9.1/24", "fd01::1/64")
	scan.Addr("spare0", "10.2.0.1/24")
	far.Addr("net0", "10.1.0.2/24", "fd01::2/64")
	scan.Route(netlab.Route{Dst: "0.0.0.0/0", Via: "10.1.0.2"}, netlab.Route{Dst: "10.3.0.0/16", Via: "10.2.0.2"})
	return bay{t, scan, far, other}
}

// aim lets w see probes to the addresses.
func (b bay) aim(w *witness, addrs ...string) {
	b.t.Helper()
	b.scan.Do(func() {
		for _, a := range addrs {
			w.aim(context.Background(), netip.MustParseAddr(a))
		}
	})
}

func (b bay) faults(w *witness) (faults []string) {
	b.scan.Do(func() { faults = w.faults() })
	return faults
}

func (b bay) ok(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b bay) link(name string) netlink.Link {
	b.t.Helper()
	l, err := b.scan.Netlink.LinkByName(name)
	b.ok(err)
	return l
}

func (b bay) remove(name, addr string) {
	b.t.Helper()
	parsed, err := netlink.ParseAddr(addr)
	b.ok(err)
	b.ok(b.scan.Netlink.AddrDel(b.link(name), parsed))
}

func TestFaults(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		cfg     Config
		targets []string // asked before, 10.1.0.2 if none
		happens func(b bay)
		want    []string
	}{
		{name: "nothing", targets: []string{"10.1.0.2", "10.3.0.9", "fd01::2", "127.0.0.1"}, happens: func(bay) {}},
		{name: "carrier lost", happens: func(b bay) { b.far.Down("net0") },
			want: []string{"interface scan0 has lost its carrier"}},
		{name: "carrier lost of both", targets: []string{"10.8.0.1", "10.3.0.1"},
			happens: func(b bay) {
				b.far.Down("net0")
				b.other.Down("away0")
			},
			want: []string{"interface scan0 has lost its carrier", "interface spare0 has lost its carrier"}},
		{name: "carrier lost for a while",
			happens: func(b bay) {
				b.far.Down("net0")
				b.far.Up("net0")
			},
			want: []string{"interface scan0 had lost its carrier for a while"}},
		{name: "carrier lost where no probe went",
			happens: func(b bay) { b.other.Down("away0") }},
		{name: "carrier lost of the chosen interface", cfg: Config{Interface: "spare0"}, targets: []string{"10.3.0.7"},
			happens: func(b bay) {
				b.other.Down("away0")
				b.far.Down("net0")
			},
			want: []string{"interface spare0 has lost its carrier"}},
		{name: "set down", happens: func(b bay) { b.scan.Down("scan0") }, want: []string{"interface scan0 is down"}},
		{name: "gone", targets: []string{"10.3.0.1"}, happens: func(b bay) { b.ok(b.scan.Netlink.LinkDel(b.link("spare0"))) },
			want: []string{"interface spare0 is gone"}},
		{name: "address gone", happens: func(b bay) { b.remove("scan0", "10.1.0.1/24") },
			want: []string{"address 10.1.0.1 is gone from scan0"}},
		{name: "address gone for a while",
			happens: func(b bay) {
				time.Sleep(30 * time.Millisecond) // the kernel's clock has hundredths of a second
				b.remove("scan0", "10.1.9.1/24")
				b.scan.Addr("scan0", "10.1.9.1/24")
			},
			cfg:  Config{Source: netip.MustParseAddr("10.1.9.1")},
			want: []string{"address 10.1.9.1 was gone from scan0 for a while"}},
		{name: "address gone, IPv6", targets: []string{"fd01::9"}, happens: func(b bay) { b.remove("scan0", "fd01::1/64") },
			want: []string{"address fd01::1 is gone from scan0"}},
		{name: "address gone, chosen as source", cfg: Config{Source: netip.MustParseAddr("10.1.9.1")},
			happens: func(b bay) { b.remove("scan0", "10.1.9.1/24") },
			want:    []string{"address 10.1.9.1 is gone from scan0"}},
		{name: "address gone that asked nobody", happens: func(b bay) { b.remove("scan0", "10.1.9.1/24") }},
		{name: "route gone to another", targets: []string{"10.3.0.1"}, happens: func(b bay) { b.scan.Unroute("10.3.0.0/16") },
			want: []string{"the route to 10.3.0.1 no longer is by interface spare0"}},
		{name: "route gone", targets: []string{"10.9.0.1"}, happens: func(b bay) { b.scan.Unroute("0.0.0.0/0") },
			want: []string{"the route to 10.9.0.1 that stood at the start is gone"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBay(t)
			w := newWitness(tt.cfg, slog.New(slog.DiscardHandler))
			if faults := b.faults(w); faults != nil {
				t.Errorf("faults before the first probe = %q, want none", faults)
			}
			if tt.targets == nil {
				tt.targets = []string{"10.1.0.2"}
			}
			b.aim(w, tt.targets...)
			if faults := b.faults(w); faults != nil {
				t.Errorf("faults at the start = %q, want none", faults)
			}
			tt.happens(b)
			if d := cmp.Diff(tt.want, b.faults(w)); d != "" {
				t.Errorf("faults (-want +got):\n%s", d)
			}
			b.aim(w, "10.200.0.1") // goes on all the same
			if d := cmp.Diff(tt.want, b.faults(w)); d != "" {
				t.Errorf("faults the second time (-want +got):\n%s", d)
			}
		})
	}
}

// An interface that came up after the start is watched from its first probe on.
func TestFaultsOfNewInterface(t *testing.T) {
	t.Parallel()
	b := newBay(t)
	w := newWitness(Config{}, slog.New(slog.DiscardHandler))
	b.aim(w, "10.1.0.2")
	late := netlab.New(t)
	netlab.Join(b.scan, "late0", late, "way0")
	b.scan.Addr("late0", "10.5.0.1/24")
	b.aim(w, "10.5.0.2")
	if faults := b.faults(w); faults != nil {
		t.Errorf("faults = %q, want none", faults)
	}
	late.Down("way0")
	b.remove("late0", "10.5.0.1/24")
	if d := cmp.Diff([]string{"interface late0 has lost its carrier", "address 10.5.0.1 is gone from late0"}, b.faults(w)); d != "" {
		t.Errorf("faults (-want +got):\n%s", d)
	}
}

// A veth throws away what its peer takes for too long; the counter stays when
// the interface is gone.
func TestDrops(t *testing.T) {
	t.Parallel()
	b := newBay(t)
	mtu := func(n int) {
		peer, err := b.far.Netlink.LinkByName("net0")
		b.ok(err)
		b.ok(b.far.Netlink.LinkSetMTU(peer, n))
	}
	send := func(n int) {
		b.scan.Do(func() {
			c, err := net.Dial("udp", "10.1.0.2:9")
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			for range n {
				_, _ = c.Write(make([]byte, 1400)) // the peer's ICMP errors come back here
			}
		})
	}
	drops := func(w *witness) (n uint64) {
		b.scan.Do(func() { n = w.drops() })
		return n
	}
	mac := b.far.MAC("net0")
	b.scan.Neighbour("scan0", "10.1.0.2", mac)
	mtu(600)
	send(5) // not of this run
	var log strings.Builder
	w := newWitness(Config{}, slog.New(slog.NewTextHandler(&log, nil)))
	b.aim(w, "10.1.0.2", "10.3.0.1")
	if n := drops(w); n != 0 {
		t.Errorf("%d drops at the start, want 0", n)
	}
	send(7)
	if n := drops(w); n != 7 {
		t.Errorf("%d drops, want 7", n)
	}
	b.far.Down("net0")
	send(3) // nobody is told to send slower for that
	if n := drops(w); n != 7 {
		t.Errorf("%d drops without a carrier, want 7 still", n)
	}
	if got := strings.Count(log.String(), "interface=scan0"); drops(w) != 7 || got != 1 {
		t.Errorf("the carrier is mentioned %d times, want once:\n%s", got, log.String())
	}
	b.far.Up("net0")
	again := drops(w)
	if again < 10 { // the kernel's own may be among them
		t.Errorf("%d drops with the carrier again, want 10", again)
	}
	b.ok(b.scan.Netlink.LinkDel(b.link("scan0")))
	if n := drops(w); n != again {
		t.Errorf("%d drops when the interface is gone, want %d still", n, again)
	}
	if d := cmp.Diff([]string{"interface scan0 is gone"}, b.faults(w)); d != "" {
		t.Errorf("faults (-want +got):\n%s", d)
	}
}

// What a probe to a new address costs beyond the probe, and to a known one.
func BenchmarkAim(b *testing.B) {
	ctx := context.Background()
	scan := netlab.New(b)
	scan.Local("10.31.0.0/24") // a route that is asked for, and no way out
	addr := netip.MustParseAddr("10.31.0.1")
	b.Run("known", func(b *testing.B) {
		w := newWitness(Config{}, slog.New(slog.DiscardHandler))
		b.ReportAllocs()
		for b.Loop() {
			w.aim(ctx, addr)
		}
	})
	b.Run("new", func(b *testing.B) {
		w := newWitness(Config{}, slog.New(slog.DiscardHandler))
		b.ReportAllocs()
		scan.Do(func() {
			for b.Loop() {
				clear(w.asked)
				w.aim(ctx, addr)
			}
		})
		if len(w.asked) != 1 {
			b.Error(fmt.Sprint(len(w.asked), " addresses asked, want 1"))
		}
	})
}
