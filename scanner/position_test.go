package scanner_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"dormant/registry"
	"dormant/scanner"
	"dormant/scanner/fakenet"
)

// ledger is what a checkpoint keeps of a run: the answers and the position. It
// is only as good as the moment it was taken.
type ledger struct {
	mu    sync.Mutex
	known []scanner.Observation
	from  scanner.Position
}

func (l *ledger) journal(o scanner.Observation) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.known = append(l.known, o)
}

// part runs the engine until kill, as a program that is killed: what it had
// found since the last checkpoint is lost. It returns what was emitted.
func (l *ledger) part(t *testing.T, b scanner.Backend, cfg scanner.Config, p *scanner.Plan, kill time.Duration) ([]scanner.Observation, scanner.Summary, error) {
	t.Helper()
	cfg.From, cfg.Known, cfg.Journal = l.from, slices.Values(slices.Clone(l.known)), l.journal
	engine, err := scanner.New(b, cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), kill)
	defer cancel()
	saved := ledger{known: slices.Clone(l.known), from: l.from}
	var wg sync.WaitGroup
	wg.Go(func() { // ends with ctx: the checkpoints
		for {
			select {
			case <-ctx.Done():
				return
			case <-time.After(700 * time.Millisecond):
			}
			from := engine.Position()
			l.mu.Lock()
			saved.from, saved.known = from, slices.Clone(l.known)
			l.mu.Unlock()
		}
	})
	var got []scanner.Observation
	s, err := engine.Run(ctx, p, func(o scanner.Observation) { got = append(got, o) })
	cancel()
	wg.Wait()
	if errors.Is(err, context.DeadlineExceeded) {
		l.known, l.from = saved.known, saved.from
	}
	return got, s, err
}

// TestKilledRunsAddUp kills runs at random moments and resumes them from their
// last checkpoint, with retries and without, and with shards: together they
// find everything, and emit no target twice.
func TestKilledRunsAddUp(t *testing.T) {
	rnd := rand.New(rand.NewPCG(7, 7))
	for _, cfg := range []scanner.Config{
		{Rate: 200, HostRate: 5},
		{Rate: 400, Retries: 2, HostRate: 2},
		{Rate: 300, Retries: 1, Shard: 1, Shards: 3},
	} {
		for range 8 {
			kills := []time.Duration{
				time.Duration(rnd.Int64N(int64(4 * time.Second))), time.Duration(rnd.Int64N(int64(6 * time.Second))),
				time.Duration(rnd.Int64N(int64(12 * time.Second))), time.Hour,
			}
			t.Run(fmt.Sprint(cfg.Retries, " retries, shard ", cfg.Shard, ", killed after ", kills[:3]), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { killedRuns(t, cfg, kills) })
			})
		}
	}
}

func killedRuns(t *testing.T, cfg scanner.Config, kills []time.Duration) {
	truth := states{}
	p := plan(t, dozen(), "10.0.0.0/26", "fd00::/122")
	for addr := range p.Addresses() {
		if b := addr.AsSlice(); b[len(b)-1]%4 == 1 {
			for n, port := range dozen() {
				truth[scanner.Target{Addr: addr, Port: port}] = []scanner.State{scanner.Closed, 0, scanner.Open}[n%3]
			}
		}
	}
	want, _, err := run(t, t.Context(), fakenet.New(truth, 150*time.Millisecond), cfg, p)
	if err != nil {
		t.Fatal(err)
	}
	var l ledger
	var got []scanner.Observation
	var s scanner.Summary
	sent := map[scanner.Target]int{}
	for _, kill := range kills {
		n := fakenet.New(truth, 150*time.Millisecond)
		got, s, err = l.part(t, n, cfg, p, kill)
		for i := range p.Len() {
			sent[p.At(i)] += len(n.Sent(p.At(i)))
		}
		if err == nil {
			break
		}
		if s.Complete {
			t.Fatalf("a killed part says that it is complete: %+v", s)
		}
	}
	if err != nil || !s.Complete {
		t.Fatalf("Run = %+v, %v; want complete", s, err)
	}
	sums(t, s)
	seen := map[scanner.Target]int{}
	for _, o := range got {
		seen[o.Target]++
	}
	for _, o := range want {
		if seen[o.Target] != 1 {
			t.Errorf("%v came %d times, want once", o.Target, seen[o.Target])
		}
	}
	if len(got) != len(want) || s.Open == 0 {
		t.Errorf("%d answers, %d open; want %d answers", len(got), s.Open, len(want))
	}
	silent := uint64(0)
	for x, probes := range sent {
		if probes == 0 || seen[x] > 0 { // of another shard, or answered
			continue
		}
		silent++
		if probes <= cfg.Retries || probes > cfg.Retries+len(kills) {
			t.Errorf("%v was silent and got %d probes, want one in each of %d rounds and at most one more for each kill", x, probes, cfg.Retries+1)
		}
	}
	if silent != s.Filtered+s.OpenFiltered {
		t.Errorf("%d targets asked in vain, want %d", silent, s.Filtered+s.OpenFiltered)
	}
	hosts := map[netip.Addr]bool{}
	for _, o := range want {
		hosts[o.Addr] = true
	}
	if s.HostsAlive != uint64(len(hosts)) {
		t.Errorf("%d hosts alive, want %d", s.HostsAlive, len(hosts))
	}
}

