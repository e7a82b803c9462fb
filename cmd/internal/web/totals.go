package web

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"dormant/fingerprint"
	"dormant/reports/history"
)

// totals are what is open now, over all places.
type totals struct{ Open, Breaches, Grave, C2, Shells uint64 }

func (t *totals) add(n totals) {
	t.Open, t.Breaches, t.Grave = t.Open+n.Open, t.Breaches+n.Breaches, t.Grave+n.Grave
	t.C2, t.Shells = t.C2+n.C2, t.Shells+n.Shells
}

// counted keeps what the places of several jobs have together, by their runs: to
// find what two runs of a million ports share takes seconds, and what has ended
// changes only with its revision.
type counted struct {
	mu sync.Mutex
	by map[string]totals
}

func (c *counted) get(key string) (totals, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t, ok := c.by[key]
	return t, ok
}

// keep replaces all that is kept.
func (c *counted) keep(by map[string]totals) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.by = by
}

// totals counts what the runs found, which are all that are current. A port that
// two jobs look at is open once.
func (s *Server) totals(ctx context.Context, runs []history.Run) (t totals, err error) {
	type at struct{ site, vantage string }
	places := map[at][]history.Run{}
	for _, r := range runs {
		places[at{r.Site, r.Vantage}] = append(places[at{r.Site, r.Vantage}], r)
	}
	used := map[string]totals{}
	for there := range maps.Values(places) {
		key := keyOf(there)
		n, ok := s.counted.get(key)
		if !ok {
			if n, err = s.count(ctx, there); err != nil {
				return t, err
			}
		}
		used[key] = n
		t.add(n)
	}
	s.counted.keep(used)
	return t, nil
}

// keyOf names the runs as they are judged now.
func keyOf(runs []history.Run) string {
	names := make([]string, len(runs))
	for i := range runs {
		names[i] = fmt.Sprint(runs[i].ID, " ", runs[i].Revision)
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

// count counts what the runs of one place found.
func (s *Server) count(ctx context.Context, there []history.Run) (t totals, err error) {
	if len(there) == 1 { // the store has counted it already
		n, err := s.config.Store.Tally(ctx, there[0])
		p := point{Tally: n}
		return totals{n.Open, n.Breaches(), p.High(), p.Count(fingerprint.PossibleC2), p.Count(fingerprint.OpenShell)}, err
	}
	for _, sum := range []struct {
		n *uint64
		q history.Query
	}{
		{&t.Open, history.Query{}},
		{&t.Breaches, history.Query{Expected: []string{"no"}}},
		{&t.Grave, history.Query{Severities: []string{"high"}}},
		{&t.C2, history.Query{Verdicts: []fingerprint.Class{fingerprint.PossibleC2}}},
		{&t.Shells, history.Query{Verdicts: []fingerprint.Class{fingerprint.OpenShell}}},
	} {
		sum.q.Runs = there
		if *sum.n, err = s.config.Store.CountOnce(ctx, sum.q); err != nil {
			return totals{}, err
		}
	}
	return t, nil
}
