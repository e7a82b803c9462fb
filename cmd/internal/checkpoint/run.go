package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"dormant/cmd/internal/disk"
	"dormant/fingerprint"
	"dormant/scanner"
)

// Header says which scan a run is.
type Header struct {
	Schema  int       `json:"schema"`
	ScanID  string    `json:"scan_id"`
	Created time.Time `json:"created"`
	Program string    `json:"program"`
	// Identity is a hash of everything that decides what is sent to whom: two
	// runs of the same identity can be joined.
	Identity string `json:"identity"`
	Seed     uint64 `json:"seed"`
	// Args and Flags are as given on the command line; a flag that was given
	// twice has two values.
	Args  []string            `json:"args"`
	Flags map[string][]string `json:"flags"`
}

// state is position.json.
type state struct {
	Schema   int              `json:"schema"`
	Position scanner.Position `json:"position"`
	Journal  int64            `json:"journal_bytes"` // that belong to Position
	// Running is true while more may be sent than Position counts.
	Running bool `json:"running,omitempty"`
}

// Run is one run on disk, locked for this process. Observed and Identified may
// be called from any goroutine, everything else from one at a time.
type Run struct {
	Header   Header
	Position scanner.Position // as found by Open

	dir     string
	lock    *os.File
	journal *journal
}

// Create makes the folder of a new run below root and locks it.
func Create(root string, h Header) (*Run, error) {
	h.Schema = Schema
	dir := filepath.Join(root, h.ScanID)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	r := &Run{Header: h, dir: dir}
	err := r.acquire()
	if err == nil {
		r.journal, err = createJournal(filepath.Join(dir, "journal"))
	}
	if err == nil {
		err = r.Save(scanner.Position{})
	}
	if err == nil { // last: a folder without run.json is no run
		err = writeJSON(filepath.Join(dir, "run.json"), h)
	}
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// Open locks the run with that scan id and reads how far it is.
func Open(root, id string) (*Run, error) {
	r := &Run{dir: filepath.Join(root, id)}
	if err := r.acquire(); err != nil {
		return nil, err
	}
	var s state
	err := readJSON(filepath.Join(r.dir, "run.json"), &r.Header)
	if err == nil {
		err = readJSON(filepath.Join(r.dir, "position.json"), &s)
	}
	if err == nil {
		r.Position = s.Position
		r.Position.Spent.Uncounted = s.Running || s.Position.Spent.Uncounted
		r.journal, err = openJournal(filepath.Join(r.dir, "journal"), s.Journal)
	}
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

func (r *Run) acquire() (err error) {
	r.lock, err = disk.Lock(filepath.Join(r.dir, "lock"))
	if errors.Is(err, disk.ErrLocked) {
		return fmt.Errorf("checkpoint: run %s is being worked on by another process", filepath.Base(r.dir))
	}
	if err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	return nil
}

// Find returns the id of the run below root that want means: its scan id, the
// beginning of one, or "last" for the newest.
func Find(root, want string) (string, error) {
	ids, err := List(root)
	if err != nil {
		return "", err
	}
	if len(ids) == 0 {
		return "", fmt.Errorf("checkpoint: run %q: there is none to resume in %s", want, root)
	}
	if want == "last" {
		return ids[len(ids)-1], nil
	}
	match := slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return want == "" || !strings.HasPrefix(id, want) })
	switch {
	case slices.Contains(match, want):
		return want, nil
	case len(match) == 1:
		return match[0], nil
	case len(match) > 1:
		return "", fmt.Errorf("checkpoint: run %q: want more of the id, it begins %d of them", want, len(match))
	default:
		return "", fmt.Errorf("checkpoint: run %q: want last or one of %s", want, strings.Join(ids[max(0, len(ids)-3):], ", "))
	}
}

// List returns the scan ids of all runs below root, the oldest first.
func List(root string) ([]string, error) {
	entries, err := os.ReadDir(root)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	var ids []string
	for _, e := range entries { // sorted, and the ids sort by time
		if _, err := os.Stat(filepath.Join(root, e.Name(), "run.json")); err == nil {
			ids = append(ids, e.Name())
		}
	}
	return ids, nil
}

// Known yields the answers in the journal, in the order in which they came.
func (r *Run) Known() iter.Seq[scanner.Observation] {
	return func(yield func(scanner.Observation) bool) {
		stop := errors.New("enough")
		_, _ = r.journal.scan(func(body []byte) error { // Open has found it whole
			if body[0] != kindAnswer {
				return nil
			}
			if o, err := decodeAnswer(body[1:]); err == nil && !yield(o) {
				return stop
			}
			return nil
		})
	}
}

// Dialogues returns the finished dialogues in the journal by their target, and
// the number of answers.
func (r *Run) Dialogues() (all map[scanner.Target]fingerprint.Evidence, answers int, err error) {
	all = map[scanner.Target]fingerprint.Evidence{}
	_, err = r.journal.scan(func(body []byte) error {
		switch body[0] {
		case kindAnswer:
			answers++
			_, err := decodeAnswer(body[1:])
			return err
		case kindDialogue:
			ev, err := decodeDialogue(body[1:])
			all[ev.Target] = ev
			return err
		default:
			return fmt.Errorf("checkpoint: a record of kind %q", body[0])
		}
	})
	return all, answers, err
}

// Observed adds an answer to the journal. It never waits for the disk.
func (r *Run) Observed(o scanner.Observation) { r.journal.answer(o) }

// Identified adds a finished dialogue to the journal. It never waits for the
// disk.
func (r *Run) Identified(ev *fingerprint.Evidence) error { return r.journal.dialogue(ev) }

// Save brings everything that was added, and then the position, to the disk,
// while the run goes on: a later part knows that more may have been sent than p
// counts. p must have been read before the call.
func (r *Run) Save(p scanner.Position) error { return r.save(p, true) }

// SaveLast is Save when nothing is sent any more.
func (r *Run) SaveLast(p scanner.Position) error { return r.save(p, false) }

func (r *Run) save(p scanner.Position, running bool) error {
	if err := r.journal.flush(); err != nil {
		return err
	}
	return writeJSON(filepath.Join(r.dir, "position.json"), state{Schema: Schema, Position: p, Journal: r.journal.size, Running: running})
}

// Keep saves the position every so often until ctx ends, or until the disk
// fails, which it says in the log.
func (r *Run) Keep(ctx context.Context, every time.Duration, position func() scanner.Position, log *slog.Logger) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-r.journal.full:
		}
		if err := r.Save(position()); err != nil {
			log.WarnContext(ctx, "no more checkpoints: the run cannot be resumed from here on", "error", err)
			return
		}
	}
}

// Close unlocks the run and leaves it on disk.
func (r *Run) Close() error {
	var errs []error
	if r.journal != nil {
		errs = append(errs, r.journal.file.Close())
	}
	if r.lock != nil {
		errs = append(errs, r.lock.Close())
	}
	return errors.Join(errs...)
}

// Remove closes the run and removes it from the disk.
func (r *Run) Remove() error {
	// First run.json: what is left of a run whose removal was cut short is no run.
	err := os.Remove(filepath.Join(r.dir, "run.json"))
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, r.Close(), os.RemoveAll(r.dir))
}
