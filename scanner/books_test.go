package scanner_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"dormant/registry"
	"dormant/scanner"
	"dormant/scanner/fakenet"
)

// TestPositionKeepsTheBooks: a part that may not send keeps what the parts before
// it did, and the last position of a run tells what its summary tells.
func TestPositionKeepsTheBooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, cfg := plan(t, dozen(), "10.0.0.0/26", "fd00::/122"), scanner.Config{Rate: 400, Retries: 2} // whole batches: the last one is not the end of the round
		if at := engineOf(t, fakenet.New(nil, 0), cfg).Position(); at != (scanner.Position{}) {
			t.Errorf("before the run: %+v, want the beginning", at)
		}
		begin := time.Now()
		truth := func(x scanner.Target) scanner.State { return []scanner.State{scanner.Closed, 0}[x.Port.Number%2] }
		part := func(cfg scanner.Config, known *[]scanner.Observation, end time.Duration) (scanner.Position, scanner.Summary) {
			n := fakenet.New(nil, time.Millisecond)
			n.Truth = truth
			cfg.Known, cfg.Journal = slices.Values(slices.Clone(*known)), func(o scanner.Observation) { *known = append(*known, o) }
			engine := engineOf(t, n, cfg)
			ctx, cancel := context.WithTimeout(t.Context(), end)
			defer cancel()
			s, _ := engine.Run(ctx, p, func(scanner.Observation) {})
			return engine.Position(), s
		}
		var known []scanner.Observation
		first, _ := part(cfg, &known, 6*time.Second)
		if first.Spent.Retries == 0 || first.Spent.Yield.Upto != p.Len() {
			t.Fatalf("position %+v, want one in the retries", first)
		}
		shut := cfg
		shut.From = first
		shut.Hold = func(ctx context.Context) error { <-ctx.Done(); return context.Cause(ctx) }
		second, s := part(shut, &known, time.Hour)
		if s.Probes != first.Spent.Probes || s.Retries != first.Spent.Retries || s.MaxHalfOpen != first.Spent.HalfOpen.Number || !s.Started.Equal(begin) {
			t.Errorf("held Run = %+v; want the books of %+v", s, first)
		}
		want := first
		want.Spent.Parts, want.Spent.Elapsed, want.Spent.HalfOpen = 2, first.Spent.Elapsed+time.Hour, second.Spent.HalfOpen
		if d := cmp.Diff(want, second); d != "" {
			t.Errorf("position of a held part (-want +got):\n%s", d)
		}
		cfg.From = second
		last, s := part(cfg, &known, time.Hour)
		if !s.Complete || s.Parts != 3 || s.Retries <= first.Spent.Retries {
			t.Errorf("Run = %+v; want complete", s)
		}
		got := scanner.Summary{Probes: last.Spent.Probes, Retries: last.Spent.Retries, MaxHalfOpen: last.Spent.MaxHalfOpen, MostToHost: last.Spent.MostToHost, Parts: last.Spent.Parts}
		if d := cmp.Diff(scanner.Summary{Probes: s.Probes, Retries: s.Retries, MaxHalfOpen: s.MaxHalfOpen, MostToHost: s.MostToHost, Parts: s.Parts}, got); d != "" {
			t.Errorf("last position (-summary +position):\n%s", d)
		}
		if last.Round != 2 || last.Next != p.Len() || last.Spent.MostBytes < s.MostBytesToHost {
			t.Errorf("last position %+v, want the end of round 2, and no fewer bytes than %d", last, s.MostBytesToHost)
		}
	})
}

