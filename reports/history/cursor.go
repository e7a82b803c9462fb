package history

import (
	"bytes"
	"context"
	"database/sql"
)

// cursorPage is how many open ports a cursor reads at a time.
const cursorPage = 4096

// openPort is a row of the narrow table.
type openPort struct {
	key    []byte
	digest int64
	names  [3]int64 // hashes of the MAC, the certificate and the host name
}

// cursor walks through the open ports of a run in the order of their keys. It
// reads them in pages and holds no connection between two, so that any number of
// cursors do with one.
type cursor struct {
	openPort // valid while more is set
	more     bool

	store *Store
	named bool  // names are read too
	run   int64 // 0: none, and nothing is open in it
	page  []openPort
	last  bool // no page comes after this one
	keys  []byte
}

// cursor returns one that stands before the first port; run may be nil.
func (s *Store) cursor(run *Run) *cursor {
	c := &cursor{store: s, last: run == nil, openPort: openPort{key: firstKey()}}
	if run != nil {
		c.run = run.row
	}
	return c
}

// next goes to the next port.
func (c *cursor) next(ctx context.Context) error {
	if len(c.page) == 0 && !c.last {
		if err := c.read(ctx); err != nil {
			return c.store.explain(err)
		}
	}
	if c.more = len(c.page) > 0; c.more {
		c.openPort, c.page = c.page[0], c.page[1:]
	}
	return nil
}

func (c *cursor) read(ctx context.Context) error {
	columns := "key, digest"
	if c.named {
		columns += ", mac, cert, host"
	}
	rows, err := c.store.db.QueryContext(ctx, `SELECT `+columns+` FROM finding WHERE run = $1 AND key > $2 ORDER BY key LIMIT $3`,
		c.run, c.key, cursorPage)
	if err != nil {
		return err
	}
	defer rows.Close()                                    //nolint:errcheck // Err below says it
	c.page, c.keys = make([]openPort, 0, cursorPage), nil // keys that were given away stay as they are
	var key sql.RawBytes
	var p openPort
	to := []any{&key, &p.digest, &p.names[0], &p.names[1], &p.names[2]}
	if !c.named {
		to = to[:2]
	}
	for rows.Next() {
		if err := rows.Scan(to...); err != nil {
			return err
		}
		n := len(c.keys)
		c.keys = append(c.keys, key...)
		p.key = c.keys[n:len(c.keys):len(c.keys)]
		c.page = append(c.page, p)
	}
	c.last = len(c.page) < cursorPage
	return rows.Err()
}

func (c *cursor) at(key []byte) bool { return c.more && bytes.Equal(c.key, key) }
