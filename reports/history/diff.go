package history

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"time"

	"dormant/fingerprint"
	"dormant/reports"
	"dormant/scanner"
)

// Change is what happened to one port between two runs.
type Change struct {
	Kind   Kind
	Target scanner.Target
	// From is the address before, of a Moved one.
	From netip.Addr
	// Before and After are the findings, nil where the port was not open.
	Before, After *reports.Finding
	// Fields are the differences of a Changed or Moved one.
	Fields []Field
	// First and Last are when the port was seen open first and last.
	First, Last time.Time
}

// Field is one difference.
type Field struct {
	Name   string `json:"field"`
	Before string `json:"before"`
	After  string `json:"after"`
}

// fact is one thing that a change can be about.
type fact struct{ name, value string }

// compared returns what is compared of two findings. What an unnamed service
// speaks is our guess of the day, and no fact about it.
func compared(f *reports.Finding) []fact {
	service := f.Service
	if f.Verdict == fingerprint.Unidentified || f.Verdict == 0 {
		service = ""
	}
	return []fact{
		{"verdict", f.Verdict.String()}, {"service", service}, {"product", f.Product}, {"version", f.Version}, {"tls_cert", f.TLSCert},
	}
}

// fields returns the differences.
func fields(before, after *reports.Finding) []Field {
	var all []Field
	b, a := compared(before), compared(after)
	for i := range b {
		if b[i].value != a[i].value {
			all = append(all, Field{b[i].name, b[i].value, a[i].value})
		}
	}
	return all
}

// Diff calls fn for everything that is not the same in two runs, in the order
// of address, transport and port. Both may be of any site and vantage; what to
// says of silence is believed only where it measured.
func (s *Store) Diff(ctx context.Context, from, to Run, fn func(Change) error) error {
	p, err := s.pairOf(ctx, from, to)
	if err != nil {
		return err
	}
	c, err := s.compared(ctx, p)
	if err != nil {
		return err
	}
	return c.each(ctx, fn)
}

// comparison is what the narrow tables say of two runs.
type comparison struct {
	store *Store
	pair  pair
	// moved has the machines that moved: the new key of one leads to its old one,
	// which is no entry any more.
	moved map[string]seenAt
	held  []entry // what is not the same, if whole is set; else it is read again
	whole bool
}

// maxHeld bounds the entries that are kept for a second look, some 100 bytes
// each.
const maxHeld = 1 << 20

// compared finds what is not the same, and the machines that moved.
func (s *Store) compared(ctx context.Context, p pair) (*comparison, error) {
	c := &comparison{store: s, pair: p, whole: true}
	err := s.compare(ctx, p, func(e entry) error {
		switch {
		case e.kind == Same:
		case len(c.held) == s.maxHeld:
			return errTooMany
		default:
			e.key = bytes.Clone(e.key)
			c.held = append(c.held, e)
		}
		return nil
	})
	if errors.Is(err, errTooMany) { // of so many changes nobody would read who moved
		c.held, c.whole = nil, false
		return c, nil
	}
	if err == nil {
		c.moved, err = s.moves(ctx, p, c.held)
	}
	return c, err
}

// walk calls fn for every entry that is not the same.
func (c *comparison) walk(ctx context.Context, fn func(entry) error) error {
	if !c.whole {
		return c.store.compare(ctx, c.pair, func(e entry) error {
			if e.kind == Same {
				return nil
			}
			return fn(e)
		})
	}
	left := map[string]bool{}
	for _, m := range c.moved {
		left[m.key] = true
	}
	for _, e := range c.held {
		if left[string(e.key)] {
			continue
		}
		if err := fn(e); err != nil {
			return err
		}
	}
	return nil
}

// each calls fn for every change.
func (c *comparison) each(ctx context.Context, fn func(Change) error) error {
	d := details{comparison: c, whole: true}
	if err := c.walk(ctx, func(e entry) error { return d.add(ctx, e, fn) }); err != nil {
		return err
	}
	return d.flush(ctx, fn)
}

// count counts what each calls fn for, by kind, and reads only what may be no
// change after all.
func (c *comparison) count(ctx context.Context) (map[Kind]uint64, error) {
	counts := map[Kind]uint64{}
	d := details{comparison: c}
	one := func(x Change) error { counts[x.Kind]++; return nil }
	err := c.walk(ctx, func(e entry) error {
		if e.maybe {
			return d.add(ctx, e, one)
		}
		kind := e.kind
		if _, ok := c.moved[string(e.key)]; ok {
			kind = Moved
		}
		counts[kind]++
		return nil
	})
	if err != nil {
		return nil, err
	}
	return counts, d.flush(ctx, one)
}
