package history

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"dormant/fingerprint"
	"dormant/reports"
)

// exportVersion is the version of the lines that Export writes.
const exportVersion = 1

// line is one line of an export: a run begins, a finding of it, or it ends.
// Exactly one of the three is set.
type line struct {
	Run     *exportedRun     `json:"run,omitempty"`
	Finding *exportedFinding `json:"finding,omitempty"`
	End     *exportedEnd     `json:"end,omitempty"`
}

type exportedRun struct {
	Version  int         `json:"dormant_export"`
	ID       string      `json:"id"`
	Started  time.Time   `json:"started"`
	Finished time.Time   `json:"finished,omitzero"`
	Plan     *Plan       `json:"plan"`
	Facts    reports.Run `json:"facts"`
}

type exportedFinding struct {
	reports.Finding
	Dialogue *fingerprint.Evidence `json:"evidence,omitempty"` // instead of Finding.Dialogue
}

// exportedEnd shows that nothing is missing from a run.
type exportedEnd struct {
	ID       string `json:"id"`
	Findings uint64 `json:"findings"`
	Fault    string `json:"fault,omitempty"` // why some could not be read
}

// Export writes runs as lines of JSON, with all findings and evidence. A run
// that cannot be read to its end is written as far as it can be, and its fault
// is returned when all others are written.
func (s *Store) Export(ctx context.Context, w io.Writer, runs ...Run) error {
	buf := bufio.NewWriterSize(w, 1<<16)
	enc := json.NewEncoder(buf)
	enc.SetEscapeHTML(false)
	var faults []error
	for _, r := range runs {
		head := line{Run: &exportedRun{exportVersion, r.ID, r.Started, r.Finished, &r.plan, r.Facts}}
		if err := enc.Encode(head); err != nil {
			return fmt.Errorf("history: export: %w", err)
		}
		end := exportedEnd{ID: r.ID}
		err := s.Findings(ctx, r, func(f reports.Finding) error {
			out := exportedFinding{f, f.Dialogue}
			out.Finding.Dialogue = nil
			if err := enc.Encode(line{Finding: &out}); err != nil {
				return err
			}
			end.Findings++
			return nil
		})
		if err != nil { // one of the output comes again with the end
			faults = append(faults, fmt.Errorf("history: run %s is exported in part, %d findings: %w", r.ID, end.Findings, err))
			end.Fault = err.Error()
		}
		if err := enc.Encode(line{End: &end}); err != nil {
			return fmt.Errorf("history: export: %w", err)
		}
	}
	if err := buf.Flush(); err != nil {
		return fmt.Errorf("history: export: %w", err)
	}
	return errors.Join(faults...)
}

// Import stores the runs of an export and returns their ids. A run is refused
// when it is here already. A run that is cut off in the middle is stored as far
// as it goes, as unfinished, and the fault is returned.
func (s *Store) Import(ctx context.Context, r io.Reader) (ids []string, err error) {
	dec := json.NewDecoder(bufio.NewReaderSize(r, 1<<16))
	im := importer{store: s}
	defer func() { err = errors.Join(err, im.abort()) }()
	for n := 1; ; n++ {
		var l line
		switch derr := dec.Decode(&l); {
		case errors.Is(derr, io.EOF) && im.recorder == nil:
			if len(ids) == 0 {
				return nil, errors.New("history: import: no run in it: want the output of dormant runs export")
			}
			return ids, nil
		case errors.Is(derr, io.EOF), errors.Is(derr, io.ErrUnexpectedEOF):
			return ids, fmt.Errorf("history: import: line %d: the file ends in the middle of a run", n)
		case derr != nil:
			return ids, fmt.Errorf("history: import: line %d: %w: want the output of dormant runs export", n, derr)
		}
		id, ierr := im.take(ctx, l)
		if ierr != nil {
			return ids, fmt.Errorf("history: import: line %d: %w", n, ierr)
		}
		if id != "" {
			ids = append(ids, id)
		}
	}
}

// importer stores one run after the other.
type importer struct {
	store    *Store
	run      *exportedRun
	recorder *Recorder
	findings uint64
}

// take stores a line and returns the id of a run that it ends.
func (im *importer) take(ctx context.Context, l line) (string, error) {
	switch {
	case l.Run != nil && im.recorder == nil:
		return "", im.begin(ctx, l.Run)
	case l.Finding != nil && im.recorder != nil:
		f := l.Finding.Finding
		f.Dialogue = l.Finding.Dialogue
		im.findings++
		return "", im.recorder.Write(ctx, f)
	case l.End != nil && im.recorder != nil:
		if l.End.ID != im.run.ID || l.End.Findings != im.findings {
			return "", fmt.Errorf("run %s has %d findings and its end says %d of %s", im.run.ID, im.findings, l.End.Findings, l.End.ID)
		}
		if f := &im.run.Facts; l.End.Fault != "" { // silence says nothing then
			f.Scan.Complete, f.Why = false, append(f.Why, "some of its findings could not be read when it was exported")
		}
		return im.run.ID, im.end(ctx)
	default:
		return "", errors.New("want a run, then its findings, then its end")
	}
}

func (im *importer) begin(ctx context.Context, r *exportedRun) error {
	if r.Version != exportVersion {
		return fmt.Errorf("export version %d: this program knows %d", r.Version, exportVersion)
	}
	if r.ID == "" || r.Plan == nil || r.ID != r.Facts.ScanID {
		return errors.New("the run has no id or no plan")
	}
	var n int
	if err := im.store.db.QueryRowContext(ctx, `SELECT count(*) FROM run WHERE scan_id = $1`, r.ID).Scan(&n); err != nil {
		return im.store.explain(err)
	}
	if n > 0 {
		return fmt.Errorf("run %s is in %s already", r.ID, im.store.name)
	}
	im.run, im.findings = r, 0
	var err error
	im.recorder, err = im.store.begin(ctx, *r.Plan, r.Facts, r.Started, func() reports.Run { return r.Facts })
	return err
}

func (im *importer) end(ctx context.Context) error {
	rec := im.recorder
	im.recorder = nil
	if err := rec.flush(); err != nil || im.run.Finished.IsZero() {
		return err
	}
	return rec.finish(ctx, im.run.Facts, im.run.Finished)
}

// abort keeps what was read of a run that has no end.
func (im *importer) abort() error {
	if im.recorder == nil {
		return nil
	}
	return im.recorder.flush()
}
