package history

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"dormant/reports"
	"dormant/scanner"
)

// Findings calls fn for every stored finding of the run: the open ports in the
// order of address, transport and port, then what answered otherwise, in the
// order in which it came.
func (s *Store) Findings(ctx context.Context, run Run, fn func(reports.Finding) error) error {
	if err := s.openPorts(ctx, run, fn); err != nil {
		return err
	}
	overruled, err := s.overruled(ctx, run)
	if err != nil {
		return err
	}
	err = s.answers(ctx, run, func(_ int64, f reports.Finding) error {
		if len(overruled) > 0 && overruled[target(&f)] {
			return nil
		}
		return fn(f)
	})
	if err != nil {
		return err
	}
	return s.present(ctx, &run)
}

// present returns an error when a run was removed: what was read of it may lack
// its end. Those that are nil are passed over.
func (s *Store) present(ctx context.Context, runs ...*Run) error {
	for _, r := range runs {
		if r == nil {
			continue
		}
		var n int
		err := s.db.QueryRowContext(ctx, `SELECT count(*) FROM run WHERE id = $1 AND scan_id = $2`, r.row, r.ID).Scan(&n)
		if err != nil {
			return s.explain(err)
		}
		if n == 0 {
			return fmt.Errorf("history: run %s was removed while it was read", r.ID)
		}
	}
	return nil
}

// overruled returns the targets that were found open after another answer of
// theirs was stored.
func (s *Store) overruled(ctx context.Context, run Run) (map[scanner.Target]bool, error) {
	keys, err := collect(ctx, s.db, func(rows *sql.Rows) (key []byte, err error) { return key, rows.Scan(&key) },
		`SELECT key FROM overruled WHERE run = $1`, run.row)
	if err != nil {
		return nil, s.explain(err)
	}
	targets := map[scanner.Target]bool{}
	for _, key := range keys {
		t, err := parseKey(key)
		if err != nil {
			return nil, err
		}
		targets[t] = true
	}
	return targets, nil
}

// answers calls fn for what answered and was not open, with the number of the
// batch that holds it.
func (s *Store) answers(ctx context.Context, run Run, fn func(number int64, f reports.Finding) error) error {
	var number int64
	for {
		var body []byte
		err := s.db.QueryRowContext(ctx, `SELECT batch, body FROM answer WHERE run = $1 AND batch > $2 ORDER BY batch LIMIT 1`,
			run.row, number).Scan(&number, &body)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return s.explain(err)
		}
		text, err := unpack(body)
		if err != nil {
			return err
		}
		for r := (batchReader{rest: text}); len(r.rest) > 0; {
			f, err := r.next(run.meta())
			if err == nil {
				err = fn(number, f)
			}
			if err != nil {
				return err
			}
		}
	}
}

// meta is what all findings of a run that are not open have in common.
func (r *Run) meta() reports.Finding {
	return reports.Finding{
		Schema: reports.SchemaVersion, ScanID: r.ID, Site: r.Site, Vantage: r.Vantage, Ticket: r.Ticket,
		Confirmed: reports.ConfirmedNA, Severity: "info", Clients: -1,
	}
}

// openPage is how many findings are read at a time, with their evidence.
const openPage = 200

// stored is a finding as it is read.
type stored struct{ key, detail, evidence []byte }

func scanStored(rows *sql.Rows) (s stored, err error) {
	return s, rows.Scan(&s.key, &s.detail, &s.evidence)
}

// openPorts calls fn for the open ports of a run. No connection is held while fn
// runs.
func (s *Store) openPorts(ctx context.Context, run Run, fn func(reports.Finding) error) error {
	var u unpacker
	last := firstKey()
	for {
		page, err := collect(ctx, s.db, scanStored, `SELECT f.key, d.body, e.evidence FROM
			(SELECT key, detail, evidence FROM finding WHERE run = $1 AND key > $2 ORDER BY key LIMIT $3) f
			JOIN detail d ON d.id = f.detail JOIN detail e ON e.id = f.evidence ORDER BY f.key`, run.row, last, openPage)
		if err != nil {
			return s.explain(err)
		}
		for _, x := range page {
			f, err := u.finding(x.detail, x.evidence)
			if err == nil {
				err = fn(f)
			}
			if err != nil {
				return err
			}
		}
		if len(page) < openPage {
			return nil
		}
		last = page[len(page)-1].key
	}
}

// Finding returns the open port of a run, with its evidence, and false when the
// target was not open in it.
func (s *Store) Finding(ctx context.Context, run Run, t scanner.Target) (reports.Finding, bool, error) {
	return s.finding(ctx, run.row, appendKey(nil, t), true)
}

// finding returns one finding, its evidence only if it is wanted.
func (s *Store) finding(ctx context.Context, run int64, key []byte, whole bool) (reports.Finding, bool, error) {
	column := "NULL"
	if whole {
		column = "e.evidence"
	}
	var detail, evidence []byte
	err := s.db.QueryRowContext(ctx, `SELECT d.body, `+column+` FROM finding f JOIN detail d ON d.id = f.detail JOIN detail e ON e.id = f.evidence
		WHERE f.run = $1 AND f.key = $2`, run, key).Scan(&detail, &evidence)
	if errors.Is(err, sql.ErrNoRows) {
		return reports.Finding{}, false, nil
	}
	if err != nil {
		return reports.Finding{}, false, s.explain(err)
	}
	f, err := unpackFinding(detail, evidence)
	return f, err == nil, err
}

