package history

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

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
// was given to it half a second ago is on the disk. A finding of a target that
// the run has already is never a second one: an open port replaces what was
// stored of it, anything else that answered changes nothing. A run has one
// recorder at a time.
type Recorder struct {
	store *Store
	batch batch // what waits
	facts func() reports.Run

	mu       sync.Mutex // against the timer
	pack     packer
	opened   targetSet
	answered targetSet
	answers  answerBatch
	timer    *time.Timer // runs while something waits
	err      error       // the first; nothing is stored after it
	stored   uint64
	fresh    uint64 // findings that wait and are no repetition
}

var _ reports.Sink = (*Recorder)(nil)

// batch is what one transaction stores of a run.
type batch struct {
	run, scope int64
	id         string   // of the run: the number of one that was removed may be another's now
	rows       []packed // open ports, each target once
	overruled  [][]byte // keys of open ports that had another answer before
	replaces   bool     // one of the rows does
	number     int64    // of the answers among those of the run
	count      int
	answers    []byte // deflated, nil for none
}

// Begin stores that a run has begun and returns its recorder. facts is asked
// now, for what is known at the start, and again by Close. A run of the same id
// that is here already is continued, with everything that was stored of it: also
// findings that were stored before may be written again.
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
	r := &Recorder{store: s, facts: facts, opened: targetSet{}, answered: targetSet{}, batch: batch{id: f.ScanID}}
	for name, text := range map[string]string{"id": f.ScanID, "site": f.Site, "vantage": f.Vantage, "job": f.Job} {
		if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
			return nil, fmt.Errorf("history: %s of the run %q: want text without a zero byte", name, text)
		}
	}
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
	known, err := factsText(&f)
	if err != nil {
		return nil, err
	}
	var again bool
	err = s.persist(ctx, func(ctx context.Context, tx *sql.Tx, _ int) error {
		err := tx.QueryRowContext(ctx, `SELECT id FROM run WHERE scan_id = $1`, f.ScanID).Scan(&r.batch.run)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			again = false
			err = tx.QueryRowContext(ctx, `INSERT INTO run (scan_id, site, vantage, job, plan_key, plan, started, facts)
				VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING id`,
				f.ScanID, f.Site, f.Vantage, f.Job, plan.key(&f), packedPlan, started.UnixNano(), known).Scan(&r.batch.run)
		case err == nil: // a run that is taken up again
			again = true
			_, err = tx.ExecContext(ctx, `UPDATE run SET finished = 0, swept = 0, tally = '', against = '' WHERE id = $1`, r.batch.run)
		}
		if err != nil {
			return err
		}
		r.batch.scope, err = scope(ctx, tx, f.Site, f.Vantage)
		return err
	})
	if err == nil && again {
		err = r.remember(ctx)
	}
	if err != nil {
		return nil, err
	}
	return r, nil
}

// remember reads which targets the run has.
func (r *Recorder) remember(ctx context.Context) error {
	run := Run{row: r.batch.run}
	c := r.store.cursor(&run)
	for err := c.next(ctx); ; err = c.next(ctx) {
		if err != nil {
			return err
		}
		if !c.more {
			break
		}
		t, err := parseKey(c.key)
		if err != nil {
			return err
		}
		r.opened.add(t)
	}
	return r.store.answers(ctx, run, func(number int64, f reports.Finding) error {
		r.batch.number = number
		r.answered.add(target(&f))
		return nil
	})
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
		r.open(target(&f), p)
	} else if t := target(&f); !r.opened.has(t) && r.answered.add(t) {
		r.answers.add(&f)
		r.fresh++
	}
	if len(r.batch.rows) >= commitRows || r.answers.count >= maxBatch {
		r.commit()
		return r.err
	}
	if r.timer == nil && len(r.batch.rows)+r.answers.count > 0 {
		r.timer = time.AfterFunc(commitAfter, r.tick)
	}
	return nil
}

