package main

import (
	"context"
	"log/slog"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"dormant/cmd/internal/pipeline"
	"dormant/fingerprint"
	"dormant/registry"
	"dormant/reports"
	"dormant/scanner"
	"dormant/scanner/fakenet"
)

// chatty is a crew that remembers with whom it spoke.
type chatty []scanner.Target

func (c *chatty) Run(_ context.Context, in <-chan scanner.Observation, _ int, emit func(fingerprint.Result)) {
	for o := range in {
		*c = append(*c, o.Target)
		emit(fingerprint.Result{Observation: o})
	}
}

// TestSecondPass: what the first pass missed is talked to, reported and counted,
// once, and what both saw is not talked to again.
func TestSecondPass(t *testing.T) {
	port := registry.Port{Number: 1947, Proto: registry.TCP}
	at := func(last byte) scanner.Target {
		return scanner.Target{Addr: netip.AddrFrom4([4]byte{10, 0, 0, last}), Port: port}
	}
	synctest.Test(t, func(t *testing.T) {
		var met [2]chatty
		local := func(pass int, states map[scanner.Target]scanner.State) *pipeline.Local {
			engine, err := scanner.New(fakenet.New(states, time.Millisecond), scanner.Config{Rate: 1000, Silent: pass == 0})
			if err != nil {
				t.Fatal(err)
			}
			return &pipeline.Local{Engine: engine, Crew: &met[pass], Log: slog.New(slog.DiscardHandler)}
		}
		plan := func(seed uint64) *scanner.Plan {
			p, err := scanner.NewPlan([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/29")}, []registry.Port{port}, seed)
			if err != nil {
				t.Fatal(err)
			}
			return p
		}
		closed := 0
		p := &passes{
			local(0, map[scanner.Target]scanner.State{at(1): scanner.Open, at(2): scanner.Open, at(3): scanner.Closed}),
			func() (*pipeline.Local, *scanner.Plan, func() error, error) {
				states := map[scanner.Target]scanner.State{at(2): scanner.Open, at(3): scanner.Open, at(4): scanner.Open, at(5): scanner.Closed}
				return local(1, states), plan(secondSeed(7)), func() error { closed++; return nil }, nil
			},
		}
		open := map[scanner.Target]int{}
		out, err := p.Run(t.Context(), plan(7), func(r pipeline.Result) {
			if r.State == scanner.Open {
				open[r.Target]++
			}
		})
		if err != nil || closed != 1 {
			t.Fatalf("Run = %v, the second backend was closed %d times; want nil and once", err, closed)
		}
		if d := cmp.Diff(map[scanner.Target]int{at(1): 1, at(2): 1, at(3): 1, at(4): 1}, open, cmpopts.EquateComparable(scanner.Target{})); d != "" {
			t.Errorf("reported as open (-want +got):\n%s", d)
		}
		if len(met[0]) != 2 || len(met[1]) != 2 {
			t.Errorf("talked to %v, then to %v; want two each, and nobody twice", met[0], met[1])
		}
		if e := out.Scan.Estimate; e == nil || e.First != 2 || e.Second != 3 || e.Both != 1 {
			t.Errorf("estimate %+v; want 2 in the first pass, 3 in the second, 1 in both", e)
		}
		if s := out.Scan; s.Open != 4 || s.Closed != 0 || s.Filtered != 4 || !s.Complete {
			t.Errorf("open %d, closed %d, filtered %d, complete %t; want 4, 0, 4, true", s.Open, s.Closed, s.Filtered, s.Complete)
		}
	})
}

func TestJoinAddsThePasses(t *testing.T) {
	pass := func(n uint64, complete bool, said ...string) pipeline.Outcome {
		return pipeline.Outcome{
			Scan: scanner.Summary{
				Probes: n, Retries: 2 * n, MostToHost: 3 * n, MostBytesToHost: 4 * n, MaxHalfOpen: 5 * n, HostsAlive: 6 * n,
				Complete: complete, Why: said, Notes: said, Finished: time.Unix(int64(n), 0),
			},
			Identify: reports.Identification{
				Ports: n, Done: 2 * n, Refused: 3 * n, NoConnect: 4 * n, Budget: 5 * n, Cancelled: 6 * n, LocalErrors: 7 * n, Connections: 8 * n,
				Canaries: 9 * n, BytesSent: 10 * n, BytesReceived: 11 * n, MostConnections: 12 * n, MostBytesSent: 13 * n, Talked: time.Duration(n),
			},
			Lost: n,
		}
	}
	want := pass(11, false, "a", "second pass: b")
	want.Scan.MaxHalfOpen, want.Scan.HostsAlive, want.Scan.Finished = 50, 60, time.Unix(10, 0)
	if d := cmp.Diff(want, join(pass(1, true, "a"), pass(10, false, "b"))); d != "" {
		t.Errorf("join (-want +got):\n%s", d)
	}
}
