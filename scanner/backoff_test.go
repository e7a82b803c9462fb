package scanner_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"dormant/registry"
	"dormant/scanner"
	"dormant/scanner/fakenet"
)

// everybody is a network in which every TCP port of every address is closed.
func everybody(rtt time.Duration) *fakenet.Network {
	n := fakenet.New(nil, rtt)
	n.Truth = func(scanner.Target) scanner.State { return scanner.Closed }
	return n
}

// TestStormIsWaitedOut lets every probe of two seconds fail on this side, as a
// driver without buffers does: the rate falls, the targets are asked again, and
// the run says that it is not whole.
func TestStormIsWaitedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		n := everybody(time.Millisecond)
		failed := 0
		n.Storm = func(now time.Time) bool {
			d := now.Sub(begun)
			if d < time.Second || d > 3*time.Second {
				return false
			}
			failed++
			return true
		}
		_, s, err := run(t, t.Context(), n, scanner.Config{Rate: 1000, HostRate: 1e6, Retries: 2}, plan(t, dozen()[:1], "10.0.0.0/20"))
		if err != nil || s.Closed != 4096 || s.Unknown != 0 || s.Complete || len(s.Why) != 1 || !strings.Contains(s.Why[0], "could not be sent") {
			t.Fatalf("Run = %+v, %v; want all closed, and incomplete because probes could not be sent", s, err)
		}
		if len(s.Notes) != 1 || !strings.Contains(s.Notes[0], "the local queue dropped") {
			t.Errorf("notes = %q, want that it backed off", s.Notes)
		}
		// At 1000 a second without backing off, 2000 would have failed.
		if failed > 1000 || uint64(failed) != s.Counters.SendErrors {
			t.Errorf("%d probes failed, %d counted; want fewer than 1000 thanks to backing off", failed, s.Counters.SendErrors)
		}
		sums(t, s)
	})
}

// congested is a path that carries no more than some probes of a tenth of a
// second, and drops the answers to the rest.
type congested struct {
	*fakenet.Network
	mu    sync.Mutex
	most  int
	slot  time.Time
	taken int
}

func (c *congested) truth(t scanner.Target) scanner.State {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now().Truncate(100 * time.Millisecond); now != c.slot {
		c.slot, c.taken = now, 0
	}
	if c.taken++; c.taken > c.most {
		return 0
	}
	return scanner.Closed
}

// TestCollapseOfHitsIsNoticed lets hosts that have answered fall silent for a
// while, as behind a firewall whose table is full.
func TestCollapseOfHitsIsNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		n := fakenet.New(nil, time.Millisecond)
		n.Truth = func(scanner.Target) scanner.State {
			if d := time.Since(begun); d > 3*time.Second && d < 7*time.Second {
				return 0
			}
			return scanner.Closed
		}
		_, s, err := run(t, t.Context(), n, scanner.Config{Rate: 1000, HostRate: 1e6, Retries: 1}, plan(t, tcpOnly(), "10.0.0.0/22"))
		if err != nil || !s.Complete || s.Closed != s.Targets {
			t.Fatalf("Run = %+v, %v; want complete, all closed after the retries", s, err)
		}
		if len(s.Notes) != 1 || !strings.Contains(s.Notes[0], "far fewer targets answered") {
			t.Errorf("notes = %q, want that it backed off", s.Notes)
		}
		// Four seconds at 1000 a second would have been lost.
		if s.Retries > 2500 {
			t.Errorf("%d probes fell into the silence, want fewer than 2500 thanks to backing off", s.Retries)
		}
	})
	synctest.Test(t, func(t *testing.T) { // a path with a limit: the rate settles near what it carries, and stays there
		c := &congested{Network: fakenet.New(nil, time.Millisecond), most: 20}
		c.Forget = true
		first := time.Now()
		c.Truth = func(t scanner.Target) scanner.State {
			if time.Since(first) < 4*time.Second {
				return scanner.Closed
			}
			return c.truth(t)
		}
		_, s, err := run(t, t.Context(), c, scanner.Config{Rate: 2000, HostRate: 1e6}, plan(t, tcpOnly(), "10.0.0.0/18"))
		if err != nil || len(s.Notes) != 1 || s.Complete || len(s.Why) != 1 || !strings.Contains(s.Why[0], "answers are missing") {
			t.Errorf("Run = %+v, %v; want incomplete, and a note that it backed off", s, err)
		}
		if s.Rate < 200 || s.Rate > 600 {
			t.Errorf("%.0f probes a second in the mean, want 200 to 600", s.Rate)
		}
	})
}

