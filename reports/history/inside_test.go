package history

import (
	"bytes"
	"context"
	"net/netip"
	"time"

	"dormant/scanner"
)

// What the tests reach inside for.

// Flush stores what waits.
func Flush(r *Recorder) error { return r.flush() }

// Details counts the texts that are stored.
func Details(ctx context.Context, s *Store) (n uint64, err error) {
	err = s.db.QueryRowContext(ctx, `SELECT count(*) FROM detail`).Scan(&n)
	return n, err
}

// SetPatience sets how long a recorder waits for a database that is away.
func SetPatience(s *Store, d time.Duration) { s.patience = d }

// HoldFew makes of a comparison with more than n changes one with too many.
func HoldFew(s *Store, n int) { s.maxHeld = n }

// Hurry leaves a store one connection, which waits a millisecond for a file that
// is locked.
func Hurry(ctx context.Context, s *Store) error {
	s.db.SetMaxOpenConns(1)
	_, err := s.db.ExecContext(ctx, `PRAGMA busy_timeout = 1`)
	return err
}

// PublicName is what is shown of a URL.
func PublicName(url string) string { return publicName(url) }

// Setting is what the server of a connection was told.
func Setting(ctx context.Context, s *Store, name string) (v string, err error) {
	err = s.db.QueryRowContext(ctx, `SELECT current_setting($1)`, name).Scan(&v)
	return v, err
}

// ReadURL reads a URL and connects nothing.
func ReadURL(url string) error {
	s, err := openPostgres(url, true)
	if err == nil {
		err = s.db.Close()
	}
	return err
}

// Targets is the set that recorders keep.
type Targets struct{ set targetSet }

func NewTargets() Targets { return Targets{targetSet{}} }

func (s Targets) Has(t scanner.Target) bool { return s.set.has(t) }
func (s Targets) Add(t scanner.Target) bool { return s.set.add(t) }

// InRange reports whether the key of a target is in the range of a prefix.
func InRange(p netip.Prefix, t scanner.Target) bool {
	from, to := keyRange(p)
	key := appendKey(nil, t)
	return bytes.Compare(from, key) <= 0 && bytes.Compare(key, to) < 0
}

// SightingsOf asks as an Annotator does.
func SightingsOf(s *Store, run Run) func(ctx context.Context, t scanner.Target) (first, last time.Time, err error) {
	seen := sightings{store: s, run: &run}
	return func(ctx context.Context, t scanner.Target) (time.Time, time.Time, error) {
		return seen.at(ctx, appendKey(nil, t))
	}
}
