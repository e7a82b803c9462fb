package history

import (
	"context"
	"time"
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

// PublicName is what is shown of a URL.
func PublicName(url string) string { return publicName(url) }

// Setting is what the server of a connection was told.
func Setting(ctx context.Context, s *Store, name string) (v string, err error) {
	err = s.db.QueryRowContext(ctx, `SELECT current_setting($1)`, name).Scan(&v)
	return v, err
}