// TestBlockedForGood: a firewall has enough of this scanner after some probes.
// That is noticed also where most ports never answer, and is no complete run.
func TestBlockedForGood(t *testing.T) {
	for ports := range uint16(3) { // of six that answer, less one
		synctest.Test(t, func(t *testing.T) {
			n, taken := fakenet.New(nil, 5*time.Millisecond), 0
			n.Forget = true
			n.Truth = func(x scanner.Target) scanner.State {
				if taken++; taken <= 10_000 && x.Addr.As4()[3]%8 == 1 && slices.Index(tcpOnly(), x.Port) <= int(ports) {
					return scanner.Open
				}
				return 0
			}
			_, s, err := run(t, t.Context(), n, scanner.Config{Rate: 1000, Retries: 2}, plan(t, tcpOnly(), "10.0.0.0/20"))
			want := fmt.Sprintf("about %d answers are missing", 512*uint64(ports+1)-s.Open)
			if err != nil || s.Complete || s.Loss != nil || len(s.Notes) != 2 || len(s.Why) != 1 || !near(t, s.Why[0], 512*uint64(ports+1)-s.Open) {
				t.Errorf("%d ports answer: Run = %+v, %v; want %s", ports+1, s, err, want)
			}
		})
	}
}

// near reports whether the number in why is within a fifth of want.
func near(t *testing.T, why string, want uint64) bool {
	t.Helper()
	var n float64
	if _, err := fmt.Sscanf(why[strings.Index(why, "about"):], "about %g answers", &n); err != nil {
		t.Error(err)
	}
	return math.Abs(n-float64(want)) < 0.2*float64(want)
}

// TestLateAnswersAreNotMissing: answers that take two seconds from some time on
// look as if they stopped, and all come in the end.
func TestLateAnswersAreNotMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, begun := everybody(0), time.Now()
		n.RTTOf = func(netip.Addr) time.Duration {
			if time.Since(begun) > 5*time.Second {
				return 2 * time.Second
			}
			return 20 * time.Millisecond
		}
		_, s, err := run(t, t.Context(), n, scanner.Config{Rate: 500}, plan(t, tcpOnly(), "10.0.0.0/22"))
		if err != nil || !s.Complete || s.Closed != s.Targets || len(s.Notes) != 1 {
			t.Errorf("Run = %+v, %v; want complete, and a note that it backed off", s, err)
		}
	})
}

