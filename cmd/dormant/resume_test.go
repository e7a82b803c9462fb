package main

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"testing"

	"dormant/fingerprint"
	"dormant/registry"
	"dormant/scanner"
)

// statuses is a crew whose dialogue with a port ends as the port says, and that
// remembers whom it talked to.
type statuses struct {
	ends map[uint16]fingerprint.Status
	met  []uint16
}

func (s *statuses) Run(_ context.Context, in <-chan scanner.Observation, _ int, emit func(fingerprint.Result)) {
	for o := range in {
		s.met = append(s.met, o.Port.Number)
		r := fingerprint.Result{Observation: o, Evidence: fingerprint.Evidence{Target: o.Target, Status: s.ends[o.Port.Number]}}
		if r.Evidence.Status == fingerprint.StatusLocalError {
			r.Err = errors.New("no descriptor")
		}
		emit(r)
	}
}

// TestFinishedDialoguesAreNotRepeated: a resumed run tells what an earlier part was
// told, and asks nobody twice; what was cut short or failed here is asked again.
func TestFinishedDialoguesAreNotRepeated(t *testing.T) {
	ends := map[uint16]fingerprint.Status{
		1: fingerprint.StatusDone, 2: fingerprint.StatusRefused, 3: fingerprint.StatusNoConnect,
		4: fingerprint.StatusBudget, 5: fingerprint.StatusCancelled, 6: fingerprint.StatusLocalError,
	}
	kept := map[scanner.Target]fingerprint.Evidence{}
	part := func() (met, emitted []uint16) {
		crew := &statuses{ends: ends}
		m := &memory{
			crew: crew, known: map[scanner.Target]fingerprint.Evidence{},
			hold:  func(context.Context) error { return nil },
			keep:  func(ev *fingerprint.Evidence) error { kept[ev.Target] = *ev; return nil },
			fault: func(err error) { t.Error(err) },
		}
		for target, ev := range kept {
			m.known[target] = ev
		}
		in := make(chan scanner.Observation, len(ends))
		for n := range uint16(len(ends)) {
			in <- scanner.Observation{Target: scanner.Target{Addr: netip.MustParseAddr("10.0.0.1"), Port: registry.Port{Number: n + 1, Proto: registry.TCP}}}
		}
		close(in)
		results := make(chan uint16, len(ends))
		m.Run(t.Context(), in, 1, func(r fingerprint.Result) {
			if r.Evidence.Status != ends[r.Observation.Port.Number] {
				t.Errorf("port %d: %s, want %s", r.Observation.Port.Number, r.Evidence.Status, ends[r.Observation.Port.Number])
			}
			results <- r.Observation.Port.Number
		})
		close(results)
		for n := range results {
			emitted = append(emitted, n)
		}
		slices.Sort(emitted)
		return crew.met, emitted
	}
	all := []uint16{1, 2, 3, 4, 5, 6}
	for n, want := range [][]uint16{all, {5, 6}} {
		if met, emitted := part(); !slices.Equal(met, want) || !slices.Equal(emitted, all) {
			t.Errorf("part %d talked to %v and told of %v, want %v and %v", n+1, met, emitted, want, all)
		}
	}
}
