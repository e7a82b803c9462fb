package fingerprint

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"dormant/scanner"
)

// collect runs a crew over the observations and returns the results by target
// with the time when each came.
func collect(ctx context.Context, i *Identifier, workers int, list []scanner.Observation) map[string]Result {
	in := make(chan scanner.Observation, len(list))
	for _, o := range list {
		in <- o
	}
	close(in)
	var mu sync.Mutex
	results := map[string]Result{}
	i.Run(ctx, in, workers, func(r Result) {
		mu.Lock()
		defer mu.Unlock()
		results[r.Observation.Target.String()] = r
	})
	return results
}

// TestCrewNobodyWaitsForAnotherHost: two workers, a host with six silent ports
// in front, and four quick hosts behind it.
func TestCrewNobodyWaitsForAnotherHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newFakeNet(t, func(port uint16) func(net.Conn) {
			switch {
			case port == 3588:
				return greets("STRONG\n")
			case port < 20000:
				return silent
			default:
				return nil
			}
		})
		i := NewIdentifier(fakeRules{}, Config{Dialer: network})
		var list []scanner.Observation
		for _, port := range []uint16{3712, 3047, 1947, 5093, 475, 3589} {
			list = append(list, openPort("10.0.0.1", port))
		}
		for n := range 4 {
			list = append(list, openPort(fmt.Sprintf("10.0.1.%d", n), 3588))
		}
		began := time.Now()
		var mu sync.Mutex
		var quick, slow time.Duration
		in := make(chan scanner.Observation, len(list))
		for _, o := range list {
			in <- o
		}
		close(in)
		i.Run(t.Context(), in, 2, func(r Result) {
			mu.Lock()
			defer mu.Unlock()
			if r.Observation.Port.Number == 3588 {
				quick = time.Since(began)
			} else {
				slow = time.Since(began)
			}
		})
		if quick > 4*time.Second {
			t.Errorf("the last quick host was done after %v: it waited for the slow one", quick)
		}
		if slow < 6*8*time.Second {
			t.Errorf("six silent ports of one host took %v: they overlapped", slow)
		}
		if network.overlap || network.nearest < i.cfg.Gap {
			t.Errorf("overlap %t, nearest %v", network.overlap, network.nearest)
		}
		network.wg.Wait()
	})
}

// TestCrewRepetitionStandsAside: with one worker, the minute before a
// repetition belongs to the other hosts, and to other ports of the same host.
func TestCrewRepetitionStandsAside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newFakeNet(t, func(port uint16) func(net.Conn) {
			if port == 3588 {
				return greets("BEACON\n")
			}
			return greets("STRONG\n")
		})
		i := NewIdentifier(fakeRules{}, Config{Dialer: network, NoCanaries: true})
		began := time.Now()
		took := map[string]time.Duration{}
		in := make(chan scanner.Observation, 3)
		in <- openPort("10.0.0.1", 3588)
		in <- openPort("10.0.0.1", 3712)
		in <- openPort("10.0.0.2", 3712)
		close(in)
		i.Run(t.Context(), in, 1, func(r Result) { took[r.Observation.Target.String()] = time.Since(began) })
		if len(took) != 3 || took["10.0.0.1:3588/tcp"] < time.Minute || took["10.0.0.1:3712/tcp"] > 10*time.Second || took["10.0.0.2:3712/tcp"] > 10*time.Second {
			t.Errorf("done after %v", took)
		}
		network.wg.Wait()
	})
}

// TestCrewCancel: everything that was taken comes back, at once.
func TestCrewCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newFakeNet(t, func(port uint16) func(net.Conn) {
			if port == 3588 {
				return greets("BEACON\n")
			}
			return silent
		})
		i := NewIdentifier(fakeRules{}, Config{Dialer: network, NoCanaries: true})
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		list := []scanner.Observation{openPort("10.0.0.1", 3588), openPort("10.0.0.3", 3588)}
		for n := range 100 {
			list = append(list, openPort("10.0.0.2", uint16(3000+n)))
		}
		began := time.Now()
		results := collect(ctx, i, 3, list)
		if took := time.Since(began); took != 20*time.Second {
			t.Errorf("Run took %v, want 20s", took)
		}
		if len(results) != len(list) {
			t.Errorf("%d results for %d observations", len(results), len(list))
		}
		status := map[Status]int{}
		for _, r := range results {
			status[r.Evidence.Status]++
		}
		// the first port of 10.0.0.2 may be done, all others and both repetitions are not
		if status[StatusCancelled] < len(list)-2 {
			t.Errorf("statuses %v", status)
		}
		network.wg.Wait()
	})
}

// TestCrewManyHosts: far more than the crew holds, each exactly once.
func TestCrewManyHosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := NewIdentifier(fakeRules{}, Config{Dialer: newFakeNet(t, only(1, nil)), NoCanaries: true})
		const n = maxPending + 1000
		in := make(chan scanner.Observation)
		go func() { // ends when all are taken
			defer close(in)
			for k := range n {
				in <- openPort(fmt.Sprintf("10.%d.%d.%d", k>>16, k>>8&255, k&255), 3588)
			}
		}()
		var mu sync.Mutex
		seen := map[string]int{}
		i.Run(t.Context(), in, 8, func(r Result) {
			mu.Lock()
			defer mu.Unlock()
			seen[r.Observation.Target.String()]++
			if r.Evidence.Status != StatusRefused {
				t.Errorf("%v: %s", r.Observation.Target, r.Evidence.Status)
			}
		})
		if len(seen) != n {
			t.Errorf("%d results, want %d", len(seen), n)
		}
		for target, times := range seen {
			if times != 1 {
				t.Errorf("%s came %d times", target, times)
			}
		}
	})
}
