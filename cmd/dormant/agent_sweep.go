package main

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"dormant/cmd/internal/agent"
	"dormant/cmd/internal/doctor"
	"dormant/cmd/internal/pipeline"
	"dormant/fingerprint"
	"dormant/scanner"
)

// agentSweeper carries out the shards of one vantage, as scan does its targets.
type agentSweeper struct {
	o   *agentOptions
	way way
	// guards is held while a guard is made: that changes the environment, and
	// several vantages work side by side.
	guards *sync.Mutex
	now    atomic.Pointer[pipeline.Local] // the present sweep or the last one
	used   atomic.Pointer[string]         // the words for how it sends
}

var _ agent.Sweeper = (*agentSweeper)(nil)

// sweepers makes one for each vantage. What cannot work at all is found here.
func (o *agentOptions) sweepers(ctx context.Context, a *app, vantages []string) (all []agent.Vantage, err error) {
	kind, note, err := chooseBackend(backends(), o.backend, nil)
	if err != nil {
		return nil, err
	}
	sayBackend(a.log, kind.name, note, false)
	var guards sync.Mutex
	for _, name := range vantages {
		v := o.vantages.of(name)
		s := &agentSweeper{
			o: o, guards: &guards,
			way: way{backend: o.backend, iface: v.iface, source: v.source, log: slog.New(warnings{a.log.Handler()})},
		}
		s.used.Store(&kind.name)
		if _, err := s.rules(); err != nil {
			return nil, err
		}
		if _, err := s.talk(ctx, false); err != nil {
			return nil, err
		}
		all = append(all, agent.Vantage{Name: name, Sweeper: s})
	}
	return all, nil
}

// warnings is a handler that passes on warnings and what is graver: what every
// sweep says of its backend was said at the start.
type warnings struct{ slog.Handler }

// Enabled implements slog.Handler.
func (w warnings) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && w.Handler.Enabled(ctx, level)
}

// WithAttrs implements slog.Handler.
func (w warnings) WithAttrs(attrs []slog.Attr) slog.Handler {
	return warnings{w.Handler.WithAttrs(attrs)}
}

// WithGroup implements slog.Handler.
func (w warnings) WithGroup(name string) slog.Handler { return warnings{w.Handler.WithGroup(name)} }

// rules are read for each shard: the datagrams carry the time, and the user's own
// rules may have changed.
func (s *agentSweeper) rules() (*fingerprint.Rules, error) {
	return loadRules(&scanOptions{rulesDir: s.o.rulesDir, discovery: s.o.discovery, noDiscover: s.o.noDiscover, created: time.Now()})
}

// talk is how dialogues go; the lists of fragile hosts are read for each shard.
func (s *agentSweeper) talk(ctx context.Context, deep bool) (*talkOptions, error) {
	o := &talkOptions{deep: deep, fragileFiles: s.o.fragile}
	return o, o.read(ctx, fragileFile)
}

// Backend implements agent.Sweeper.
func (s *agentSweeper) Backend() string { return *s.used.Load() }

// Progress implements agent.Sweeper.
func (s *agentSweeper) Progress() scanner.Progress {
	if l := s.now.Load(); l != nil {
		return l.Engine.Progress()
	}
	return scanner.Progress{Phase: scanner.PhaseIdle}
}

// Sweep implements agent.Sweeper.
func (s *agentSweeper) Sweep(ctx context.Context, o agent.Order, emit func(pipeline.Result)) (out pipeline.Outcome, err error) {
	rules, err := s.rules()
	if err != nil {
		return out, err
	}
	talk, err := s.talk(ctx, o.Deep)
	if err != nil {
		return out, err
	}
	guard, err := s.guard(o.Plan)
	if err != nil {
		return out, err
	}
	way := s.way
	way.rate = o.Rate
	b, used, err := way.open(o.Plan.Prefixes(), nil, o.Plan.Ports())
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	s.used.Store(&used)
	var before scanner.Position
	if last := s.now.Load(); last != nil && s.o.stateBudget > 0 { // one shard follows the other
		before.Spent.HalfOpen = last.Engine.Position().Spent.HalfOpen
	}
	engine, err := scanner.New(b, scanner.Config{
		Rate: o.Rate, HostRate: o.HostRate, Retries: o.Retries,
		Payload: rules.Payload, Guard: guard.Contains, Subnets: true,
		StateBudget: s.o.stateBudget, From: before, Hold: o.Hold, Log: s.way.log,
	})
	if err != nil {
		return out, err
	}
	local := &pipeline.Local{
		Engine: engine, Workers: workers(doctor.Descriptors()), Fragile: talk.fragile.Contains, Log: s.way.log, Queue: answersWaiting,
	}
	if o.Identify {
		local.Crew = &memory{crew: s.way.talker(talk, rules, o.Plan.Ports(), o.Plan.Seed()), hold: o.Hold}
	}
	s.now.Store(local)
	return local.Run(ctx, o.Plan, emit)
}

// guard holds the addresses of the plan, and has been asked for both ends of
// each prefix.
func (s *agentSweeper) guard(plan *scanner.Plan) (*scanner.Guard, error) {
	s.guards.Lock()
	defer s.guards.Unlock()
	guard, err := scanner.NewGuard(plan.Prefixes())
	if err != nil {
		return nil, err
	}
	if err := guard.Check(plan); err != nil {
		return nil, err
	}
	return guard, nil
}
