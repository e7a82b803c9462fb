package reports

import (
	"bufio"
	"cmp"
	"container/heap"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"dormant/fingerprint"
)

// The bounds of what Sorted holds before it spills.
const (
	spillRows  = 50_000
	spillBytes = 64 << 20 // of evidence and verdicts, estimated
)

// Sorted gathers findings in any order and gives them to another sink in the
// order of address, transport and port when it is closed; the same port seen at
// several sites or vantages follows in the order of their names. Of findings of
// the same port and vantage only the one that tells most is given, of equals the
// last: a firewall's error may come first, then the SYN-ACK. It holds at most
// spillRows findings; beyond that, sorted runs go to one temporary file and are
// merged at the end.
type Sorted struct {
	next Sink
	dir  string
	rows int // spillRows, less in tests

	held  []*Finding // pointers: a finding is 600 bytes, and sorting moves what it sorts
	bytes int
	spill *os.File
	end   int64   // of the spill file
	runs  []int64 // where each run starts
	err   error   // of a spill: everything after it would be half a report
}

var _ Sink = (*Sorted)(nil)

// NewSorted returns the sink before next. dir is for the temporary file, which
// is only made when it is needed; "" is the system's folder.
func NewSorted(next Sink, dir string) *Sorted { return &Sorted{next: next, dir: dir, rows: spillRows} }

// Write holds a copy of the finding.
func (s *Sorted) Write(_ context.Context, f Finding) error {
	if s.err != nil {
		return s.err
	}
	held := clone(f)
	s.held = append(s.held, &held)
	s.bytes += weight(&f)
	if len(s.held) < s.rows && s.bytes < spillBytes {
		return nil
	}
	s.err = s.spillRun()
	return s.err
}

// Close gives everything to the next sink and closes it.
func (s *Sorted) Close() error {
	ctx := context.Background() // what was found is written whatever became of the run
	err := s.err
	if err == nil {
		err = s.deliver(ctx)
	}
	if s.spill != nil {
		err = errors.Join(err, s.spill.Close())
		_ = os.Remove(s.spill.Name()) // gone already where an open file can be removed
	}
	return joinOnce(err, s.next.Close())
}

// joinOnce joins errors and leaves out what is said already: a sink that failed
// at Write says so again at Close.
func joinOnce(errs ...error) error {
	var all []error
	said := map[string]bool{}
	var add func(err error)
	add = func(err error) {
		if several, ok := err.(interface{ Unwrap() []error }); ok {
			for _, e := range several.Unwrap() {
				add(e)
			}
			return
		}
		if err != nil && !said[err.Error()] {
			said[err.Error()] = true
			all = append(all, err)
		}
	}
	for _, err := range errs {
		add(err)
	}
	return errors.Join(all...)
}

func (s *Sorted) sortHeld() {
	slices.SortStableFunc(s.held, compareKeys)
}

// deliver merges the runs with what is still held.
func (s *Sorted) deliver(ctx context.Context) error {
	s.sortHeld()
	var m merge
	for i, start := range s.runs {
		end := s.end
		if i+1 < len(s.runs) {
			end = s.runs[i+1]
		}
		part := bufio.NewReaderSize(io.NewSectionReader(s.spill, start, end-start), 1<<15)
		if err := m.add(&reader{order: i, dec: gob.NewDecoder(part)}); err != nil {
			return err
		}
	}
	if err := m.add(&reader{order: len(s.runs), rest: s.held}); err != nil {
		return err
	}
	var errs []error
	for len(m) > 0 && len(errs) <= maxFaults {
		f, err := m.next()
		if err != nil {
			return errors.Join(append(errs, err)...)
		}
		if err := s.next.Write(ctx, f); err != nil {
			errs = append(errs, err) // once per failed sink; see Multi
		}
	}
	return errors.Join(errs...)
}

// maxFaults is after how many faults of the next sink nothing more is given.
const maxFaults = 16