// TestEveryPositionCanBeResumed takes the position all along the runs of shards
// whose last step leads beyond the plan, and goes on from each.
func TestEveryPositionCanBeResumed(t *testing.T) {
	for _, retries := range []int{0, 1} {
		for shard := range uint64(5) {
			synctest.Test(t, func(t *testing.T) {
				p := plan(t, dozen(), "10.0.0.0/29")
				n := fakenet.New(nil, time.Millisecond) // the retries of the living are still waiting when no dark ones are left
				n.Truth = func(x scanner.Target) scanner.State { return []scanner.State{scanner.Closed, 0}[x.Port.Number%2] }
				cfg := scanner.Config{Rate: 500, HostRate: 4, Retries: retries, Shard: shard, Shards: 5}
				engine, err := scanner.New(n, cfg)
				if err != nil {
					t.Fatal(err)
				}
				all := map[scanner.Position]bool{}
				ctx, cancel := context.WithCancel(t.Context())
				var wg sync.WaitGroup
				wg.Go(func() { // ends with ctx, below
					for ; ctx.Err() == nil; time.Sleep(50 * time.Millisecond) {
						at := engine.Position()
						all[scanner.Position{Round: at.Round, Dark: at.Dark, Next: at.Next}] = true
					}
				})
				_, err = engine.Run(ctx, p, func(scanner.Observation) {})
				cancel()
				wg.Wait()
				if err != nil || len(all) < 2 {
					t.Fatalf("%d positions, %v; want some", len(all), err)
				}
				for at := range all {
					cfg.From = at
					if _, s, err := run(t, t.Context(), n, cfg, p); err != nil || !s.Complete {
						t.Errorf("shard %d from %+v: Run = %+v, %v; want complete", shard, at, s, err)
					}
					if at.Next > p.Len() {
						t.Errorf("shard %d: position %+v is behind the end", shard, at)
					}
				}
			})
		}
	}
}

// TestResumeAsksNoMoreThanItMust counts the probes of a resumed sweep, and of a
// resumed retry.
func TestResumeAsksNoMoreThanItMust(t *testing.T) {
	for retries, killed := range []time.Duration{4 * time.Second, 11 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			p := plan(t, dozen(), "10.0.0.0/24")
			var l ledger
			n := fakenet.New(nil, time.Millisecond)
			cfg := scanner.Config{Rate: 500, Retries: retries}
			_, _, err := l.part(t, n, cfg, p, killed)
			if !errors.Is(err, context.DeadlineExceeded) || l.from.Round != retries || l.from.Next < 500 || l.from.Spent.Probes < l.from.Next {
				t.Fatalf("position %+v, %v; want at least 500 behind", l.from, err)
			}
			m := fakenet.New(nil, time.Millisecond)
			_, s, err := l.part(t, m, cfg, p, time.Hour)
			if want := int(p.Len() - l.from.Next); err != nil || m.Total() > want || s.Parts != 2 || s.Targets != p.Len() || s.Filtered+s.OpenFiltered != p.Len() {
				t.Errorf("Run = %+v, %v after %d probes; want %d of them and all targets", s, err, m.Total(), want)
			}
		})
	}
}

