package main

import (
	"cmp"
	"context"
	"maps"
	"sync"

	"dormant/cmd/internal/pipeline"
	"dormant/fingerprint"
	"dormant/reports"
	"dormant/scanner"
)

// passes is a source that sweeps twice, in two orders, and tells from what both
// saw how much neither did. What only the second pass finds is reported, too.
type passes struct {
	first *pipeline.Local
	// open makes the second pass and its plan, when the first is over: the two
	// do not share a backend.
	open func() (second *pipeline.Local, plan *scanner.Plan, close func() error, err error)
}

var _ pipeline.Source = (*passes)(nil)

// Run implements pipeline.Source.
func (p *passes) Run(ctx context.Context, plan *scanner.Plan, emit func(pipeline.Result)) (pipeline.Outcome, error) {
	seen := openSet{all: map[scanner.Target]bool{}}
	out, err := p.first.Run(ctx, plan, func(r pipeline.Result) {
		if r.State == scanner.Open {
			seen.add(r.Target)
		}
		emit(r)
	})
	if err != nil {
		return out, err
	}
	second, again, closeSecond, err := p.open()
	if err != nil {
		return out, err
	}
	first := maps.Clone(seen.all)
	found := openSet{all: map[scanner.Target]bool{}}
	if second.Crew != nil {
		second.Crew = &newcomers{second.Crew, first, found.add}
	}
	more, err := second.Run(ctx, again, func(r pipeline.Result) {
		if r.State != scanner.Open {
			return // what is not open was said by the first pass
		}
		found.add(r.Target)
		if !first[r.Target] {
			emit(r)
		}
	})
	if cerr := closeSecond(); err == nil {
		err = cerr
	}
	both := uint64(0)
	for t := range found.all {
		if first[t] {
			both++
			continue
		}
		if before, ok := p.first.Engine.Outcome(t); ok {
			out.Scan.Recount(before)
		}
	}
	if err == nil {
		e := scanner.Chapman(uint64(len(first)), uint64(len(found.all)), both)
		out.Scan.Estimate = &e
	}
	return join(out, more), err
}

// join adds the second pass to the books of the first. The states are those of
// the first, to which the caller has added what was new.
func join(a, b pipeline.Outcome) pipeline.Outcome {
	s, t := &a.Scan, b.Scan
	s.Finished = t.Finished
	s.Probes += t.Probes
	s.Retries += t.Retries
	s.MostToHost += t.MostToHost
	s.MostBytesToHost += t.MostBytesToHost
	s.MaxHalfOpen = max(s.MaxHalfOpen, t.MaxHalfOpen) // which counts what the first pass left
	s.HostsAlive = max(s.HostsAlive, t.HostsAlive)
	s.Counters = s.Counters.Add(t.Counters)
	s.Complete = s.Complete && t.Complete
	for _, why := range t.Why {
		s.Why = append(s.Why, "second pass: "+why)
	}
	for _, note := range t.Notes {
		s.Notes = append(s.Notes, "second pass: "+note)
	}
	a.Identify = addDialogues(a.Identify, b.Identify)
	a.Lost += b.Lost
	return a
}

func addDialogues(a, b reports.Identification) reports.Identification {
	a.Ports += b.Ports
	a.Done += b.Done
	a.Refused += b.Refused
	a.NoConnect += b.NoConnect
	a.Budget += b.Budget
	a.Cancelled += b.Cancelled
	a.LocalErrors += b.LocalErrors
	a.Fault = cmp.Or(a.Fault, b.Fault)
	a.Connections += b.Connections
	a.Canaries += b.Canaries
	a.BytesSent += b.BytesSent
	a.BytesReceived += b.BytesReceived
	a.Fragile = max(a.Fragile, b.Fragile)
	a.MostConnections += b.MostConnections
	a.MostBytesSent += b.MostBytesSent
	a.Talked += b.Talked
	return a
}

// openSet is a set of targets that several goroutines add to.
type openSet struct {
	mu  sync.Mutex
	all map[scanner.Target]bool
}

func (s *openSet) add(t scanner.Target) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all[t] = true
}

// newcomers is a crew that speaks only with those that the first pass missed.
type newcomers struct {
	crew  pipeline.Crew
	first map[scanner.Target]bool
	met   func(scanner.Target)
}

// Run implements pipeline.Crew.
func (n *newcomers) Run(ctx context.Context, in <-chan scanner.Observation, workers int, emit func(fingerprint.Result)) {
	fresh := make(chan scanner.Observation)
	var wg sync.WaitGroup
	wg.Go(func() { // ends when in is closed
		defer close(fresh)
		for o := range in {
			n.met(o.Target)
			if !n.first[o.Target] {
				fresh <- o
			}
		}
	})
	n.crew.Run(ctx, fresh, workers, emit)
	wg.Wait()
}

// secondSeed is the seed of the second pass: any other one will do.
func secondSeed(seed uint64) uint64 { return ^seed }
