package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/go-co-op/gocron/v2"
	"github.com/nats-io/nats.go/jetstream"

	"dormant/cmd/internal/schedule"
)

// jobState is what is remembered of a job from one process to the next.
type jobState struct {
	Due  time.Time `json:"due,omitzero"`      // when it was due the last time, also if it did not run
	Last time.Time `json:"last_run,omitzero"` // when it was started the last time
	note string    // why it did not run when it was due, in words
}

// fallen is a job that is due.
type fallen struct {
	job *Job
	at  time.Time
}

// schedule has the jobs come to the returned channel when they are due. It looks
// first for runs that were missed; why is the reason if there are. stop must be
// called, also after an error.
func (s *Server) schedule(ctx context.Context, why string) (due <-chan fallen, stop func(), err error) {
	stop = func() {}
	if len(s.cfg.Once) > 0 {
		return nil, stop, nil
	}
	cron, err := gocron.NewScheduler(gocron.WithLocation(time.Local), gocron.WithStopTimeout(time.Second))
	if err != nil {
		return nil, stop, fmt.Errorf("server: scheduler: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	stop = func() {
		cancel()
		if err := cron.Shutdown(); err != nil {
			s.log.Warn("the scheduler did not stop", "error", err)
		}
	}
	out := make(chan fallen)
	for _, j := range s.cfg.Jobs.Jobs {
		tell := func(at time.Time) {
			select {
			case out <- fallen{j, at}:
			case <-ctx.Done():
			}
		}
		if err := s.plan(cron, j, tell); err != nil {
			return nil, stop, err
		}
		if err := s.missed(ctx, j, why); err != nil {
			return nil, stop, err
		}
	}
	cron.Start()
	return out, stop, nil
}

// plan gives a job to the scheduler.
func (s *Server) plan(cron gocron.Scheduler, j *Job, tell func(at time.Time)) (err error) {
	defer func() { // the scheduler's own parser of cron texts can panic; should it ever be asked, that is an error
		if p := recover(); p != nil {
			err = fmt.Errorf("server: job %q: cron %q: %v", j.Name, j.Cron, p)
		}
	}()
	task := gocron.NewTask(func() { tell(s.now()) })
	switch {
	case j.Cron != "":
		_, err = cron.NewJob(gocron.CronJob(j.Cron, false), task, gocron.WithName(j.Name), gocron.WithCronImplementation(&calendar{in: j.Location}))
	case j.Every > 0:
		_, err = cron.NewJob(gocron.DurationJob(j.Every), task, gocron.WithName(j.Name),
			gocron.WithStartAt(gocron.WithStartDateTime(s.firstOf(j))))
	}
	if err != nil {
		return fmt.Errorf("server: job %q: %w", j.Name, err)
	}
	return nil
}

// calendar reads cron texts for the scheduler as check and the status do. The
// scheduler's own reader takes a day field such as */2 for one that is
// restricted, which crontab(5) does not.
type calendar struct {
	cron schedule.Cron
	in   *time.Location
}

var _ gocron.Cron = (*calendar)(nil)

// IsValid reads the text.
func (c *calendar) IsValid(text string, _ *time.Location, _ time.Time) (err error) {
	c.cron, err = schedule.ParseCron(text)
	return err
}

// Next returns the first moment after t.
func (c *calendar) Next(t time.Time) time.Time { return c.cron.Next(t.In(c.in)) }

// firstOf is when a job of an interval comes first: an interval after it was due
// the last time, and soon if it never was.
func (s *Server) firstOf(j *Job) time.Time {
	now := s.now()
	next := j.Next(now, s.jobs[j.Name].Due)
	if earliest := now.Add(s.pace.tick); next.Before(earliest) { // the scheduler takes no time that is past
		return earliest
	}
	return next
}

// missed says that a job was due and nobody started it, and makes up for it once
// where that is wanted.
func (s *Server) missed(ctx context.Context, j *Job, why string) error {
	s.mu.Lock()
	st := *s.jobs[j.Name]
	s.mu.Unlock()
	now := s.now()
	if st.Due.IsZero() { // from now on a gap will be seen
		if j.Cron == "" {
			return nil
		}
		return s.remember(ctx, j.Name, func(st *jobState) { st.Due = now })
	}
	due := j.Next(st.Due, st.Due)
	if due.IsZero() || due.After(now) {
		return nil
	}
	note := "the run that was due at " + due.Format(time.DateTime) + " was missed: " + why
	if j.CatchUp && !j.Blacked(now) {
		note += "; it was made up for"
	}
	s.log.WarnContext(ctx, "a run was missed", "why", why, "job", j.Name, "due", due.Format(time.RFC3339), "catch_up", j.CatchUp)
	err := s.remember(ctx, j.Name, func(st *jobState) { st.Due, st.note = now, note })
	if err != nil || !j.CatchUp || j.Blacked(now) {
		return err
	}
	if err := s.start(ctx, j.Name); err != nil && !errors.Is(err, ErrRuns) {
		return err
	}
	return nil
}

// fall does what is to be done when a job is due.
func (s *Server) fall(ctx context.Context, d fallen) {
	name, note := d.job.Name, ""
	var err error
	if d.job.Blacked(d.at) {
		note = "not run at " + d.at.In(d.job.Location).Format(time.DateTime) + ": a blackout day"
	} else if err = s.start(ctx, name); errors.Is(err, ErrRuns) {
		note, err = "not run at "+d.at.In(d.job.Location).Format(time.DateTime)+": "+err.Error(), nil
	}
	s.setFault("start job "+name, err)
	if note != "" {
		s.log.WarnContext(ctx, "a job that was due was skipped", "job", name, "why", note)
	}
	err = s.remember(ctx, name, func(st *jobState) { st.Due, st.note = d.at, note })
	s.setFault("remember job "+name, err)
}

// ErrRuns is wrapped by what Start returns for a job that still runs.
var ErrRuns = errors.New("the run before it is not over")

// Start starts a run of the job at each of its places.
func (s *Server) Start(ctx context.Context, job string) error {
	return s.do(ctx, func(ctx context.Context) error { return s.start(ctx, job) })
}

// start is Start, in the goroutine of Run.
func (s *Server) start(ctx context.Context, name string) error {
	j := s.cfg.Jobs.Job(name)
	if j == nil {
		return noJob(s.cfg.Jobs, name)
	}
	s.mu.Lock()
	for _, c := range s.runs {
		if c.run.Job == name {
			s.mu.Unlock()
			return fmt.Errorf("server: job %q: %w: %s at %s since %s", name, ErrRuns, c.run.ID, c.run.Place, c.run.Started.Format(time.DateTime))
		}
	}
	s.mu.Unlock()
	now := s.now()
	var runs []*Run
	for i := range j.Asks {
		r := newRun(j, &j.Asks[i], now, s.cfg.Seed())
		if err := s.save(ctx, r); err != nil {
			for _, saved := range runs { // all places or none
				err = errors.Join(err, s.state.Purge(ctx, runKey(saved.ID)))
			}
			return err
		}
		runs = append(runs, r)
	}
	for _, r := range runs {
		s.log.InfoContext(ctx, "run begins", "run", r.ID, "job", name, "place", r.Place, "addresses", r.Addresses(), "deadline", r.Deadline.Format(time.RFC3339))
		s.admit(r)
	}
	return s.remember(ctx, name, func(st *jobState) { st.Last = now })
}

// loadJobs reads what is remembered of the jobs.
func (s *Server) loadJobs(ctx context.Context) error {
	for _, j := range s.cfg.Jobs.Jobs {
		entry, err := s.state.Get(ctx, jobKey(j.Name))
		if errors.Is(err, jetstream.ErrKeyNotFound) {
			continue
		}
		var st jobState
		if err == nil {
			err = json.Unmarshal(entry.Value(), &st)
		}
		if err != nil {
			return fmt.Errorf("server: what is remembered of job %q: %w", j.Name, err)
		}
		s.mu.Lock()
		*s.jobs[j.Name] = st
		s.mu.Unlock()
	}
	return nil
}

// remember changes what is remembered of a job.
func (s *Server) remember(ctx context.Context, name string, change func(*jobState)) error {
	s.mu.Lock()
	st := s.jobs[name]
	change(st)
	b, err := json.Marshal(st)
	s.mu.Unlock()
	if err == nil {
		_, err = s.state.Put(ctx, jobKey(name), b)
	}
	if err != nil {
		return fmt.Errorf("server: remember job %q: %w", name, err)
	}
	return nil
}
