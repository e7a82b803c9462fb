package scanner_test

import (
	"context"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"dormant/registry"
	"dormant/scanner"
	"dormant/scanner/fakenet"
)

// crossing is a network of which one part lies behind a gateway.
type crossing struct {
	*fakenet.Network
	far netip.Prefix
}

func (c crossing) Routed(addr netip.Addr) bool { return c.far.Contains(addr) }

// TestLateErrorsOfGateways: a gateway needs three seconds to find out that
// nobody is there, and only that is waited for.
func TestLateErrorsOfGateways(t *testing.T) {
	one := []registry.Port{{Number: 1947, Proto: registry.TCP}}
	far, near := netip.MustParsePrefix("10.9.0.0/16"), target("10.0.0.1", "1947/tcp")
	for _, tt := range []struct {
		name   string
		cfg    scanner.Config
		prefix []string
		late   string // who is said to be unreachable after 3 s
		want   time.Duration
		found  uint64
	}{
		{"one target behind the gateway, which answers", scanner.Config{Retries: 2}, []string{"10.9.0.1/32"}, "10.9.0.1", 3 * time.Second, 1},
		{"another one keeps silent", scanner.Config{Retries: 2}, []string{"10.9.0.1/32", "10.9.0.2/32"}, "10.9.0.1", 3200 * time.Millisecond, 1},
		{"no retries", scanner.Config{}, []string{"10.9.0.1/32", "10.9.0.2/32"}, "10.9.0.1", 3200 * time.Millisecond, 1},
		{"a living host beside it, whose round trip counts alone", scanner.Config{Retries: 2}, []string{"10.0.0.1/32", "10.9.0.1/32", "10.9.0.2/32"}, "10.9.0.1", 3200 * time.Millisecond, 1},
		{"everything behind the gateway answers", scanner.Config{Retries: 2}, []string{"10.0.0.1/32"}, "", time.Millisecond, 0},
		{"silence on the link only", scanner.Config{Retries: 2}, []string{"10.0.0.1/32", "10.0.0.2/32"}, "", 800 * time.Millisecond, 0},
		{"a cooldown that the user gave", scanner.Config{Cooldown: time.Second}, []string{"10.9.0.1/32", "10.9.0.2/32"}, "10.9.0.1", time.Second, 0},
		{"the longest cooldown bounds it", scanner.Config{MaxCooldown: 2 * time.Second}, []string{"10.9.0.1/32"}, "10.9.0.1", 2 * time.Second, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				truth := states{near: scanner.Open}
				if tt.late != "" {
					truth[target(tt.late, "1947/tcp")] = scanner.Unreachable
				}
				n := fakenet.New(truth, time.Millisecond)
				n.RTTOf = func(a netip.Addr) time.Duration {
					if far.Contains(a) {
						return 3 * time.Second
					}
					return time.Millisecond
				}
				tt.cfg.Rate = 1000
				_, s, err := run(t, t.Context(), crossing{n, far}, tt.cfg, plan(t, one, tt.prefix...))
				if err != nil || !s.Complete {
					t.Fatalf("Run = %+v, %v; want complete", s, err)
				}
				sums(t, s)
				if d := s.Finished.Sub(s.Started); d != tt.want || s.Unreachable != tt.found {
					t.Errorf("%v, %d unreachable; want %v, %d", d, s.Unreachable, tt.want, tt.found)
				}
			})
		})
	}
}

// guarded is a network whose ways can be asked for.
type guarded struct {
	*fakenet.Network
	checks int
}

func (g *guarded) Check(ctx context.Context, pace func(context.Context, int) error) error {
	g.checks++
	return pace(ctx, 1)
}

// TestCheckAfterEachRound: the ways are asked for after every round that is made.
func TestCheckAfterEachRound(t *testing.T) {
	one, near := []registry.Port{{Number: 1947, Proto: registry.TCP}}, target("10.0.0.1", "1947/tcp")
	for _, tt := range []struct {
		name   string
		prefix string
		want   int
	}{
		{"some are silent", "10.0.0.0/30", 3},
		{"all have answered by the second round", "10.0.0.1/32", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := &guarded{Network: fakenet.New(states{near: scanner.Open}, time.Millisecond)}
				_, s, err := run(t, t.Context(), g, scanner.Config{Rate: 1000, Retries: 2}, plan(t, one, tt.prefix))
				if err != nil || !s.Complete || g.checks != tt.want {
					t.Errorf("%d checks, %+v, %v; want %d and a complete run", g.checks, s, err, tt.want)
				}
			})
		})
	}
}