// Seen returns when the target was seen open first and last from the run's site
// and vantage; zero times when it never was.
func (s *Store) Seen(ctx context.Context, run Run, t scanner.Target) (first, last time.Time, err error) {
	var a, b int64
	err = s.db.QueryRowContext(ctx, `SELECT first, last FROM sighting WHERE key = $1 AND
		scope = (SELECT id FROM scope WHERE site = $2 AND vantage = $3)`, appendKey(nil, t), run.Site, run.Vantage).Scan(&a, &b)
	if errors.Is(err, sql.ErrNoRows) {
		return first, last, nil
	}
	if err != nil {
		return first, last, s.explain(err)
	}
	return time.Unix(0, a).UTC(), time.Unix(0, b).UTC(), nil
}

// Revision is one time that a run was judged again.
type Revision struct {
	Number  int       `json:"number"` // the first one is 2
	At      time.Time `json:"at"`
	Version string    `json:"version"` // of the program whose rules judged
	Changed int       `json:"changed"`
}

// Revisions returns them, the oldest first.
func (s *Store) Revisions(ctx context.Context, run Run) ([]Revision, error) {
	all, err := collect(ctx, s.db, func(rows *sql.Rows) (r Revision, err error) {
		var at int64
		err = rows.Scan(&r.Number, &at, &r.Version, &r.Changed)
		r.At = time.Unix(0, at).UTC()
		return r, err
	}, `SELECT number, at, version, changed FROM revision WHERE run = $1 ORDER BY number`, run.row)
	return all, s.explain(err)
}

// Revise stores findings of the run that were judged again, as its next
// revision. The evidence stays, and so do the verdicts before it.
func (s *Store) Revise(ctx context.Context, run Run, version string, changed []reports.Finding) (Revision, error) {
	rev := Revision{At: time.Now().UTC(), Version: version, Changed: len(changed)}
	var p packer
	err := s.change(ctx, func(tx *sql.Tx) error {
		err := tx.QueryRowContext(ctx, `UPDATE run SET revision = revision + 1 WHERE id = $1 AND scan_id = $2 RETURNING revision`, run.row, run.ID).Scan(&rev.Number)
		if errors.Is(err, sql.ErrNoRows) {
			return errPruned
		}
		if err != nil {
			return err
		}
		for i := range changed {
			if err := p.revise(ctx, tx, run.row, rev.Number, changed[i]); err != nil {
				return err
			}
		}
		if run.tally != nil {
			if err := keepTally(ctx, tx, run.row); err != nil {
				return err
			}
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO revision (run, number, at, version, changed) VALUES ($1, $2, $3, $4, $5)`,
			run.row, rev.Number, rev.At.UnixNano(), version, len(changed))
		return err
	})
	return rev, err
}

func (p *packer) revise(ctx context.Context, tx *sql.Tx, run int64, number int, f reports.Finding) error {
	f.Dialogue = nil // the stored evidence stays
	row, err := p.packFinding(f)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO superseded (run, revision, key, detail)
		SELECT run, CAST($1 AS BIGINT), key, detail FROM finding WHERE run = $2 AND key = $3`, number-1, run, row.key)
	if err != nil {
		return err
	}
	var id int64
	if err := tx.QueryRowContext(ctx, `INSERT INTO detail (body) VALUES ($1) RETURNING id`, row.detail).Scan(&id); err != nil {
		return err
	}
	x := &row.facets
	res, err := tx.ExecContext(ctx, `UPDATE finding SET digest = $3, mac = $4, cert = $5, host = $6, detail = $7,
		verdict = $8, severity = $9, expected = $10, words = $11 WHERE run = $1 AND key = $2`,
		run, row.key, row.digest, row.mac, row.cert, row.host, id, x.verdict, x.severity, x.expected, x.words)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n != 1 {
		return errors.Join(err, fmt.Errorf("history: %v is not in the run that is judged again", target(&f)))
	}
	return nil
}

// Prune removes runs with everything that only they hold. When a port was seen
// first and last is not forgotten.
func (s *Store) Prune(ctx context.Context, runs []Run) error {
	return s.change(ctx, func(tx *sql.Tx) error {
		for _, r := range runs {
			res, err := tx.ExecContext(ctx, `DELETE FROM run WHERE id = $1 AND scan_id = $2`, r.row, r.ID) // first: who still writes it waits here, and is refused
			if err != nil {
				return err
			}
			if n, err := res.RowsAffected(); err != nil {
				return err
			} else if n == 0 { // somebody else was faster, and the number may be another run's
				continue
			}
			for _, query := range []string{
				`DELETE FROM detail WHERE id IN (SELECT detail FROM finding WHERE run = $1 UNION SELECT evidence FROM finding WHERE run = $1
					UNION SELECT detail FROM superseded WHERE run = $1)`,
				`DELETE FROM finding WHERE run = $1`, `DELETE FROM superseded WHERE run = $1`,
				`DELETE FROM revision WHERE run = $1`, `DELETE FROM answer WHERE run = $1`, `DELETE FROM overruled WHERE run = $1`,
			} {
				if _, err := tx.ExecContext(ctx, query, r.row); err != nil {
					return err
				}
			}
		}
		return nil
	})
}
