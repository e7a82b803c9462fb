package history

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
)

// Tally counts the open ports of a run.
type Tally struct {
	Open uint64 `json:"open"`
	// Verdicts and Severities count them by the words of those columns; "" is
	// an open port that was not judged.
	Verdicts   map[string]uint64 `json:"verdicts"`
	Severities map[string]uint64 `json:"severities"`
	// Expected counts them by what the policy said of them; "" is none.
	Expected map[string]uint64 `json:"expected"`
}

// Breaches returns how many open ports the policy forbids.
func (t *Tally) Breaches() uint64 { return t.Expected["no"] }

// Tally counts what is open in a run: from what was kept when it ended, or now.
func (s *Store) Tally(ctx context.Context, run Run) (Tally, error) {
	if run.tally != nil {
		return *run.tally, nil
	}
	t, err := tally(ctx, s.db, run.row)
	return t, s.explain(err)
}

// facetCount is how many open ports have the same facets.
type facetCount struct {
	facets
	n uint64
}

func tally(ctx context.Context, q querier, run int64) (Tally, error) {
	t := Tally{Verdicts: map[string]uint64{}, Severities: map[string]uint64{}, Expected: map[string]uint64{}}
	counts, err := collect(ctx, q, func(rows *sql.Rows) (c facetCount, err error) {
		return c, rows.Scan(&c.verdict, &c.severity, &c.expected, &c.n)
	}, `SELECT verdict, severity, expected, count(*) FROM finding WHERE run = $1 GROUP BY verdict, severity, expected`, run)
	for _, c := range counts {
		t.Open += c.n
		t.Verdicts[c.verdict] += c.n
		t.Severities[c.severity] += c.n
		t.Expected[c.expected] += c.n
	}
	return t, err
}

// keepTally stores the counts of a run beside it, and forgets what was known of
// its difference.
func keepTally(ctx context.Context, tx *sql.Tx, run int64) error {
	t, err := tally(ctx, tx, run)
	if err != nil {
		return err
	}
	text, err := json.Marshal(&t)
	if err != nil {
		return fmt.Errorf("history: counts: %w", err)
	}
	_, err = tx.ExecContext(ctx, `UPDATE run SET tally = $2, against = '' WHERE id = $1`, run, string(text))
	return err
}
