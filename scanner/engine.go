package scanner

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"dormant/registry"
)

// Defaults of Config.
const (
	DefaultHostRate    = 20 // probes per second to one address
	defaultMaxCooldown = 8 * time.Second
	defaultBatch       = 256 // performance: 8 to 256 cost the same to send, and a wait each
	batchOfLane        = 512 // performance: half a millisecond's work, against the 20 µs in which a sleeping processor wakes up
	// MaxRetries is where asking again stops being of use: with half of all
	// packets lost, fifteen probes still miss one open port in seventy-five.
	MaxRetries = 14
)

// Config is how a run behaves. It is not changed after New.
type Config struct {
	// Rate is in probes per second over all hosts, rate.Inf for as fast as the
	// backend takes them. Required.
	Rate rate.Limit
	// HostRate is in probes per second to one address, 0 for DefaultHostRate,
	// rate.Inf for no limit. A quarter of a second's worth may come at once.
	HostRate rate.Limit
	// Retries is how often an unanswered target is asked again, at most
	// MaxRetries.
	Retries int
	// Cooldown is how long answers are awaited after the last probe. 0 adapts it
	// to the measured round trips, at most MaxCooldown, and ends it as soon as
	// every target has answered.
	Cooldown time.Duration
	// MaxCooldown bounds every adaptive wait, 0 for defaultMaxCooldown.
	MaxCooldown time.Duration
	// Batch is the most probes that are given to the backend at once, 0 for
	// defaultBatch, and for more where the backend is Parallel. A low Rate makes
	// batches smaller.
	Batch int
	// Payload gives the datagram for a UDP port, nil for empty datagrams. It is
	// called once for each port.
	Payload func(registry.Port) []byte
	// Guard has the last word on whose answers are accepted, nil to accept all
	// that the plan holds. It is called by the receiver only.
	Guard func(netip.Addr) bool
	// Shard and Shards choose every Shards-th target of the plan's order,
	// beginning with the Shard-th, counted from 0. Shards 0 means 1.
	Shard, Shards uint64
	// Cut is the plan of whose order the shard is a part, nil for the one that is
	// run: with it, runs in different orders can ask the same targets. It has the
	// same addresses and ports. A run with Cut has no From.
	Cut *Plan
	// Silent also emits the targets that did not answer, when all is over and in
	// the order of Target.Compare: filtered (tcp) and open_filtered (udp) with
	// no-response, those never asked with the Resolver's state and reason, and
	// unknown with local-error. A run that was cut short emits none of them.
	Silent bool
	// StateBudget bounds the half-open connections that any path can hold: SYNs
	// of one StateTimeout that were not answered. The sender waits where it is
	// used up. 0 is no bound. What earlier runs have left counts: From.Spent.HalfOpen.
	StateBudget uint64
	// Hold is called before every batch and blocks while nothing may be sent:
	// outside a time window, or while the user wants a pause. Its error ends the
	// run. Nil never holds.
	Hold func(ctx context.Context) error
	// Journal is called for every answer, right before emit and like it, nil for
	// no one. It is not called for those of Known.
	Journal func(Observation)
	// From is where an earlier run of the same plan and shard ended, and Known
	// yields the answers that it had: they are emitted first, and their targets
	// are not asked again. See Engine.Position.
	From  Position
	Known iter.Seq[Observation]
	// Subnets fills in Summary.Subnets.
	Subnets bool
	// Log takes a few lines per run, nil for none.
	Log *slog.Logger
}

