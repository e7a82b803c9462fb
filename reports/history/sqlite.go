package history

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"
)

// The result codes of SQLite that a person can do something about
// (https://sqlite.org/rescode.html).
const (
	codeBusy     = 5
	codeReadOnly = 8
	codeIOErr    = 10
	codeCorrupt  = 11
	codeFull     = 13
	codeCantOpen = 14
	codeNotADB   = 26

	codeIOErrShmSize = codeIOErr | 19<<8 // there is no room for the index of the log
)

// applicationID marks a file as a history: "DORM", as in the first migration.
const applicationID = 1146048077

// sqliteFile is the dialect of a file.
type sqliteFile struct{ path string }

var _ dialect = sqliteFile{}

// openSQLite opens the file, and makes it if it is not there.
func openSQLite(path string) (*Store, error) {
	if err := inspect(path); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("history: %w", err)
	}
	if f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600); err != nil { // SQLite would make it readable to all
		return nil, fmt.Errorf("history: %w", err)
	} else if err := f.Close(); err != nil {
		return nil, fmt.Errorf("history: %w", err)
	}
	db, err := sql.Open("sqlite", dsn(path))
	if err != nil {
		return nil, fmt.Errorf("history: %s: %w", path, err)
	}
	return &Store{db: db, name: path, dialect: sqliteFile{path}, writing: &sync.Mutex{}}, nil
}

// dsn names the file and what every connection to it sets: a commit is on the
// disk when it returns, and whoever finds the file locked waits up to 20
// seconds. Nothing here writes to a file that may not be ours.
func dsn(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	u := url.URL{Scheme: "file", Path: filepath.ToSlash(path)}
	q := url.Values{"_pragma": {"busy_timeout(20000)", "synchronous(FULL)", "cache_size(-65536)"}}
	q.Set("_txlock", "immediate")
	return u.String() + "?" + q.Encode()
}

// inspect looks at the head of the file before SQLite does: a file that is
// something else must not be written to.
func inspect(path string) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("history: %w", err)
	}
	head := make([]byte, 16)
	n, err := io.ReadFull(f, head)
	if cerr := f.Close(); cerr != nil {
		return fmt.Errorf("history: %w", cerr)
	}
	switch {
	case err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("history: %w", err)
	case n > 0 && string(head[:n]) != "SQLite format 3\x00": // https://sqlite.org/fileformat2.html section 1.3
		return &DamagedError{Path: path, Err: errors.New("it does not begin like a SQLite file")}
	}
	return nil
}

