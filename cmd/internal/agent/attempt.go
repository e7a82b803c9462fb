package agent

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"

	"dormant/cmd/internal/fleet"
	"dormant/cmd/internal/pipeline"
	"dormant/scanner"
)

// The reasons for which a shard that was begun is not ended here.
var (
	errLeaving = errors.New("the agent was told to leave")
	errWindow  = errors.New("the window is over")
	errClock   = errors.New("the clock of this machine was set while the shard was in work")
)

// attempt is one carrying out of a shard.
type attempt struct {
	v       *vantage
	shard   fleet.Shard
	item    finish
	id      string
	ahead   time.Duration // this clock's before the server's, all the time
	started time.Time     // by this clock
	order   Order
	spared  []netip.Prefix
	parts   int
}

// do carries out the shard of a work item, gives the results, and settles the
// item. It returns the fault of this side for which it was given back.
func (v *vantage) do(ctx context.Context, leave <-chan struct{}, m jetstream.Msg) error {
	defer v.keep(m)()
	shard, err := fleet.DecodeShard(m.Data())
	if err == nil {
		err = fleet.CheckShard(v.place.WorkSubject(), shard)
	}
	if err != nil {
		v.giveBack(m)
		return fmt.Errorf("a shard that cannot be read: %w", err)
	}
	v.atWork.Store(&shard)
	defer v.atWork.Store(nil)
	log := v.log.With("run", shard.Run, "shard", shard.Number)
	item := finish{shard: shard.ID(), item: m.Headers().Get(jetstream.MsgIDHeader)}
	if number, ok := v.spool.done(item); ok {
		log.Info("the shard was done here before: what was found is with the server, or on its way")
		v.settle(ctx, leave, m, number)
		return nil
	}
	ahead, err := v.clock(ctx)
	if err != nil {
		v.giveBack(m)
		return err
	}
	at := &attempt{v: v, shard: shard, item: item, id: uuid.NewString(), ahead: ahead, started: v.agent.cfg.now()}
	out, err := at.carryOut(ctx, leave)
	if err == nil {
		err = at.dated(ctx)
	}
	if ctx.Err() != nil { // at once: what is on the disk stays there
		return nil
	}
	number, stored := at.done(ctx, out, err)
	if err = errors.Join(err, stored); err == nil {
		log.Info("shard done", "open", out.Scan.Open, "targets", out.Scan.Targets, "took", v.agent.cfg.now().Sub(at.started).Round(time.Millisecond))
		v.settle(ctx, leave, m, number)
		return nil
	}
	if stored == nil && v.agent.cfg.Conn.IsConnected() { // the server hears why before it gives the shard to another
		waiting, cancel := context.WithTimeout(ctx, v.agent.cfg.pace.request)
		_ = v.spool.await(waiting, number) // it is on the disk
		cancel()
	}
	v.giveBack(m)
	log.Info("shard given back", "why", err)
	return err
}

// dated says why the times of the attempt cannot be believed. While the server is
// away nobody knows.
func (at *attempt) dated(ctx context.Context) error {
	if ahead, err := at.v.clock(ctx); err == nil && (ahead-at.ahead).Abs() >= time.Minute {
		return errClock
	}
	return nil
}

// settle acknowledges the item when the record of that number is in the result
// stream. Told to leave it waits for as long as the grace: what is on the disk
// is published by the next start.
func (v *vantage) settle(ctx context.Context, leave <-chan struct{}, m jetstream.Msg, number uint64) {
	waiting, cancel := untilLeft(ctx, leave, v.agent.cfg.Grace)
	defer cancel()
	if err := v.spool.await(waiting, number); err != nil {
		return // it comes again, and is known to be done
	}
	ctx, stop := context.WithTimeout(ctx, v.agent.cfg.pace.request)
	defer stop()
	if err := m.DoubleAck(ctx); err != nil {
		v.log.Info("the acknowledgement of a shard was not confirmed: it may come again, and is not done again", "error", err)
	}
}

// untilLeft returns a context that ends grace after leave was closed, with
// errLeaving.
func untilLeft(ctx context.Context, leave <-chan struct{}, grace time.Duration) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	done := make(chan struct{})
	go func() { // ends with ctx, by the returned function at the latest
		defer close(done)
		select {
		case <-ctx.Done():
			return
		case <-leave:
		}
		if scanner.Sleep(ctx, grace) == nil {
			cancel(errLeaving)
		}
	}()
	return ctx, func() { cancel(nil); <-done }
}

// carryOut sweeps what may be swept. The error is why the shard was not carried
// out as a whole.
func (at *attempt) carryOut(ctx context.Context, leave <-chan struct{}) (out pipeline.Outcome, err error) {
	v := at.v
	never, err := v.lists(ctx)
	if err != nil {
		return out, err
	}
	if at.order, at.spared, err = v.agent.cfg.order(ctx, &at.shard, never); err != nil {
		return out, err
	}
	at.order.Hold = v.hold
	sweeping, cancel := untilLeft(ctx, leave, v.agent.cfg.Grace)
	defer cancel()
	sweeping, stop := context.WithCancelCause(sweeping)
	defer stop(nil)
	if until := at.until(); !until.IsZero() {
		var timed context.CancelFunc
		sweeping, timed = context.WithDeadlineCause(sweeping, until, errWindow)
		defer timed()
	}
	if sweeping.Err() != nil {
		return out, context.Cause(sweeping)
	}
	if at.order.Plan == nil { // the site's list names all of it
		out.Scan.Started, out.Scan.Finished, out.Scan.Complete, out.Scan.Parts = at.started, at.started, true, 1
		return out, nil
	}
	return at.sweep(ctx, sweeping, stop)
}

