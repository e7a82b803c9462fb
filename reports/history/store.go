package history

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"
)

//go:embed migrations/*.sql
var migrations embed.FS

// SchemaVersion is the number of the newest migration.
const SchemaVersion = 1

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
)

// applicationID marks a file as a history: "DORM", as in the first migration.
const applicationID = 1146048077

// Store is a history file. It is safe for concurrent use, also by several
// processes.
type Store struct {
	db   *sql.DB
	path string
	// Asked for every change of a difference: prepared once.
	detailOf, seenAt *sql.Stmt
}

// Open opens the history in path, makes it if it is not there, and brings an
// older schema up to date. A file that is damaged, of another program, or of a
// newer schema is refused and left as it is; the error says what to do.
func Open(ctx context.Context, path string) (*Store, error) {
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
	s := &Store{db: db, path: path}
	err = s.migrate(ctx)
	if err == nil {
		err = s.prepare(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return s, nil
}

func (s *Store) prepare(ctx context.Context) (err error) {
	s.detailOf, err = s.db.PrepareContext(ctx, `SELECT d.body, CASE ?3 WHEN 1 THEN e.evidence END FROM finding f
		JOIN detail d ON d.id = f.detail JOIN detail e ON e.id = f.evidence WHERE f.run = ?1 AND f.key = ?2`)
	if err == nil {
		s.seenAt, err = s.db.PrepareContext(ctx, `SELECT first, last FROM sighting WHERE key = ? AND
			scope = (SELECT id FROM scope WHERE site = ? AND vantage = ?)`)
	}
	return s.explain(err)
}

// OpenExisting is Open for a file that must be there: fs.ErrNotExist when it is
// not.
func OpenExisting(ctx context.Context, path string) (*Store, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("history: %w", err)
	}
	return Open(ctx, path)
}

// Path returns the file's name.
func (s *Store) Path() string { return s.path }

// Close closes the file.
func (s *Store) Close() error {
	return s.explain(errors.Join(s.detailOf.Close(), s.seenAt.Close(), s.db.Close()))
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
		return fmt.Errorf("history: read %s: %w", path, err)
	case n > 0 && string(head[:n]) != "SQLite format 3\x00": // https://sqlite.org/fileformat2.html section 1.3
		return &DamagedError{Path: path, Err: errors.New("it does not begin like a SQLite file")}
	}
	return nil
}

// migrate brings the schema up to date. Two processes may do so at once: who
// loses looks again.
func (s *Store) migrate(ctx context.Context) error {
	var err error
	for range 20 {
		var version int64
		if version, err = s.version(ctx); err != nil {
			return err
		}
		if version > SchemaVersion {
			return fmt.Errorf("history: %s has schema %d and this program knows %d: use a newer dormant, or another file with --db",
				s.path, version, SchemaVersion)
		}
		if version == SchemaVersion {
			return nil
		}
		if _, err = s.db.ExecContext(ctx, `PRAGMA journal_mode = WAL`); err == nil { // stays in the file: readers do not wait for writers
			err = s.up(ctx)
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

func (s *Store) up(ctx context.Context) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, s.db, files, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return err
	}
	_, err = p.Up(ctx)
	return err
}

// version returns the schema of the file, 0 for an empty one.
func (s *Store) version(ctx context.Context) (int64, error) {
	var tables, id int64
	if err := s.db.QueryRowContext(ctx, `SELECT count(*) FROM sqlite_schema`).Scan(&tables); err != nil {
		return 0, s.explain(err)
	}
	if tables == 0 {
		return 0, nil
	}
	if err := s.db.QueryRowContext(ctx, `PRAGMA application_id`).Scan(&id); err != nil {
		return 0, s.explain(err)
	}
	var managed int64
	err := s.db.QueryRowContext(ctx, `SELECT count(*) FROM sqlite_schema WHERE name = 'goose_db_version'`).Scan(&managed)
	if err != nil {
		return 0, s.explain(err)
	}
	if id != applicationID && (id != 0 || managed == 0) {
		return 0, fmt.Errorf("history: %s is a database of another program: name another file with --db", s.path)
	}
	var v sql.NullInt64
	if err := s.db.QueryRowContext(ctx, `SELECT max(version_id) FROM goose_db_version WHERE is_applied`).Scan(&v); err != nil {
		return 0, s.explain(err)
	}
	return v.Int64, nil
}

// DamagedError is returned for a file that SQLite cannot read.
type DamagedError struct {
	Path string
	Err  error
}

func (e *DamagedError) Error() string {
	return fmt.Sprintf("history: %s is damaged (%v): move it aside and the next scan begins a new one; "+
		"what can still be read is saved by: dormant runs export --all --db %s -o saved.jsonl", e.Path, e.Err, e.Path)
}

// Unwrap returns what SQLite said.
func (e *DamagedError) Unwrap() error { return e.Err }

// code returns SQLite's primary result code, 0 for other errors.
func code(err error) int {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code() & 0xff
	}
	return 0
}

// explain puts what a person can do into SQLite's errors.
func (s *Store) explain(err error) error {
	if err == nil {
		return nil
	}
	switch code(err) {
	case codeCorrupt, codeNotADB:
		return &DamagedError{Path: s.path, Err: err}
	case codeFull:
		return fmt.Errorf("history: %s: the disk is full: free some space, or prune with dormant runs prune: %w", s.path, err)
	case codeBusy:
		return fmt.Errorf("history: %s is locked by another process for more than 20 s: %w", s.path, err)
	case codeReadOnly, codeCantOpen:
		return fmt.Errorf("history: %s cannot be written: give another file with --db, or --no-history: %w", s.path, err)
	default:
		return fmt.Errorf("history: %s: %w", s.path, err)
	}
}
