package history_test

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"dormant/registry"
	"dormant/reports"
	"dormant/reports/history"
	"dormant/scanner"
)

// check asks the store everything that the model knows.
func (w *world) check(t *testing.T, s *history.Store) {
	for _, r := range w.runs {
		run := w.find(t, s, r)
		w.checkFindings(t, s, r, run)
		base, ok, err := s.Base(t.Context(), run)
		want := w.before(r)
		if err != nil || ok != (want != nil) || ok && base.ID != want.facts.ScanID {
			t.Errorf("base of %s is %q, %v; want %+v", run.ID, base.ID, err, want)
			return
		}
		for _, q := range w.runs {
			if q != r && (q == want || w.IntN(4) == 0) {
				w.checkDiff(t, s, q, r)
			}
		}
		if want != nil {
			w.checkAgainst(t, s, want, r)
		}
	}
}

func (w *world) checkFindings(t *testing.T, s *history.Store, r *modelRun, run history.Run) {
	want, got := map[string]string{}, map[string]string{}
	for at, v := range r.open {
		want[at.String()] = fmt.Sprint("open ", v.product, v.version)
	}
	for at := range r.answered {
		want[at.String()] = "closed "
	}
	err := s.Findings(t.Context(), run, func(f reports.Finding) error {
		at := fmt.Sprintf("%v:%d/%v", f.IP, f.Port, f.Transport)
		if got[at] != "" {
			t.Errorf("%s has %s twice", run.ID, at)
		}
		got[at] = fmt.Sprint(f.State, " ", f.Product, f.Version)
		return nil
	})
	if d := gocmp.Diff(want, got); err != nil || d != "" {
		t.Errorf("findings of %s: %v (-want +got):\n%s", run.ID, err, d)
	}
	if run.Open != uint64(len(r.open)) || run.Swept() != r.swept() || run.Finished.IsZero() == r.ended {
		t.Errorf("%s has %d open, swept %t, finished %v; want %d, %t, %t", run.ID, run.Open, run.Swept(), run.Finished, len(r.open), r.swept(), r.ended)
	}
	for _, at := range w.targets() {
		first, last, err := s.Seen(t.Context(), run, at)
		if v := r.place(); err != nil || !first.Equal(w.first[v][at]) || !last.Equal(w.last[v][at]) {
			t.Errorf("%v was seen %v to %v (%v); want %v to %v", at, first, last, err, w.first[v][at], w.last[v][at])
		}
	}
}

func (w *world) checkDiff(t *testing.T, s *history.Store, from, to *modelRun) {
	got, order := map[scanner.Target]string{}, []scanner.Target{}
	err := s.Diff(t.Context(), w.find(t, s, from), w.find(t, s, to), func(c history.Change) error {
		said := string(c.Kind)
		if c.From.IsValid() {
			said += " from " + c.From.String()
		}
		got[c.Target] = said
		order = append(order, c.Target)
		return nil
	})
	if d := gocmp.Diff(w.difference(from, to), got, equateAddr()); err != nil || d != "" {
		t.Errorf("%s to %s: %v (-want +got):\n%s", from.facts.ScanID, to.facts.ScanID, err, d)
	}
	if !slices.IsSortedFunc(order, scanner.Target.Compare) {
		t.Errorf("%s to %s: not in order: %v", from.facts.ScanID, to.facts.ScanID, order)
	}
}

// checkAgainst holds what is kept of a comparison and what a report is marked
// with against the model.
func (w *world) checkAgainst(t *testing.T, s *history.Store, from, to *modelRun) {
	run, want := w.find(t, s, to), w.difference(from, to)
	counts := map[history.Kind]uint64{}
	for _, said := range want {
		kind, _, _ := bytes.Cut([]byte(said), []byte(" "))
		counts[history.Kind(kind)]++
	}
	if to.ended && !to.kept {
		base, got, err := s.Changes(t.Context(), run)
		if d := gocmp.Diff(counts, got); err != nil || base != from.facts.ScanID || d != "" {
			t.Errorf("changes of %s against %s: %v (-want +got):\n%s", run.ID, base, err, d)
		}
	}
	marks := maps.Clone(want)
	for at := range to.open {
		marks[at] = cmp.Or(marks[at], "same")
		if kind, _, moved := bytes.Cut([]byte(marks[at]), []byte(" ")); moved {
			marks[at] = string(kind)
		}
	}
	maps.DeleteFunc(marks, func(_ scanner.Target, said string) bool { return said == "not_scanned" })
	for at := range marks {
		marks[at] += fmt.Sprint(" since ", w.first[to.place()][at])
	}
	got := marked{}
	a := s.Annotate(run, got)
	sorted := reports.NewSorted(a, "")
	err := s.Findings(t.Context(), run, func(f reports.Finding) error { return sorted.Write(t.Context(), f) })
	if err := cmp.Or(err, sorted.Close()); err != nil {
		t.Fatal(err)
	}
	if d := gocmp.Diff(marks, map[scanner.Target]string(got), equateAddr()); d != "" {
		t.Errorf("report of %s (-want +got):\n%s", run.ID, d)
	}
}

// marked is a sink that keeps the columns change and first_seen.
type marked map[scanner.Target]string

func (m marked) Write(_ context.Context, f reports.Finding) error {
	if f.Change != "" {
		m[scanner.Target{Addr: f.IP, Port: ports()[slices.IndexFunc(ports(), func(p registry.Port) bool { return p.Number == f.Port })]}] = fmt.Sprint(f.Change, " since ", f.FirstSeen)
	}
	return nil
}

func (m marked) Close() error { return nil }
