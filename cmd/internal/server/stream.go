package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"dormant/cmd/internal/fleet"
	"dormant/scanner"
)

// pulled is how many messages of results are under way at a time: some tens of
// megabytes at most.
const pulled = 16

// read gives the messages of the run to out, from the first one, each once and
// in order, until ctx ends. It goes on where it was when the broker was away.
func (c *conductor) read(ctx context.Context, out chan<- arrived) {
	next := uint64(1)
	for wait := c.s.pace.retry; ctx.Err() == nil; wait = min(2*wait, c.s.pace.patience) {
		before := next
		err := c.readFrom(ctx, &next, out)
		if ctx.Err() != nil {
			return
		}
		if next != before {
			wait = c.s.pace.retry
		}
		c.s.log.WarnContext(ctx, "the results of a run cannot be read", "run", c.run.ID, "error", err, "again in", wait)
		_ = scanner.Sleep(ctx, wait) // the loop looks at ctx
	}
}

func (c *conductor) readFrom(ctx context.Context, next *uint64, out chan<- arrived) error {
	return c.s.follow(ctx, fleet.ResultStream, c.run.RunResults(c.run.ID), next, func(m jetstream.Msg, meta *jetstream.MsgMetadata) error {
		select {
		case out <- arrived{m.Subject(), m.Data(), meta.Sequence.Stream, meta.Timestamp}:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
}

// follow gives the messages of a stream to fn, those of the subject from number
// next on, in order and each as soon as it is there. It moves next behind each
// that fn took, and returns when something fails or ctx ends.
//
// What fails is tried anew by the caller, with a consumer of another name. The
// client's own attempts keep the name, and with it the node that the consumer
// was given to: if that one is lost in the same moment, they never succeed
// until it is back.
func (s *Server) follow(ctx context.Context, stream, subject string, next *uint64, fn func(jetstream.Msg, *jetstream.MsgMetadata) error) error {
	consumer, err := s.js.OrderedConsumer(ctx, stream, jetstream.OrderedConsumerConfig{
		FilterSubjects:   []string{subject},
		DeliverPolicy:    jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:      *next,
		MaxResetAttempts: 1,
	})
	if err != nil {
		return err
	}
	messages, err := consumer.Messages(jetstream.PullMaxMessages(pulled))
	if err != nil {
		return err
	}
	defer messages.Stop()
	for {
		m, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			return err
		}
		meta, err := m.Metadata()
		if err != nil {
			return err
		}
		if err := fn(m, meta); err != nil {
			return err
		}
		*next = meta.Sequence.Stream + 1
	}
}

// eachShard calls fn for every work item of the place that is in the queue.
// Items that are no shards of the place are taken out.
func (s *Server) eachShard(ctx context.Context, place fleet.Place, fn func(seq uint64, item *fleet.Shard) error) error {
	subject := place.WorkSubject()
	for seq := uint64(1); ; seq++ {
		m, err := s.work.GetMsg(ctx, seq, jetstream.WithGetMsgSubject(subject))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("server: work queue: %w", err)
		}
		seq = m.Sequence
		item, err := fleet.DecodeShard(m.Data)
		if err == nil {
			err = fleet.CheckShard(m.Subject, item)
		}
		if err != nil {
			s.log.WarnContext(ctx, "what stands in the work queue is no shard of ours", "subject", m.Subject, "error", err)
			err = s.dropWork(ctx, seq)
		} else {
			err = fn(seq, &item)
		}
		if err != nil {
			return err
		}
	}
}

// dropWork takes a work item out. One that is gone already was done meanwhile.
func (s *Server) dropWork(ctx context.Context, seq uint64) error {
	err := s.work.DeleteMsg(ctx, seq)
	if err == nil || errors.Is(err, jetstream.ErrMsgNotFound) || errors.Is(err, jetstream.ErrMsgDeleteUnsuccessful) {
		return nil
	}
	return fmt.Errorf("server: work queue: %w", err)
}

// mourn tells conductors of shards that were given out too often, until ctx
// ends; also of those that were while no server was there.
func (s *Server) mourn(ctx context.Context) {
	next := uint64(1)
	for ctx.Err() == nil {
		err := s.mournFrom(ctx, &next)
		if ctx.Err() == nil {
			s.log.WarnContext(ctx, "what the broker gave up cannot be read", "error", err)
			_ = scanner.Sleep(ctx, s.pace.patience) // the loop looks at ctx
		}
	}
}

func (s *Server) mournFrom(ctx context.Context, next *uint64) error {
	return s.follow(ctx, fleet.DeadStream, fleet.DeadSubject, next, func(m jetstream.Msg, _ *jetstream.MsgMetadata) error {
		return s.toll(ctx, m.Data())
	})
}

// toll tells the conductor of one dead shard. One that is not in the queue any
// more was done after all, or given out anew.
func (s *Server) toll(ctx context.Context, data []byte) error {
	var a fleet.Advisory
	if err := json.Unmarshal(data, &a); err != nil || a.Stream != fleet.WorkStream {
		return nil
	}
	m, err := s.work.GetMsg(ctx, a.Sequence)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	item, err := fleet.DecodeShard(m.Data)
	if err != nil {
		return nil
	}
	s.mu.Lock()
	c := s.runs[item.Run]
	s.mu.Unlock()
	if c != nil {
		c.ask(request{shard: item.Number, given: max(a.Deliveries, 1)})
	}
	return nil
}

// tidy takes away what belongs to no run that is open: results that came too
// late, and work items of runs that were closed by a server that was killed
// before it had cleared up.
func (s *Server) tidy(ctx context.Context) error {
	if err := s.dropForeign(ctx); err != nil {
		return err
	}
	for _, place := range s.cfg.Jobs.Places() {
		err := s.eachShard(ctx, place, func(seq uint64, item *fleet.Shard) error {
			if s.isOpen(item.Run, place) {
				return nil
			}
			return s.dropWork(ctx, seq)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// isOpen reports whether the run is one of the place's that are not over.
func (s *Server) isOpen(run string, place fleet.Place) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.runs[run]
	return c != nil && c.run.Place == place
}

// dropForeign takes results away that belong to no run that is open, whoever
// published them: an agent may name any run behind its own name, and the stream
// is bounded for all of them together.
func (s *Server) dropForeign(ctx context.Context) error {
	info, err := s.results.Info(ctx, jetstream.WithSubjectFilter("dormant.result.>"))
	if err != nil {
		return fmt.Errorf("server: result stream: %w", err)
	}
	var late []string
	for subject := range info.State.Subjects {
		if o, err := fleet.ParseSubject(subject); err != nil || !s.isOpen(o.Run, o.Place) {
			late = append(late, subject)
		}
	}
	slices.Sort(late)
	for i, subject := range late {
		switch { // who invents runs does not write the log, too
		case i < maxNamed:
			s.log.WarnContext(ctx, "results of no run that is open are dropped", "subject", subject, "messages", info.State.Subjects[subject])
		case i == maxNamed:
			s.log.WarnContext(ctx, "results of no run that is open are dropped", "more subjects", len(late)-maxNamed)
		}
		if err := s.results.Purge(ctx, jetstream.WithPurgeSubject(subject)); err != nil {
			return fmt.Errorf("server: result stream: %w", err)
		}
	}
	return nil
}

// maxNamed is how many subjects are named in the log at a time.
const maxNamed = 10

// clear forgets the run in the broker: first that there is one, so that nobody
// does it again, then what it left.
func (c *conductor) clear(ctx context.Context) error {
	s := c.s
	if err := s.saveDead(ctx, c); err != nil {
		return err
	}
	if err := s.state.Purge(ctx, runKey(c.run.ID)); err != nil {
		return fmt.Errorf("server: forget run %s: %w", c.run.ID, err)
	}
	err := s.eachShard(ctx, c.run.Place, func(seq uint64, item *fleet.Shard) error {
		if item.Run != c.run.ID {
			return nil
		}
		return s.dropWork(ctx, seq)
	})
	if err == nil {
		err = s.results.Purge(ctx, jetstream.WithPurgeSubject(c.run.RunResults(c.run.ID)))
	}
	if err != nil { // tidy does it again
		s.log.WarnContext(ctx, "what a run left in the broker stays for the moment", "run", c.run.ID, "error", err)
	}
	return nil
}

// The keys of the bucket.
func runKey(id string) string   { return "run." + id }
func deadKey(id string) string  { return "dead." + id }
func jobKey(name string) string { return "job." + name }

// keys returns the keys of the bucket that begin so, sorted.
func (s *Server) keys(ctx context.Context, prefix string) ([]string, error) {
	list, err := s.state.ListKeys(ctx)
	if err != nil {
		return nil, fmt.Errorf("server: bucket %s: %w", fleet.StateBucket, err)
	}
	var all []string
	for key := range list.Keys() {
		if strings.HasPrefix(key, prefix) {
			all = append(all, key)
		}
	}
	slices.Sort(all)
	return all, nil
}

// restore takes up the runs that were not over when a server ended.
func (s *Server) restore(ctx context.Context) error {
	keys, err := s.keys(ctx, "run.")
	if err != nil {
		return err
	}
	for _, key := range keys {
		entry, err := s.state.Get(ctx, key)
		if err != nil {
			return fmt.Errorf("server: bucket %s: %w", fleet.StateBucket, err)
		}
		r, err := unpackRun(entry.Value())
		if err != nil {
			s.setFault("go on with "+key, err)
			continue
		}
		s.log.InfoContext(ctx, "going on with a run", "run", r.ID, "job", r.Job, "place", r.Place, "started", r.Started.Format(time.RFC3339))
		s.admit(r)
	}
	if err := s.loadDead(ctx); err != nil {
		return err
	}
	return s.tidy(ctx)
}

// admit makes the run one of those that are open, and launches it.
func (s *Server) admit(r *Run) {
	c := newConductor(s, r)
	s.mu.Lock()
	s.runs[r.ID] = c
	s.mu.Unlock()
	s.launch(c)
}
