package history

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// Point is one run of a trend.
type Point struct {
	Run   Run
	Tally Tally
	// Base is the id of the run that it was compared with, "" where there is
	// none or the run is unfinished. Changes counts what differs from it, by
	// kind, Same left out.
	Base    string
	Changes map[Kind]uint64
}

// against is what is kept of a comparison, so that it is made once.
type against struct {
	Base string `json:"base"`
	// Revision is of the base; that of the run forgets all this.
	Revision int             `json:"revision"`
	Changes  map[Kind]uint64 `json:"changes"`
}

// Trend returns how the runs that f chooses developed, the oldest first. What
// differs from the run before is computed when it is asked for the first time,
// seconds for a million open ports, and then kept.
func (s *Store) Trend(ctx context.Context, f RunFilter) ([]Point, error) {
	runs, err := s.RunsOf(ctx, f)
	if err != nil {
		return nil, err
	}
	slices.Reverse(runs)
	points := make([]Point, len(runs))
	for i, run := range runs {
		p := Point{Run: run}
		if p.Tally, err = s.Tally(ctx, run); err != nil {
			return nil, err
		}
		if run.tally != nil {
			if p.Base, p.Changes, err = s.Changes(ctx, run); err != nil {
				return nil, err
			}
		}
		points[i] = p
	}
	return points, nil
}

// Changes counts what differs between a run that has ended and its base, by
// kind, Same left out. base is the id of that run, "" when there is none. It is
// kept, also when the base is pruned later.
func (s *Store) Changes(ctx context.Context, run Run) (base string, changes map[Kind]uint64, err error) {
	from, ok, err := s.Base(ctx, run)
	if err != nil {
		return "", nil, err
	}
	var kept against
	if run.against != "" {
		if err := json.Unmarshal([]byte(run.against), &kept); err != nil {
			return "", nil, fmt.Errorf("history: run %s: its stored changes are damaged: %w", run.ID, err)
		}
		if kept.Base == from.ID && kept.Revision == from.Revision {
			return kept.Base, kept.Changes, nil
		}
		gone, err := s.pruned(ctx, kept.Base)
		if err != nil || gone {
			return kept.Base, kept.Changes, err
		}
	}
	if !ok {
		return "", nil, nil
	}
	kept = against{Base: from.ID, Revision: from.Revision}
	if kept.Changes, err = s.count(ctx, from, run); err != nil {
		return "", nil, err
	}
	text, err := json.Marshal(&kept)
	if err != nil {
		return "", nil, fmt.Errorf("history: changes: %w", err)
	}
	err = s.change(ctx, func(tx *sql.Tx) error { // unless it was taken up or judged again meanwhile
		_, err := tx.ExecContext(ctx, `UPDATE run SET against = $2 WHERE id = $1 AND revision = $3 AND tally <> ''`, run.row, string(text), run.Revision)
		return err
	})
	return kept.Base, kept.Changes, err
}

// pruned reports whether a run is not there any more.
func (s *Store) pruned(ctx context.Context, id string) (bool, error) {
	var row int64
	err := s.db.QueryRowContext(ctx, `SELECT id FROM run WHERE scan_id = $1`, id).Scan(&row)
	if errors.Is(err, sql.ErrNoRows) {
		return true, nil
	}
	return false, s.explain(err)
}