// TestSteadyHitsAreNoCollapse: where the path is good there is no reason to go
// slower, however few answer, and whatever limits the hosts keep.
func TestSteadyHitsAreNoCollapse(t *testing.T) {
	some := func(hosts int, ports float64) func(scanner.Target) scanner.State {
		return func(x scanner.Target) scanner.State {
			a := x.Addr.As4()
			host := uint64(a[2])<<8 | uint64(a[3])
			if rand.New(rand.NewPCG(host, 0)).IntN(hosts) > 0 || rand.New(rand.NewPCG(host, uint64(x.Port.Number))).Float64() >= ports {
				return 0
			}
			return scanner.Closed
		}
	}
	var udp []registry.Port
	for i := range uint16(40) {
		udp = append(udp, registry.Port{Number: 1000 + i, Proto: registry.UDP})
	}
	for _, tt := range []struct {
		name   string
		truth  func(scanner.Target) scanner.State
		ports  []registry.Port
		prefix string
	}{
		{"one host in four, half of its ports", some(4, 0.5), tcpOnly(), "10.0.0.0/20"},
		{"one host in a hundred, a fifth of its ports", some(100, 0.2), tcpOnly(), "10.0.0.0/16"},
		{"one host in thirty, a fifth of its ports", some(30, 0.2), tcpOnly(), "10.0.0.0/16"},
		{"hosts that limit their ICMP errors", some(1, 1), udp, "10.0.0.0/26"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := fakenet.New(nil, 80*time.Millisecond)
				n.Loss, n.Forget, n.Truth = 0.05, true, tt.truth
				n.ICMPBurst, n.ICMPEvery = 6, time.Second
				_, s, err := run(t, t.Context(), n, scanner.Config{Rate: 1000, Retries: 1}, plan(t, tt.ports, tt.prefix))
				if err != nil || !s.Complete || len(s.Notes) != 0 {
					t.Errorf("Run = %+v, %v; want complete without a note", s, err)
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) { // what an earlier part heard is not heard again
		var l ledger
		n, cfg, p := everybody(10*time.Millisecond), scanner.Config{Rate: 500, HostRate: 1e6, Retries: 1}, plan(t, tcpOnly(), "10.0.0.0/20")
		if _, _, err := l.part(t, n, cfg, p, 35*time.Second); err == nil {
			t.Fatal("the first part came to its end")
		}
		if _, s, err := l.part(t, n, cfg, p, time.Hour); err != nil || !s.Complete || len(s.Notes) != 0 {
			t.Errorf("resumed: Run = %+v, %v; want complete without a note", s, err)
		}
	})
}

func tcpOnly() (all []registry.Port) {
	for _, p := range dozen() {
		if p.Proto == 6 {
			all = append(all, p)
		}
	}
	return all
}

// overrun is a network whose ring loses frames for a while.
type overrun struct {
	*fakenet.Network
	begun time.Time
}

func (o overrun) Counters() scanner.Counters {
	c := o.Network.Counters()
	if time.Since(o.begun) > time.Second {
		c.RingDrops = 5000
	}
	return c
}

func TestRingOverrunIsSaidAndSlowsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := overrun{everybody(time.Millisecond), time.Now()}
		_, s, err := run(t, t.Context(), o, scanner.Config{Rate: 1000, HostRate: 1e6, Retries: 1}, plan(t, dozen()[:1], "10.0.0.0/20"))
		if err != nil || s.Complete || s.Closed != 4096 || len(s.Why) != 1 || !strings.Contains(s.Why[0], "dropped by the kernel") || len(s.Notes) != 1 {
			t.Errorf("Run = %+v, %v; want incomplete because of the ring, and a note", s, err)
		}
	})
}

// TestClockJumpChangesNothing lets the kernel's receive times jump by hours in
// both directions during the run: waits, budgets and rates come from the
// monotonic clock, only the reported times follow.
func TestClockJumpChangesNothing(t *testing.T) {
	for _, jump := range []time.Duration{0, 5 * time.Hour, -5 * time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			begun := time.Now()
			b := jumping{everybody(20 * time.Millisecond), begun.Add(time.Second), jump}
			got, s, err := run(t, t.Context(), b, scanner.Config{Rate: 500, StateBudget: 200, Retries: 1}, plan(t, dozen()[:1], "10.0.0.0/22"))
			if err != nil || !s.Complete || s.Closed != 1024 || len(got) != 1024 || s.Retries != 0 {
				t.Fatalf("jump of %v: Run = %+v, %v; want 1024 closed and no retry", jump, s, err)
			}
			if d := s.Finished.Sub(s.Started); d < 2*time.Second || d > 2200*time.Millisecond || s.MaxHalfOpen > 50 {
				t.Errorf("jump of %v: took %v, %d half-open; want about two seconds and a few", jump, d, s.MaxHalfOpen)
			}
		})
	}
}

