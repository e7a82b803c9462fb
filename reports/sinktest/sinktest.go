// Package sinktest is the contract of reports.Sink as a test suite, and the
// findings that every format is tried on.
package sinktest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"

	"dormant/reports"
)

// World is one kind of sink.
type World struct {
	// New returns a fresh sink that writes to w.
	New func(w io.Writer) (reports.Sink, error)
	// Count reads a finished output back, with a reader that is not the
	// writer's own where there is one, and returns how many findings it holds.
	Count func(out []byte) (int, error)
	// Want returns how many of the findings the output holds; nil is all.
	Want func(findings []reports.Finding) int
	// Binary is true for outputs that are not text: the hostile strings cannot
	// be looked for in them, Count must do it.
	Binary bool
}

// Run checks that the sinks of w keep the contract.
func Run(t *testing.T, w World) {
	t.Helper()
	t.Run("nothing found", func(t *testing.T) { w.holds(t, nil) })
	t.Run("one", func(t *testing.T) { w.holds(t, Findings()[:1]) })
	t.Run("all kinds", func(t *testing.T) { w.holds(t, Findings()) })
	t.Run("hostile", func(t *testing.T) {
		out := w.holds(t, Hostile())
		if !w.Binary {
			CheckText(t, out)
		}
	})
	t.Run("retains nothing", w.retainsNothing)
	t.Run("disk full", w.diskFull)
}

// holds writes findings and reads them back.
func (w World) holds(t *testing.T, findings []reports.Finding) []byte {
	t.Helper()
	var out bytes.Buffer
	s, err := w.New(&out)
	if err != nil {
		t.Fatalf("New = %v", err)
	}
	for _, f := range findings {
		if err := s.Write(t.Context(), f); err != nil {
			t.Fatalf("Write(%v) = %v", f.IP, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatalf("Close = %v", err)
	}
	n, err := w.Count(out.Bytes())
	if err != nil {
		t.Fatalf("the output does not read back: %v\n%s", err, head(out.Bytes()))
	}
	want := len(findings)
	if w.Want != nil {
		want = w.Want(findings)
	}
	if n != want {
		t.Errorf("the output holds %d findings, want %d\n%s", n, want, head(out.Bytes()))
	}
	return out.Bytes()
}

// retainsNothing changes every finding right after Write: the output must be
// the same as without that.
func (w World) retainsNothing(t *testing.T) {
	var outs [2]bytes.Buffer
	for i := range outs {
		s, err := w.New(&outs[i])
		if err != nil {
			t.Fatalf("New = %v", err)
		}
		for _, f := range Findings() {
			if err := s.Write(t.Context(), f); err != nil {
				t.Fatalf("Write = %v", err)
			}
			if i == 1 {
				spoil(&f)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatalf("Close = %v", err)
		}
	}
	if !w.Binary && !bytes.Equal(outs[0].Bytes(), outs[1].Bytes()) {
		t.Error("changing a finding after Write changes the output")
	}
}

func spoil(f *reports.Finding) {
	for i := range f.Flags {
		f.Flags[i] = "spoiled"
	}
	if f.Full == nil {
		return
	}
	for i := range f.Full.Signs {
		f.Full.Signs[i].Excerpt, f.Full.Signs[i].Rule = "spoiled", "spoiled"
	}
	for i := range f.Full.Hints {
		f.Full.Hints[i] = "spoiled"
	}
	f.Full.Product, f.Full.Reason = "spoiled", "spoiled"
}

// diskFull lets the writer fail at every length up to the whole output: New,
// Write or Close must say so.
func (w World) diskFull(t *testing.T) {
	whole := len(w.holds(t, Findings()))
	step := max(1, whole/50)
	for room := 0; room < whole; room += step {
		if err := w.writeInto(t, &disk{room: room}); !errors.Is(err, errFull) {
			t.Fatalf("a writer that fails after %d of %d bytes: error = %v, want %v", room, whole, err, errFull)
		}
	}
}

func (w World) writeInto(t *testing.T, out io.Writer) error {
	s, err := w.New(out)
	if err != nil {
		return err
	}
	var errs []error
	for _, f := range Findings() {
		errs = append(errs, s.Write(t.Context(), f))
	}
	return errors.Join(append(errs, s.Close())...)
}

var errFull = errors.New("no space left")

// disk is a writer with room for some bytes.
type disk struct{ room int }

func (d *disk) Write(p []byte) (int, error) {
	n := min(len(p), d.room)
	d.room -= n
	if n < len(p) {
		return n, errFull
	}
	return n, nil
}

// CheckText fails if a text output holds anything that a terminal or a browser
// would act on: a byte that is not printable ASCII or a line end, or one of the
// tags of Hostile.
func CheckText(t *testing.T, out []byte) {
	t.Helper()
	for i, c := range out {
		if (c < ' ' || c > '~') && c != '\n' && c != '\r' && c != '\t' {
			t.Fatalf("byte %d of the output is %#02x: ...%q...", i, c, around(out, i))
		}
	}
}

func around(b []byte, i int) []byte { return b[max(0, i-40):min(len(b), i+40)] }

func head(b []byte) string {
	if len(b) > 2000 {
		return fmt.Sprintf("%q...", b[:2000])
	}
	return fmt.Sprintf("%q", b)
}
