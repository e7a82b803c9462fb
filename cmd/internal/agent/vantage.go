package agent

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"dormant/cmd/internal/fleet"
	"dormant/scanner"
)

// vantage takes shards of one place, one at a time.
type vantage struct {
	agent   *Agent
	place   fleet.Place
	sweeper Sweeper
	limit   int64 // bytes of the spool
	log     *slog.Logger

	spool   *spool // set by Agent.open
	terms   terms
	faults  faults
	atWork  atomic.Pointer[fleet.Shard] // nil: it waits
	changed chan struct{}               // holds a token when the publisher shall try again
}

// wake lets the publisher try again now.
func (v *vantage) wake() {
	select {
	case v.changed <- struct{}{}:
	default: // a token is there already
	}
}

// work takes shards until it is told to leave.
func (v *vantage) work(ctx context.Context, leave <-chan struct{}) {
	pace := v.agent.cfg.pace
	wait := newBackoff(pace.first, pace.max)
	for !over(ctx, leave) {
		if !v.ready(ctx) {
			sleep(ctx, leave, pace.look)
			continue
		}
		m, err := v.pull(ctx, leave)
		if over(ctx, leave) {
			if m != nil { // it came in the last moment
				v.giveBack(m)
			}
			return
		}
		kind := faultPull
		if err == nil {
			v.faults.set(faultPull, nil)
			if m == nil {
				continue // nothing to do at the moment
			}
			kind, err = faultSweep, v.do(ctx, leave, m)
		}
		if err == nil {
			wait.reset()
			v.faults.set(faultSweep, nil)
			continue
		}
		if errors.Is(err, errLeaving) {
			return
		}
		if v.faults.set(kind, err) && v.agent.cfg.Conn.IsConnected() {
			v.log.Warn("no shard is carried out here for a while", "error", err)
		}
		sleep(ctx, leave, wait.next())
	}
}

// over reports whether nothing new shall be begun.
func over(ctx context.Context, leave <-chan struct{}) bool {
	select {
	case <-ctx.Done():
		return true
	case <-leave:
		return true
	default:
		return false
	}
}

// ready reports whether a shard may be taken: it says once what is in the way.
func (v *vantage) ready(ctx context.Context) bool {
	_, err := v.agent.cfg.neverScan(ctx)
	if ctx.Err() != nil {
		return false
	}
	if v.faults.set(faultList, err) && err != nil {
		v.log.Error("no shard is taken without the never-scan list", "error", err)
	}
	return err == nil && v.agent.cfg.Conn.IsConnected() && v.terms.err() == nil &&
		v.spool.roomy() && v.agent.cfg.Window.Until(time.Now()) == 0
}

// pull asks for a shard, and waits for one a while; nil is none.
func (v *vantage) pull(ctx context.Context, leave <-chan struct{}) (jetstream.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, v.agent.cfg.pace.pull)
	defer cancel()
	stopped := make(chan struct{})
	defer func() { <-stopped }()
	pulled := make(chan struct{})
	defer close(pulled)
	go func() { // ends when pulled is closed
		defer close(stopped)
		select {
		case <-leave:
			cancel()
		case <-pulled:
		}
	}()
	consumer, err := v.agent.js.Consumer(ctx, fleet.WorkStream, v.place.Consumer())
	if err != nil {
		return nil, quiet(ctx, err)
	}
	batch, err := consumer.Fetch(1, jetstream.FetchContext(ctx))
	if err != nil {
		return nil, quiet(ctx, err)
	}
	for m := range batch.Messages() { // at most one
		return m, nil
	}
	return nil, quiet(ctx, batch.Error())
}

// quiet makes nothing of an error that only means that no shard came in time, or
// that the server ends: the connection tells when it is back.
func quiet(ctx context.Context, err error) error {
	if ctx.Err() != nil || errors.Is(err, nats.ErrTimeout) || errors.Is(err, jetstream.ErrServerShutdown) {
		return nil
	}
	return err
}

// giveBack returns a work item at once, as far as the connection lets it: else
// the server takes it back when nothing is heard of it.
func (v *vantage) giveBack(m jetstream.Msg) {
	if !v.agent.cfg.Conn.IsConnected() {
		return
	}
	if err := m.Nak(); err != nil {
		v.log.Debug("a shard was not given back", "error", err)
	}
}

// keep says that the shard is still in work until stop is called.
func (v *vantage) keep(m jetstream.Msg) (stop func()) {
	ended, done := make(chan struct{}), make(chan struct{})
	go func() { // ends when ended is closed, by stop
		defer close(done)
		tick := time.NewTicker(v.agent.cfg.pace.alive)
		defer tick.Stop()
		for {
			select {
			case <-ended:
				return
			case <-tick.C:
			}
			if v.agent.cfg.Conn.IsConnected() {
				_ = m.InProgress() // the next one may come through
			}
		}
	}()
	return func() { close(ended); <-done }
}

// hold waits while nothing may be sent: until the spool has room. The end of a
// window is the end of the sweep, not a wait.
func (v *vantage) hold(ctx context.Context) error { return v.spool.room(ctx) }

// lists reads the never-scan list again, for one shard.
func (v *vantage) lists(ctx context.Context) (*scanner.Spared, error) {
	never, err := v.agent.cfg.neverScan(ctx)
	v.faults.set(faultList, err)
	return never, err
}
