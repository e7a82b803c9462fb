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
	pull    func() (Change, error, bool) // the order of iter.Pull2
	stop    func()
	head    Change
	key     []byte // of head
	more    bool
	changes int
	seen    sightings
}

var _ reports.Sink = (*Annotator)(nil)

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
	if a.more && bytes.Equal(a.key, key) {
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
	c, err := a.store.compared(ctx, p)
	if err != nil {
		return err
	}
	a.pull, a.stop = iter.Pull2(c.marks(ctx))
	return a.step()
}

// marks yields what findings are marked with, in the order of keys.
func (c *comparison) marks(ctx context.Context) iter.Seq2[Change, error] {
	return func(yield func(Change, error) bool) {
		d := details{comparison: c}
		give := func(x Change) error {
			if !yield(x, nil) {
				return errStop
			}
			return nil
		}
		err := c.walk(ctx, func(e entry) error {
			if e.kind == NotScanned {
				return nil
			}
			return d.add(ctx, e, give)
		})
		if err == nil {
			err = d.flush(ctx, give)
		}
		if err != nil && !errors.Is(err, errStop) {
			yield(Change{}, err)
		}
	}
}

var errStop = errors.New("history: nobody reads on")

func (a *Annotator) step() error {
	c, err, ok := a.pull()
	if ok && err != nil {
		a.more = false
		return err
	}
	a.head, a.more = c, ok
	if ok {
		a.key = appendKey(nil, c.Target)
	}
	if ok && c.Kind.Counts() {
		a.changes++
	}
	return nil
}

// advance gives the missing ports before key to the next sink; nil is the end.
func (a *Annotator) advance(ctx context.Context, key []byte) error {
	for a.more && (key == nil || bytes.Compare(a.key, key) < 0) {
		if a.head.Kind == Missing || a.head.Kind == Gone {
			f := a.silent()
			err := a.mark(ctx, &f)
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
func (a *Annotator) silent() reports.Finding {
	f, t := a.to.meta(), a.head.Target
	f.IP, f.Transport, f.Port = t.Addr, t.Port.Proto, t.Port.Number
	f.State, f.Reason = scanner.Filtered, scanner.NoResponse
	if t.Port.Proto == registry.UDP {
		f.State = scanner.OpenFiltered
	}
	if f.ObservedAt = a.to.Finished; f.ObservedAt.IsZero() {
		f.ObservedAt = time.Now().UTC()
	}
	f.ProbesSent = 1 // at least; how often is not known here
	return f
}

// mark writes the head's change into the finding.
func (a *Annotator) mark(ctx context.Context, f *reports.Finding) error {
	f.Change = string(a.head.Kind)
	switch a.head.Kind {
	case Missing, Gone:
		old := a.head.Before
		if err := a.times(ctx, f); err != nil || old == nil {
			return err
		}
		f.IANAName = old.IANAName
		if f.Hostname == "" {
			f.Hostname = old.Hostname
		}
		f.Note = joinNote(f.Note, strings.TrimSpace("was "+old.Verdict.String()+" "+old.Product+" "+old.Version))
	case Moved:
		f.Note = joinNote("was at "+a.head.From.String(), f.Note)
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
