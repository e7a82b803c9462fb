package history

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"net/netip"
	"slices"
	"strings"

	"dormant/fingerprint"
	"dormant/registry"
	"dormant/reports"
)

// Query chooses open ports of runs. What is zero or nil does not choose.
type Query struct {
	// Runs are read one after the other, in this order. Without one, nothing is
	// found.
	Runs []Run
	// Verdicts, Severities and Expected are the words that a finding may have in
	// these columns; "" is one that was not judged, or that no policy was held
	// against.
	Verdicts   []fingerprint.Class
	Severities []string
	Expected   []string
	// Prefix is where the address must be.
	Prefix netip.Prefix
	// Ports are those that it may be.
	Ports []registry.Port
	// Text must be found in what is known of the port: each of its words, in
	// service, product, version, names, MAC, rule, CPE, owner, note or evidence,
	// of which the first 400 bytes are searched. Case does not matter.
	Text string
	// Limit is the most findings to return, 0 for 100, at most 10,000.
	Limit int
	// After is where to go on: Page.Next, or zero for the beginning.
	After Cursor
}

// Cursor is a place in what a Query finds: opaque text that is safe in a URL. It
// holds as long as the query has the same runs, whatever else it chooses.
type Cursor string

// Page is a part of what a Query finds.
type Page struct {
	// Findings are in the order of runs, then of address, transport and port;
	// ScanID tells the run. They are without Dialogue: see Store.Finding.
	Findings []reports.Finding
	// Seen has for each of Findings the runs that found the port, the one that
	// began last first. Only SearchOnce fills it.
	Seen [][]Seen
	// Next is where the next page begins; "" is the end.
	Next Cursor
}

// The bounds of Query.Limit.
const (
	defaultLimit = 100
	maxLimit     = 10_000
)

// ErrCursor is wrapped by Search when After is not from a page of these runs.
var ErrCursor = errors.New("not a place in these runs")

func cursorOf(run *Run, key []byte) Cursor {
	return Cursor(base64.RawURLEncoding.EncodeToString(append(append([]byte(run.ID), 0), key...)))
}

// at returns the index of the place and the key that c stands behind.
func (c Cursor) at(places [][]Run) (i int, key []byte, err error) {
	if c == "" {
		return 0, firstKey(), nil
	}
	text, err := base64.RawURLEncoding.DecodeString(string(c))
	id, rest, ok := strings.Cut(string(text), "\x00")
	i = slices.IndexFunc(places, func(p []Run) bool { return p[0].ID == id })
	if err != nil || !ok || i < 0 {
		return 0, nil, fmt.Errorf("history: page %.60q: %w", string(c), ErrCursor)
	}
	return i, []byte(rest), nil
}

// Search returns the open ports that q chooses, a page at a time.
func (s *Store) Search(ctx context.Context, q Query) (Page, error) {
	return s.page(ctx, &q, each(q.Runs))
}

// page reads the places one after the other, each merged by key. A cursor names
// the first run of a place.
func (s *Store) page(ctx context.Context, q *Query, places [][]Run) (Page, error) {
	limit := q.Limit
	if limit <= 0 {
		limit = defaultLimit
	}
	limit = min(limit, maxLimit)
	first, key, err := q.After.at(places)
	if err != nil {
		return Page{}, err
	}
	var p Page
	var u unpacker
	for i := first; i < len(places); i++ {
		found, err := s.search(ctx, q, places[i], key, limit-len(p.Findings)+1) // one more tells that there is more
		if err != nil {
			return Page{}, s.explain(err)
		}
		for _, x := range found {
			if len(p.Findings) == limit {
				p.Next = cursorOf(&places[i][0], key)
				return p, nil
			}
			f, err := u.finding(x.detail, nil)
			if err != nil {
				return Page{}, err
			}
			p.Findings = append(p.Findings, f)
			key = x.key
		}
		key = firstKey()
	}
	return p, nil
}

// search returns what q chooses of the runs of a place, behind a key and in the
// order of the keys. Each run is read no further than the ones before it have
// filled the page, so that a run whose ports are all in a newer one costs no more
// than the page has.
func (s *Store) search(ctx context.Context, q *Query, place []Run, after []byte, limit int) ([]stored, error) {
	var all []stored
	for i := range place {
		c := q.conditions(&place[i])
		c.compare("key", ">", after)
		if len(all) == limit {
			c.compare("key", "<", all[limit-1].key)
		}
		q.notIn(&c, place[:i])
		found, err := collect(ctx, s.db, func(rows *sql.Rows) (x stored, err error) {
			return x, rows.Scan(&x.key, &x.detail)
		}, `SELECT f.key, d.body FROM (SELECT key, detail FROM finding`+c.where()+` ORDER BY key LIMIT `+c.arg(limit)+`) f
			JOIN detail d ON d.id = f.detail ORDER BY f.key`, c.args...)
		if err != nil {
			return nil, err
		}
		if all = append(all, found...); i > 0 && len(found) > 0 {
			slices.SortFunc(all, func(a, b stored) int { return bytes.Compare(a.key, b.key) })
			all = all[:min(len(all), limit)]
		}
	}
	return all, nil
}

// Count returns how many open ports q chooses, Limit and After aside.
func (s *Store) Count(ctx context.Context, q Query) (uint64, error) {
	var sum uint64
	for i := range q.Runs {
		c := q.conditions(&q.Runs[i])
		var n uint64
		if err := s.db.QueryRowContext(ctx, `SELECT count(*) FROM finding`+c.where(), c.args...).Scan(&n); err != nil {
			return 0, s.explain(err)
		}
		sum += n
	}
	return sum, nil
}

// conditions are those of q on the findings of one run.
func (q *Query) conditions(run *Run) conditions {
	var c conditions
	c.compare("run", "=", run.row)
	q.choose(&c)
	return c
}

// choose adds the conditions of q on what was found.
func (q *Query) choose(c *conditions) {
	var verdicts []string
	for _, v := range q.Verdicts {
		verdicts = append(verdicts, v.String())
	}
	among(c, "verdict", verdicts)
	among(c, "severity", q.Severities)
	among(c, "expected", q.Expected)
	if q.Prefix.IsValid() {
		from, to := keyRange(q.Prefix)
		c.compare("key", ">=", from)
		c.compare("key", "<", to)
	}
	var ends [][]byte
	for _, p := range q.Ports {
		ends = append(ends, []byte{byte(p.Proto), byte(p.Number >> 8), byte(p.Number)})
	}
	among(c, "substr(key, length(key) - 2)", ends)
	for _, word := range strings.Fields(searched(q.Text)) {
		c.terms = append(c.terms, "words LIKE "+c.arg("%"+likeText(word)+"%")+" ESCAPE '!'")
	}
}

// likeText is the pattern of LIKE that means the text itself.
func likeText(s string) string {
	return strings.NewReplacer("!", "!!", "%", "!%", "_", "!_").Replace(s)
}

// keyRange returns the first key that an address of the prefix can have, and the
// first one behind them.
func keyRange(p netip.Prefix) (from, to []byte) {
	p = p.Masked()
	addr, bits := p.Addr(), p.Bits()
	if addr.Is4In6() && bits >= 96 {
		addr, bits = addr.Unmap(), bits-96
	}
	tag := byte(4)
	if !addr.Is4() {
		tag = 6
	}
	from = append([]byte{tag}, addr.AsSlice()...)
	size := new(big.Int).Lsh(big.NewInt(1), uint(addr.BitLen()-bits))
	return from, size.Add(size, new(big.Int).SetBytes(from)).Bytes() // over the last address it goes into the tag
}
