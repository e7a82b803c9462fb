package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"dormant/cmd/internal/fleet"
)

// maxDead bounds the dead shards of a run that are kept after it.
const maxDead = 1000

// saveDead keeps the dead shards of a run beyond its end, so that somebody can
// look at them, and have them done.
func (s *Server) saveDead(ctx context.Context, c *conductor) error {
	_, dead := c.snapshot()
	dead = dead[:min(len(dead), maxDead)]
	var err error
	if len(dead) > 0 {
		var b []byte
		if b, err = json.Marshal(dead); err == nil {
			_, err = s.state.Put(ctx, deadKey(c.run.ID), b)
		}
	}
	if err != nil {
		return fmt.Errorf("server: keep the dead shards of %s: %w", c.run.ID, err)
	}
	for _, id := range s.outlived(c.run) {
		if err := s.state.Purge(ctx, deadKey(id)); err != nil {
			return fmt.Errorf("server: forget the dead shards of %s: %w", id, err)
		}
	}
	return nil
}

// outlived returns the earlier runs of the same job and place that left dead
// shards: this one asked the same, and what is dead now is known from it.
func (s *Server) outlived(r *Run) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	for _, d := range s.buried {
		if d.Shard.Job == r.Job && d.Shard.Place == r.Place && d.Shard.Run != r.ID && !slices.Contains(all, d.Shard.Run) {
			all = append(all, d.Shard.Run)
		}
	}
	return all
}

// bury remembers the dead shards of a run that is over. mu is held.
func (s *Server) bury(r *Run, dead []fleet.DeadShard) {
	s.buried = slices.DeleteFunc(s.buried, func(d fleet.DeadShard) bool { return d.Shard.Job == r.Job && d.Shard.Place == r.Place })
	s.buried = append(s.buried, dead[:min(len(dead), maxDead)]...)
}

// loadDead reads what saveDead kept.
func (s *Server) loadDead(ctx context.Context) error {
	keys, err := s.keys(ctx, "dead.")
	if err != nil {
		return err
	}
	for _, key := range keys {
		entry, err := s.state.Get(ctx, key)
		var dead []fleet.DeadShard
		if err == nil {
			err = json.Unmarshal(entry.Value(), &dead)
		}
		if err != nil {
			return fmt.Errorf("server: bucket %s: %s: %w", fleet.StateBucket, key, err)
		}
		s.mu.Lock()
		s.buried = append(s.buried, dead...)
		s.mu.Unlock()
	}
	return nil
}

// Requeue has dead shards done again: those of a run, or all where run is empty.
// Of a run that is over they become a new run that asks only them. It returns
// how many there were.
func (s *Server) Requeue(ctx context.Context, run string) (n int, err error) {
	err = s.do(ctx, func(ctx context.Context) error {
		n, err = s.requeue(ctx, run)
		return err
	})
	return n, err
}

func (s *Server) requeue(ctx context.Context, run string) (int, error) {
	n := 0
	s.mu.Lock()
	over := map[string][]fleet.DeadShard{}
	for _, d := range s.buried {
		if run == "" || d.Shard.Run == run {
			over[d.Shard.Run] = append(over[d.Shard.Run], d)
		}
	}
	for id, c := range s.runs {
		if _, dead := c.snapshot(); (run == "" || id == run) && len(dead) > 0 {
			n += len(dead)
			c.ask(request{})
		}
	}
	s.mu.Unlock()
	var errs []error
	for id, dead := range over {
		if err := s.makeUp(ctx, id, dead); err != nil {
			errs = append(errs, err)
			continue
		}
		n += len(dead)
	}
	if n == 0 && len(errs) == 0 {
		return 0, fmt.Errorf("server: no dead shard%s", strings.TrimSuffix(" of run "+run, " of run "))
	}
	return n, errors.Join(errs...)
}

// makeUp starts a run of what was dead in one that is over.
func (s *Server) makeUp(ctx context.Context, id string, dead []fleet.DeadShard) error {
	first := dead[0].Shard
	j := s.cfg.Jobs.Job(first.Job)
	if j == nil {
		return fmt.Errorf("server: job %q of run %s is not in the jobs file any more", first.Job, id)
	}
	ask := Ask{Place: first.Place}
	for _, d := range dead {
		ask.Prefixes = append(ask.Prefixes, d.Shard.Prefixes...)
	}
	slices.SortFunc(ask.Prefixes, netip.Prefix.Compare)
	for _, p := range ask.Prefixes {
		ask.Targets = append(ask.Targets, p.String())
	}
	r := newRun(j, &ask, s.now(), s.cfg.Seed())
	r.Ports, r.Again = first.Ports, true
	if err := s.save(ctx, r); err != nil {
		return err
	}
	if err := s.state.Purge(ctx, deadKey(id)); err != nil {
		return errors.Join(fmt.Errorf("server: forget the dead shards of %s: %w", id, err), s.state.Purge(ctx, runKey(r.ID)))
	}
	s.mu.Lock()
	s.buried = slices.DeleteFunc(s.buried, func(d fleet.DeadShard) bool { return d.Shard.Run == id })
	s.mu.Unlock()
	s.log.InfoContext(ctx, "dead shards are done again", "of", id, "run", r.ID, "place", r.Place, "shards", len(dead))
	s.admit(r)
	return nil
}

// save keeps the run, so that another process can go on with it.
func (s *Server) save(ctx context.Context, r *Run) error {
	b, err := r.pack()
	if err != nil {
		return err
	}
	if _, err := s.state.Create(ctx, runKey(r.ID), b); err != nil {
		return fmt.Errorf("server: keep run %s: %w", r.ID, err)
	}
	return nil
}
