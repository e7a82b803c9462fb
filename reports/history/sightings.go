package history

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"time"
)

// sightings tells when ports were seen, asked in the order of their keys. It
// reads ahead as far as what it read was asked for: a database that is not in
// this process is not asked for each port, and the sightings of networks that
// the run did not ask are not read.
type sightings struct {
	store *Store
	run   *Run

	scope int64 // 0: not looked up yet; -1: there is none
	page  []sighting
	used  int    // of page, those that were asked for
	size  int    // of the next page
	last  []byte // the key that was asked for last; one before it is read anew
	end   bool   // nothing comes behind page
}

type sighting struct {
	key         []byte
	first, last int64
}

// maxAhead bounds what is read ahead, in ports.
const maxAhead = 4096

// at returns when the port was seen first and last; zero times when it never
// was.
func (s *sightings) at(ctx context.Context, key []byte) (first, last time.Time, err error) {
	if s.scope == 0 {
		if err := s.begin(ctx); err != nil {
			return first, last, err
		}
	}
	for len(s.page) > 0 && bytes.Compare(s.page[0].key, key) < 0 {
		s.page = s.page[1:]
	}
	before := s.last == nil || bytes.Compare(key, s.last) < 0
	s.last = key
	if before || len(s.page) == 0 && !s.end {
		if err := s.read(ctx, key); err != nil {
			return first, last, err
		}
	}
	if len(s.page) == 0 || !bytes.Equal(s.page[0].key, key) {
		return first, last, nil
	}
	s.used++
	return time.Unix(0, s.page[0].first).UTC(), time.Unix(0, s.page[0].last).UTC(), nil
}

// begin looks up where the run's sightings are.
func (s *sightings) begin(ctx context.Context) error {
	err := s.store.db.QueryRowContext(ctx, `SELECT id FROM scope WHERE site = $1 AND vantage = $2`, s.run.Site, s.run.Vantage).Scan(&s.scope)
	if errors.Is(err, sql.ErrNoRows) {
		s.scope, err = -1, nil
	}
	return s.store.explain(err)
}

// read reads a page that begins at key: a longer one than before if half of that
// was asked for, else a shorter one.
func (s *sightings) read(ctx context.Context, key []byte) (err error) {
	if s.used >= s.size/2 {
		s.size = min(max(4*s.size, 1), maxAhead)
	} else {
		s.size = max(s.size/4, 1)
	}
	s.used = 0
	s.page, err = collect(ctx, s.store.db, func(rows *sql.Rows) (x sighting, err error) { return x, rows.Scan(&x.key, &x.first, &x.last) },
		`SELECT key, first, last FROM sighting WHERE scope = $1 AND key >= $2 ORDER BY key LIMIT $3`, s.scope, key, s.size)
	s.end = len(s.page) < s.size
	return s.store.explain(err)
}