// TestStateBudgetOfParts: what an earlier part or pass has left half-open counts,
// and of one that was killed all that it may have left.
func TestStateBudgetOfParts(t *testing.T) {
	for _, tt := range []struct {
		name    string
		seconds time.Duration // between the parts
		killed  bool
		cut     bool          // the second is another pass
		most    uint64        // half-open connections
		wait    time.Duration // for the budget
	}{
		{"resumed at once", 1, false, false, 40, scanner.StateTimeout},
		{"resumed later", 122, false, false, 32, 0},
		{"killed and resumed at once", 1, true, false, 40, scanner.StateTimeout},
		{"killed and resumed while what it made later may be held", 122, true, false, 40, scanner.StateTimeout},
		{"killed and resumed much later", 242, true, false, 32, 0},
		{"a second pass", 0, false, true, 40, scanner.StateTimeout},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := plan(t, dozen()[:1], "10.0.0.0/27")
				cfg := scanner.Config{Rate: 1000, StateBudget: 40, Cooldown: time.Second}
				engine, err := scanner.New(fakenet.New(nil, time.Millisecond), cfg)
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
				defer cancel()
				if s, err := engine.Run(ctx, p, func(scanner.Observation) {}); err == nil || s.MaxHalfOpen != 20 {
					t.Fatalf("Run = %+v, %v; want a part of 20 probes", s, err)
				}
				cfg.From = engine.Position()
				cfg.From.Spent.Uncounted = tt.killed
				if tt.cut {
					cfg.Cut, cfg.From = p, scanner.Position{Spent: scanner.Spent{HalfOpen: cfg.From.Spent.HalfOpen}}
				}
				time.Sleep(tt.seconds * time.Second)
				begun := time.Now()
				_, s, err := run(t, t.Context(), fakenet.New(nil, time.Millisecond), cfg, p)
				if err != nil || !s.Complete || s.MaxHalfOpen != tt.most {
					t.Errorf("Run = %+v, %v; want complete, at most %d half-open", s, err, tt.most)
				}
				if took := time.Since(begun) - time.Second; took < tt.wait || took > tt.wait+3*time.Second {
					t.Errorf("the second part took %v, want about %v", took, tt.wait)
				}
			})
		})
	}
}

func TestStateBudgetIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := fakenet.New(nil, time.Millisecond)
		tcp := dozen()[:1]
		_, s, err := run(t, t.Context(), n, scanner.Config{Rate: 1000, StateBudget: 100, Cooldown: time.Second}, plan(t, tcp, "10.0.0.0/24"))
		if err != nil || s.MaxHalfOpen != 100 || s.Probes != 256 || len(s.Notes) != 1 {
			t.Fatalf("Run = %+v, %v; want 256 probes, at most 100 half-open, and a note", s, err)
		}
		if d := s.Finished.Sub(s.Started); d < 2*scanner.StateTimeout || d > 2*scanner.StateTimeout+5*time.Second {
			t.Errorf("took %v, want the time in which 100 + 100 states expire", d)
		}
	})
	synctest.Test(t, func(t *testing.T) { // answered SYNs are not held
		truth := states{}
		for i := range 256 {
			truth[scanner.Target{Addr: netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), Port: dozen()[0]}] = scanner.Closed
		}
		_, s, err := run(t, t.Context(), fakenet.New(truth, 20*time.Millisecond), scanner.Config{Rate: 1000, StateBudget: 100}, plan(t, dozen()[:1], "10.0.0.0/24"))
		if d := s.Finished.Sub(s.Started); err != nil || d > 2*time.Second || s.Closed != 256 {
			t.Errorf("Run = %+v, %v in %v; want 256 closed at once", s, err, d)
		}
	})
}

func TestHoldHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := fakenet.New(nil, time.Millisecond)
		begin := time.Now()
		held := func(ctx context.Context) error {
			if d := time.Since(begin); d > time.Second && d < time.Minute {
				time.Sleep(time.Minute - d)
			}
			return ctx.Err()
		}
		_, s, err := run(t, t.Context(), n, scanner.Config{Rate: 100, Hold: held, Cooldown: time.Second}, plan(t, dozen()[:1], "10.0.0.0/24"))
		if d := s.Finished.Sub(s.Started); err != nil || d < time.Minute || d > time.Minute+5*time.Second || s.Probes != 256 {
			t.Errorf("Run = %+v, %v in %v; want 256 probes, a minute late", s, err, d)
		}
		if s.Rate < 90 || s.Rate > 120 {
			t.Errorf("rate %v, want about 100: held time is not counted", s.Rate)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		stop := fmt.Errorf("%w: no more", scanner.ErrStopped)
		_, s, err := run(t, t.Context(), fakenet.New(nil, 0), scanner.Config{Rate: 100, Hold: func(context.Context) error { return stop }}, plan(t, dozen()[:1], "10.0.0.0/24"))
		if !errors.Is(err, scanner.ErrStopped) || s.Complete || s.Probes != 0 || !slices.Equal(s.Why, []string{"stopped on request"}) {
			t.Errorf("Run = %+v, %v; want stopped before the first probe", s, err)
		}
	})
}

// TestHoldHoldsWhatWaitedForTheBudget: probes that wait for the state budget while
// the window closes wait until it opens again.
func TestHoldHoldsWhatWaitedForTheBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := fakenet.New(nil, time.Millisecond)
		begin, opens := time.Now(), 2*scanner.StateTimeout
		held := func(ctx context.Context) error {
			if d := time.Since(begin); d > time.Second && d < opens {
				time.Sleep(opens - d)
			}
			return ctx.Err()
		}
		p := plan(t, dozen()[:1], "10.0.0.0/31")
		if _, s, err := run(t, t.Context(), n, scanner.Config{Rate: 100, StateBudget: 1, Hold: held, Cooldown: time.Second}, p); err != nil || s.Probes != 2 {
			t.Fatalf("Run = %+v, %v; want 2 probes", s, err)
		}
		for i := range p.Len() {
			if d := n.Sent(p.At(i))[0].Sub(begin); d > time.Second && d < opens {
				t.Errorf("a probe was sent after %v: want none between 1s and %v", d, opens)
			}
		}
	})
}

