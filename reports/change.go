package reports

import (
	"io"
	"strings"

	"dormant/scanner"
)

// change is one line of what differs from the last run, in printable ASCII.
type change struct {
	Word, Endpoint, What string
	Brief                string // What, for a terminal
}

func newChange(f *Finding) change {
	what := strings.TrimSuffix(strings.TrimPrefix(sentence(f), endpoint(f)+" "), ".")
	if f.Note != "" {
		what += "; " + escape(f.Note, maxNote)
	}
	brief := f.Note // of a port that is not open any more, what it was
	if f.State == scanner.Open {
		brief = strings.Join(strings.Fields(f.Verdict.String()+" "+name(f)+" "+f.Version), " ")
	}
	return change{escape(f.Change, maxText), endpoint(f), what, escape(brief, maxText)}
}

// changeColumns are those of changes.csv: what differs, then since when, then
// whom it concerns. before and now are in the note and in the other columns.
func changeColumns() []string {
	return []string{"change", "ip", "transport", "port", "hostname", "state", "verdict", "confidence", "service", "product", "version", "tls_cert",
		"first_seen", "last_seen", "severity", "expected", "owner", "ticket", "note", "scan_id", "site", "vantage"}
}

// NewChanges returns the sink that writes, as CSV, only the findings that
// differ from the last comparable run: new, changed, moved, gone, missing. It
// must be given those of ports that are no longer open, too.
func NewChanges(w io.Writer, o CSVOptions) (Sink, error) {
	o.Columns, o.Preset = changeColumns(), ""
	c, err := NewCSV(w, o)
	if err != nil {
		return nil, err
	}
	return Filter(c, changed), nil
}
