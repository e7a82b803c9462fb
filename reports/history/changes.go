package history

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
)

// against is what is kept of a comparison, so that it is made once.
type against struct {
	Base string `json:"base"`
	// Of are the base and the run before that, as they were; when the run itself
	// changes, it forgets all this.
	Of      []edition       `json:"of"`
	Changes map[Kind]uint64 `json:"changes"`
}

// edition is a run as it was at some time: it can be judged again, or taken up.
type edition struct {
	ID       string `json:"id"`
	Revision int    `json:"revision"`
	Finished int64  `json:"finished"` // nanoseconds since 1970
}

// editions are those of the runs that a comparison reads beside the last one.
func (p *pair) editions() []edition {
	of := []edition{{p.from.ID, p.from.Revision, p.from.Finished.UnixNano()}}
	if b := p.fromBase; b != nil {
		of = append(of, edition{b.ID, b.Revision, b.Finished.UnixNano()})
	}
	return of
}

// Changes counts what differs between a run that has ended and its base, by
// kind, Same left out. base is the id of that run, "" when there is none. What is
// asked for the first time takes seconds for a million open ports, and is then
// kept, also when the base, or the run before that, is pruned later.
func (s *Store) Changes(ctx context.Context, run Run) (base string, changes map[Kind]uint64, err error) {
	from, err := s.before(ctx, run)
	if err != nil {
		return "", nil, err
	}
	p := pair{to: run}
	var of []edition
	if from != nil {
		p.from = *from
		if p.fromBase, err = s.before(ctx, p.from); err != nil {
			return "", nil, err
		}
		of = p.editions()
	}
	var kept against
	if run.against != "" {
		if err := json.Unmarshal([]byte(run.against), &kept); err != nil {
			return "", nil, fmt.Errorf("history: run %s: its stored changes are damaged: %w", run.ID, err)
		}
		gone, err := s.pruned(ctx, kept)
		if err != nil || gone || slices.Equal(kept.Of, of) {
			return kept.Base, kept.Changes, err
		}
	}
	if from == nil {
		return "", nil, nil
	}
	c, err := s.compared(ctx, p)
	if err != nil {
		return "", nil, err
	}
	kept = against{Base: from.ID, Of: of}
	if kept.Changes, err = c.count(ctx); err != nil {
		return "", nil, err
	}
	text, err := json.Marshal(&kept)
	if err != nil {
		return "", nil, fmt.Errorf("history: changes: %w", err)
	}
	err = s.change(ctx, func(tx *sql.Tx) error { // unless it was taken up or judged again meanwhile
		_, err := tx.ExecContext(ctx, `UPDATE run SET against = $2 WHERE scan_id = $1 AND revision = $3 AND tally <> ''`, run.ID, string(text), run.Revision)
		return err
	})
	return kept.Base, kept.Changes, err
}

// pruned reports whether a run that was compared is not there any more.
func (s *Store) pruned(ctx context.Context, kept against) (bool, error) {
	ids := []string{kept.Base}
	for _, e := range kept.Of[min(1, len(kept.Of)):] {
		ids = append(ids, e.ID)
	}
	var c conditions
	among(&c, "scan_id", ids)
	var n int
	err := s.db.QueryRowContext(ctx, `SELECT count(*) FROM run`+c.where(), c.args...).Scan(&n)
	if err != nil {
		return false, s.explain(err)
	}
	return n < len(ids), nil
}
