package fingerprint

import (
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"dormant/registry"
)

func TestCanaries(t *testing.T) {
	for _, tt := range []struct {
		name    string
		accepts int // how many of the canary connects
		want    HostContext
		all     bool
	}{
		{"none open", 0, HostContext{CanariesAsked: 2}, false},
		{"one open: a third is asked", 1, HostContext{CanariesAsked: 3, CanariesOpen: 1}, false},
		{"both open", 2, HostContext{CanariesAsked: 2, CanariesOpen: 2}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				heard, left := 0, tt.accepts
				network := newFakeNet(t, func(port uint16) func(net.Conn) {
					if port == 3588 || port == 3712 {
						return greets("STRONG\n")
					}
					if port < canaryLow || port > canaryHigh || left == 0 {
						return nil
					}
					left--
					return func(c net.Conn) {
						n, _ := c.Read(make([]byte, 100))
						mu.Lock()
						defer mu.Unlock()
						heard += n
					}
				})
				i := NewIdentifier(fakeRules{}, Config{Dialer: network})
				for _, port := range []uint16{3588, 3712} { // the second is told what the first asked
					ev, err := i.Identify(t.Context(), openPort("10.0.0.9", port))
					if err != nil {
						t.Fatal(err)
					}
					if d := cmp.Diff(tt.want, ev.Host); d != "" {
						t.Errorf("port %d: host (-want +got):\n%s", port, d)
					}
					if ev.Host.AnswersEverywhere() != tt.all {
						t.Errorf("AnswersEverywhere = %t, want %t", !tt.all, tt.all)
					}
				}
				network.wg.Wait()
				if heard != 0 {
					t.Errorf("canaries carried %d bytes", heard)
				}
				if network.overlap || network.nearest < i.cfg.Gap {
					t.Errorf("overlap %t, nearest %v", network.overlap, network.nearest)
				}
				if got := i.Spent(); got.Canaries != uint64(tt.want.CanariesAsked) || got.Connections != 2 {
					t.Errorf("Spent = %+v", got)
				}
			})
		})
	}
}

func TestCanaryPortsFollowTheSeed(t *testing.T) {
	asked := func(seed uint64, hosts ...string) map[string][]uint16 {
		ports := map[string][]uint16{}
		synctest.Test(t, func(t *testing.T) {
			for _, host := range hosts {
				network := newFakeNet(t, only(3588, greets("STRONG\n")))
				i := NewIdentifier(fakeRules{}, Config{Dialer: network, Seed: seed})
				if _, err := i.Identify(t.Context(), openPort(host, 3588)); err != nil {
					t.Fatal(err)
				}
				for _, d := range network.dials {
					ports[host] = append(ports[host], d.port)
				}
				network.wg.Wait()
			}
		})
		return ports
	}
	first := asked(7, "10.0.0.1", "10.0.0.2")
	if d := cmp.Diff(first, asked(7, "10.0.0.2", "10.0.0.1")); d != "" {
		t.Errorf("the same seed asks other ports (-first +second):\n%s", d)
	}
	if slices.Equal(first["10.0.0.1"], first["10.0.0.2"]) || slices.Equal(first["10.0.0.1"], asked(8, "10.0.0.1")["10.0.0.1"]) {
		t.Error("another host or another seed asks the same ports")
	}
}

func TestCanaryPortIsNeverExpected(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	planned := []registry.Port{{Number: 40000, Proto: registry.TCP}}
	var drawn []uint16
	for range 20000 {
		port, ok := canaryPort(rng, planned, drawn)
		switch {
		case !ok:
			t.Fatal("no port")
		case port < canaryLow || port > canaryHigh || port == 40000 || port >= busyLow && port <= busyHigh || slices.Contains(busyPorts(), port):
			t.Fatalf("drew %d", port)
		case slices.Contains(drawn, port):
			t.Fatalf("drew %d twice", port)
		}
		if drawn = append(drawn, port); len(drawn) > 2 {
			drawn = drawn[1:]
		}
	}
	var all []registry.Port
	for n := uint16(canaryLow); n <= canaryHigh; n++ {
		all = append(all, registry.Port{Number: n, Proto: registry.TCP})
	}
	if port, ok := canaryPort(rng, all, nil); ok {
		t.Errorf("drew %d of a plan that has every port", port)
	}
}

// TestCanaryOnAFilteredHostIsShort: a host that drops costs its canaries a
// little more than half a second each.
func TestCanaryOnAFilteredHostIsShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := NewIdentifier(fakeRules{}, Config{Dialer: dropping{newFakeNet(t, only(3588, greets("STRONG\n")))}})
		began := time.Now()
		ev, err := i.Identify(t.Context(), openPort("10.0.0.9", 3588))
		if err != nil || ev.Host.CanariesAsked != 2 || ev.Host.CanariesOpen != 0 {
			t.Errorf("Identify = %+v, %v", ev.Host, err)
		}
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("took %v", took)
		}
	})
}
