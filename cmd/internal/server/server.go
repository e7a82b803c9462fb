package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"dormant/cmd/internal/fleet"
)

// Config is what a server works with. JetStream must have been prepared for the
// places of the jobs (broker.Prepare).
type Config struct {
	Jobs *Jobs
	Conn *nats.Conn
	Desk Desk
	// Program is the program's version, for agents and reports.
	Program string
	// Agents returns those that are enrolled; nil where enrolling is not this
	// server's business.
	Agents func() ([]fleet.AgentStatus, error)
	// Fault returns what the broker cannot do at the moment; nil for not known.
	Fault func() error
	// Seed orders the probes of a run.
	Seed func() uint64
	// Once starts these jobs and no others, and Run returns when no run is left.
	Once []string
	Log  *slog.Logger

	pace pace
}

// pace is how long things take; the zero value is that of production.
type pace struct {
	tick      time.Duration        // between two looks at a run
	retry     time.Duration        // first wait after a failure of this side
	patience  time.Duration        // longest wait after a failure
	reporting time.Duration        // how long a report that fails is tried again
	grace     time.Duration        // for agents to give back what they have
	again     time.Duration        // until a shard that got lost is given out again
	away      time.Duration        // silence of an agent that is away
	tidy      time.Duration        // between two clearings of what belongs to no run
	foreign   time.Duration        // between two clearings of results that belong to none, and looks at the room for more
	ahead     func() time.Duration // of this clock, to a real one: for tests of clocks that are wrong, and set
}

func (p pace) orDefault() pace {
	if p.ahead == nil {
		p.ahead = func() time.Duration { return 0 }
	}
	return pace{
		tick: cmp.Or(p.tick, time.Second), retry: cmp.Or(p.retry, time.Second), patience: cmp.Or(p.patience, time.Minute),
		reporting: cmp.Or(p.reporting, time.Hour), grace: cmp.Or(p.grace, fleet.AckWait), again: cmp.Or(p.again, fleet.AckWait),
		away: cmp.Or(p.away, fleet.Away), tidy: cmp.Or(p.tidy, 10*time.Minute), foreign: cmp.Or(p.foreign, 5*time.Second), ahead: p.ahead,
	}
}

// Server carries out jobs. Its methods may be called from any goroutine.
type Server struct {
	cfg      Config
	pace     pace
	log      *slog.Logger
	js       jetstream.JetStream
	presence *presence

	results, work jetstream.Stream
	state         jetstream.KeyValue

	calls   chan call
	stopped chan struct{}
	launch  func(*conductor) // of Run's goroutine

	mu     sync.Mutex
	runs   map[string]*conductor // those that are not over
	past   []fleet.RunStatus     // the last that are, the newest first
	jobs   map[string]*jobState
	buried []fleet.DeadShard // of runs that are over
	faults map[string]string
}

// call is something to be done by the goroutine of Run.
type call struct {
	fn   func(ctx context.Context) error
	done chan error
}

// New checks the configuration and returns a server. It starts nothing.
func New(cfg Config) (*Server, error) {
	if cfg.Jobs == nil || cfg.Conn == nil || cfg.Desk == nil || cfg.Log == nil || cfg.Seed == nil {
		return nil, errors.New("server: want jobs, a connection, a desk, a seed and a log")
	}
	for _, name := range cfg.Once {
		if cfg.Jobs.Job(name) == nil {
			return nil, noJob(cfg.Jobs, name)
		}
	}
	s := &Server{
		cfg: cfg, pace: cfg.pace.orDefault(), log: cfg.Log, calls: make(chan call), stopped: make(chan struct{}),
		runs: map[string]*conductor{}, jobs: map[string]*jobState{}, faults: map[string]string{},
	}
	s.presence = newPresence(s.pace.away)
	for _, j := range cfg.Jobs.Jobs {
		s.jobs[j.Name] = &jobState{}
	}
	return s, nil
}

// noJob says that there is no such job, and which there are.
func noJob(jobs *Jobs, name string) error {
	var names []string
	for _, j := range jobs.Jobs {
		names = append(names, j.Name)
	}
	return fmt.Errorf("server: job %q: %s has %v", name, jobs.Name, names)
}

func (s *Server) now() time.Time { return time.Now().Add(s.pace.ahead()) }

// Run goes on with the runs that are not over, starts those that are due, and
// returns when ctx has ended and everything that it started has, too. What is
// not over then goes on at the next start. It is called once.
func (s *Server) Run(ctx context.Context) error {
	defer close(s.stopped)
	if err := s.run(ctx); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}

