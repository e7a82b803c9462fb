package scanner_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"

	"dormant/registry"
	"dormant/scanner"
	"dormant/scanner/fakenet"
)

// mostInASecond returns the most moments that fall into any one second.
func mostInASecond(all []time.Time) (most int) {
	slices.SortFunc(all, time.Time.Compare)
	first := 0
	for last := range all {
		for all[last].Sub(all[first]) >= time.Second {
			first++
		}
		most = max(most, last-first+1)
	}
	return most
}

// TestHostRateHoldsInAnySecond counts what every host got in every second of
// runs of all kinds: with retries that wait for a host's ICMP limit, with a total
// rate that is in the way, and held at random.
func TestHostRateHoldsInAnySecond(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 5))
	var ports []registry.Port
	for i := range uint16(40) {
		ports = append(ports, registry.Port{Number: 4000 + i, Proto: registry.UDP})
	}
	for i := range 60 {
		perHost := []int{4, 20, 100}[i%3]
		cfg := scanner.Config{Rate: []rate.Limit{50, 1000, 100_000}[rnd.IntN(3)], HostRate: rate.Limit(perHost), Retries: i % 2}
		if i%4 < 2 {
			cfg.Hold = func(context.Context) error {
				if rnd.IntN(20) == 0 {
					time.Sleep(time.Duration(rnd.IntN(3000)) * time.Millisecond)
				}
				return nil
			}
		}
		prefix := fmt.Sprintf("10.0.0.0/%d", 27+rnd.IntN(5))
		t.Run(fmt.Sprint(i, " ", prefix, " at ", cfg.Rate, " and ", perHost), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := fakenet.New(nil, time.Millisecond)
				n.ICMPBurst, n.ICMPEvery = []int{1, 6}[rnd.IntN(2)], time.Second
				n.Truth = func(x scanner.Target) scanner.State { return []scanner.State{scanner.Closed, 0}[x.Port.Number%2] }
				p := plan(t, ports, prefix)
				if _, s, err := run(t, t.Context(), n, cfg, p); err != nil || !s.Complete {
					t.Fatalf("Run = %+v, %v; want complete", s, err)
				}
				sent := map[netip.Addr][]time.Time{}
				for j := range p.Len() {
					at := p.At(j)
					if len(n.Sent(at)) == 0 {
						t.Errorf("%v was never asked", at)
					}
					sent[at.Addr] = append(sent[at.Addr], n.Sent(at)...)
				}
				for addr, all := range sent {
					// One more: the probes of a batch wait up to 10 ms for the total rate.
					if got, want := mostInASecond(all), perHost*5/4+1; got > want {
						t.Errorf("%v got %d probes in a second, want at most %d", addr, got, want)
					}
				}
			})
		})
	}
}
