package scanner

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"dormant/registry"
)

// run is the state of one Engine.Run. Two goroutines share it: the sender, in
// which Run itself works, and the receiver.
type run struct {
	backend  Backend
	resolver Resolver // nil where the backend is none
	cfg      Config
	plan     *Plan
	emit     func(Observation)
	unheard  func(Observation) // emit for the silent targets
	started  time.Time

	// Written by the receiver, read by the sender.
	states  cells // of targets: the best State so far
	hosts   cells // of addresses: 0 dark, else 1 + its ICMP errors for UDP ports
	trips   roundTrips
	settled chan struct{} // holds a token when an answer may have been the last

	// Written by the sender, read by the receiver: the round, and for each target
	// whether it was asked in it. The meaning of the flag turns with every round,
	// so that "not yet" needs no clearing: see askedNow.
	attempt atomic.Uint32
	flags   flags

	// The sender's own.
	payloads             [][]byte // of the plan's ports
	sizes                []uint64 // of their probes, see packetSizes
	cut                  *feistel // the order that the shards are parts of
	first, step          uint64   // the places of the walk in the plan's order
	udpPorts             int
	limiter              *rate.Limiter
	pacer                hostPacer
	icmp                 hostPacer
	queue                *queue
	outlook              outlook
	timer                *time.Timer
	batch                []Probe
	targets              []uint64 // natural indexes of batch
	skip                 bitset   // of addresses nobody has; nil when all are reachable
	live                 bitset   // of addresses that had answered when the round began
	anyLive              bool
	meter                meter
	governor             governor
	marks                marks
	marked               int64
	roundBegun, lastSent int64
	filled               int64 // the latest batch was made
	firstSent            int64 // the last probe of the first round
	held                 int64 // nanoseconds in which nothing might be sent
	budgetWaits          uint64
	retries              uint64
	cooldown             time.Duration

	// The receiver's own, read by the sender after the join.
	window synWindow // the sender adds and looks, the receiver credits

	hostsAlive uint64

	tries       tries                   // of all answers
	subnetTries map[netip.Prefix]*tries // nil without Config.Subnets

	// The few numbers of the progress line, atomic.
	phase    atomic.Value // Phase
	probes   atomic.Uint64
	asked    atomic.Uint64 // targets with at least one probe
	answered atomic.Uint64 // of these
	open     atomic.Uint64
	skipped  atomic.Uint64 // targets; of a shard about
	begun    atomic.Int64  // when the first and
	ended    atomic.Int64  // the last batch so far was sent
	noted    atomic.Int64  // the last batch was entered in the books, when so many
	halfOpen atomic.Uint64 // half-open connections could be held

	duplicate, foreign, invalid atomic.Uint64 // for Counters, which a checkpoint takes too
}

func newRun(b Backend, cfg Config, plan *Plan, emit func(Observation)) *run {
	size := batchSize(cfg.Rate, cfg.Batch)
	if cfg.StateBudget > 0 {
		size = int(min(uint64(size), cfg.StateBudget))
	}
	r := &run{
		backend: b, cfg: cfg, plan: plan, emit: emit, started: time.Now(),
		states: newCells(plan.Len()), hosts: newCells(plan.NumAddrs()), flags: newFlags(plan.Len(), cfg.From.Round%2 == 1),
		settled: make(chan struct{}, 1),
		limiter: newLimiter(cfg.Rate, size),
		pacer:   newHostPacer(plan.NumAddrs(), cfg.HostRate, cfg.Rate),
		queue:   newQueue(cfg.Rate),
		batch:   make([]Probe, 0, size), targets: make([]uint64, 0, size),
		meter: newMeter(plan.NumAddrs()),
		cut:   &plan.order, first: cfg.Shard, step: cfg.Shards,
	}
	if cfg.Cut != nil {
		r.cut, r.first, r.step = &cfg.Cut.order, 0, 1
	}
	if cfg.Subnets {
		r.subnetTries = map[netip.Prefix]*tries{}
	}
	r.marks.recent = []mark{{-1 << 62, cfg.From}}
	r.governor = newGovernor(r.limiter, size, cfg.Log)
	r.resolver, _ = b.(Resolver)
	r.phase.Store(PhaseIdle)
	for _, port := range plan.ports {
		var payload []byte
		if cfg.Payload != nil && port.Proto == registry.UDP {
			payload = cfg.Payload(port)
		}
		r.payloads = append(r.payloads, payload)
		if port.Proto == registry.UDP {
			r.udpPorts++
		}
	}
	r.sizes = packetSizes(plan.ports, r.payloads)
	return r
}