// open puts an open port to what waits.
func (r *Recorder) open(t scanner.Target, p packed) {
	if r.answered.has(t) {
		r.batch.overruled = append(r.batch.overruled, p.key)
	}
	if r.opened.add(t) {
		r.fresh++
		r.batch.rows = append(r.batch.rows, p)
		return
	}
	for i := range r.batch.rows { // seldom
		if old := &r.batch.rows[i]; string(old.key) == string(p.key) {
			p.replaces, p.first, p.last = old.replaces, min(p.first, old.first), max(p.last, old.last)
			*old = p
			return
		}
	}
	p.replaces, r.batch.replaces = true, true
	r.batch.rows = append(r.batch.rows, p)
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
	b := &r.batch
	if r.err != nil || len(b.rows)+r.answers.count == 0 {
		return
	}
	if b.count = r.answers.count; b.count > 0 {
		if b.answers, r.err = r.pack.pack(r.answers.body); r.err != nil {
			return
		}
		b.number++
	}
	r.err = r.store.persist(context.Background(), func(ctx context.Context, tx *sql.Tx, try int) error {
		if try > 0 { // the one before may have been committed
			b.replaceAll()
		}
		return r.store.insert(ctx, tx, b)
	})
	if r.err != nil {
		return
	}
	r.stored += r.fresh
	r.fresh = 0
	b.reset()
	r.answers.reset()
}

var errPruned = errors.New("the run was removed while it was written")

func (b *batch) replaceAll() {
	b.replaces = len(b.rows) > 0
	for i := range b.rows {
		b.rows[i].replaces = true
	}
}

func (b *batch) reset() {
	clear(b.rows)
	b.rows, b.overruled, b.replaces, b.answers, b.count = b.rows[:0], b.overruled[:0], false, nil, 0
}

// insert stores a batch. Whatever of it is stored already stays once.
func (s *Store) insert(ctx context.Context, tx *sql.Tx, b *batch) error {
	if err := b.update(ctx, tx, `swept = 0`); err != nil { // and nobody prunes it now
		return err
	}
	if b.count > 0 {
		_, err := tx.ExecContext(ctx, `INSERT INTO answer (run, batch, count, body) VALUES ($1, $2, $3, $4) ON CONFLICT (run, batch) DO NOTHING`,
			b.run, b.number, b.count, b.answers)
		if err != nil {
			return err
		}
	}
	for _, key := range b.overruled {
		_, err := tx.ExecContext(ctx, `INSERT INTO overruled (run, key) VALUES ($1, $2) ON CONFLICT (run, key) DO NOTHING`, b.run, key)
		if err != nil {
			return err
		}
	}
	if len(b.rows) == 0 {
		return nil
	}
	slices.SortFunc(b.rows, func(x, y packed) int { return bytes.Compare(x.key, y.key) }) // all in one order: nobody waits crosswise
	if b.replaces {
		for i := range b.rows {
			if err := b.forget(ctx, tx, &b.rows[i]); err != nil {
				return err
			}
		}
	}
	return s.dialect.insert(ctx, tx, b)
}

// update changes the row of the run, which must be there.
func (b *batch) update(ctx context.Context, tx *sql.Tx, set string, args ...any) error {
	res, err := tx.ExecContext(ctx, `UPDATE run SET `+set+` WHERE id = $1 AND scan_id = $2`, append([]any{b.run, b.id}, args...)...)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n != 1 {
		return errors.Join(err, errPruned)
	}
	return nil
}

// forget removes what the row replaces. What a revision superseded stays.
func (b *batch) forget(ctx context.Context, tx *sql.Tx, p *packed) error {
	if !p.replaces {
		return nil
	}
	for _, column := range []string{"detail", "evidence"} {
		_, err := tx.ExecContext(ctx, `DELETE FROM detail WHERE id = (SELECT `+column+` FROM finding WHERE run = $1 AND key = $2)
			AND id NOT IN (SELECT detail FROM superseded WHERE run = $1 AND key = $2)`, b.run, p.key)
		if err != nil {
			return err
		}
	}
	_, err := tx.ExecContext(ctx, `DELETE FROM finding WHERE run = $1 AND key = $2`, b.run, p.key)
	return err
}

// Stored returns how many findings this recorder has on the disk. One that was
// there before is not counted again.
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
	return r.finish(context.Background(), r.facts(), time.Now())
}

// flush stores what waits.
func (r *Recorder) flush() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.commit()
	return r.err
}

// finish stores the outcome of a run that ended now.
func (r *Recorder) finish(ctx context.Context, f reports.Run, now time.Time) error {
	text, err := factsText(&f)
	if err != nil {
		return err
	}
	swept := 0
	if f.Scan.Complete && !f.Interrupted && f.Lost == 0 {
		swept = 1
	}
	return r.store.persist(ctx, func(ctx context.Context, tx *sql.Tx, _ int) error {
		if err := r.batch.update(ctx, tx, `finished = $3, swept = $4, facts = $5`, now.UnixNano(), swept, text); err != nil {
			return err
		}
		return keepTally(ctx, tx, r.batch.run)
	})
}
