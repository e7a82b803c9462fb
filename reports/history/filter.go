package history

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"strings"
	"time"
)

// RunFilter chooses runs. The zero value is all of them.
type RunFilter struct {
	// Sites, Vantages and Jobs are the names that a run may have; nil is any,
	// and "" the unnamed.
	Sites, Vantages, Jobs []string
	// Since and Until bound when runs began: at or after, and before. Zero is no
	// bound.
	Since, Until time.Time
	// Ended leaves out the unfinished ones.
	Ended bool
	// Limit is the most runs to return, 0 for all; Offset is how many of the
	// newest to leave out.
	Limit, Offset int
}

// conditions are the parts of a WHERE, with their parameters.
type conditions struct {
	terms []string
	args  []any
}

// arg adds a parameter and returns its name.
func (c *conditions) arg(v any) string {
	c.args = append(c.args, v)
	return fmt.Sprintf("$%d", len(c.args))
}

// among adds that a column has one of the values; nil is any.
func among[T any](c *conditions, column string, values []T) {
	if values == nil {
		return
	}
	names := make([]string, len(values))
	for i, v := range values {
		names[i] = c.arg(v)
	}
	if len(names) == 0 {
		names = []string{"NULL"} // none of none
	}
	c.terms = append(c.terms, column+" IN ("+strings.Join(names, ", ")+")")
}

func (c *conditions) compare(column, operator string, v any) {
	c.terms = append(c.terms, column+" "+operator+" "+c.arg(v))
}

func (c *conditions) where() string {
	if len(c.terms) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(c.terms, " AND ")
}

func (f *RunFilter) conditions() conditions {
	var c conditions
	among(&c, "site", f.Sites)
	among(&c, "vantage", f.Vantages)
	among(&c, "job", f.Jobs)
	if !f.Since.IsZero() {
		c.compare("started", ">=", f.Since.UnixNano())
	}
	if !f.Until.IsZero() {
		c.compare("started", "<", f.Until.UnixNano())
	}
	if f.Ended {
		c.terms = append(c.terms, "finished > 0")
	}
	return c
}

// Runs returns all runs, the newest first.
func (s *Store) Runs(ctx context.Context) ([]Run, error) { return s.RunsOf(ctx, RunFilter{}) }

// RunsOf returns the runs that f chooses, the newest first.
func (s *Store) RunsOf(ctx context.Context, f RunFilter) ([]Run, error) {
	c := f.conditions()
	query := `SELECT ` + runColumns + ` FROM run` + c.where() + ` ORDER BY started DESC, id DESC`
	if f.Limit > 0 || f.Offset > 0 {
		limit := f.Limit
		if limit <= 0 {
			limit = math.MaxInt32
		}
		query += ` LIMIT ` + c.arg(limit) + ` OFFSET ` + c.arg(max(f.Offset, 0))
	}
	return s.runs(ctx, query, c.args...)
}

// Place is from where runs were made, and for which job.
type Place struct {
	Site    string    `json:"site"`
	Vantage string    `json:"vantage"`
	Job     string    `json:"job,omitempty"`
	Runs    uint64    `json:"runs"`
	Last    time.Time `json:"last"` // when the newest began
}

// Places returns every combination of site, vantage and job that has runs, in
// this order.
func (s *Store) Places(ctx context.Context) ([]Place, error) {
	places, err := collect(ctx, s.db, func(rows *sql.Rows) (p Place, err error) {
		var last int64
		err = rows.Scan(&p.Site, &p.Vantage, &p.Job, &p.Runs, &last)
		p.Last = time.Unix(0, last).UTC()
		return p, err
	}, `SELECT site, vantage, job, count(*), max(started) FROM run GROUP BY site, vantage, job ORDER BY site, vantage, job`)
	return places, s.explain(err)
}
