package history

import (
	"cmp"
	"context"
	"database/sql"
	"maps"
	"slices"

	"dormant/reports"
)

// SearchOnce returns the open ports that q chooses as Search does, and a port
// that several runs of one site and vantage found once: as the one that began
// last found it. What q chooses is held against that finding and no older one, so
// a port whose verdict changed is not found by what it was. Expected is another
// matter, for a policy is that of a job and not of a port, and a job without one
// takes nothing back: the newest finding is then that of the runs which say so.
// The order is that of the places in q.Runs, then of address, transport and port.
// A cursor of Search is none of SearchOnce.
func (s *Store) SearchOnce(ctx context.Context, q Query) (Page, error) {
	places := byPlace(q.Runs)
	p, err := s.page(ctx, &q, places)
	if err != nil {
		return p, err
	}
	p.Seen, err = s.seenBy(ctx, places, p.Findings)
	return p, s.explain(err)
}

// CountOnce counts what SearchOnce finds, Limit and After aside.
func (s *Store) CountOnce(ctx context.Context, q Query) (uint64, error) {
	var sum uint64
	for _, place := range byPlace(q.Runs) {
		for i := range place {
			c := q.conditions(&place[i])
			q.notIn(&c, place[:i])
			var n uint64
			if err := s.db.QueryRowContext(ctx, `SELECT count(*) FROM finding`+c.where(), c.args...).Scan(&n); err != nil {
				return 0, s.explain(err)
			}
			sum += n
		}
	}
	return sum, nil
}

// each makes every run a place of its own.
func each(runs []Run) [][]Run {
	all := make([][]Run, len(runs))
	for i := range runs {
		all[i] = runs[i : i+1]
	}
	return all
}

// byPlace puts the runs of a site and vantage together, the one that began last
// first.
func byPlace(runs []Run) [][]Run {
	var all [][]Run
	for _, r := range runs {
		i := slices.IndexFunc(all, func(p []Run) bool { return p[0].Site == r.Site && p[0].Vantage == r.Vantage })
		if i < 0 {
			all = append(all, []Run{r})
			continue
		}
		all[i] = append(all[i], r)
	}
	for _, p := range all {
		slices.SortFunc(p, func(a, b Run) int { return cmp.Or(b.Started.Compare(a.Started), cmp.Compare(b.row, a.row)) })
	}
	return all
}

// notIn leaves out the ports that one of the runs found, too.
func (q *Query) notIn(c *conditions, runs []Run) {
	if len(runs) == 0 {
		return
	}
	rows := make([]int64, len(runs))
	for i := range runs {
		rows[i] = runs[i].row
	}
	inner := conditions{terms: []string{"newer.key = finding.key"}, args: c.args}
	among(&inner, "newer.run", rows)
	among(&inner, "newer.expected", q.Expected)
	c.args = inner.args
	c.terms = append(c.terms, "NOT EXISTS (SELECT 1 FROM finding newer"+inner.where()+")")
}

// Seen is a run that found a port.
type Seen struct {
	Run      string // its id
	Expected string // what its policy says of the port, "" without one
}

// seenBy returns for each finding of a page the runs of its place that found the
// port, the one that began last first.
func (s *Store) seenBy(ctx context.Context, places [][]Run, page []reports.Finding) ([][]Seen, error) {
	all := make([][]Seen, len(page))
	for _, place := range places {
		here := map[string]int{} // the index in page, by key
		for i := range page {
			if slices.ContainsFunc(place, func(r Run) bool { return r.ID == page[i].ScanID }) {
				here[string(appendKey(nil, target(&page[i])))] = i
			}
		}
		for i := range place {
			found, err := s.among(ctx, &place[i], here)
			if err != nil {
				return nil, err
			}
			for _, f := range found {
				at := here[string(f.key)]
				all[at] = append(all[at], Seen{place[i].ID, f.expected})
			}
		}
	}
	return all, nil
}

// heldAgainst is a port and what the policy says of it.
type heldAgainst struct {
	key      []byte
	expected string
}

// among returns those of the keys that the run found.
func (s *Store) among(ctx context.Context, run *Run, keys map[string]int) ([]heldAgainst, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	var c conditions
	c.compare("run", "=", run.row)
	c.keyed(maps.Keys(keys))
	return collect(ctx, s.db, func(rows *sql.Rows) (f heldAgainst, err error) { return f, rows.Scan(&f.key, &f.expected) },
		`SELECT key, expected FROM finding`+c.where(), c.args...)
}
