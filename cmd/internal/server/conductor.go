package server

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"dormant/cmd/internal/fleet"
	"dormant/cmd/internal/pipeline"
	"dormant/cmd/internal/portlist"
	"dormant/registry"
	"dormant/reports"
	"dormant/scanner"
)

// Desk judges, stores and reports what the conductors bring. It is safe for
// concurrent use. j is nil for a job that is not in the jobs file any more.
type Desk interface {
	// Open opens the book of a run: a new one, or the one that another process
	// began. facts is asked now, and by the sink's Close.
	Open(ctx context.Context, r *Run, j *Job, facts func() reports.Run) (*Book, error)
	// Report compares the stored run with the one before, writes its outputs and
	// tells whom it concerns. It is called when the book is closed, and again
	// after an error.
	Report(ctx context.Context, r *Run, j *Job) error
}

// Book is where the findings of one run go.
type Book struct {
	Judge    pipeline.Judge
	Registry *registry.Registry
	// Sink takes a finding as often as it comes; the last one of a target counts.
	Sink reports.Sink
	// Leave gives the book up as it is, in place of Sink.Close.
	Leave func()
	// Stored are the facts of a run that is stored already and complete, and then
	// nothing else is set: only its reports may be missing.
	Stored *reports.Run
}

// conductor carries one run to its end.
type conductor struct {
	s   *Server
	run *Run
	job *Job // nil: not in the file any more

	wake chan struct{} // holds at most one token: something was asked of it

	facts    reports.Run // of the goroutine that drives
	stored   bool        // only the reports are missing
	reported bool        // only the broker has not forgotten it yet

	mu      sync.Mutex
	asked   []request
	status  fleet.RunStatus
	dead    []fleet.DeadShard
	fault   string
	targets []uint64 // of each shard
	ended   []bool   // each shard
}

// request is what others want of a conductor.
type request struct {
	shard int // 0: all that are dead
	given int // how often it was given out in vain; 0: give it out again
}

func newConductor(s *Server, r *Run) *conductor {
	c := &conductor{s: s, run: r, job: s.cfg.Jobs.Job(r.Job), wake: make(chan struct{}, 1)}
	c.facts = reports.Run{
		ScanID: r.ID, Site: r.Site, Vantage: r.Vantage, Job: r.Job, Ticket: r.Ticket, Version: s.cfg.Program,
		Targets: r.Targets, Excluded: r.Excluded, Ports: portlist.Spans(r.Ports), Seed: r.Seed,
	}
	c.facts.Scan.Started = r.Started
	c.status = fleet.RunStatus{ScanID: r.ID, Job: r.Job, Place: r.Place, State: fleet.RunWaiting, Started: r.Started,
		Targets: r.Addresses() * uint64(len(r.Ports))}
	return c
}

// ask wakes the conductor with a request.
func (c *conductor) ask(r request) {
	c.mu.Lock()
	c.asked = append(c.asked, r)
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default: // a token is there already
	}
}

