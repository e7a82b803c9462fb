package history

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"strings"
	"time"

	"dormant/registry"
	"dormant/reports"
	"dormant/scanner"
)

// Annotator is a sink that fills in the columns change, first_seen and
// last_seen of a stored run's findings, which must come in order, and adds one
// for each port that is missing or gone and did not answer at all.
type Annotator struct {
	store *Store
	to    Run
	next  reports.Sink

	started bool
	base    bool                         // there is a run to compare with
	pull    func() (marked, error, bool) // the order of iter.Pull2
	stop    func()
	head    marked
	more    bool
	changes int
	seen    sightings
}

var _ reports.Sink = (*Annotator)(nil)

// marked is an entry that can be kept, with what is needed to tell of it.
type marked struct {
	key  []byte
	kind Kind
	from string // of a moved one, the old address
	old  int64  // the run with the finding before
}

// Annotate returns the sink before next. run must be stored, with all findings
// that will come; nothing is read before the first one.
func (s *Store) Annotate(run Run, next reports.Sink) *Annotator {
	a := &Annotator{store: s, to: run, next: next}
	a.seen = sightings{store: s, run: &a.to}
	return a
}

// Changes returns how many differences there were, after Close.
func (a *Annotator) Changes() int { return a.changes }

// Write fills in the finding and gives it to the next sink, after the ones that
// stand before it and are missing.
func (a *Annotator) Write(ctx context.Context, f reports.Finding) error {
	if err := a.start(ctx); err != nil {
		return err
	}
	key := appendKey(nil, target(&f))
	if err := a.advance(ctx, key); err != nil {
		return err
	}
	if f.State == scanner.Open {
		if err := a.times(ctx, &f); err != nil {
			return err
		}
		f.LastSeen = f.ObservedAt
		f.Change = string(FirstRun)
		if a.base {
			f.Change = string(Same)
		}
	}
	if a.more && bytes.Equal(a.head.key, key) {
		if err := a.mark(ctx, &f); err != nil {
			return err
		}
		if err := a.step(); err != nil {
			return err
		}
	}
	return a.next.Write(ctx, f)
}

// start begins the comparison.
func (a *Annotator) start(ctx context.Context) error {
	if a.started {
		return nil
	}
	a.started = true
	from, ok, err := a.store.Base(ctx, a.to)
	if err != nil || !ok {
		return err
	}
	a.base = true
	p, err := a.store.pairOf(ctx, from, a.to)
	if err != nil {
		return err
	}
	moved, walk, err := a.store.walk(ctx, p)
	if err != nil {
		return err
	}
	a.pull, a.stop = iter.Pull2(a.store.marks(ctx, p, moved, walk))
	return a.step()
}

// marks yields what a finding is marked with, in the order of keys.
func (s *Store) marks(ctx context.Context, p pair, moved map[string]seenAt, walk func(func(entry) error) error) iter.Seq2[marked, error] {
	return func(yield func(marked, error) bool) {
		err := walk(func(e entry) error {
			if e.kind == NotScanned {
				return nil
			}
			m := marked{key: bytes.Clone(e.key), kind: e.kind, old: e.before}
			if then, ok := moved[string(e.key)]; ok {
				t, err := parseKey([]byte(then.key))
				if err != nil {
					return err
				}
				m.kind, m.from = Moved, t.Addr.String()
			}
			if e.maybe {
				changed := false
				d := details{store: s, pair: &p, entries: []entry{e}}
				if err := d.flush(ctx, func(Change) error { changed = true; return nil }); err != nil || !changed {
					return err
				}
			}
			if !yield(m, nil) {
				return errStop
			}
			return nil
		})
		if err != nil && !errors.Is(err, errStop) {
			yield(marked{}, err)
		}
	}
}

var errStop = errors.New("history: nobody reads on")

func (a *Annotator) step() error {
	m, err, ok := a.pull()
	if ok && err != nil {
		a.more = false
		return err
	}
	a.head, a.more = m, ok
	if ok && m.kind.Counts() {
		a.changes++
	}
	return nil
}

// advance gives the missing ports before key to the next sink; nil is the end.
func (a *Annotator) advance(ctx context.Context, key []byte) error {
	for a.more && (key == nil || bytes.Compare(a.head.key, key) < 0) {
		if a.head.kind == Missing || a.head.kind == Gone {
			f, err := a.silent(ctx)
			if err == nil {
				err = a.mark(ctx, &f)
			}
			if err == nil {
				err = a.next.Write(ctx, f)
			}
			if err != nil {
				return err
			}
		}
		if err := a.step(); err != nil {
			return err
		}
	}
	return nil
}

// silent is the finding of a port that was open and did not answer.
func (a *Annotator) silent(ctx context.Context) (reports.Finding, error) {
	f := a.to.meta()
	t, err := parseKey(a.head.key)
	if err != nil {
		return f, err
	}
	f.IP, f.Transport, f.Port = t.Addr, t.Port.Proto, t.Port.Number
	f.State, f.Reason = scanner.Filtered, scanner.NoResponse
	if t.Port.Proto == registry.UDP {
		f.State = scanner.OpenFiltered
	}
	if f.ObservedAt = a.to.Finished; f.ObservedAt.IsZero() {
		f.ObservedAt = time.Now().UTC()
	}
	f.ProbesSent = 1 // at least; how often is not known here
	return f, nil
}

// mark writes the head's change into the finding.
func (a *Annotator) mark(ctx context.Context, f *reports.Finding) error {
	f.Change = string(a.head.kind)
	switch a.head.kind {
	case Missing, Gone:
		if err := a.times(ctx, f); err != nil {
			return err
		}
		old, ok, err := a.store.finding(ctx, a.head.old, a.head.key, false)
		if err != nil || !ok {
			return err
		}
		f.IANAName = old.IANAName
		if f.Hostname == "" {
			f.Hostname = old.Hostname
		}
		f.Note = joinNote(f.Note, strings.TrimSpace("was "+old.Verdict.String()+" "+old.Product+" "+old.Version))
	case Moved:
		f.Note = joinNote("was at "+a.head.from, f.Note)
	case Same, New, FirstRun, Changed, NotScanned:
	}
	return nil
}

func joinNote(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + "; " + b
}

// times fills in when the port was seen.
func (a *Annotator) times(ctx context.Context, f *reports.Finding) error {
	first, last, err := a.seen.at(ctx, appendKey(nil, target(f)))
	if f.FirstSeen = first; first.IsZero() && f.State == scanner.Open {
		f.FirstSeen = f.ObservedAt
	}
	f.LastSeen = last
	return err
}

// Close adds what is missing behind the last finding and closes the next sink.
func (a *Annotator) Close() error {
	ctx := context.Background() // what was found is written whatever became of the run
	err := a.start(ctx)
	if err == nil && a.pull != nil {
		err = a.advance(ctx, nil)
	}
	if a.stop != nil {
		a.stop()
	}
	return errors.Join(err, a.next.Close())
}
