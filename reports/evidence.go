package reports

import (
	"context"
	"fmt"
	"io"
)

// Evidence writes the dialogues themselves, one JSON object a line, only for
// findings that have one: the key that a finding's evidence_id names, the
// target, and the evidence with all bytes in Base64. The id is the SHA-256 of
// the text of "evidence" as it stands in the line.
type Evidence struct{ w io.Writer }

var _ Sink = (*Evidence)(nil)

// NewEvidence returns the sink that writes to w.
func NewEvidence(w io.Writer) *Evidence { return &Evidence{w} }

// Write writes one line, or nothing.
func (e *Evidence) Write(_ context.Context, f Finding) error {
	if f.Dialogue == nil {
		return nil
	}
	b := []byte(`{"evidence_id":`)
	b = append(appendString(b, EvidenceID(f.Dialogue)), `,"scan_id":`...)
	b = append(appendString(b, escape(f.ScanID, maxText)), `,"ip":`...)
	b = append(appendString(b, address(f.IP)), `,"port":`...)
	b = append(fmt.Append(b, f.Port), `,"transport":`...)
	b = append(appendString(b, transport(&f)), `,"evidence":`...)
	b = append(append(b, CanonicalEvidence(f.Dialogue)...), '}', '\n')
	if _, err := e.w.Write(b); err != nil {
		return fmt.Errorf("reports: write evidence: %w", err)
	}
	return nil
}

// Close has nothing to complete.
func (e *Evidence) Close() error { return nil }
