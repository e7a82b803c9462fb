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
	if err := s.open(ctx, run, fn); err != nil {
		return err
	}
	rows, err := s.db.QueryContext(ctx, `SELECT body FROM answer WHERE run = ? ORDER BY id`, run.row)
	if err != nil {
		return s.explain(err)
	}
	defer rows.Close() //nolint:errcheck // Err below says it
	for rows.Next() {
		var body sql.RawBytes
		if err := rows.Scan(&body); err != nil {
			return s.explain(err)
		}
		text, err := unpack(body)
		if err != nil {
			return err
		}
		for r := (batchReader{rest: text}); len(r.rest) > 0; {
			f, err := r.next(run.meta())
			if err == nil {
				err = fn(f)
			}
			if err != nil {
				return err
			}
		}
	}
	return s.explain(rows.Err())
}

// meta is what all findings of a run that are not open have in common.
func (r *Run) meta() reports.Finding {
	return reports.Finding{
		Schema: reports.SchemaVersion, ScanID: r.ID, Site: r.Site, Vantage: r.Vantage, Ticket: r.Ticket,
		Confirmed: reports.ConfirmedNA, Severity: "info", Clients: -1,
	}
}

func (s *Store) open(ctx context.Context, run Run, fn func(reports.Finding) error) error {
	rows, err := s.db.QueryContext(ctx, `SELECT d.body, e.evidence FROM finding f JOIN detail d ON d.id = f.detail
		JOIN detail e ON e.id = f.evidence WHERE f.run = ? ORDER BY f.key`, run.row)
	if err != nil {
		return s.explain(err)
	}
	defer rows.Close() //nolint:errcheck // Err below says it
	for rows.Next() {
		var detail, evidence sql.RawBytes
		if err := rows.Scan(&detail, &evidence); err != nil {
			return s.explain(err)
		}
		f, err := unpackFinding(detail, evidence)
		if err == nil {
			err = fn(f)
		}
		if err != nil {
			return err
		}
	}
	return s.explain(rows.Err())
}

// Finding returns the open port of a run, with its evidence, and false when the
// target was not open in it.
func (s *Store) Finding(ctx context.Context, run Run, t scanner.Target) (reports.Finding, bool, error) {
	return s.finding(ctx, run.row, appendKey(nil, t), true)
}

// finding returns one finding, its evidence only if it is wanted.
func (s *Store) finding(ctx context.Context, run int64, key []byte, whole bool) (reports.Finding, bool, error) {
	var detail, evidence []byte
	err := s.detailOf.QueryRowContext(ctx, run, key, whole).Scan(&detail, &evidence)
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
	err = s.seenAt.QueryRowContext(ctx, appendKey(nil, t), run.Site, run.Vantage).Scan(&a, &b)
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
	rows, err := s.db.QueryContext(ctx, `SELECT number, at, version, changed FROM revision WHERE run = ? ORDER BY number`, run.row)
	if err != nil {
		return nil, s.explain(err)
	}
	defer rows.Close() //nolint:errcheck // Err below says it
	var all []Revision
	for rows.Next() {
		var r Revision
		var at int64
		if err := rows.Scan(&r.Number, &at, &r.Version, &r.Changed); err != nil {
			return nil, s.explain(err)
		}
		r.At = time.Unix(0, at).UTC()
		all = append(all, r)
	}
	return all, s.explain(rows.Err())
}

// Revise stores findings of the run that were judged again, as its next
// revision. The evidence stays, and so do the verdicts before it.
func (s *Store) Revise(ctx context.Context, run Run, version string, changed []reports.Finding) (Revision, error) {
	rev := Revision{At: time.Now().UTC(), Version: version, Changed: len(changed)}
	p := newPacker()
	err := s.change(ctx, func(tx *sql.Tx) error {
		err := tx.QueryRowContext(ctx, `UPDATE run SET revision = revision + 1 WHERE id = ? RETURNING revision`, run.row).Scan(&rev.Number)
		if err != nil {
			return err
		}
		for i := range changed {
			if err := p.revise(ctx, tx, run.row, rev.Number, changed[i]); err != nil {
				return err
			}
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO revision (run, number, at, version, changed) VALUES (?, ?, ?, ?, ?)`,
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
	_, err = tx.ExecContext(ctx, `INSERT INTO superseded (run, revision, key, detail) SELECT run, ?, key, detail FROM finding WHERE run = ? AND key = ?`,
		number-1, run, row.key)
	if err != nil {
		return err
	}
	res, err := tx.ExecContext(ctx, `INSERT INTO detail (body) VALUES (?)`, row.detail)
	if err != nil {
		return err
	}
	id, err := res.LastInsertId()
	if err != nil {
		return err
	}
	res, err = tx.ExecContext(ctx, `UPDATE finding SET digest = ?, mac = ?, cert = ?, host = ?, detail = ? WHERE run = ? AND key = ?`,
		row.digest, row.mac, row.cert, row.host, id, run, row.key)
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
			for _, query := range []string{
				`DELETE FROM detail WHERE id IN (SELECT detail FROM finding WHERE run = ?1 UNION SELECT evidence FROM finding WHERE run = ?1
					UNION SELECT detail FROM superseded WHERE run = ?1)`,
				`DELETE FROM finding WHERE run = ?`, `DELETE FROM superseded WHERE run = ?`, `DELETE FROM revision WHERE run = ?`,
				`DELETE FROM answer WHERE run = ?`, `DELETE FROM run WHERE id = ?`,
			} {
				if _, err := tx.ExecContext(ctx, query, r.row); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// Compact gives the room of pruned runs back to the disk. It needs as much
// again for a moment.
func (s *Store) Compact(ctx context.Context) error {
	for _, query := range []string{`VACUUM`, `PRAGMA wal_checkpoint(TRUNCATE)`} {
		if _, err := s.db.ExecContext(ctx, query); err != nil {
			return s.explain(err)
		}
	}
	return nil
}

// Check reads the whole file and returns a DamagedError when it is not sound.
func (s *Store) Check(ctx context.Context) error {
	var verdict string
	if err := s.db.QueryRowContext(ctx, `PRAGMA quick_check(1)`).Scan(&verdict); err != nil {
		return s.explain(err)
	}
	if verdict != "ok" {
		return &DamagedError{Path: s.path, Err: errors.New(verdict)}
	}
	return nil
}
