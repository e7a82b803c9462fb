package history

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"dormant/reports"
	"dormant/scanner"
)

// How long a finding waits for others before all of them are committed, and how
// many may wait.
const (
	commitAfter = 500 * time.Millisecond
	commitRows  = 2000
)

// Recorder is the sink that stores a run. Findings may come in any order; what
// was given to it half a second ago is on the disk.
type Recorder struct {
	store *Store
	run   int64
	scope int64
	facts func() reports.Run
	again bool // the run is taken up again, and its findings come again

	mu      sync.Mutex // against the timer
	pack    *packer
	rows    []packed
	answers answerBatch
	timer   *time.Timer // runs while something waits
	err     error       // the first; nothing is stored after it
	stored  uint64
}

var _ reports.Sink = (*Recorder)(nil)

// Begin stores that a run has begun and returns its recorder. facts is asked
// now, for what is known at the start, and again by Close. A run of the same id
// that was not finished is continued.
func (s *Store) Begin(ctx context.Context, plan Plan, facts func() reports.Run) (*Recorder, error) {
	f := facts()
	return s.begin(ctx, plan, f, startOf(f, time.Now()), facts)
}

func startOf(f reports.Run, now time.Time) time.Time {
	if f.Scan.Started.IsZero() {
		return now
	}
	return f.Scan.Started
}

func (s *Store) begin(ctx context.Context, plan Plan, f reports.Run, started time.Time, facts func() reports.Run) (*Recorder, error) {
	r := &Recorder{store: s, facts: facts, pack: newPacker()}
	if err := plan.compile(); err != nil {
		return nil, err
	}
	text, err := json.Marshal(&plan)
	if err != nil {
		return nil, fmt.Errorf("history: plan: %w", err)
	}
	packedPlan, err := r.pack.pack(text)
	if err != nil {
		return nil, err
	}
	known, err := json.Marshal(&f)
	if err != nil {
		return nil, fmt.Errorf("history: facts: %w", err)
	}
	err = s.change(ctx, func(tx *sql.Tx) error {
		err := tx.QueryRowContext(ctx, `SELECT id FROM run WHERE scan_id = ?`, f.ScanID).Scan(&r.run)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			err = tx.QueryRowContext(ctx, `INSERT INTO run (scan_id, site, vantage, plan_key, plan, started, facts)
				VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING id`,
				f.ScanID, f.Site, f.Vantage, plan.key(&f), packedPlan, started.UnixNano(), string(known)).Scan(&r.run)
		case err == nil: // a run that is taken up again
			r.again = true
			if _, err = tx.ExecContext(ctx, `UPDATE run SET finished = 0, swept = 0 WHERE id = ?`, r.run); err == nil {
				_, err = tx.ExecContext(ctx, `DELETE FROM answer WHERE run = ?`, r.run) // the checkpoint gives them again
			}
		}
		if err != nil {
			return err
		}
		r.scope, err = scope(ctx, tx, f.Site, f.Vantage)
		return err
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// change runs fn in a transaction.
func (s *Store) change(ctx context.Context, fn func(tx *sql.Tx) error) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return s.explain(err)
	}
	if err := fn(tx); err != nil {
		_ = tx.Rollback() // the first error says more
		return s.explain(err)
	}
	return s.explain(tx.Commit())
}

// Write takes one finding. An error may also be that of an earlier finding.
func (r *Recorder) Write(_ context.Context, f reports.Finding) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return r.err
	}
	if f.State == scanner.Open {
		p, err := r.pack.packFinding(f)
		if err != nil {
			return err
		}
		r.rows = append(r.rows, p)
	} else {
		r.answers.add(&f)
	}
	if len(r.rows) >= commitRows || r.answers.count >= maxBatch {
		r.commit()
		return r.err
	}
	if r.timer == nil {
		r.timer = time.AfterFunc(commitAfter, r.tick)
	}
	return nil
}