func engineOf(t *testing.T, b scanner.Backend, cfg scanner.Config) *scanner.Engine {
	t.Helper()
	engine, err := scanner.New(b, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return engine
}

// TestKnownAnswersAreCountedOnce: a target that is known by two answers is one, and
// one behind the position is not among those that were asked: either would end a
// resumed run before the silent were asked again.
func TestKnownAnswersAreCountedOnce(t *testing.T) {
	p := plan(t, dozen()[:1], "10.0.0.0/30")
	at := func(place uint64, state scanner.State, reason scanner.Reason) scanner.Observation {
		return scanner.Observation{Target: p.At(place), From: p.At(place).Addr, State: state, Reason: reason}
	}
	for _, tt := range []struct {
		name  string
		from  scanner.Position
		known []scanner.Observation
		open  uint64
		took  time.Duration // until all have answered, and nothing is waited for
		most  int           // probes
	}{
		{"first filtered, then open", scanner.Position{Next: 4}, []scanner.Observation{
			at(0, scanner.Filtered, scanner.ICMPAdminProhibited), at(0, scanner.Open, scanner.SynAck), at(2, scanner.Closed, scanner.Rst), at(3, scanner.Closed, scanner.Rst),
		}, 2, time.Second, 1},
		{"behind the position", scanner.Position{Next: 2}, []scanner.Observation{
			at(0, scanner.Open, scanner.SynAck), at(2, scanner.Closed, scanner.Rst), at(3, scanner.Closed, scanner.Rst),
		}, 2, time.Second, 1},
		{"all", scanner.Position{Next: 4}, []scanner.Observation{
			at(0, scanner.Open, scanner.SynAck), at(1, scanner.Open, scanner.SynAck), at(2, scanner.Closed, scanner.Rst), at(3, scanner.Closed, scanner.Rst),
		}, 2, 0, 0},
		{"in a retry", scanner.Position{Round: 1, Dark: true}, []scanner.Observation{
			at(0, scanner.Open, scanner.SynAck), at(2, scanner.Closed, scanner.Rst), at(3, scanner.Closed, scanner.Rst),
		}, 2, time.Second, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := fakenet.New(nil, time.Millisecond)
				n.Truth = func(scanner.Target) scanner.State { return scanner.Open }
				tt.from.Spent = scanner.Spent{Parts: 1}
				got, s, err := run(t, t.Context(), n, scanner.Config{Rate: 100, Retries: 1, From: tt.from, Known: slices.Values(tt.known)}, p)
				if err != nil || !s.Complete || s.Open != tt.open || n.Total() != tt.most || len(got) != len(tt.known)+tt.most {
					t.Errorf("Run = %+v, %v, %d probes, %d answers; want %d open after %d probes", s, err, n.Total(), len(got), tt.open, tt.most)
				}
				if took := s.Finished.Sub(s.Started); took > tt.took {
					t.Errorf("took %v, want at most %v", took, tt.took)
				}
			})
		})
	}
}

// TestBudgetHoldsSYNsOnly: a datagram leaves nothing half-open, and an interrupt is
// heard while the budget is used up.
func TestBudgetHoldsSYNsOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		left := scanner.Spent{HalfOpen: scanner.HalfOpen{Number: 50, At: time.Now()}}
		cfg := scanner.Config{Rate: 1000, StateBudget: 40, Cooldown: time.Second, From: scanner.Position{Spent: left}}
		_, s, err := run(t, t.Context(), fakenet.New(nil, time.Millisecond), cfg, plan(t, dozen()[1:2], "10.0.0.0/28"))
		if took := s.Finished.Sub(s.Started); err != nil || s.Probes != 16 || took > 3*time.Second {
			t.Errorf("Run = %+v, %v in %v; want 16 datagrams at once", s, err, took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		_, s, err = run(t, ctx, fakenet.New(nil, time.Millisecond), cfg, plan(t, dozen()[:1], "10.0.0.0/28"))
		if took := s.Finished.Sub(s.Started); err == nil || s.Probes != 0 || took > 11*time.Second {
			t.Errorf("Run = %+v, %v in %v; want an end without a probe after 10 s", s, err, took)
		}
	})
}

