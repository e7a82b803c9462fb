package history

import (
	"context"

	"dormant/reports"
	"dormant/scanner"
)

// Look is what one run says of a target.
type Look struct {
	Run Run
	// Asked is true when the run measured the target, or found it open.
	Asked bool
	// Finding is what was open, without Dialogue; nil is not open.
	Finding *reports.Finding
}

// History returns what the runs that f chooses say of one target, the newest
// first.
func (s *Store) History(ctx context.Context, f RunFilter, t scanner.Target) ([]Look, error) {
	runs, err := s.RunsOf(ctx, f)
	if err != nil {
		return nil, err
	}
	key := appendKey(nil, t)
	looks := make([]Look, len(runs))
	for i, run := range runs {
		looks[i] = Look{Run: run, Asked: run.covers(t)}
		found, ok, err := s.finding(ctx, run.row, key, false)
		if err != nil {
			return nil, err
		}
		if ok {
			looks[i].Asked, looks[i].Finding = true, &found
		}
	}
	return looks, nil
}