// tick commits what waits, when nothing more has come.
func (r *Recorder) tick() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.timer != nil { // not closed meanwhile
		r.commit()
	}
}

// commit stores what waits. It does not end with the run's context: what was
// found is written. mu is held.
func (r *Recorder) commit() {
	if r.timer != nil {
		r.timer.Stop()
		r.timer = nil
	}
	if r.err != nil || len(r.rows)+r.answers.count == 0 {
		return
	}
	ctx := context.Background()
	if r.err = r.store.change(ctx, func(tx *sql.Tx) error { return r.insert(ctx, tx) }); r.err != nil {
		return
	}
	r.stored += uint64(len(r.rows) + r.answers.count)
	clear(r.rows)
	r.rows = r.rows[:0]
	r.answers.reset()
}

func (r *Recorder) insert(ctx context.Context, tx *sql.Tx) error {
	if r.answers.count > 0 {
		body, err := r.pack.pack(r.answers.body)
		if err == nil {
			_, err = tx.ExecContext(ctx, `INSERT INTO answer (run, count, body) VALUES (?, ?, ?)`, r.run, r.answers.count, body)
		}
		if err != nil {
			return err
		}
	}
	if len(r.rows) == 0 {
		return nil
	}
	detail, err := tx.PrepareContext(ctx, `INSERT INTO detail (body, evidence) VALUES (?, ?)`)
	if err != nil {
		return err
	}
	defer detail.Close() //nolint:errcheck // with the transaction
	finding, err := tx.PrepareContext(ctx, `INSERT INTO finding (run, key, digest, mac, cert, host, detail, evidence) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7)
		ON CONFLICT DO UPDATE SET digest = excluded.digest, mac = excluded.mac, cert = excluded.cert, host = excluded.host,
		detail = excluded.detail, evidence = excluded.evidence`)
	if err != nil {
		return err
	}
	defer finding.Close() //nolint:errcheck // with the transaction
	sighting, err := tx.PrepareContext(ctx, `INSERT INTO sighting (scope, key, first, last) VALUES (?1, ?2, ?3, ?3)
		ON CONFLICT DO UPDATE SET first = min(first, excluded.first), last = max(last, excluded.last)`)
	if err != nil {
		return err
	}
	defer sighting.Close() //nolint:errcheck // with the transaction
	for i := range r.rows {
		p := &r.rows[i]
		if r.again {
			_, err := tx.ExecContext(ctx, `DELETE FROM detail WHERE id IN (SELECT detail FROM finding WHERE run = ? AND key = ?)`, r.run, p.key)
			if err != nil {
				return err
			}
		}
		res, err := detail.ExecContext(ctx, p.detail, p.evidence)
		if err != nil {
			return err
		}
		id, err := res.LastInsertId()
		if err != nil {
			return err
		}
		if _, err := finding.ExecContext(ctx, r.run, p.key, p.digest, p.mac, p.cert, p.host, id); err != nil {
			return err
		}
		if _, err := sighting.ExecContext(ctx, r.scope, p.key, p.seen); err != nil {
			return err
		}
	}
	return nil
}

// Stored returns how many findings are on the disk.
func (r *Recorder) Stored() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stored
}

// Close stores what waits and the outcome of the run. It does not close the
// store.
func (r *Recorder) Close() error {
	if err := r.flush(); err != nil {
		return err
	}
	return r.store.finish(context.Background(), r.run, r.facts(), time.Now())
}

// flush stores what waits.
func (r *Recorder) flush() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.commit()
	return r.err
}

// finish stores the outcome of a run that ended now.
func (s *Store) finish(ctx context.Context, run int64, f reports.Run, now time.Time) error {
	text, err := json.Marshal(&f)
	if err != nil {
		return fmt.Errorf("history: facts: %w", err)
	}
	swept := f.Scan.Complete && !f.Interrupted && f.Lost == 0
	return s.change(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE run SET finished = ?, swept = ?, facts = ? WHERE id = ?`, now.UnixNano(), swept, string(text), run)
		return err
	})
}
