package pipeline

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"dormant/fingerprint"
	"dormant/registry"
	"dormant/reports"
	"dormant/scanner"
)

// Result is one target's answer, with the dialogue where one was held.
type Result struct {
	scanner.Observation
	Evidence *fingerprint.Evidence // nil: no dialogue
	Cut      bool                  // a dialogue was due, and an interrupt came first
	Fragile  bool                  // there is no dialogue, because the host is on a list of fragile ones
}

// Source finds what there is to report. emit may be called from several
// goroutines and may block.
type Source interface {
	Run(ctx context.Context, plan *scanner.Plan, emit func(Result)) (Outcome, error)
}

// Crew holds dialogues with open ports, many hosts at a time.
// *fingerprint.Identifier is one.
type Crew interface {
	// Run takes observations until in is closed and calls emit once for each,
	// from several goroutines, before it returns. When ctx ends, what is still
	// to be done comes back quickly as StatusCancelled.
	Run(ctx context.Context, in <-chan scanner.Observation, workers int, emit func(fingerprint.Result))
}

// Outcome is the truth about a run of a source, also about a part of one.
type Outcome struct {
	Scan     scanner.Summary
	Identify reports.Identification
	Lost     uint64 // answers beyond the queue's limit, and silent targets that an interrupt left without room
}

// Local is the source that runs on this machine.
type Local struct {
	Engine *scanner.Engine
	Crew   Crew // nil: sweep only
	// Workers is how many hosts are talked to at a time, 0 for 256: a dialogue
	// is mostly waiting, and costs a descriptor and some 100 KB.
	Workers int
	// Fragile tells hosts that are swept and not talked to; nil for none. What a
	// sweep's datagram brought is still judged: it costs nothing more.
	Fragile func(netip.Addr) bool
	Log     *slog.Logger
	// Queue bounds the answers that may wait to be taken on; those beyond it are
	// lost and counted, but silent targets wait for room. Zero means 1,048,576,
	// which is at most 200 MB. The answers of a run that is resumed come at once:
	// add their number.
	Queue int

	due, held atomic.Uint64 // dialogues, for Held
}

// Held returns how many dialogues are over, of how many that were due so far.
// It may be called at any time.
func (l *Local) Held() (over, due uint64) { return l.held.Load(), l.due.Load() }

const (
	defaultQueue   = 1 << 20
	defaultWorkers = 256
)

var _ Source = (*Local)(nil)

// Run sweeps plan and holds a dialogue with what is open, at the same time.
// The outcome holds what was reached, also beside an error.
func (l *Local) Run(ctx context.Context, plan *scanner.Plan, emit func(Result)) (Outcome, error) {
	q, tally := newQueue(cmp.Or(l.Queue, defaultQueue)), &tally{hosts: map[netip.Addr]cost{}}
	open := make(chan scanner.Observation)
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { // the feeder; ends when the queue is closed and empty
		defer close(open)
		q.drain(func(o scanner.Observation) {
			if o.State != scanner.Open || l.Crew == nil {
				emit(Result{Observation: o})
				return
			}
			if l.spared(o) {
				tally.spared()
				emit(Result{Observation: o, Fragile: true})
				return
			}
			l.due.Add(1)
			select {
			case open <- o:
			case <-gctx.Done():
				tally.unheld()
				emit(Result{Observation: o, Cut: true})
			}
		})
		return nil
	})
	if l.Crew != nil {
		g.Go(func() error { // the crew; ends when open is closed
			l.Crew.Run(gctx, open, cmp.Or(l.Workers, defaultWorkers), func(r fingerprint.Result) {
				tally.add(r.Evidence, r.Err)
				l.held.Add(1)
				if r.Err != nil {
					l.Log.WarnContext(gctx, "dialogue failed on this side", "target", r.Observation.Target, "error", r.Err)
				}
				emit(Result{Observation: r.Observation, Evidence: &r.Evidence})
			})
			return nil
		})
	}
	var sum scanner.Summary
	g.Go(func() (err error) { // the sweep; ends when the plan is done, or with ctx
		defer q.close()
		sum, err = l.Engine.RunApart(gctx, plan, q.put, func(o scanner.Observation) { q.putPatiently(gctx, o) })
		return err
	})
	err := g.Wait()
	if err == nil {
		err = ctx.Err() // the crew reports what it left undone, not why
	}
	if l.Crew != nil && !sum.Finished.IsZero() { // no evidence is from after the end
		sum.Finished = time.Now()
	}
	return Outcome{Scan: sum, Identify: tally.count, Lost: q.lost}, err
}

// spared reports a TCP port of a fragile host.
func (l *Local) spared(o scanner.Observation) bool {
	return l.Fragile != nil && o.Port.Proto == registry.TCP && l.Fragile(o.Addr)
}

// tally sums up dialogues from several goroutines.
type tally struct {
	mu    sync.Mutex
	count reports.Identification
	hosts map[netip.Addr]cost
}

// cost is what one host got.
type cost struct {
	connections uint64
	bytes       uint64 // sent
	canaries    bool   // are counted
}

func (t *tally) add(ev fingerprint.Evidence, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := &t.count
	c.Ports++
	switch {
	case err != nil || ev.Status == fingerprint.StatusLocalError:
		c.LocalErrors++
		if err != nil && c.Fault == "" {
			c.Fault = fmt.Sprintf("%v: %v", ev.Target, err)
		}
	case ev.Status == fingerprint.StatusRefused:
		c.Refused++
	case ev.Status == fingerprint.StatusNoConnect:
		c.NoConnect++
	case ev.Status == fingerprint.StatusBudget:
		c.Budget++
	case ev.Status == fingerprint.StatusCancelled:
		c.Cancelled++
	default:
		c.Done++
	}
	c.Connections += uint64(ev.Connections)
	c.BytesSent += uint64(ev.BytesSent)
	c.BytesReceived += uint64(ev.BytesReceived)
	c.Talked += ev.Elapsed
	host := t.hosts[ev.Target.Addr]
	host.connections += uint64(ev.Connections)
	host.bytes += uint64(ev.BytesSent)
	if ev.Host.CanariesAsked > 0 && !host.canaries {
		host.canaries = true
		host.connections += uint64(ev.Host.CanariesAsked)
		c.Canaries += uint64(ev.Host.CanariesAsked)
	}
	t.hosts[ev.Target.Addr] = host
	c.MostConnections = max(c.MostConnections, host.connections)
	c.MostBytesSent = max(c.MostBytesSent, host.bytes)
}

// unheld counts an open port that an interrupt left without a dialogue.
func (t *tally) unheld() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.count.Ports++
	t.count.Cancelled++
}

// spared counts an open port of a fragile host.
func (t *tally) spared() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.count.Fragile++
}
