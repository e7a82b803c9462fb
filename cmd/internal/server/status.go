package server

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"dormant/cmd/internal/fleet"
	"dormant/reports"
)

// begin, publish and snapshot are how a conductor tells what it is at.
func (c *conductor) begin(f *fold) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.targets, c.ended = make([]uint64, len(f.shards)), make([]bool, len(f.shards))
	for i, s := range f.shards {
		c.targets[i] = s.size * uint64(len(c.run.Ports))
	}
}

// publish takes over what the fold knows.
func (c *conductor) publish(w *work) {
	c.mu.Lock()
	defer c.mu.Unlock()
	st := &c.status
	st.Shards, st.Done, st.Failed, st.Open, st.Refused = len(w.fold.shards), 0, 0, w.fold.open, 0
	c.dead = nil
	for i, s := range w.fold.shards {
		done := s.done() != nil
		c.ended[i] = done || s.dead != ""
		switch {
		case done:
			st.Done++
		case s.dead != "":
			st.Failed++
			item := c.run.shard(s.number, len(w.fold.shards), s.prefixes, time.Time{})
			c.dead = append(c.dead, fleet.DeadShard{Shard: *item, Tries: max(s.given, s.tries), Why: reports.Line(s.dead), At: s.died})
		}
	}
	for _, n := range w.fold.refused {
		st.Refused += n
	}
	c.fault = "" // it goes on
}

func (c *conductor) lag(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.status.Lag = max(d, 0)
}

func (c *conductor) setFault(why string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fault = why
}

func (c *conductor) addWhy(why string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.status.Why = append(c.status.Why, why)
}

// close says how the run ended.
func (c *conductor) close(why []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.status.State, c.status.Finished = fleet.RunComplete, c.facts.Scan.Finished
	c.status.Asked = c.status.Targets
	if !c.facts.Complete() {
		c.status.State, c.status.Why = fleet.RunIncomplete, why
		c.status.Asked = 0
		for i, done := range c.ended {
			if done {
				c.status.Asked += c.targets[i]
			}
		}
	}
}

// snapshot returns the run's status and its dead shards; beats tell what is in
// work.
func (c *conductor) snapshot() (fleet.RunStatus, []fleet.DeadShard) {
	c.mu.Lock()
	defer c.mu.Unlock()
	st := c.status
	st.Why, st.Missing = slices.Clone(st.Why), slices.Clone(st.Missing)
	return st, slices.Clone(c.dead)
}

// live is snapshot for a run that is not over.
func (c *conductor) live(now time.Time) (fleet.RunStatus, []fleet.DeadShard, string) {
	st, dead := c.snapshot()
	at := c.s.presence.atWork(c.run.Place, c.run.ID, now)
	c.mu.Lock()
	defer c.mu.Unlock()
	if st.Over() {
		return st, dead, c.fault
	}
	for i, n := range c.targets {
		b, working := at[i+1]
		switch {
		case c.ended[i]:
			st.Asked += n
		case working:
			st.Running++
			if b.Total > 0 {
				st.Asked += uint64(float64(n) * min(float64(b.Sent)/float64(b.Total), 1))
			}
		}
	}
	st.Waiting = max(st.Shards-st.Done-st.Failed-st.Running, 0)
	if st.Running+st.Done+st.Failed > 0 {
		st.State = fleet.RunRunning
	}
	return st, dead, c.fault
}

// Status returns what the server knows at this moment.
func (s *Server) Status() fleet.Status {
	now := s.now()
	out := fleet.Status{Now: now, Agents: []fleet.AgentStatus{}, Jobs: []fleet.JobStatus{}, Runs: []fleet.RunStatus{}, Dead: []fleet.DeadShard{}}
	faults := map[string]string{}
	var enrolled []fleet.AgentStatus
	if s.cfg.Agents != nil {
		var err error
		if enrolled, err = s.cfg.Agents(); err != nil {
			faults["enrolled agents"] = err.Error()
		}
	}
	if s.cfg.Fault != nil {
		if err := s.cfg.Fault(); err != nil {
			faults["broker"] = err.Error()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.Copy(faults, s.faults)
	running, open := map[string]bool{}, map[string]bool{} // jobs, runs
	for _, c := range s.runs {
		st, dead, fault := c.live(now)
		running[c.run.Job], open[c.run.ID] = true, !st.Over()
		out.Runs, out.Dead = append(out.Runs, st), append(out.Dead, dead...)
		if fault != "" {
			faults["run "+c.run.ID+" at "+c.run.Place.String()] = fault
		}
	}
	out.Runs, out.Dead = append(out.Runs, s.past...), append(out.Dead, s.buried...)
	out.Agents = append(out.Agents, s.presence.agentsNow(enrolled, open, now)...)
	for _, j := range s.cfg.Jobs.Jobs {
		st := s.jobs[j.Name]
		out.Jobs = append(out.Jobs, fleet.JobStatus{Name: j.Name, Cron: j.When(), Places: j.Places(), Next: s.next(j, st, now),
			LastRun: st.Last, Running: running[j.Name], Note: st.note})
	}
	slices.SortFunc(out.Jobs, func(a, b fleet.JobStatus) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortStableFunc(out.Runs, func(a, b fleet.RunStatus) int {
		return cmp.Or(b.Started.Compare(a.Started), cmp.Compare(a.Place.String(), b.Place.String()))
	})
	slices.SortFunc(out.Dead, func(a, b fleet.DeadShard) int {
		return cmp.Or(cmp.Compare(a.Shard.Run, b.Shard.Run), cmp.Compare(a.Shard.Number, b.Shard.Number))
	})
	for _, what := range slices.Sorted(maps.Keys(faults)) {
		out.Faults = append(out.Faults, what+": "+reports.Line(faults[what]))
	}
	return out
}

// next is when the job comes next by itself, zero also where a blackout has no
// end in sight. mu is held.
func (s *Server) next(j *Job, st *jobState, now time.Time) time.Time {
	if len(s.cfg.Once) > 0 {
		return time.Time{}
	}
	next := j.Next(now, st.Due)
	for tries := 0; j.Blacked(next); tries++ {
		if next.IsZero() || tries == maxBlacked {
			return time.Time{}
		}
		// A blackout is whole days. Where clocks pass over a midnight, that is an
		// hour earlier, and can lie behind.
		year, month, day := next.In(j.Location).Date()
		from := next
		if end := time.Date(year, month, day+1, 0, 0, 0, 0, j.Location).Add(-time.Second); end.After(next) {
			from = end
		}
		next = j.Next(from, next)
	}
	return next
}

// maxBlacked bounds how many times in a row are looked at that a blackout covers.
const maxBlacked = 1000