// now returns the nanoseconds since the start of the run.
func (r *run) now() int64 { return int64(time.Since(r.started)) }

// size returns the number of targets of this shard.
func (r *run) size() uint64 {
	n := r.plan.Len()
	if r.cfg.Shard >= n {
		return 0
	}
	return (n - r.cfg.Shard + r.cfg.Shards - 1) / r.cfg.Shards
}

// send does the sender's whole work: neighbours, the plan, the retries, the
// waiting.
func (r *run) send(ctx context.Context) error {
	r.timer = time.NewTimer(0)
	defer r.timer.Stop()
	if err := r.resolve(ctx); err != nil {
		return err
	}
	for attempt := r.cfg.From.Round; attempt <= r.cfg.Retries; attempt++ {
		if attempt == 0 {
			r.phase.Store(PhaseSweep)
		} else {
			if r.allAnswered() {
				break
			}
			r.phase.Store(PhaseRetry)
			if err := r.wait(ctx, r.untilRetry); err != nil {
				return err
			}
		}
		if err := r.round(ctx, uint8(attempt)); err != nil {
			return err
		}
		if err := r.check(ctx); err != nil {
			return err
		}
	}
	return r.cool(ctx)
}

// resolve finds the neighbours, where the backend needs them, and marks the
// addresses that nobody has.
func (r *run) resolve(ctx context.Context) error {
	if r.resolver == nil {
		return nil
	}
	r.phase.Store(PhaseResolve)
	pace := func(ctx context.Context, n int) error {
		if err := r.hold(ctx); err != nil {
			return err
		}
		return waitFor(ctx, r.limiter, n)
	}
	if err := r.resolver.Resolve(ctx, r.plan.Addresses(), pace); err != nil {
		return fmt.Errorf("scanner: resolve neighbours: %w", err)
	}
	missing, k := uint64(0), uint64(0)
	skip := newBitset(r.plan.NumAddrs())
	for addr := range r.plan.Addresses() {
		if _, _, ok := r.resolver.Reachable(addr); !ok {
			skip.set(k)
			missing++
		}
		k++
	}
	if missing > 0 {
		r.skip = skip
		r.skipped.Store(missing * uint64(len(r.plan.ports)) / r.cfg.Shards)
	}
	r.cfg.Log.InfoContext(ctx, "neighbours resolved", "addresses", k, "unreachable", missing, "took", time.Duration(r.now()))
	return nil
}

// flush gives the batch to the backend, after one wait for all of it.
func (r *run) flush(ctx context.Context) error {
	if err := r.spend(ctx); err != nil {
		return err
	}
	if err := r.hold(ctx); err != nil { // the last that can take long: a pause may begin while others wait
		return err
	}
	if err := waitFor(ctx, r.limiter, len(r.batch)); err != nil {
		return fmt.Errorf("scanner: pace: %w", err)
	}
	now := r.now()
	if now > r.filled+int64(burstTime) { // it was held, or waited for the budget
		for _, j := range r.targets {
			r.pacer.send(r.addr(j), now)
		}
	}
	if r.lastSent == 0 {
		r.begun.Store(now - r.held)
	}
	r.note(now)
	for rest := r.batch; len(rest) > 0; {
		n, err := r.backend.Send(ctx, rest)
		if n = min(max(n, 0), len(rest)); n == 0 && err == nil {
			err = errors.New("the backend took nothing")
		}
		if rest[0].Attempt > 0 {
			r.retries += uint64(n)
		}
		r.probes.Add(uint64(n))
		rest = rest[n:]
		if err != nil {
			return fmt.Errorf("scanner: send: %w", err)
		}
	}
	r.lastSent = r.now()
	if r.batch[0].Attempt == 0 {
		r.firstSent = r.lastSent
	}
	r.ended.Store(r.lastSent - r.held)
	r.governor.look(ctx, r.lastSent, r.probes.Load(), r.backend.Counters, r.batch[0].Attempt)
	return nil
}