// drive returns true when the run is over, stored and reported, and false when
// ctx ended before. What fails on this side is tried again for ever: the results
// are safe in their stream.
func (c *conductor) drive(ctx context.Context) bool {
	for wait := c.s.pace.retry; ; wait = min(2*wait, c.s.pace.patience) {
		err := c.once(ctx)
		if err == nil {
			c.setFault("")
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		c.setFault(err.Error())
		c.s.log.WarnContext(ctx, "a run waits", "run", c.run.ID, "job", c.run.Job, "place", c.run.Place, "error", err, "again in", wait)
		if scanner.Sleep(ctx, wait) != nil {
			return false
		}
	}
}

// once folds the run from its first message, stores and reports it.
func (c *conductor) once(ctx context.Context) error {
	if !c.stored {
		if err := c.record(ctx); err != nil {
			return err
		}
		c.stored = true
	}
	if !c.reported { // nobody is told twice
		if err := c.report(ctx); err != nil {
			return err
		}
		c.reported = true
	}
	return c.clear(ctx)
}

// report has the run reported, and closes it. What fails for long is given up.
func (c *conductor) report(ctx context.Context) error {
	err := c.s.cfg.Desk.Report(ctx, c.run, c.job)
	if err != nil && c.s.now().Sub(c.facts.Scan.Finished) < c.s.pace.reporting {
		return err
	}
	c.close(c.facts.Reasons()) // not before: whoever sees that it is over looks for the reports
	if err != nil {
		c.s.log.ErrorContext(ctx, "the reports of a run are given up; dormant report writes them from the history", "run", c.run.ID, "error", err)
		c.addWhy("not reported: " + err.Error())
	}
	return nil
}

// record takes the run into the history.
func (c *conductor) record(ctx context.Context) error {
	book, err := c.s.cfg.Desk.Open(ctx, c.run, c.job, func() reports.Run { return c.facts })
	if err != nil {
		return err
	}
	if book.Stored != nil {
		c.s.log.InfoContext(ctx, "the history has this run already, and complete: it is not done again", "run", c.run.ID, "job", c.run.Job, "place", c.run.Place)
		c.taken(book.Stored)
		return nil
	}
	p := pipeline.Pipeline{
		Source: c, Judge: book.Judge, Registry: book.Registry, Sink: book.Sink,
		Meta: reports.Meta{ScanID: c.run.ID, Site: c.run.Site, Vantage: c.run.Vantage, Ticket: c.run.Ticket},
	}
	out, err := p.Run(ctx, nil)
	if err != nil {
		book.Leave()
		return err
	}
	started := c.facts.Scan.Started
	c.facts.Scan, c.facts.Identify, c.facts.Lost = out.Scan, out.Identify, out.Lost
	c.facts.Scan.Started, c.facts.Scan.Finished = started, c.s.now()
	if c.facts.Scan.Finished.Before(started) { // the clock was set back
		c.facts.Scan.Finished = started
	}
	return book.Sink.Close()
}

// taken takes over a run that the history has whole. What the broker has of it
// may be less, where its folder was restored from a backup.
func (c *conductor) taken(facts *reports.Run) {
	c.facts = *facts
	c.mu.Lock()
	defer c.mu.Unlock()
	c.status.Open = facts.Scan.Open
}

var _ pipeline.Source = (*conductor)(nil)

// Run gives the shards out, takes in what comes of them, and returns when the
// run is over. It is the source of the pipeline; there is no plan.
func (c *conductor) Run(ctx context.Context, _ *scanner.Plan, emit func(pipeline.Result)) (pipeline.Outcome, error) {
	in, stop := context.WithCancel(ctx)
	messages := make(chan arrived)
	var reader sync.WaitGroup
	reader.Go(func() { c.read(in, messages) }) // ends with in
	defer reader.Wait()
	defer stop()
	w := &work{c: c, fold: newFold(c.run)}
	c.begin(w.fold)
	tick := time.NewTicker(c.s.pace.tick)
	defer tick.Stop()
	look := true
	for {
		if look {
			over, err := w.look(ctx)
			if err != nil && ctx.Err() == nil {
				c.setFault(err.Error())
			}
			if c.publish(w); over {
				return c.finished(w), nil
			}
		}
		select {
		case <-ctx.Done():
			return w.fold.outcome("interrupted"), ctx.Err()
		case m := <-messages:
			c.take(ctx, w, m, emit)
			look = w.fold.left == 0
		case <-tick.C:
			look = true
		case <-c.wake:
			look = true
		}
	}
}

// take folds one message.
func (c *conductor) take(ctx context.Context, w *work, m arrived, emit func(pipeline.Result)) {
	w.last = m.seq
	now := c.s.now()
	c.lag(now.Sub(m.at))
	better, err := w.takeIn(m, now)
	if err != nil {
		c.s.log.WarnContext(ctx, "a message is refused", "run", c.run.ID, "agent", m.agent(), "why", reports.Line(err.Error()))
		return
	}
	for _, r := range better {
		emit(r)
	}
}

// finished says what the run came to.
func (c *conductor) finished(w *work) pipeline.Outcome {
	out := w.fold.outcome(w.why)
	c.facts.Backend = w.fold.backends()
	c.facts.Excluded = append([]string{}, c.run.Excluded...)
	spared := w.fold.spared()
	if c.run.Spared = spared; len(spared) > 0 {
		for _, p := range spared {
			c.facts.Excluded = append(c.facts.Excluded, p.String())
		}
		out.Scan.Notes = append(out.Scan.Notes, "never asked, by the site's own list: "+listed(spared))
	}
	for _, agent := range slices.Sorted(maps.Keys(w.fold.refused)) {
		out.Scan.Notes = append(out.Scan.Notes, fmt.Sprintf("%d messages of agent %s were refused", w.fold.refused[agent], agent))
	}
	for _, agent := range slices.Sorted(maps.Keys(w.fold.newer)) {
		out.Scan.Notes = append(out.Scan.Notes, "agent "+agent+" is newer than this server, "+c.s.cfg.Program+
			": reasons that have no word here are shown as other")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.status.Missing = w.fold.missing()
	return out
}
