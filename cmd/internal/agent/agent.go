package agent

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/time/rate"

	"dormant/cmd/internal/disk"
	"dormant/cmd/internal/fleet"
	"dormant/cmd/internal/schedule"
)

// Defaults of Config.
const (
	DefaultSpoolSize = 1 << 30 // bytes
	// MinSpoolSize is some messages of the largest size, in bytes, a vantage.
	MinSpoolSize = 4 * fleet.MaxPayload
	DefaultGrace = 20 * time.Second
)

// ErrRefused is wrapped by what Run returns when the server does not accept the
// agent's credential, or not any more.
var ErrRefused = errors.New("the server refuses the credential of this agent")

// ErrWaiting is wrapped by what Run returns when it was told to leave and
// results are left on the disk, for the next start.
var ErrWaiting = errors.New("results wait on the disk for the server")

// Vantage is one place of the agent.
type Vantage struct {
	Name    string
	Sweeper Sweeper
}

// Config is what an agent is. It is not changed after New.
type Config struct {
	Agent    string // the id of its credential
	Site     string
	Vantages []Vantage // at least one, of different names
	// Conn is the connection to the server, with fleet.Inbox as the prefix of its
	// inboxes. The caller closes it, after Run.
	Conn *nats.Conn
	// Spool is the folder for results that the server does not have yet; it is
	// made. SpoolSize bounds it in bytes, 0 for DefaultSpoolSize; the vantages
	// share it equally.
	Spool     string
	SpoolSize int64
	// NeverScan are files with what is never sent to, in every form that a target
	// can have. Standing is one more, which need not be there; "" for none.
	NeverScan []string
	Standing  string
	// Lookup resolves names in those files, nil to refuse them.
	Lookup func(ctx context.Context, name string) ([]netip.Addr, error)
	// Rate and HostRate bound what the server may ask for, in probes a second; 0
	// is no bound. The vantages share Rate equally, so that together they keep to
	// it.
	Rate, HostRate rate.Limit
	// Window is the only time of the day in which the agent sends, in local time.
	Window schedule.Window
	// Ends tells when the credential runs out, nil for never.
	Ends func() time.Time
	// Yes lets the server ask for public addresses and for more than a /12.
	Yes bool
	// Grace is how long a shard may still take after the agent was told to leave,
	// 0 for DefaultGrace.
	Grace   time.Duration
	Program string // the program's version
	Host    string
	Log     *slog.Logger // required

	pace pace // zero values: the defaults
}

// pace is how often the agent does what it does by itself.
type pace struct {
	beat       time.Duration
	alive      time.Duration        // between two signs that a shard is still in work
	greet      time.Duration        // between two looks at the server's clock
	pull       time.Duration        // the longest wait for a shard
	look       time.Duration        // between two looks at what keeps from taking one
	part       time.Duration        // the longest that a result waits for others
	request    time.Duration        // the longest wait for an answer of the server
	expiry     time.Duration        // between two looks at the end of the credential
	handover   time.Duration        // for what is left when the agent leaves
	first, max time.Duration        // back-off after a fault
	set        func() time.Duration // by how much the clock was set: for tests
}

func (p pace) withDefaults() pace {
	if p.set == nil {
		p.set = func() time.Duration { return 0 }
	}
	return pace{
		set:      p.set,
		beat:     cmp.Or(p.beat, fleet.BeatEvery),
		alive:    cmp.Or(p.alive, fleet.AckWait/3),
		greet:    cmp.Or(p.greet, 5*time.Minute),
		pull:     cmp.Or(p.pull, 20*time.Second),
		look:     cmp.Or(p.look, time.Second),
		part:     cmp.Or(p.part, time.Second),
		request:  cmp.Or(p.request, 10*time.Second),
		expiry:   cmp.Or(p.expiry, time.Minute),
		handover: cmp.Or(p.handover, 10*time.Second),
		first:    cmp.Or(p.first, 5*time.Second),
		max:      cmp.Or(p.max, 5*time.Minute),
	}
}

// Agent is one process of a site.
type Agent struct {
	cfg      Config
	js       jetstream.JetStream
	process  string // names this process in beats
	vantages []*vantage
}

// now is this machine's clock.
func (c *Config) now() time.Time { return time.Now().Add(c.pace.set()) }

// New checks the configuration. It starts nothing and opens nothing.
func New(cfg Config) (*Agent, error) {
	cfg.SpoolSize = cmp.Or(cfg.SpoolSize, DefaultSpoolSize)
	cfg.Grace = cmp.Or(cfg.Grace, DefaultGrace)
	cfg.pace = cfg.pace.withDefaults()
	if err := fleet.CheckName("agent", cfg.Agent); err != nil {
		return nil, fmt.Errorf("agent: %w", err)
	}
	share := cfg.SpoolSize / max(int64(len(cfg.Vantages)), 1)
	switch {
	case len(cfg.Vantages) == 0:
		return nil, errors.New("agent: no vantage: want at least one")
	case cfg.Spool == "":
		return nil, errors.New("agent: no folder for the spool")
	case share < MinSpoolSize:
		return nil, fmt.Errorf("agent: spool of %d bytes: want at least %d for each vantage", cfg.SpoolSize, int64(MinSpoolSize))
	case !(cfg.Rate >= 0) || !(cfg.HostRate >= 0):
		return nil, fmt.Errorf("agent: rate %v, to a host %v: want 0 or more", cfg.Rate, cfg.HostRate)
	}
	cfg.HostRate = rate.Limit(finite(cfg.HostRate))
	cfg.Rate = rate.Limit(finite(cfg.Rate)) / rate.Limit(len(cfg.Vantages))
	js, err := jetstream.New(cfg.Conn, jetstream.WithDefaultTimeout(cfg.pace.request))
	if err != nil {
		return nil, fmt.Errorf("agent: %w", err)
	}
	a := &Agent{cfg: cfg, js: js, process: rand.Text()}
	names := map[string]bool{}
	for _, c := range cfg.Vantages {
		place := fleet.Place{Site: cfg.Site, Vantage: c.Name}
		if err := place.Check(); err != nil {
			return nil, fmt.Errorf("agent: %w", err)
		}
		if names[c.Name] {
			return nil, fmt.Errorf("agent: vantage %q stands twice", c.Name)
		}
		names[c.Name] = true
		a.vantages = append(a.vantages, &vantage{
			agent: a, place: place, sweeper: c.Sweeper, limit: share,
			log: cfg.Log.With("place", place.String()), changed: make(chan struct{}, 1),
		})
	}
	return a, nil
}