// hold waits while nothing may be sent.
func (r *run) hold(ctx context.Context) error {
	if r.cfg.Hold == nil {
		return nil
	}
	phase, before := r.phase.Load(), r.now()
	r.phase.Store(PhaseHeld)
	err := r.cfg.Hold(ctx)
	r.phase.Store(phase)
	if err != nil {
		return fmt.Errorf("scanner: hold: %w", err)
	}
	if now := r.now(); now-before > int64(batchTime) {
		r.held += now - before
		r.governor.forget(now)
	}
	return nil
}

// budgetEvery is how often a used-up state budget is looked at again.
const budgetEvery = int64(50 * time.Millisecond)

// spend waits until the half-open connections of the batch are within the
// budget.
func (r *run) spend(ctx context.Context) error {
	if r.cfg.StateBudget == 0 {
		return nil
	}
	syns := r.syns()
	for waited := false; syns > 0 && r.window.held(r.now())+syns > r.cfg.StateBudget; waited = true {
		if !waited {
			if r.budgetWaits++; r.budgetWaits == 1 {
				r.cfg.Log.InfoContext(ctx, "the state budget is used up: waiting", "half-open", r.window.held(r.now()), "budget", r.cfg.StateBudget)
			}
		}
		if err := r.sleepUntil(ctx, r.now()+budgetEvery); err != nil {
			return err
		}
	}
	return nil
}

// syns counts the SYNs of the batch.
func (r *run) syns() (n uint64) {
	for i := range r.batch {
		if r.batch[i].Port.Proto == registry.TCP {
			n++
		}
	}
	return n
}

// note keeps the books of the batch that is about to be sent. All its probes
// have the same attempt.
func (r *run) note(now int64) {
	attempt := r.batch[0].Attempt
	r.flags.setAll(r.targets, attempt%2 == 0)
	for _, j := range r.targets { // apart from the atomic stores, which would let these wait for each other
		r.meter.add(r.addr(j))
	}
	syns := r.syns()
	r.halfOpen.Store(r.window.add(now, syns))
	r.noted.Store(now)
	if attempt > 0 {
		return
	}
	r.governor.aimed += syns
	r.trips.record(r.targets, now)
	r.asked.Add(uint64(len(r.targets)))
}

// allAnswered reports whether there is nothing left to wait for.
func (r *run) allAnswered() bool { return r.answered.Load() >= r.asked.Load() }

// untilRetry returns how long after the last probe the next round may begin.
func (r *run) untilRetry() time.Duration {
	return r.trips.timeout(retryFloor, retryBlind, r.cfg.MaxCooldown)
}

// cool waits for the answers to the last probes.
func (r *run) cool(ctx context.Context) error {
	r.phase.Store(PhaseWait)
	var err error
	switch {
	case r.probes.Load() == 0:
	case r.cfg.Cooldown > 0:
		err = r.sleepUntil(ctx, r.lastSent+int64(r.cfg.Cooldown))
	default:
		gateways := r.untilGateways()
		err = r.wait(ctx, func() time.Duration {
			return max(gateways, r.trips.timeout(finalFloor, finalBlind, r.cfg.MaxCooldown))
		})
	}
	r.cooldown = time.Duration(r.now() - r.lastSent)
	return err
}

// wait returns when the last probe is as long ago as long says, which can grow
// meanwhile, or when every target has answered.
func (r *run) wait(ctx context.Context, long func() time.Duration) error {
	for !r.allAnswered() {
		left := r.lastSent + int64(long()) - r.now()
		if left <= 0 {
			return nil
		}
		r.timer.Reset(time.Duration(left))
		select {
		case <-ctx.Done():
			return fmt.Errorf("scanner: wait: %w", context.Cause(ctx))
		case <-r.settled:
		case <-r.timer.C:
		}
	}
	return nil
}

// sleepUntil waits for a moment of the run.
func (r *run) sleepUntil(ctx context.Context, moment int64) error {
	r.timer.Reset(time.Duration(max(0, moment-r.now())))
	select {
	case <-ctx.Done():
		return fmt.Errorf("scanner: wait: %w", context.Cause(ctx))
	case <-r.timer.C:
		return nil
	}
}

// addr returns the address index of the natural index j.
func (r *run) addr(j uint64) uint64 {
	k, _ := r.plan.width.split(j)
	return k
}

// unreachable returns what the resolver says of an address that was skipped.
func (r *run) unreachable(addr netip.Addr) (State, Reason) {
	if state, reason, ok := r.resolver.Reachable(addr); !ok {
		return state, reason
	}
	return Unknown, NoResponse // it appeared after the run had skipped it
}