// TestMoreShardsThanTargets: those without a target are complete, and say so.
func TestMoreShardsThanTargets(t *testing.T) {
	targets, probes := uint64(0), uint64(0)
	for shard := range uint64(8) {
		synctest.Test(t, func(t *testing.T) {
			_, s, err := run(t, t.Context(), fakenet.New(nil, time.Millisecond), scanner.Config{Rate: 1000, Shard: shard, Shards: 8}, plan(t, dozen()[:3], "10.0.0.0/32"))
			if err != nil || !s.Complete || s.Targets > 1 {
				t.Errorf("shard %d: Run = %+v, %v; want complete, with a target or none", shard, s, err)
			}
			targets, probes = targets+s.Targets, probes+s.Probes
		})
	}
	if targets != 3 || probes != 3 {
		t.Errorf("%d targets, %d probes; want 3", targets, probes)
	}
}

// TestAnswerToARetry: it says how many probes there were, and not how long it took
// where the backend does not tell: nobody knows which one was answered.
func TestAnswerToARetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, asked := fakenet.New(nil, 10*time.Millisecond), 0
		n.HideRTT = true
		n.Truth = func(scanner.Target) scanner.State {
			if asked++; asked == 1 {
				return 0
			}
			return scanner.Open
		}
		got, s, err := run(t, t.Context(), n, scanner.Config{Rate: 100, Retries: 2}, plan(t, dozen()[:1], "10.0.0.0/31"))
		if err != nil || len(got) != 2 || s.Retries != 1 {
			t.Fatalf("Run = %+v, %v; want two answers, one to a retry", s, err)
		}
		if first, again := got[0], got[1]; first.Sent != 1 || first.RTT != 10*time.Millisecond || again.Sent != 2 || again.RTT != 0 {
			t.Errorf("%d probes and %v, then %d and %v; want 1 and 10ms, then 2 and 0s", first.Sent, first.RTT, again.Sent, again.RTT)
		}
	})
}

// TestWhatDoesNotCloseASYN: neither a datagram's answer nor the second copy of one
// makes the half-open connections fewer than the silent targets left.
func TestWhatDoesNotCloseASYN(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := fakenet.New(nil, time.Millisecond)
		n.Duplicate = 1
		n.Truth = func(x scanner.Target) scanner.State {
			if x.Port.Proto == registry.TCP && x.Addr.As4()[3]%2 == 0 {
				return 0
			}
			return scanner.Closed
		}
		_, s, err := run(t, t.Context(), n, scanner.Config{Rate: 1000}, plan(t, dozen()[:2], "10.0.0.0/26"))
		if err != nil || s.Filtered != 32 || s.MaxHalfOpen < 32 || s.MaxHalfOpen > 40 {
			t.Errorf("Run = %+v, %v; want about 32 half-open, and no fewer", s, err)
		}
	})
}

// TestResumedBehindManyAnswers: what waits for its host's token holds the position
// back; that of the targets behind it only the silent are asked again does not mean
// that answers are missing.
func TestResumedBehindManyAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		truth := func(x scanner.Target) scanner.State {
			return []scanner.State{scanner.Closed, scanner.Open, 0, 0}[x.Addr.As4()[3]/2%4]
		}
		p, cfg := plan(t, tcpOnly(), "10.0.0.0/22"), scanner.Config{Rate: 1000, HostRate: 1}
		var l ledger
		for _, kill := range []time.Duration{5 * time.Second, time.Hour} {
			n := fakenet.New(nil, time.Millisecond)
			n.Truth = truth
			if kill == time.Hour && (l.from.Next > p.Len()/3 || len(l.known) < 2000) {
				t.Fatalf("position %+v with %d answers, want most of them behind it", l.from, len(l.known))
			}
			_, s, err := l.part(t, n, cfg, p, kill)
			if kill == time.Hour && (err != nil || !s.Complete) {
				t.Errorf("Run = %+v, %v; want complete", s, err)
			}
		}
	})
}