func (s *Server) run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	var group sync.WaitGroup
	defer group.Wait()
	defer stop()
	if err := s.alone(ctx); err != nil {
		return err
	}
	if err := s.open(ctx); err != nil {
		return err
	}
	over := make(chan *conductor)
	s.launch = func(c *conductor) {
		group.Go(func() { // ends with the run, or with ctx
			if c.drive(ctx) {
				select {
				case over <- c:
				case <-ctx.Done():
				}
			}
		})
	}
	if err := s.restore(ctx); err != nil {
		return err
	}
	s.room(ctx)
	if err := s.subscribe(ctx, &group); err != nil {
		return err
	}
	group.Go(func() { s.mourn(ctx) }) // ends with ctx
	if err := s.loadJobs(ctx); err != nil {
		return err
	}
	return s.serve(ctx, over)
}

// serve does what is due, and takes out the runs that are over, until ctx ends;
// with Config.Once, until no run is left.
func (s *Server) serve(ctx context.Context, over <-chan *conductor) error {
	clock := fleet.NewClock(s.now())
	due, unschedule, err := s.schedule(ctx, "no server was running")
	defer func() { unschedule() }() // the one that counts then
	if err != nil {
		return err
	}
	for _, name := range s.cfg.Once {
		if err := s.start(ctx, name); err != nil {
			return err
		}
	}
	tidy := time.NewTicker(s.pace.tidy)
	defer tidy.Stop()
	foreign := time.NewTicker(s.pace.foreign)
	defer foreign.Stop()
	for len(s.cfg.Once) == 0 || s.running() > 0 {
		select {
		case <-ctx.Done():
			return nil
		case c := <-over:
			s.retire(ctx, c)
		case d := <-due:
			s.fall(ctx, d)
		case c := <-s.calls:
			c.done <- c.fn(ctx)
		case <-tidy.C:
			s.setFault("clear what belongs to no run", s.tidy(ctx))
		case <-foreign.C:
			s.setFault("clear results that belong to no run", s.dropForeign(ctx))
			s.room(ctx)
			by := clock.Set(s.now())
			clock = fleet.NewClock(s.now())
			if by == 0 {
				continue
			}
			s.log.WarnContext(ctx, "the clock of this machine was set, or it slept: jobs are planned anew", "by", by.Round(time.Second))
			unschedule()
			if due, unschedule, err = s.schedule(ctx, "the clock of this machine was set, or it slept"); err != nil {
				return err
			}
		}
	}
	return nil
}

// do has fn called by the goroutine of Run.
func (s *Server) do(ctx context.Context, fn func(ctx context.Context) error) error {
	c := call{fn, make(chan error, 1)}
	select {
	case s.calls <- c:
		return <-c.done
	case <-s.stopped:
		return errors.New("server: it is stopping")
	case <-ctx.Done():
		return ctx.Err()
	}
}

// open finds the streams and the bucket.
func (s *Server) open(ctx context.Context) (err error) {
	if s.js, err = jetstream.New(s.cfg.Conn); err != nil {
		return fmt.Errorf("server: %w", err)
	}
	if s.results, err = s.js.Stream(ctx, fleet.ResultStream); err != nil {
		return fmt.Errorf("server: stream %s: %w", fleet.ResultStream, err)
	}
	if s.work, err = s.js.Stream(ctx, fleet.WorkStream); err != nil {
		return fmt.Errorf("server: stream %s: %w", fleet.WorkStream, err)
	}
	if _, err = s.js.CreateOrUpdateStream(ctx, fleet.DeadConfig(s.work.CachedInfo().Config.Replicas)); err != nil {
		return fmt.Errorf("server: stream %s: %w", fleet.DeadStream, err)
	}
	if s.state, err = s.js.KeyValue(ctx, fleet.StateBucket); err != nil {
		return fmt.Errorf("server: bucket %s: %w", fleet.StateBucket, err)
	}
	return nil
}

// running counts the runs that are not over.
func (s *Server) running() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.runs)
}

// maxPast bounds the runs that are over and still shown.
const maxPast = 50

// retire takes a run out that is over.
func (s *Server) retire(ctx context.Context, c *conductor) {
	st, dead := c.snapshot()
	s.mu.Lock()
	delete(s.runs, c.run.ID)
	s.past = slices.Insert(s.past, 0, st)
	if len(s.cfg.Once) == 0 { // else the end tells of every one
		s.past = s.past[:min(len(s.past), maxPast)]
	}
	s.bury(c.run, dead)
	s.mu.Unlock()
	log := s.log.With("run", c.run.ID, "job", c.run.Job, "place", c.run.Place, "state", st.State, "open", st.Open)
	if len(st.Why) > 0 {
		log = log.With("why", strings.Join(st.Why, "; "))
	}
	log.InfoContext(ctx, "run over")
}

// setFault says what this side cannot do, nil that it can again.
func (s *Server) setFault(what string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		delete(s.faults, what)
		return
	}
	if s.faults[what] == "" {
		s.log.Error("server", "fault", what, "error", err)
	}
	s.faults[what] = err.Error()
}
