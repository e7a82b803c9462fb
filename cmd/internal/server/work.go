package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"dormant/cmd/internal/fleet"
	"dormant/cmd/internal/pipeline"
)

// work is a run while it is folded.
type work struct {
	c      *conductor
	fold   *fold
	last   uint64 // the stream's number of the last message that was folded
	given  bool   // shards are given out
	until  time.Time
	synced time.Time
	seen   time.Time // when it was last looked whether the queue still has what is to be done
	why    string    // once it is over: of what is missing
}

// arrived is a message of the result stream.
type arrived struct {
	subject string
	data    []byte
	seq     uint64
	at      time.Time
}

// agent is who published the message, "" if that cannot be told.
func (m *arrived) agent() string {
	o, err := fleet.ParseSubject(m.subject)
	if err != nil {
		return ""
	}
	return o.Agent
}

// takeIn checks the message against its subject and folds it.
func (w *work) takeIn(m arrived, now time.Time) ([]pipeline.Result, error) {
	origin, err := fleet.ParseSubject(m.subject)
	if err != nil {
		return nil, err
	}
	if origin.Place != w.c.run.Place || origin.Run != w.c.run.ID {
		return nil, fmt.Errorf("server: a message for %s among those of %s", origin.Place, w.c.run.Place)
	}
	message, err := fleet.Decode(m.data)
	if err == nil {
		err = fleet.CheckOrigin(m.subject, message)
	}
	if err != nil {
		w.fold.refused[origin.Agent]++
		return nil, err
	}
	w.fold.sees(now)
	w.fold.sees(m.at)
	return w.fold.take(origin.Agent, message, w.fold.until)
}

// look does what is due, and reports whether the run is over.
func (w *work) look(ctx context.Context) (over bool, err error) {
	if w.fold.left == 0 && !w.anyDead() {
		return true, nil
	}
	// Before anything is given up or given out, everything that is known counts.
	current, err := w.current(ctx)
	if err != nil || !current {
		return false, err
	}
	now := w.c.s.now()
	w.fold.sees(now)
	if err := w.missed(ctx, now); err != nil {
		return false, err
	}
	w.answer(now)
	if w.fold.left == 0 {
		return true, nil
	}
	wait, until := w.opens(now)
	switch {
	case now.After(w.c.run.Deadline.Add(w.c.s.pace.grace)):
		w.why = w.absent("the deadline was reached")
		return true, nil
	case wait > 0 && w.given:
		if now.Before(w.until.Add(w.c.s.pace.grace)) {
			return false, nil // agents give back what they have
		}
		w.given = false
		return false, w.sync(ctx, time.Time{})
	case wait > 0 && !now.Add(wait).Before(w.c.run.Deadline):
		w.why = w.shut(now)
		return true, nil
	case wait > 0:
		return false, nil
	case w.given && until.Equal(w.until) && !w.stale(now):
		return false, nil
	}
	if err := w.sync(ctx, until); err != nil {
		return false, err
	}
	w.seen = now
	w.given, w.until, w.synced = true, until, now
	return false, nil
}

// opens returns how long it is until shards may be done, and until when they may
// be then: the deadline at the latest.
func (w *work) opens(now time.Time) (wait time.Duration, until time.Time) {
	if j := w.c.job; j != nil {
		wait, until = j.Opens(now)
	}
	if deadline := w.c.run.Deadline; until.IsZero() || until.After(deadline) {
		until = deadline
	}
	return wait, until
}

// shut says why no window opens any more. Where none has been open, it makes no
// difference who was there.
func (w *work) shut(now time.Time) string {
	if wait, _ := w.c.job.Opens(w.c.run.Started); w.c.run.Started.Add(wait).After(now) {
		return "no window of the job opens before the deadline"
	}
	return w.absent("the window closed before the deadline")
}

// absent adds to a reason that nobody was there.
func (w *work) absent(why string) string {
	if w.c.s.presence.anybody(w.c.run.Place, w.c.run.Started) {
		return why
	}
	return why + ", and no agent of " + w.c.run.Place.String() + " was there"
}

// stale reports whether shards may have left the queue without being done.
func (w *work) stale(now time.Time) bool {
	for _, s := range w.fold.shards {
		if !s.over && (s.renew || s.lost() > 0 && now.Sub(w.synced) > w.c.s.pace.again) {
			return true
		}
	}
	return false
}

