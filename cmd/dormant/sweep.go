package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"golang.org/x/time/rate"

	"dormant/cmd/internal/doctor"
	"dormant/cmd/internal/pipeline"
	"dormant/scanner"
)

// sweep runs the pipeline and writes down its outcome.
func (s *scan) sweep(ctx context.Context) error {
	if err := s.guard.Check(s.plan); err != nil {
		return err
	}
	first, err := s.firstPass()
	if err != nil {
		return err
	}
	var source pipeline.Source = first
	var now atomic.Pointer[pipeline.Local] // the pass that the progress line shows
	now.Store(first)
	if s.o.control.estimate {
		source = &passes{first, func() (*pipeline.Local, *scanner.Plan, func() error, error) {
			second, plan, done, err := s.secondPass(first.Engine.Position().Spent.HalfOpen)
			if err == nil {
				now.Store(second)
			}
			return second, plan, done, err
		}}
	}
	p := pipeline.Pipeline{
		Source:   source,
		Judge:    s.rules,
		Registry: s.registry,
		Names:    s.ranges.Names(),
		Meta:     s.meta,
		Sink:     s.watch,
	}
	stop := s.showProgress(ctx, func() (scanner.Progress, uint64, uint64) {
		l := now.Load()
		over, due := l.Held()
		return l.Engine.Progress(), over, due
	})
	save := s.saving(ctx, first.Engine.Position)
	out, err := p.Run(ctx, s.plan)
	// The next part repeats dialogues that were cut short, and a second pass.
	save(out.Identify.Cancelled+out.Identify.LocalErrors == 0 && now.Load() == first)
	stop()
	s.writeDown(out)
	return err
}

// writeDown keeps the outcome for the reports, and says what a person should know
// of it.
func (s *scan) writeDown(out pipeline.Outcome) {
	out.Scan.Notes = append(out.Scan.Notes, s.hold.notes()...)
	if s.coversSubnets() {
		out.Scan.Exclude(s.ranges.ExcludedPrefixes(), len(s.plan.Ports()))
	}
	s.run.Scan, s.run.Identify, s.run.Lost = out.Scan, out.Identify, out.Lost
	for _, note := range out.Scan.Notes {
		s.a.log.Info(note)
	}
	if note := out.Scan.Counters.OneMAC(); note != "" { // the backend has said it in time
		s.run.Scan.Notes = append(s.run.Scan.Notes, note)
	}
	if e := out.Scan.Estimate; e != nil {
		s.a.log.Info("open ports that both passes missed, estimated", "missed", fmt.Sprintf("%.1f", e.Missed),
			"95% interval", fmt.Sprintf("%.1f to %.1f", e.Low, e.High), "first pass", e.First, "second", e.Second, "both", e.Both)
	}
}

// answersWaiting bounds the answers that wait for the crew: at most 200 MB.
const answersWaiting = 1 << 20

// engineConfig is how both passes run.
func (s *scan) engineConfig() scanner.Config {
	return scanner.Config{
		Rate: rate.Limit(s.o.rate), HostRate: rate.Limit(s.o.hostRate), Retries: int(s.o.retries),
		Cooldown: s.o.cooldown, Payload: s.rules.Payload, Guard: s.guard.Contains,
		Shard: s.o.shard.Index - 1, Shards: s.o.shard.Count,
		Silent: s.o.states == "all", StateBudget: s.o.control.stateBudget, Hold: s.hold.wait, Log: s.a.log,
	}
}

// coversSubnets reports whether an output tells what was covered of each subnet.
func (s *scan) coversSubnets() bool {
	return s.o.control.manifest != "" || s.o.companions || s.o.needs("coverage")
}

// firstPass is the sweep by the backend that is open, from where an earlier part
// of the run stopped.
func (s *scan) firstPass() (*pipeline.Local, error) {
	cfg := s.engineConfig()
	cfg.Subnets = s.coversSubnets()
	if s.kept.run != nil {
		cfg.Journal = s.kept.run.Observed
	}
	if s.kept.resumed {
		cfg.From, cfg.Known = s.kept.run.Position, s.kept.run.Known()
	}
	engine, err := scanner.New(s.backend, cfg)
	if err != nil {
		return nil, &exitError{exitUsage, err}
	}
	l := s.local(engine)
	l.Queue = answersWaiting + s.kept.answers // what an earlier part of the run found comes at once, on top of the rest
	return l, nil
}

// secondPass opens a backend of its own and asks the same targets in another
// order. What the first pass has left half-open counts in it.
func (s *scan) secondPass(left scanner.HalfOpen) (*pipeline.Local, *scanner.Plan, func() error, error) {
	cfg := s.engineConfig()
	cfg.Silent, cfg.Cut = false, s.plan // a shard is the same targets in both orders
	plan, err := s.ranges.Plan(s.o.ports, secondSeed(s.o.seed))
	if err != nil {
		return nil, nil, nil, err
	}
	b, err := s.openBackend()
	if err != nil {
		return nil, nil, nil, err
	}
	engine, err := scanner.New(b, cfg)
	if err != nil {
		return nil, nil, nil, errors.Join(err, b.Close())
	}
	s.a.log.Info("second pass, for the estimate", "seed", plan.Seed())
	return s.local(engine), plan, b.Close, nil
}

// local is the engine with those who talk to what it finds.
func (s *scan) local(engine *scanner.Engine) *pipeline.Local {
	return &pipeline.Local{Engine: engine, Crew: s.crew(), Workers: workers(doctor.Descriptors()), Fragile: s.o.talk.fragile.Contains, Log: s.a.log}
}

// crew is who talks to what is open, nil when nobody shall.
func (s *scan) crew() pipeline.Crew {
	if s.o.noIdentify {
		return nil
	}
	m := &memory{
		crew:  s.way().talker(&s.o.talk, s.rules, s.plan.Ports(), s.o.seed),
		hold:  s.hold.wait,
		known: s.kept.known,
		fault: func(err error) { s.a.log.Warn("a dialogue could not be kept for a resume", "error", err) },
	}
	if s.kept.run != nil {
		m.keep = s.kept.run.Identified
	}
	return m
}
