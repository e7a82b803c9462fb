package pipeline

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"dormant/fingerprint"
	"dormant/registry"
	"dormant/reports"
	"dormant/scanner"
)

// Judge gives the verdict on a dialogue. It is pure.
type Judge interface {
	Judge(e registry.Entry, o scanner.Observation, ev fingerprint.Evidence) fingerprint.Verdict
}

// Pipeline runs a source to its end and writes what it finds. It does not
// close the sink.
type Pipeline struct {
	Source   Source
	Judge    Judge
	Registry *registry.Registry
	// Names are the host names that the user gave for addresses; they stand in
	// for what a host does not tell itself. It is only read.
	Names map[netip.Addr][]string
	Meta  reports.Meta
	Sink  reports.Sink
}

// resultsWaiting bounds the results between the source and the writer.
const resultsWaiting = 1024

// errSink is the cause of a run that ended because its output failed.
var errSink = errors.New("pipeline: the output failed")

// SinkError is returned when a finding could not be written.
type SinkError struct{ Err error }

func (e *SinkError) Error() string { return "pipeline: write finding: " + e.Err.Error() }

// Unwrap returns the sink's own error.
func (e *SinkError) Unwrap() error { return e.Err }

// Run returns when everything that was found is written. Cancelling ctx ends
// the search, not the writing. A sink that fails ends the search.
func (p *Pipeline) Run(ctx context.Context, plan *scanner.Plan) (Outcome, error) {
	search, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	results := make(chan Result, resultsWaiting)
	written := make(chan error, 1)
	go func() { // ends when results is closed, below
		written <- p.write(context.WithoutCancel(ctx), results, func() { stop(errSink) })
	}()
	out, err := p.Source.Run(search, plan, func(r Result) { results <- r })
	close(results)
	if werr := <-written; werr != nil {
		return out, &SinkError{werr}
	}
	return out, err
}

// write takes results until they end. After a failure it goes on taking, so
// that no one is left waiting, but writes nothing more.
func (p *Pipeline) write(ctx context.Context, results <-chan Result, failed func()) error {
	var first error
	for r := range results {
		if first != nil {
			continue
		}
		f := p.finding(r)
		if err := p.Sink.Write(ctx, f); err != nil {
			first = fmt.Errorf("%s: %w", r.Target, err)
			failed()
		}
	}
	return first
}

// finding judges a result where there is something to judge.
func (p *Pipeline) finding(r Result) reports.Finding {
	if r.At.IsZero() {
		r.At = time.Now()
	}
	verdict, cut := p.judge(r)
	f := reports.NewFinding(p.Meta, p.Registry.Name(r.Port), r.Observation, verdict, r.Evidence)
	if cut {
		f.Note = "the dialogue was cut short: nothing can be said of what it did not ask"
	}
	if r.Fragile {
		f.Note = "the host is on a list of fragile ones: swept, and no dialogue was held"
	}
	if names := p.Names[r.Addr]; f.Hostname == "" && len(names) > 0 {
		f.Hostname = names[0]
	}
	return f
}

// judge gives the verdict, nil where there was no dialogue. One that was cut
// short before it named anything has no verdict either: "unidentified" would
// say that all questions were asked.
func (p *Pipeline) judge(r Result) (v *fingerprint.Verdict, cut bool) {
	if r.Evidence == nil {
		return nil, r.Cut
	}
	entry, _ := p.Registry.Lookup(r.Port) // the zero entry: nothing is known of the port
	verdict := p.Judge.Judge(entry, r.Observation, *r.Evidence)
	if r.Evidence.Status == fingerprint.StatusCancelled && (verdict.Class == 0 || verdict.Class == fingerprint.Unidentified) {
		return nil, true
	}
	return &verdict, false
}