// spillRun writes what is held as one sorted run.
func (s *Sorted) spillRun() error {
	if s.spill == nil {
		f, err := os.CreateTemp(s.dir, "dormant-sort-*")
		if err != nil {
			return fmt.Errorf("reports: sort: %w", err)
		}
		s.spill = f
		_ = os.Remove(f.Name()) // so that nothing is left behind, even by a kill; Close tries again
	}
	s.sortHeld()
	count := &counter{w: s.spill}
	w := bufio.NewWriterSize(count, 1<<16)
	enc := gob.NewEncoder(w)
	for i := range s.held {
		if err := enc.Encode(s.held[i]); err != nil {
			return fmt.Errorf("reports: sort: %w", err)
		}
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("reports: sort: %w", err)
	}
	s.runs = append(s.runs, s.end)
	s.end += count.n
	clear(s.held)
	s.held, s.bytes = s.held[:0], 0
	return nil
}

type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// reader is one sorted run while it is merged.
type reader struct {
	head  Finding
	order int // of the run: equal keys keep it
	dec   *gob.Decoder
	rest  []*Finding // instead of dec, for what is held
}

func (r *reader) advance() (ok bool, err error) {
	if r.dec == nil {
		if len(r.rest) == 0 {
			return false, nil
		}
		r.head, r.rest = *r.rest[0], r.rest[1:]
		return true, nil
	}
	r.head = Finding{}
	switch err := r.dec.Decode(&r.head); {
	case errors.Is(err, io.EOF):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("reports: sort: read back: %w", err)
	default:
		return true, nil
	}
}

// merge is a heap of runs by their first finding.
type merge []*reader

func (m *merge) add(r *reader) error {
	ok, err := r.advance()
	if ok {
		heap.Push(m, r)
	}
	return err
}

// advance takes the first finding away.
func (m *merge) advance() error {
	ok, err := (*m)[0].advance()
	switch {
	case err != nil:
		return err
	case ok:
		heap.Fix(m, 0)
	default:
		heap.Pop(m)
	}
	return nil
}

// next takes all findings of the first key away and returns the one that tells
// most.
func (m *merge) next() (Finding, error) {
	most := (*m)[0].head
	err := m.advance()
	for err == nil && len(*m) > 0 && compareKeys(&(*m)[0].head, &most) == 0 {
		if f := &(*m)[0].head; !tellsLess(f, &most) {
			most = *f
		}
		err = m.advance()
	}
	return most, err
}

// compareKeys is the order of the rows; equal ones are of one row.
func compareKeys(a, b *Finding) int {
	if c := target(a).Compare(target(b)); c != 0 {
		return c
	}
	return cmp.Or(cmp.Compare(a.Site, b.Site), cmp.Compare(a.Vantage, b.Vantage))
}

func (m merge) Len() int      { return len(m) }
func (m merge) Swap(i, j int) { m[i], m[j] = m[j], m[i] }
func (m merge) Less(i, j int) bool {
	if c := compareKeys(&m[i].head, &m[j].head); c != 0 {
		return c < 0
	}
	return cmp.Less(m[i].order, m[j].order)
}
func (m *merge) Push(x any) { *m = append(*m, x.(*reader)) }
func (m *merge) Pop() any {
	last := len(*m) - 1
	r := (*m)[last]
	*m = (*m)[:last]
	return r
}

// clone copies what the finding points to, except the bytes of the evidence,
// which nobody changes once they are received.
func clone(f Finding) Finding {
	f.Flags = slices.Clone(f.Flags)
	if f.Full != nil {
		v := *f.Full
		v.Signs, v.Flags = slices.Clone(v.Signs), slices.Clone(v.Flags)
		v.Hints, v.Settle = slices.Clone(v.Hints), slices.Clone(v.Settle)
		f.Full = &v
	}
	if f.Dialogue != nil {
		ev := *f.Dialogue
		ev.Exchanges = slices.Clone(ev.Exchanges)
		f.Dialogue = &ev
	}
	return f
}

// weight estimates the bytes that f holds beyond its fixed part.
func weight(f *Finding) int {
	n := 512
	if f.Full != nil {
		n += 512 * (1 + len(f.Full.Signs))
	}
	if f.Dialogue != nil {
		n += exchangeBytes(f.Dialogue)
	}
	return n
}

func exchangeBytes(ev *fingerprint.Evidence) int {
	n := 0
	for i := range ev.Exchanges {
		x := &ev.Exchanges[i]
		n += 512 + len(x.Sent) + len(x.Received) + 16*len(x.Chunks)
		if x.TLS != nil {
			for _, der := range x.TLS.Chain {
				n += len(der)
			}
		}
	}
	return n
}