// TestHoldKeepsTheHostRate: what came due during a pause does not fall on its host
// at once when the pause is over.
func TestHoldKeepsTheHostRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ports []registry.Port
		for n := range uint16(80) {
			ports = append(ports, registry.Port{Number: 20_000 + n, Proto: registry.TCP})
		}
		n := fakenet.New(nil, time.Millisecond)
		begin := time.Now()
		held := func(ctx context.Context) error {
			if d := time.Since(begin); d > time.Second && d < 5*time.Second {
				time.Sleep(5*time.Second - d)
			}
			return ctx.Err()
		}
		p := plan(t, ports, "10.0.0.5/32")
		if _, s, err := run(t, t.Context(), n, scanner.Config{Rate: 1000, HostRate: 20, Hold: held, Cooldown: time.Second}, p); err != nil || s.Probes != 80 {
			t.Fatalf("Run = %+v, %v; want 80 probes", s, err)
		}
		var sent []time.Time
		for i := range p.Len() {
			sent = append(sent, n.Sent(p.At(i))...)
		}
		slices.SortFunc(sent, time.Time.Compare)
		for i := range sent {
			within := 0
			for _, at := range sent[i:] {
				if at.Sub(sent[i]) < time.Second {
					within++
				}
			}
			if within > 25 {
				t.Fatalf("%d probes within the second after %v, want at most 25", within, sent[i].Sub(begin))
			}
		}
	})
}

// TestResumeFromNowhere: a place behind the last target is no place.
func TestResumeFromNowhere(t *testing.T) {
	from := scanner.Position{Next: 257, Spent: scanner.Spent{Parts: 1}}
	_, s, err := run(t, t.Context(), fakenet.New(nil, 0), scanner.Config{Rate: 100, From: from}, plan(t, dozen()[:1], "10.0.0.0/24"))
	if err == nil || s.Complete || s.Probes != 0 || !strings.Contains(err.Error(), "place 257: want at most 256") {
		t.Errorf("Run = %+v, %v; want it refused", s, err)
	}
}

func TestSubnetsAddUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		truth := states{target("10.0.0.1", "1947/tcp"): scanner.Open, target("10.0.1.9", "475/tcp"): scanner.Unreachable}
		_, s, err := run(t, t.Context(), fakenet.New(truth, time.Millisecond), scanner.Config{Rate: 5000, Subnets: true}, plan(t, dozen(), "10.0.0.0/23", "fd00::/120"))
		if err != nil {
			t.Fatal(err)
		}
		all := uint64(256 * 12)
		want := []scanner.Subnet{
			{Prefix: netip.MustParsePrefix("10.0.0.0/24"), Targets: all, Probed: all, Answered: 1, Open: 1},
			{Prefix: netip.MustParsePrefix("10.0.1.0/24"), Targets: all, Probed: all, Answered: 1, Unreachable: 1},
			{Prefix: netip.MustParsePrefix("fd00::/120"), Targets: all, Probed: all},
		}
		if !slices.Equal(want, s.Subnets) {
			t.Errorf("subnets = %+v, want %+v", s.Subnets, want)
		}
	})
}

// TestCountersAdd: no counter of an earlier part is forgotten. Those that count
// addresses of the plan are the larger, all others the sum.
func TestCountersAdd(t *testing.T) {
	a := scanner.Counters{Frames: 1, Invalid: 2, Duplicate: 3, Foreign: 4, RingDrops: 5, SendErrors: 6, LinkDrops: 7, SendRetry: 8, ARPSent: 9, ARPAnswer: 10, SharedMAC: 11, Neighbours: 12}
	b := a
	b.SharedMAC, b.Neighbours = 21, 22
	for i := range reflect.ValueOf(a).NumField() {
		if reflect.ValueOf(a).Field(i).Uint() == 0 {
			t.Errorf("counter %d is not in this test", i)
		}
	}
	want := scanner.Counters{Frames: 2, Invalid: 4, Duplicate: 6, Foreign: 8, RingDrops: 10, SendErrors: 12, LinkDrops: 14, SendRetry: 16, ARPSent: 18, ARPAnswer: 20, SharedMAC: 21, Neighbours: 22}
	for _, got := range []scanner.Counters{a.Add(b), b.Add(a)} {
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("two parts (-want +got):\n%s", d)
		}
	}
}