// until is when the job's window or the agent's own closes, by this clock; the
// zero time is never.
func (at *attempt) until() time.Time {
	own := at.v.agent.cfg.Window.Closes(at.started)
	asked := at.shard.Until
	if !asked.IsZero() {
		asked = asked.Add(at.ahead)
	}
	if own.IsZero() || !asked.IsZero() && asked.Before(own) {
		return asked
	}
	return own
}

// sweep runs the sweeper. Results are stored under ctx, which outlasts the
// sweep's own context: what was found by then counts.
func (at *attempt) sweep(ctx, sweeping context.Context, stop context.CancelCauseFunc) (pipeline.Outcome, error) {
	v := at.v
	cfg := &v.agent.cfg
	storing, give := context.WithCancelCause(ctx)
	defer give(nil)
	c := &collector{
		spool: v.spool, shard: &at.shard, attempt: at.id, subject: v.place.ResultSubject(cfg.Agent, at.shard.Run),
		payload: v.agent.longest(), ahead: at.ahead, failed: stop,
	}
	defer afterwards(sweeping, storing, give, cfg.pace.handover)()
	defer every(cfg.pace.part/2, func() { c.flushOlder(storing, cfg.pace.part) })()
	out, err := v.sweeper.Sweep(sweeping, at.order, func(r pipeline.Result) { c.add(storing, r) })
	var stored error
	var lost uint64
	at.parts, lost, stored = c.end(storing)
	if lost > 0 {
		out.Lost += lost
		v.log.Warn("dialogues that fit into no message were left out", "results", lost)
	}
	switch {
	case stored != nil:
		return out, stored
	case sweeping.Err() != nil && err != nil:
		return out, context.Cause(sweeping)
	case err != nil:
		return out, err
	}
	return out, faultOf(&out)
}

// afterwards ends storing when the sweep was stopped and its results still find
// no room after a while. The returned function must be called.
func afterwards(sweeping, storing context.Context, give context.CancelCauseFunc, d time.Duration) func() {
	over, done := make(chan struct{}), make(chan struct{})
	go func() { // ends when over is closed
		defer close(done)
		select {
		case <-over:
			return
		case <-sweeping.Done():
		}
		if sleep(storing, over, d) {
			give(context.Cause(sweeping))
		}
	}()
	return func() { close(over); <-done }
}

// every calls f again and again until the returned function is called.
func every(d time.Duration, f func()) (stop func()) {
	over, done := make(chan struct{}), make(chan struct{})
	go func() { // ends when over is closed
		defer close(done)
		tick := time.NewTicker(d)
		defer tick.Stop()
		for {
			select {
			case <-over:
				return
			case <-tick.C:
				f()
			}
		}
	}()
	return func() { close(over); <-done }
}

// faultOf says why an outcome without an error is no outcome all the same: this
// side failed for most of the targets, or of the dialogues.
func faultOf(out *pipeline.Outcome) error {
	s, d := &out.Scan, &out.Identify
	switch {
	case s.Unknown > s.Targets/2:
		return fmt.Errorf("%d of %d targets could not be asked from here", s.Unknown, s.Targets)
	case d.LocalErrors > d.Ports/2:
		return fmt.Errorf("%d of %d dialogues failed on this side", d.LocalErrors, d.Ports)
	}
	return nil
}

// done puts the end of the attempt behind its parts. fault is why the shard was
// not carried out.
func (at *attempt) done(ctx context.Context, out pipeline.Outcome, fault error) (number uint64, err error) {
	v := at.v
	d := &fleet.Done{
		Run: at.shard.Run, Shard: at.shard.Number, Attempt: at.id, Agent: v.agent.cfg.Agent, Parts: at.parts,
		Outcome: out, Started: shift(at.started, at.ahead), Finished: shift(v.agent.cfg.now(), at.ahead),
		Spared: at.spared, Rate: finite(at.order.Rate), Backend: v.sweeper.Backend(),
	}
	d.Outcome.Scan.Started, d.Outcome.Scan.Finished = shift(out.Scan.Started, at.ahead), shift(out.Scan.Finished, at.ahead)
	r := record{subject: v.place.ResultSubject(v.agent.cfg.Agent, at.shard.Run), id: d.ID()}
	if fault != nil {
		d.Fault = clip(fault.Error())
	} else {
		r.finishes = at.item
	}
	if r.data, err = fleet.Encode(fleet.Message{Version: fleet.Version, Done: d}); err != nil {
		return 0, err
	}
	return v.spool.append(ctx, r)
}

// longest is the longest message that the connection and the server take, in
// bytes.
func (a *Agent) longest() int {
	n := int64(fleet.MaxPayload)
	if said := a.cfg.Conn.MaxPayload(); said > 0 {
		n = min(n, said)
	}
	return int(n) - messageRoom
}
