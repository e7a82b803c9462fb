package scanner_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"dormant/scanner"
	"dormant/scanner/fakenet"
)

// TestPositionKeepsTheBooks: a part that may not send keeps what the parts before
// it did, and the last position of a run tells what its summary tells.
func TestPositionKeepsTheBooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, cfg := plan(t, dozen(), "10.0.0.0/26", "fd00::/122"), scanner.Config{Rate: 500, Retries: 2}
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
		if first.Spent.Retries == 0 || first.Spent.Yield.Aimed != p.Len()/2 {
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