// withDefaults fills the zero values and refuses what makes no sense.
func (c Config) withDefaults() (Config, error) {
	if c.HostRate == 0 {
		c.HostRate = DefaultHostRate
	}
	if c.MaxCooldown == 0 {
		c.MaxCooldown = defaultMaxCooldown
	}
	if c.Batch == 0 {
		c.Batch = defaultBatch
	}
	if c.Shards == 0 {
		c.Shards = 1
	}
	if c.Journal == nil {
		c.Journal = func(Observation) {}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	for _, check := range []struct {
		bad  bool
		what string
		got  any
		want string
	}{
		{!(c.Rate > 0), "rate", c.Rate, "more than 0 probes per second"},
		{!(c.HostRate > 0), "host rate", c.HostRate, "more than 0 probes per second"},
		{c.Retries < 0 || c.Retries > MaxRetries, "retries", c.Retries, fmt.Sprintf("0 to %d", MaxRetries)},
		{c.Cooldown < 0, "cooldown", c.Cooldown, "0 or more"},
		{c.MaxCooldown < 0, "longest cooldown", c.MaxCooldown, "0 or more"},
		{c.Batch < 0, "batch", c.Batch, "0 or more probes"},
		{c.From.Round < 0, "round to resume", c.From.Round, "0 or more"},
		{c.Shard >= c.Shards, "shard", c.Shard, fmt.Sprintf("below %d", c.Shards)},
		{c.Cut != nil && c.From.Spent.Parts > 0, "resumed parts", c.From.Spent.Parts, "none with a shard of another order"},
	} {
		if check.bad {
			return c, fmt.Errorf("scanner: %s %v: want %s", check.what, check.got, check.want)
		}
	}
	return c, nil
}

// Engine asks the targets of a plan through a Backend. It runs one plan at a
// time.
type Engine struct {
	backend Backend
	cfg     Config
	current atomic.Pointer[run] // for Progress
}

// New returns an engine that sends through b. It starts nothing.
func New(b Backend, cfg Config) (*Engine, error) {
	if b == nil {
		return nil, errors.New("scanner: no backend")
	}
	if p, ok := b.(Parallel); ok && cfg.Batch == 0 && p.Lanes() > 1 {
		cfg.Batch = p.Lanes() * batchOfLane
	}
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	return &Engine{backend: b, cfg: cfg}, nil
}

// Run asks every target of the plan's shard, asks the unanswered again, waits
// for the last answers, and returns when everything that it started has ended.
//
// emit is called for every answer, and again when a later answer tells more
// (filtered, then open). The calls never overlap; they come from the receiver,
// so emit must not block, and with Config.Known at the start and Config.Silent
// at the end from Run itself.
//
// The summary is always that of what was done. The error wraps the first
// failure of the backend, or the cause of ctx's end; then Complete is false.
func (e *Engine) Run(ctx context.Context, plan *Plan, emit func(Observation)) (Summary, error) {
	return e.RunApart(ctx, plan, emit, emit)
}

// RunApart is Run for a caller whose emit must not block although there can be a
// thousand times as many silent targets as answers: unheard is called for those
// of Config.Silent, instead of emit and after its last call, by the goroutine
// that called RunApart. It may block, and the summary's Finished is after it.
func (e *Engine) RunApart(ctx context.Context, plan *Plan, emit, unheard func(Observation)) (Summary, error) {
	if cut := e.cfg.Cut; cut != nil && (cut.Len() != plan.Len() || cut.NumAddrs() != plan.NumAddrs()) {
		err := fmt.Errorf("scanner: shard: cut from a plan of %d targets: want the %d of the one that is run", cut.Len(), plan.Len())
		return Summary{Why: []string{err.Error()}}, err
	}
	if next := e.cfg.From.Next; next >= plan.Len()+e.cfg.Shards { // up to a step behind the end: as versions before 2026-11-22 noted it
		err := fmt.Errorf("scanner: resume from place %d: want at most %d, the number of targets", next, plan.Len())
		return Summary{Why: []string{err.Error()}}, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r := newRun(e.backend, e.cfg, plan, emit)
	r.unheard = unheard
	e.current.Store(r)
	r.resume()
	received := make(chan error, 1)
	receiving, stop := context.WithCancel(ctx)
	defer stop()
	go func() { // ends when receiving does, or with the backend's error
		err := e.backend.Receive(receiving, r.observe)
		if err == nil && receiving.Err() == nil {
			err = errors.New("ended early")
		}
		if err != nil {
			err = fmt.Errorf("scanner: receive: %w", err)
			cancel(err)
		}
		received <- err
	}()
	err := r.send(ctx)
	stop()
	err = oneError(err, <-received)
	return r.finish(err), err
}

// oneError is the fault of a run in one line: of sender and receiver where both
// failed, and that of the receiver alone where it is what stopped the sender,
// or where both fell over the same thing.
func oneError(sent, received error) error {
	switch {
	case received == nil:
		return sent
	case sent == nil, errors.Is(sent, received), errors.Is(sent, root(received)):
		return received
	default:
		return fmt.Errorf("%w; %w", sent, received)
	}
}

// root is the innermost error of a chain.
func root(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}

// Phase is what a run is doing.
type Phase string

// The phases of a run.
const (
	PhaseIdle    Phase = "idle"
	PhaseResolve Phase = "resolve" // neighbours
	PhaseSweep   Phase = "sweep"   // every target the first time
	PhaseRetry   Phase = "retry"   // the unanswered again
	PhaseWait    Phase = "wait"    // for late answers
	PhaseHeld    Phase = "held"    // nothing may be sent: Config.Hold
	PhaseDone    Phase = "done"
)

// Progress is a snapshot of a run.
type Progress struct {
	Phase Phase
	// Sent counts probes, Expected what Sent will be at the end: the targets,
	// and for every round to come as many of them as have not answered so far.
	Sent, Expected uint64
	// Open counts targets found open.
	Open uint64
	// Rate is the mean of probes per second since the first one.
	Rate float64
	// Elapsed is the time since the start of the run.
	Elapsed time.Duration
}

// Progress returns how far the run is. It may be called at any time, from any
// goroutine.
func (e *Engine) Progress() Progress {
	r := e.current.Load()
	if r == nil {
		return Progress{Phase: PhaseIdle}
	}
	return r.progress()
}