// up brings the schema up to date. Two processes may do so at once: who loses
// looks again.
func (s sqliteFile) up(ctx context.Context, db *sql.DB) error {
	var err error
	for range 20 {
		var version int64
		if version, err = s.version(ctx, db); err != nil {
			return err
		}
		if version > SchemaVersion {
			return newerError(s.path, version)
		}
		if version == SchemaVersion {
			return nil
		}
		if _, err = db.ExecContext(ctx, `PRAGMA journal_mode = WAL`); err == nil { // stays in the file: readers do not wait for writers
			err = migrate(ctx, db, goose.DialectSQLite3, "sqlite", goose.DefaultTablename, secondSchema())
		}
		if err == nil {
			return nil
		}
		if c := code(err); c == codeFull || c == codeIOErr || c == codeReadOnly || c == codeCorrupt || c == codeNotADB {
			break
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("history: migrate: %w", ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
	return s.explain(err)
}

// version returns the schema of the file, 0 for an empty one.
func (s sqliteFile) version(ctx context.Context, db *sql.DB) (int64, error) {
	var tables, id int64
	if err := db.QueryRowContext(ctx, `SELECT count(*) FROM sqlite_schema`).Scan(&tables); err != nil {
		return 0, s.explain(err)
	}
	if tables == 0 {
		return 0, nil
	}
	if err := db.QueryRowContext(ctx, `PRAGMA application_id`).Scan(&id); err != nil {
		return 0, s.explain(err)
	}
	var managed int64
	err := db.QueryRowContext(ctx, `SELECT count(*) FROM sqlite_schema WHERE name = 'goose_db_version'`).Scan(&managed)
	if err != nil {
		return 0, s.explain(err)
	}
	if id != applicationID && (id != 0 || managed == 0) {
		return 0, fmt.Errorf("history: %s is a database of another program: name another file with --db", s.path)
	}
	var v sql.NullInt64
	if err := db.QueryRowContext(ctx, `SELECT max(version_id) FROM goose_db_version WHERE is_applied`).Scan(&v); err != nil {
		return 0, s.explain(err)
	}
	return v.Int64, nil
}

// code returns SQLite's primary result code, 0 for other errors.
func code(err error) int {
	e, ok := errors.AsType[*sqlite.Error](err)
	switch {
	case !ok:
		return 0
	case e.Code() == codeIOErrShmSize:
		return codeFull
	default:
		return e.Code() & 0xff
	}
}

// explain leaves out what was being done: what SQLite says is enough.
func (s sqliteFile) explain(err error) error {
	e, ok := errors.AsType[*sqlite.Error](err)
	if !ok {
		return fmt.Errorf("history: %s: %w", s.path, err)
	}
	switch code(e) {
	case codeCorrupt, codeNotADB:
		return &DamagedError{Path: s.path, Err: e}
	case codeFull:
		return fmt.Errorf("history: %s: the disk is full: free some space, or give another file with --db: %w", s.path, e)
	case codeIOErr:
		return fmt.Errorf("history: %s: its disk fails, or is not one of this machine: see the system's log, or give another file with --db: %w", s.path, e)
	case codeBusy:
		return &lostError{s.path + held, e}
	case codeReadOnly, codeCantOpen:
		return fmt.Errorf("history: %s cannot be written: give another file with --db, or --no-history: %w", s.path, e)
	default:
		return fmt.Errorf("history: %s: %w", s.path, err)
	}
}

func (s sqliteFile) compact(ctx context.Context, db *sql.DB) error {
	for _, query := range []string{`VACUUM`, `PRAGMA wal_checkpoint(TRUNCATE)`} {
		if _, err := db.ExecContext(ctx, query); err != nil {
			return err
		}
	}
	return nil
}

func (s sqliteFile) check(ctx context.Context, db *sql.DB) error {
	var verdict string
	if err := db.QueryRowContext(ctx, `PRAGMA quick_check(1)`).Scan(&verdict); err != nil {
		return err
	}
	if verdict != "ok" {
		return &DamagedError{Path: s.path, Err: errors.New(verdict)}
	}
	return nil
}

// insert stores row by row: statements that are prepared once are as fast as
// SQLite is.
func (s sqliteFile) insert(ctx context.Context, tx *sql.Tx, b *batch) error {
	var prepared [3]*sql.Stmt
	for i, query := range []string{
		`INSERT INTO detail (body, evidence) VALUES ($1, $2)`,
		`INSERT INTO finding (run, key, digest, mac, cert, host, detail, evidence, verdict, severity, expected, words)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $7, $8, $9, $10, $11)`,
		`INSERT INTO sighting (scope, key, first, last) VALUES ($1, $2, $3, $4)
			ON CONFLICT DO UPDATE SET first = min(first, excluded.first), last = max(last, excluded.last)`,
	} {
		stmt, err := tx.PrepareContext(ctx, query)
		if err != nil {
			return err
		}
		defer stmt.Close() //nolint:errcheck // with the transaction
		prepared[i] = stmt
	}
	detail, finding, sighting := prepared[0], prepared[1], prepared[2]
	for i := range b.rows {
		p := &b.rows[i]
		res, err := detail.ExecContext(ctx, p.detail, p.evidence)
		if err != nil {
			return err
		}
		id, err := res.LastInsertId()
		if err != nil {
			return err
		}
		x := &p.facets
		_, err = finding.ExecContext(ctx, b.run, p.key, p.digest, p.mac, p.cert, p.host, id, x.verdict, x.severity, x.expected, x.words)
		if err != nil {
			return err
		}
		if _, err := sighting.ExecContext(ctx, b.scope, p.key, p.first, p.last); err != nil {
			return err
		}
	}
	return nil
}
