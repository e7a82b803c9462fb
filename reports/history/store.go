package history

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
	"time"
)

// Store is a history: a file of SQLite, or a database of PostgreSQL. It is safe
// for concurrent use, also by several processes.
type Store struct {
	db      *sql.DB
	name    string // of the file, or the URL without what is secret
	dialect dialect
	// patience is how long a recorder tries what ended with a lostError.
	patience time.Duration
	tryFor   time.Duration // bounds each try; 0: it ends by itself
	maxHeld  int           // the constant, less in tests
	// writing lets the recorders of this process take turns, nil where the database
	// sees to that. SQLite has one writer at a time and no queue: of ten that write
	// all the time, some would wait until they give up.
	writing *sync.Mutex
}

// dialect is where the two databases differ. Queries number their parameters,
// $1, which both read, and cast those whose type nothing tells.
type dialect interface {
	// up brings the schema up to date, or refuses the database and leaves it as
	// it is.
	up(ctx context.Context, db *sql.DB) error
	// insert stores the rows of a batch; those that replace others are deleted
	// before.
	insert(ctx context.Context, tx *sql.Tx, b *batch) error
	// explain puts what a person can do into the database's errors. One after
	// which the same may be tried again is a lostError.
	explain(err error) error
	compact(ctx context.Context, db *sql.DB) error
	check(ctx context.Context, db *sql.DB) error
}

// patience is how long a recorder waits for a database that is away or held by
// another process: long enough for a restart of the server, or to prune a million
// findings, short enough that a scan ends.
const patience = time.Minute

// maxConns bounds the connections of one Store. Nothing holds one while it
// waits for another.
const maxConns = 8

// Open opens the history in the file db, or in the database of PostgreSQL that
// db names as a URL, postgres://USER@HOST:PORT/DATABASE. It makes the tables
// that are not there, and brings an older schema up to date. A history that is
// damaged, of another program, or of a newer schema is refused and left as it
// is; the error says what to do, and never has the URL's password in it.
func Open(ctx context.Context, db string) (*Store, error) {
	return open(ctx, db, true)
}

// OpenExisting is Open for a history that must be there: fs.ErrNotExist when it
// is not.
func OpenExisting(ctx context.Context, db string) (*Store, error) {
	return open(ctx, db, false)
}

func open(ctx context.Context, db string, create bool) (*Store, error) {
	var s *Store
	var err error
	switch {
	case IsURL(db):
		s, err = openPostgres(db, create)
	case create:
		s, err = openSQLite(db)
	default:
		if _, err := os.Stat(db); err != nil {
			return nil, fmt.Errorf("history: %w", err)
		}
		s, err = openSQLite(db)
	}
	if err != nil {
		return nil, err
	}
	s.patience, s.maxHeld = patience, maxHeld
	s.db.SetMaxOpenConns(maxConns)
	s.db.SetMaxIdleConns(maxConns)
	if err := s.dialect.up(ctx, s.db); err != nil {
		return nil, errors.Join(err, s.db.Close())
	}
	return s, nil
}

// IsURL reports whether a name is that of a database of PostgreSQL, and not of
// a file.
func IsURL(db string) bool {
	scheme, _, ok := strings.Cut(db, "://")
	return ok && (strings.EqualFold(scheme, "postgres") || strings.EqualFold(scheme, "postgresql"))
}

// Path returns the file's name, or the URL without what is secret.
func (s *Store) Path() string { return s.name }

// Close closes the history.
func (s *Store) Close() error { return s.explain(s.db.Close()) }

// Compact gives the room of pruned runs back: a file to the disk, for which it
// needs as much again for a moment, tables of PostgreSQL to what is stored next.
func (s *Store) Compact(ctx context.Context) error { return s.explain(s.dialect.compact(ctx, s.db)) }

// Check reads the history as far as it takes to see that nothing is broken, and
// returns a DamagedError when something is.
func (s *Store) Check(ctx context.Context) error {
	err := s.dialect.check(ctx, s.db)
	if _, ok := errors.AsType[*DamagedError](err); ok {
		return err
	}
	return s.explain(err)
}

func (s *Store) explain(err error) error {
	if err == nil {
		return nil
	}
	return s.dialect.explain(err)
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

// The bounds of the pauses between the tries of persist.
const (
	pauseFirst = 100 * time.Millisecond
	pauseLast  = time.Second
)

// persist is change for what must not be lost: after a lostError it is tried
// again. A transaction whose answer was lost may have been committed, so
// fn is told the number of the try, and must find its own traces.
func (s *Store) persist(ctx context.Context, fn func(ctx context.Context, tx *sql.Tx, try int) error) error {
	until := time.Now().Add(s.patience)
	pause := pauseFirst
	for try := 0; ; try++ {
		err := s.try(ctx, func(ctx context.Context, tx *sql.Tx) error { return fn(ctx, tx, try) })
		lost, ok := errors.AsType[*lostError](err)
		if !ok {
			return err
		}
		if time.Now().Add(pause).After(until) {
			return fmt.Errorf("given up after %v: %w", s.patience, lost)
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause):
		}
		pause = min(2*pause, pauseLast)
	}
}

// try runs fn in a transaction that a server must answer in time: one that is
// cut off says nothing.
func (s *Store) try(ctx context.Context, fn func(ctx context.Context, tx *sql.Tx) error) error {
	if s.tryFor > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.tryFor)
		defer cancel()
	}
	if s.writing != nil {
		s.writing.Lock()
		defer s.writing.Unlock()
	}
	return s.change(ctx, func(tx *sql.Tx) error { return fn(ctx, tx) })
}

// lostError is a failure that may be over when the same is tried again: the
// database is away, or held by another process.
type lostError struct {
	what string // the name, and what is wrong with it
	err  error
}

func (e *lostError) Error() string {
	return fmt.Sprintf("history: %s: %s", e.what, strings.Join(strings.Fields(e.err.Error()), " "))
}

const (
	away = " cannot be reached"
	held = " is locked by another process for more than 20 s"
)

func (e *lostError) Unwrap() error { return e.err }

// DamagedError is returned for a history that the database cannot read.
type DamagedError struct {
	Path string
	Err  error
}

func (e *DamagedError) Error() string {
	if IsURL(e.Path) {
		return fmt.Sprintf("history: %s is damaged (%v): restore it from a backup, or give another database with --db; "+
			"what can still be read is saved by: dormant runs export --all --db %s -o saved.jsonl", e.Path, e.Err, e.Path)
	}
	return fmt.Sprintf("history: %s is damaged (%v): move it aside and the next scan begins a new one; "+
		"what can still be read is saved by: dormant runs export --all --db %s -o saved.jsonl", e.Path, e.Err, e.Path)
}

// Unwrap returns what the database said.
func (e *DamagedError) Unwrap() error { return e.Err }

// newerError refuses a schema that this program does not know.
func newerError(name string, version int64) error {
	return fmt.Errorf("history: %s has schema %d and this program knows %d: use a newer dormant, or another history with --db",
		name, version, SchemaVersion)
}

// errNone is what OpenExisting finds in an empty database.
func errNone(name string) error {
	return fmt.Errorf("history: %s: nothing is stored there yet: %w", name, fs.ErrNotExist)
}
