package agent

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"dormant/cmd/internal/fleet"
)

// publish brings the spool's records into the result stream, one after the
// other, until ctx ends. A record leaves the spool when the server has it on its
// disk.
func (v *vantage) publish(ctx context.Context) {
	pace := v.agent.cfg.pace
	wait := newBackoff(min(pace.first, time.Second/2), min(pace.max, 30*time.Second))
	for ctx.Err() == nil {
		r, err := v.spool.oldest(ctx)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			err = v.send(ctx, r)
		}
		if err == nil {
			err = v.spool.settle(r)
		}
		switch {
		case err == nil:
			if wait.reset() {
				v.log.Info("the server takes results again", "waiting", v.spool.results())
			}
			v.faults.set(faultPublish, nil)
			continue
		case ctx.Err() != nil:
			return
		}
		if wait.fresh() {
			v.log.Warn("the server does not take results: they wait on the disk", "error", err)
		}
		v.faults.set(faultPublish, err)
		sleep(ctx, v.changed, wait.next())
	}
}

// send publishes one record and waits until the stream has it.
func (v *vantage) send(ctx context.Context, r record) error {
	if !v.agent.cfg.Conn.IsConnected() {
		return nats.ErrDisconnected // else it would wait in the connection's memory, once for each try
	}
	ctx, cancel := context.WithTimeout(ctx, v.agent.cfg.pace.request)
	defer cancel()
	m := nats.NewMsg(r.subject)
	m.Data = r.data
	_, err := v.agent.js.PublishMsg(ctx, m, jetstream.WithMsgID(r.id), jetstream.WithExpectStream(fleet.ResultStream))
	return err
}

// backoff is how long to wait after one fault after another.
type backoff struct {
	first, max, now time.Duration
}

func newBackoff(first, max time.Duration) *backoff { return &backoff{first: first, max: max} }

// fresh reports that there was no fault since the last reset.
func (b *backoff) fresh() bool { return b.now == 0 }

// next doubles the wait, up to max, and spreads it: agents that failed together
// do not come back together.
func (b *backoff) next() time.Duration {
	b.now = min(max(2*b.now, b.first), b.max)
	return b.now/2 + rand.N(b.now/2+1)
}

// reset begins anew; it reports whether there was a fault.
func (b *backoff) reset() bool {
	was := b.now != 0
	b.now = 0
	return was
}
