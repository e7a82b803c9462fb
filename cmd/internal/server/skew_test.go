package server

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"dormant/cmd/internal/agent"
	"dormant/cmd/internal/broker"
	"dormant/cmd/internal/fleet"
	"dormant/cmd/internal/pipeline"
	"dormant/scanner"
)

// wide is a sweeper to which every target is open, and which dates by this
// machine's clock.
type wide struct{}

func (wide) Sweep(_ context.Context, o agent.Order, emit func(pipeline.Result)) (out pipeline.Outcome, err error) {
	s := &out.Scan
	s.Started, s.Parts = time.Now(), 1
	for i := range o.Plan.Len() {
		emit(answer1(o.Plan.At(i), scanner.Open, time.Now()))
		s.Targets, s.Open, s.Probes = s.Targets+1, s.Open+1, s.Probes+1
	}
	s.Finished, s.Complete = time.Now(), true
	return out, nil
}

func (wide) Progress() scanner.Progress { return scanner.Progress{} }
func (wide) Backend() string            { return "wide" }

// TestClocksApart: an agent whose clock is hours away from the server's works in
// the server's window, and what it finds is dated by the server's clock.
func TestClocksApart(t *testing.T) {
	for _, tt := range []struct {
		name  string
		ahead time.Duration // the server's clock before the agent's
	}{
		{"agent five hours behind", 5 * time.Hour},
		{"agent five hours ahead", -5 * time.Hour},
		{"agent three days ahead", -72 * time.Hour},
	} {
		t.Run(tt.name, func(t *testing.T) {
			now := time.Now().UTC().Add(tt.ahead)
			jobs := jobsOf(t, `version: 1
sites: {hq: {vantages: [lan]}}
jobs:
	- {name: j, targets: {hq: 10.0.0.0/28}, ports: 1947/tcp, shard_size: 8, deadline: 1h, time_zone: UTC, windows: ["`+
				now.Add(-time.Hour).Format("15:04")+"-"+now.Add(time.Hour).Format("15:04")+`"]}
`)
			b, conn := brokerAnd(t, jobs.Places()...)
			desk := newShelf(t)
			s, _ := startServer(t, Config{Jobs: jobs, Conn: conn, Desk: desk, pace: pace{ahead: func() time.Duration { return tt.ahead }}})
			own, err := b.Dial(t.Context(), broker.Options{Inbox: fleet.Inbox("a1"), Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			defer own.Close()
			a, err := agent.New(agent.Config{Agent: "a1", Site: "hq", Vantages: []agent.Vantage{{Name: "lan", Sweeper: wide{}}},
				Conn: own, Spool: t.TempDir(), Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
			if err != nil {
				t.Fatal(err)
			}
			leave, left := make(chan struct{}), make(chan error, 1)
			go func() { left <- a.Run(context.WithoutCancel(t.Context()), leave) }() // ends with leave
			defer func() {
				close(leave)
				if err := <-left; err != nil {
					t.Error(err)
				}
			}()
			until(t, "the run can be started", func() bool { return s.Start(t.Context(), "j") == nil })
			until(t, "the run over", func() bool { return s.running() == 0 })
			r := s.Status().Runs[0]
			open, facts := desk.open(r.ScanID)
			if r.State != fleet.RunComplete || r.Refused != 0 || len(open) != 16 {
				t.Errorf("%s, %d messages refused, %d open, why %v; want it complete", r.State, r.Refused, len(open), r.Why)
			}
			for target, f := range desk.books[r.ScanID] {
				if f.ObservedAt.Before(facts.Scan.Started.Add(-time.Second)) || f.ObservedAt.After(facts.Scan.Finished.Add(time.Second)) {
					t.Errorf("%v is dated %v, outside the run from %v to %v", target, f.ObservedAt, facts.Scan.Started, facts.Scan.Finished)
				}
			}
		})
	}
}