// missed finds shards that left the queue, and nothing came of them: those that an
// agent did for the broker of before, when that was restored from a backup. Who
// takes one from the queue has published what came of it before.
func (w *work) missed(ctx context.Context, now time.Time) error {
	if !w.given || now.Sub(w.seen) <= w.c.s.pace.again {
		return nil
	}
	w.seen = now
	consumer, err := w.c.s.work.Consumer(ctx, w.c.run.Consumer())
	if err != nil {
		return fmt.Errorf("server: work queue: %w", err)
	}
	if info := consumer.CachedInfo(); info.NumPending > 0 || info.NumAckPending > 0 {
		return nil
	}
	there := map[int]bool{}
	err = w.c.s.eachShard(ctx, w.c.run.Place, func(_ uint64, item *fleet.Shard) error {
		there[item.Number] = there[item.Number] || item.Run == w.c.run.ID
		return nil
	})
	if err != nil {
		return err
	}
	if current, err := w.current(ctx); err != nil || !current {
		return err
	}
	n := 0
	for _, s := range w.fold.shards {
		if !s.over && !there[s.number] && s.lost() == 0 {
			s.missed, s.renew = 1, true
			n++
		}
	}
	if n > 0 {
		w.c.s.log.WarnContext(ctx, "shards were taken from the queue and nothing came of them: they are given out again", "run", w.c.run.ID, "shards", n)
	}
	return nil
}

func (w *work) anyDead() bool {
	for _, s := range w.fold.shards {
		if s.dead != "" {
			return true
		}
	}
	return false
}

// answer does what others asked for, and gives up on shards that fail again and
// again without the broker knowing.
func (w *work) answer(now time.Time) {
	w.c.mu.Lock()
	asked := w.c.asked
	w.c.asked = nil
	w.c.mu.Unlock()
	for _, r := range asked {
		for _, s := range w.fold.shards {
			switch {
			case r.shard != 0 && r.shard != s.number:
			case r.given == 0:
				w.fold.revive(s)
			default:
				s.given = r.given
				w.fold.bury(s, deadWhy(s, r.given), now)
			}
		}
	}
	for _, s := range w.fold.shards {
		if n := s.lost(); !s.over && n >= fleet.MaxDeliver {
			w.fold.bury(s, deadWhy(s, n), now)
		}
	}
}

// deadWhy says why a shard was given up.
func deadWhy(s *shard, tries int) string {
	if why := s.fault(); why != "" {
		return fmt.Sprintf("given out %d times in vain, at last: %s", tries, why)
	}
	return fmt.Sprintf("given out %d times and never done", tries)
}

// current reports whether everything that is in the stream was folded.
func (w *work) current(ctx context.Context) (bool, error) {
	_, err := w.c.s.results.GetMsg(ctx, w.last+1, jetstream.WithGetMsgSubject(w.c.run.RunResults(w.c.run.ID)))
	switch {
	case err == nil:
		return false, nil
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return true, nil
	default:
		return false, fmt.Errorf("server: result stream: %w", err)
	}
}

// sync makes the queue hold exactly the shards that are still to be done, until
// then; the zero time takes all of them out. A dead one stays where it is: it is
// known by that to whoever goes on with the run.
func (w *work) sync(ctx context.Context, until time.Time) error {
	r, s := w.c.run, w.c.s
	there := map[int]bool{}
	err := s.eachShard(ctx, r.Place, func(seq uint64, item *fleet.Shard) error {
		if item.Run != r.ID {
			return nil
		}
		if item.Number <= len(w.fold.shards) {
			shard := w.fold.shards[item.Number-1]
			if shard.dead != "" || !shard.over && !shard.renew && item.Until.Equal(until) && !until.IsZero() {
				there[item.Number] = true
				return nil
			}
		}
		return s.dropWork(ctx, seq)
	})
	if err != nil || until.IsZero() {
		return err
	}
	var batch outbox
	for _, shard := range w.fold.shards {
		if shard.over || there[shard.number] {
			continue
		}
		item := r.shard(shard.number, len(w.fold.shards), shard.prefixes, until)
		id := item.ID() + "@" + fmt.Sprint(until.Unix())
		if shard.renew || shard.lost() > 0 { // the broker remembers the id of the one before
			id += "+" + newID()
		}
		if err := batch.put(ctx, s.js, item, id); err != nil {
			return err
		}
	}
	if err := batch.wait(ctx); err != nil {
		return err
	}
	for _, shard := range w.fold.shards {
		shard.renew = false
	}
	return nil
}

// outbox publishes work items, many at a time.
type outbox struct{ acks []jetstream.PubAckFuture }

func (b *outbox) put(ctx context.Context, js jetstream.JetStream, item *fleet.Shard, id string) error {
	if len(b.acks) == maxUnacked {
		if err := b.wait(ctx); err != nil {
			return err
		}
	}
	data, err := fleet.EncodeShard(*item)
	if err != nil {
		return err
	}
	ack, err := js.PublishAsync(item.WorkSubject(), data, jetstream.WithMsgID(id))
	if err != nil {
		return fmt.Errorf("server: give out shard %s: %w", item.ID(), err)
	}
	b.acks = append(b.acks, ack)
	return nil
}

// maxUnacked bounds the work items that are on their way.
const maxUnacked = 512

// wait returns when all are on the broker's disk, or one cannot be.
func (b *outbox) wait(ctx context.Context) error {
	for _, ack := range b.acks {
		select {
		case <-ack.Ok():
		case err := <-ack.Err():
			return fmt.Errorf("server: give out a shard: %w", err)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	b.acks = b.acks[:0]
	return nil
}
