package reports

import (
	"context"
	"errors"

	"dormant/registry"
	"dormant/scanner"
)

// multi gives every finding to several sinks.
type multi struct {
	sinks []Sink
	bad   []bool // this sink has failed: it gets no more findings, but is closed
}

// Multi returns a sink that gives every finding to each of sinks in turn. A
// sink that fails is left out from then on and the others go on: Write returns
// its error once, and Close closes all of them and returns every error.
func Multi(sinks ...Sink) Sink {
	return &multi{sinks: sinks, bad: make([]bool, len(sinks))}
}

// Write returns the errors of the sinks that failed at this finding.
func (m *multi) Write(ctx context.Context, f Finding) error {
	var errs []error
	for i, s := range m.sinks {
		if m.bad[i] {
			continue
		}
		if err := s.Write(ctx, f); err != nil {
			m.bad[i] = true
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Close closes all sinks, also those that failed.
func (m *multi) Close() error {
	var errs []error
	for _, s := range m.sinks {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}

// filter passes on what keep says.
type filter struct {
	next Sink
	keep func(f *Finding) bool
}

// Filter returns a sink that gives next only the findings that keep accepts.
// Closing it closes next.
func Filter(next Sink, keep func(f *Finding) bool) Sink { return &filter{next, keep} }

func (s *filter) Write(ctx context.Context, f Finding) error {
	if !s.keep(&f) {
		return nil
	}
	return s.next.Write(ctx, f)
}

func (s *filter) Close() error { return s.next.Close() }

// OpenOnly is a filter's keep: findings whose port is open.
func OpenOnly(f *Finding) bool { return f.State == scanner.Open }

// target is the finding's key.
func target(f *Finding) scanner.Target {
	return scanner.Target{Addr: f.IP, Port: registry.Port{Number: f.Port, Proto: f.Transport}}
}
