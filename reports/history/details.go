package history

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"iter"
	"slices"
	"time"

	"dormant/reports"
)

// changesAtOnce is how many changes are read together. One by one, a database
// that is not in this process would be asked three times for each.
const changesAtOnce = 256

// storedAt is where a finding stands.
type storedAt struct {
	run int64
	key string
}

// details reads what changes are about, many at once.
type details struct {
	*comparison
	whole   bool // of a port that is new, too
	entries []entry

	findings map[storedAt]*reports.Finding
	seen     map[string][2]time.Time
}

// add keeps an entry for the next flush.
func (d *details) add(ctx context.Context, e entry, fn func(Change) error) error {
	e.key = bytes.Clone(e.key)
	if d.entries = append(d.entries, e); len(d.entries) < changesAtOnce {
		return nil
	}
	return d.flush(ctx, fn)
}

// flush calls fn for the entries that are changes after all.
func (d *details) flush(ctx context.Context, fn func(Change) error) error {
	if err := d.read(ctx); err != nil {
		return err
	}
	if err := d.store.present(ctx, &d.pair.from, &d.pair.to, d.pair.fromBase, d.pair.between); err != nil {
		return err
	}
	for _, e := range d.entries {
		c, err := d.change(e)
		if err != nil {
			return err
		}
		if c.Kind == Changed && len(c.Fields) == 0 {
			continue
		}
		if err := fn(c); err != nil {
			return err
		}
	}
	d.entries = d.entries[:0]
	return nil
}

// before is where the finding stands that the entry had before.
func (d *details) before(e *entry) (storedAt, bool) {
	if then, ok := d.moved[string(e.key)]; ok {
		return storedAt{then.before, then.key}, true
	}
	return storedAt{e.before, string(e.key)}, e.before != 0
}

// after is where the one stands that it has now.
func (d *details) after(e *entry) (storedAt, bool) {
	return storedAt{d.pair.to.row, string(e.key)}, e.kind == Changed || d.whole && (e.kind == New || e.kind == FirstRun)
}

// read reads the findings of the entries, and when they were seen.
func (d *details) read(ctx context.Context) error {
	d.findings, d.seen = map[storedAt]*reports.Finding{}, map[string][2]time.Time{}
	wanted := map[int64][]string{}
	keys := make([]string, 0, len(d.entries))
	for i := range d.entries {
		for _, side := range []func(*entry) (storedAt, bool){d.before, d.after} {
			if at, ok := side(&d.entries[i]); ok {
				wanted[at.run] = append(wanted[at.run], at.key)
			}
		}
		keys = append(keys, string(d.entries[i].key))
	}
	for run, keys := range wanted {
		if err := d.readFindings(ctx, run, keys); err != nil {
			return err
		}
	}
	return d.readSeen(ctx, keys)
}

// keyed adds that the key is one of those.
func (c *conditions) keyed(keys iter.Seq[string]) {
	all := [][]byte{}
	for k := range keys {
		all = append(all, []byte(k))
	}
	among(c, "key", all)
}

func (d *details) readFindings(ctx context.Context, run int64, keys []string) error {
	var c conditions
	c.compare("run", "=", run)
	c.keyed(slices.Values(keys))
	page, err := collect(ctx, d.store.db, func(rows *sql.Rows) (x stored, err error) { return x, rows.Scan(&x.key, &x.detail) },
		`SELECT f.key, d.body FROM finding f JOIN detail d ON d.id = f.detail`+c.where(), c.args...)
	if err != nil {
		return d.store.explain(err)
	}
	var u unpacker
	for _, x := range page {
		f, err := u.finding(x.detail, nil)
		if err != nil {
			return err
		}
		d.findings[storedAt{run, string(x.key)}] = &f
	}
	return nil
}

func (d *details) readSeen(ctx context.Context, keys []string) error {
	if len(keys) == 0 {
		return nil
	}
	var c conditions
	c.terms = append(c.terms, fmt.Sprintf("scope = (SELECT id FROM scope WHERE site = %s AND vantage = %s)", c.arg(d.pair.to.Site), c.arg(d.pair.to.Vantage)))
	c.keyed(slices.Values(keys))
	page, err := collect(ctx, d.store.db, func(rows *sql.Rows) (x sighting, err error) { return x, rows.Scan(&x.key, &x.first, &x.last) },
		`SELECT key, first, last FROM sighting`+c.where(), c.args...)
	for _, x := range page {
		d.seen[string(x.key)] = [2]time.Time{time.Unix(0, x.first).UTC(), time.Unix(0, x.last).UTC()}
	}
	return d.store.explain(err)
}

// change puts together what was read.
func (d *details) change(e entry) (Change, error) {
	c := Change{Kind: e.kind}
	var err error
	if c.Target, err = parseKey(e.key); err != nil {
		return c, err
	}
	if at, ok := d.before(&e); ok {
		c.Before = d.findings[at]
	}
	if at, ok := d.after(&e); ok {
		c.After = d.findings[at]
	}
	if then, ok := d.moved[string(e.key)]; ok {
		c.Kind = Moved
		old, err := parseKey([]byte(then.key))
		if err != nil {
			return c, err
		}
		c.From = old.Addr
	}
	if c.Before != nil && c.After != nil {
		c.Fields = fields(c.Before, c.After)
	}
	seen := d.seen[string(e.key)]
	c.First, c.Last = seen[0], seen[1]
	return c, nil
}
