package history

import (
	"context"
	"database/sql"
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"

	"dormant/reports"
)

//go:embed migrations
var migrations embed.FS

// SchemaVersion is the number of the newest migration, of both databases.
const SchemaVersion = 3

// migrate runs the migrations of a folder that were not run yet, and those of
// Go among them. table holds which were.
func migrate(ctx context.Context, db *sql.DB, d database.Dialect, folder, table string, steps ...*goose.Migration) error {
	files, err := fs.Sub(migrations, "migrations/"+folder)
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(d, db, files, goose.WithDisableGlobalRegistry(true), goose.WithTableName(table), goose.WithGoMigrations(steps...))
	if err != nil {
		return err
	}
	_, err = p.Up(ctx)
	return err
}

// secondSchema makes a file of schema 1 one of schema 2.
func secondSchema() *goose.Migration {
	return goose.NewGoMigration(2, &goose.GoFunc{RunTx: toSecond}, nil)
}

// secondColumns are the columns that findings are searched and runs counted by.
const secondColumns = `
ALTER TABLE finding ADD COLUMN verdict  TEXT NOT NULL DEFAULT ''; -- the words of the reports' columns
ALTER TABLE finding ADD COLUMN severity TEXT NOT NULL DEFAULT '';
ALTER TABLE finding ADD COLUMN expected TEXT NOT NULL DEFAULT '';
ALTER TABLE finding ADD COLUMN words    TEXT NOT NULL DEFAULT ''; -- the texts of the finding, in small letters
ALTER TABLE run ADD COLUMN job     TEXT NOT NULL DEFAULT '';      -- of a server's schedule
ALTER TABLE run ADD COLUMN tally   TEXT NOT NULL DEFAULT '';      -- Tally as JSON; '' while the run is unfinished
ALTER TABLE run ADD COLUMN against TEXT NOT NULL DEFAULT '';      -- what differs from the run before, as JSON; '' was not asked
ALTER TABLE answer ADD COLUMN batch INTEGER NOT NULL DEFAULT 0;   -- counts those of a run, so that none is stored twice
UPDATE answer SET batch = id;
DROP INDEX answer_run;
CREATE UNIQUE INDEX answer_batch ON answer (run, batch);
CREATE INDEX run_started ON run (started, id);
-- Targets whose answer another one overruled: they were found open later.
CREATE TABLE overruled (
  run INTEGER NOT NULL,
  key BLOB    NOT NULL,
  PRIMARY KEY (run, key)
) WITHOUT ROWID`

func toSecond(ctx context.Context, tx *sql.Tx) error {
	if _, err := tx.ExecContext(ctx, secondColumns); err != nil {
		return err
	}
	if err := fillFacets(ctx, tx); err != nil {
		return err
	}
	return fillTallies(ctx, tx)
}

// fillFacets reads what is stored of every finding and writes what it is
// searched by. A finding that cannot be read stays without: it is damaged, and
// whoever reads it is told.
func fillFacets(ctx context.Context, tx *sql.Tx) error {
	update, err := tx.PrepareContext(ctx, `UPDATE finding SET verdict = $3, severity = $4, expected = $5, words = $6 WHERE run = $1 AND key = $2`)
	if err != nil {
		return err
	}
	defer update.Close() //nolint:errcheck // with the transaction
	type stored struct {
		run       int64
		key, body []byte
	}
	var u unpacker
	last := stored{key: firstKey()}
	for {
		page, err := collect(ctx, tx, func(rows *sql.Rows) (s stored, err error) {
			return s, rows.Scan(&s.run, &s.key, &s.body)
		}, `SELECT f.run, f.key, d.body FROM finding f JOIN detail d ON d.id = f.detail
			WHERE (f.run, f.key) > ($1, $2) ORDER BY f.run, f.key LIMIT 500`, last.run, last.key)
		if err != nil || len(page) == 0 {
			return err
		}
		for _, s := range page {
			f, err := u.finding(s.body, nil)
			if err != nil {
				continue
			}
			x := facetsOf(&f)
			if _, err := update.ExecContext(ctx, s.run, s.key, x.verdict, x.severity, x.expected, x.words); err != nil {
				return err
			}
		}
		last = page[len(page)-1]
	}
}

// fillTallies counts the runs that have ended.
func fillTallies(ctx context.Context, tx *sql.Tx) error {
	runs, err := collect(ctx, tx, func(rows *sql.Rows) (id int64, err error) { return id, rows.Scan(&id) },
		`SELECT id FROM run WHERE finished > 0`)
	if err != nil {
		return err
	}
	for _, run := range runs {
		if err := keepTally(ctx, tx, run); err != nil {
			return err
		}
	}
	return nil
}

// querier is a transaction or the whole database.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// collect returns the rows of a query. It holds no connection when it returns,
// so that whoever reads them may ask more.
func collect[T any](ctx context.Context, q querier, scan func(*sql.Rows) (T, error), query string, args ...any) ([]T, error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // Err below says it
	var all []T
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, rows.Err()
}

// factsText is what is stored of the facts of a run.
func factsText(f *reports.Run) (string, error) {
	text, err := json.Marshal(f)
	if err != nil {
		return "", fmt.Errorf("history: facts: %w", err)
	}
	return string(text), nil
}