// jumping shifts the times of all answers from a moment on.
type jumping struct {
	*fakenet.Network
	from time.Time
	by   time.Duration
}

func (j jumping) Receive(ctx context.Context, emit func(scanner.Observation)) error {
	return j.Network.Receive(ctx, func(o scanner.Observation) {
		if o.At.After(j.from) {
			o.At = o.At.Round(0).Add(j.by) // a kernel's time has no monotonic reading
		}
		emit(o)
	})
}

// TestVanishedInterfaceIsResumed breaks the link in the middle: the part that
// was done is right, and a resumed run does the rest.
func TestVanishedInterfaceIsResumed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := everybody(10 * time.Millisecond)
		broken.BreakAfter = 1500
		cfg, p := scanner.Config{Rate: 500}, plan(t, tcpOnly(), "10.0.0.0/24")
		var l ledger
		engine, err := scanner.New(broken, scanner.Config{Rate: 500, Journal: l.journal})
		if err != nil {
			t.Fatal(err)
		}
		s, err := engine.Run(t.Context(), p, func(scanner.Observation) {})
		if err == nil || s.Complete || s.Closed == 0 || s.Closed > 1500 || len(s.Why) != 1 || !strings.Contains(s.Why[0], "link is gone") {
			t.Fatalf("Run = %+v, %v; want a part, and why", s, err)
		}
		l.from = engine.Position()
		got, s, err := l.part(t, everybody(10*time.Millisecond), cfg, p, time.Hour)
		if err != nil || !s.Complete || s.Closed != 256*6 || len(got) != 256*6 {
			t.Errorf("resumed: Run = %d emitted, %+v, %v; want all closed", len(got), s, err)
		}
		hosts := map[netip.Addr]bool{}
		for _, o := range got {
			hosts[o.Addr] = true
		}
		if len(hosts) != 256 {
			t.Errorf("%d hosts, want 256", len(hosts))
		}
	})
}

// TestBlockedInAnEarlierPart: what a resumed run lacks because it was blocked is
// missing, whether that was noticed before the interrupt or could only be after it.
func TestBlockedInAnEarlierPart(t *testing.T) {
	for _, tt := range []struct {
		name string
		kill time.Duration
		lift bool // the block, between the parts
		why  int
	}{
		{"right after the block", 11 * time.Second, false, 1},
		{"in the sweep", 20 * time.Second, false, 1},
		{"in the retries", 40 * time.Second, false, 1},
		{"and free again, which the retries make good", 20 * time.Second, true, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begun, blocked := time.Now(), true
				truth := func(x scanner.Target) scanner.State {
					if blocked && time.Since(begun) > 10*time.Second || x.Addr.As4()[3]%8 != 1 {
						return 0
					}
					return scanner.Open
				}
				network := func() *fakenet.Network {
					n := fakenet.New(nil, 5*time.Millisecond)
					n.Forget, n.Truth = true, truth
					return n
				}
				p, cfg := plan(t, tcpOnly(), "10.0.0.0/20"), scanner.Config{Rate: 1000, Retries: 2}
				var l ledger
				if _, s, err := l.part(t, network(), cfg, p, tt.kill); err == nil || s.Complete {
					t.Fatalf("Run = %+v, %v; want a part", s, err)
				}
				blocked = !tt.lift
				time.Sleep(time.Hour)
				_, s, err := l.part(t, network(), cfg, p, time.Hour)
				if err != nil || len(s.Why) != tt.why || s.Complete != tt.lift {
					t.Fatalf("Run = %+v, %v; want complete %t", s, err, tt.lift)
				}
				if !tt.lift && !near(t, s.Why[0], 512*6-s.Open) {
					t.Errorf("%q with %d open, want about %d missing", s.Why, s.Open, 512*6-s.Open)
				}
			})
		})
	}
}