// Run works until leave is closed, and then finishes: a shard in work is ended
// if that takes no longer than the grace, else it is given back with what was
// found so far. The end of ctx ends at once; what was found stays on the disk.
//
// It returns nil when everything was handed over; else what ErrRefused and
// ErrWaiting tell, the cause of ctx's end, or a fault of the disk.
func (a *Agent) Run(ctx context.Context, leave <-chan struct{}) (err error) {
	release, err := a.open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()
	working, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	publishing, enough := context.WithCancel(working)
	defer enough()
	attending, home := context.WithCancel(working)
	defer home()
	var workers, publishers, others sync.WaitGroup
	for _, v := range a.vantages {
		publishers.Go(func() { v.publish(publishing) })
		others.Go(func() { v.greet(attending) })
		workers.Go(func() { v.work(working, leave) })
	}
	others.Go(func() { a.beats(attending) })
	others.Go(func() { a.watch(attending, stop) })
	workers.Wait()
	a.handOver(working)
	enough()
	publishers.Wait()
	home()
	others.Wait()
	return a.end(ctx, context.Cause(working))
}

// open locks the spool and reads what is in it.
func (a *Agent) open() (release func() error, err error) {
	if err := os.MkdirAll(a.cfg.Spool, 0o700); err != nil {
		return nil, fmt.Errorf("agent: spool: %w", err)
	}
	lock, err := disk.Lock(filepath.Join(a.cfg.Spool, "lock"))
	if errors.Is(err, disk.ErrLocked) {
		return nil, fmt.Errorf("agent: spool %s is worked on by another agent: want a folder of its own for each", a.cfg.Spool)
	}
	if err != nil {
		return nil, fmt.Errorf("agent: spool: %w", err)
	}
	release = lock.Close
	for _, v := range a.vantages {
		if v.spool, err = openSpool(filepath.Join(a.cfg.Spool, v.place.Vantage), v.limit, v.log); err != nil {
			return nil, errors.Join(err, release())
		}
		before := release
		release = func() error { return errors.Join(v.spool.close(), before()) }
		if n := v.spool.results(); n > 0 {
			v.log.Info("results of an earlier run wait for the server", "results", n)
		}
	}
	return release, nil
}

// handOver gives the publishers the time to publish what is left.
func (a *Agent) handOver(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, a.cfg.pace.handover)
	defer cancel()
	for _, v := range a.vantages {
		if !a.cfg.Conn.IsConnected() {
			return // the next start has more time than this one
		}
		_ = v.spool.await(ctx, v.spool.last()) // what is left is counted by end
	}
}

// end says how it went: cause is why the work ended early, nil if it did not.
func (a *Agent) end(ctx context.Context, cause error) error {
	var waiting uint64
	for _, v := range a.vantages {
		waiting += v.spool.results()
	}
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("agent: ended at once, %d results are left on the disk: %w", waiting, context.Cause(ctx))
	case cause != nil:
		return fmt.Errorf("agent: %w", cause)
	case waiting > 0:
		return fmt.Errorf("agent: %d %w", waiting, ErrWaiting)
	}
	return nil
}

// watch ends the work when the connection is closed for good: it comes back by
// itself from everything but a credential that is refused. One that has run out
// fails before anybody can refuse it.
func (a *Agent) watch(ctx context.Context, stop context.CancelCauseFunc) {
	closed := a.cfg.Conn.StatusChanged(nats.CLOSED)
	defer a.cfg.Conn.RemoveStatusListener(closed)
	look := time.NewTicker(a.cfg.pace.expiry)
	defer look.Stop()
	for !a.cfg.Conn.IsClosed() {
		select {
		case <-ctx.Done():
			return
		case <-closed:
		case now := <-look.C:
			if a.cfg.Ends == nil || a.cfg.Conn.IsConnected() || now.Before(a.cfg.Ends()) {
				continue
			}
			stop(fmt.Errorf("%w: its certificate ended on %s", ErrRefused, a.cfg.Ends().Format(time.DateOnly)))
			return
		}
	}
	why := a.cfg.Conn.LastError()
	if why == nil {
		why = nats.ErrConnectionClosed
	}
	stop(fmt.Errorf("%w: %w", ErrRefused, why))
}

// sleep waits for d, or less when ctx ends or leave is closed or has a token; it
// reports whether the time ran out. scanner.Sleep knows only the context, and
// leaving must not end that: a shard in work may still be finished.
func sleep(ctx context.Context, leave <-chan struct{}, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-leave:
		return false
	case <-timer.C:
		return true
	}
}
