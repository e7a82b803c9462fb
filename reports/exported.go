package reports

import (
	"errors"
	"io"
	"strings"
)

// Cell returns s as a cell of CSV may hold it: printable ASCII on one line, at
// most 255 bytes, and nothing that a spreadsheet would compute.
func Cell(s string) string { return cell(s, maxText) }

// Line returns s as printable ASCII on one line, at most 255 bytes: what a peer
// said cannot steer a terminal.
func Line(s string) string { return escape(s, maxText) }

// LongCell is Cell for a text of several sentences, with room for 1,000 bytes.
func LongCell(s string) string { return cell(s, maxAdvice) }

// Note returns the finding's note as every report shows it.
func Note(f *Finding) string { return escape(f.Note, maxNote) }

// OwnNote is Note without what the verdict says by itself: what the policy, the
// history or an exposure has put before it.
func OwnNote(f *Finding) string {
	own := ownNote(f)
	if f.Full != nil {
		own = strings.TrimSuffix(strings.TrimSuffix(own, escape(f.Full.Reason, maxText)), "; ")
	}
	return own
}

// WriteFile writes path in one step: whoever reads it sees the old file or the
// whole new one. Nothing changes when write fails.
func WriteFile(path string, write func(w io.Writer) error) error {
	a, err := createAtomic(path)
	if err != nil {
		return err
	}
	if err := write(a); err != nil {
		return errors.Join(err, a.Abort())
	}
	return a.Commit()
}

// Explain returns what the class of a finding means to the person who must act.
func Explain(f *Finding) Explanation { return explain(f) }
