package history

import (
	"bufio"
	"cmp"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"dormant/reports"
)

// Difference is a comparison of two runs, ready to be shown. The changes are read
// while they are written: two runs of a million ports may have two million.
type Difference struct {
	From, To Run
	Counts   map[Kind]uint64 // how many changes there are of each kind

	of *comparison
}

// Compare compares two runs as Diff does.
func (s *Store) Compare(ctx context.Context, from, to Run) (*Difference, error) {
	p, err := s.pairOf(ctx, from, to)
	if err != nil {
		return nil, err
	}
	d := &Difference{From: from, To: to}
	if d.of, err = s.compared(ctx, p); err != nil {
		return nil, err
	}
	d.Counts, err = d.of.count(ctx)
	return d, err
}

// Differs reports whether anything in it is a difference; see Kind.Counts.
func (d *Difference) Differs() bool {
	for k, n := range d.Counts {
		if n > 0 && k.Counts() {
			return true
		}
	}
	return false
}

// kinds is the order in which kinds are counted in words.
func kinds() []Kind { return []Kind{New, Gone, Changed, Moved, Missing, FirstRun, NotScanned} }

// Summary is the whole difference in one line.
func (d *Difference) Summary() string {
	var parts []string
	for _, k := range kinds() {
		if n := d.Counts[k]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, strings.ReplaceAll(string(k), "_", " ")))
		}
	}
	if len(parts) == 0 {
		return "no difference"
	}
	return strings.Join(parts, ", ")
}

// DiffFormats are the names that Write knows.
func DiffFormats() []string { return []string{"text", "json", "csv"} }

// Write writes the difference in the named format.
func (d *Difference) Write(ctx context.Context, w io.Writer, format string) error {
	out := bufio.NewWriter(w)
	var err error
	switch format {
	case "json":
		err = d.writeJSON(ctx, out)
	case "csv":
		err = d.writeCSV(ctx, out)
	case "text":
		err = d.writeText(ctx, out)
	default:
		return fmt.Errorf("history: diff format %q: want %s", format, strings.Join(DiffFormats(), ", "))
	}
	if err = errors.Join(err, out.Flush()); err != nil {
		return fmt.Errorf("history: write diff: %w", err)
	}
	return nil
}

// writeText writes what a person reads: - before, + after, host by host.
func (d *Difference) writeText(ctx context.Context, w io.Writer) error {
	if _, err := fmt.Fprintf(w, "-%s\n+%s\n", runLine(&d.From), runLine(&d.To)); err != nil {
		return err
	}
	var host netip.Addr
	err := d.of.each(ctx, func(c Change) error {
		text := c.text()
		if c.Target.Addr != host {
			host = c.Target.Addr
			text = fmt.Sprintf("\n %s%s:\n%s", host, hostName(&c), text)
		}
		_, err := io.WriteString(w, text)
		return err
	})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "\n%s\n", d.Summary())
	return err
}

func runLine(r *Run) string {
	return fmt.Sprintf("%s  %s  from %s  %s", r.ID, r.Started.UTC().Format(time.RFC3339), reports.Line(r.Facts.From()), r.Status)
}

func hostName(c *Change) string {
	for _, f := range []*reports.Finding{c.After, c.Before} {
		if f != nil && f.Hostname != "" {
			return " (" + reports.Line(f.Hostname) + ")"
		}
	}
	return ""
}

// text returns the lines of one change.
func (c *Change) text() string {
	before, after := describe(c.Before), describe(c.After)
	switch c.Kind {
	case New:
		return fmt.Sprintf("+%s %s  new\n", c.Target.Port, after)
	case FirstRun:
		return fmt.Sprintf("+%s %s  asked for the first time\n", c.Target.Port, after)
	case Changed:
		names := make([]string, len(c.Fields))
		for i, f := range c.Fields {
			names[i] = f.Name
		}
		return fmt.Sprintf("-%s %s\n+%s %s  changed: %s\n", c.Target.Port, before, c.Target.Port, after, strings.Join(names, ", "))
	case Moved:
		return fmt.Sprintf("-%s %s  at %s\n+%s %s  moved: the same machine\n", c.Target.Port, before, c.From, c.Target.Port, after)
	case Gone:
		return fmt.Sprintf("-%s %s  gone: not open twice in a row, last seen %s\n", c.Target.Port, before, day(c.Last))
	case Missing:
		return fmt.Sprintf("?%s %s  missing: not open this time, gone if the next run finds it so\n", c.Target.Port, before)
	case NotScanned:
		return fmt.Sprintf(" %s %s  not scanned this time\n", c.Target.Port, before)
	case Same:
	}
	return ""
}

func day(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.UTC().Format("2006-01-02 15:04Z")
}

// describe says what was open.
func describe(f *reports.Finding) string {
	if f == nil {
		return "not open"
	}
	words := []string{f.State.String()}
	for _, s := range []string{f.Verdict.String(), cmp.Or(f.Product, f.Service), f.Version} {
		if s != "" {
			words = append(words, reports.Line(s))
		}
	}
	return strings.Join(words, " ")
}

// changeJSON is one change for machines.
type changeJSON struct {
	Change    Kind       `json:"change"`
	IP        netip.Addr `json:"ip"`
	Transport string     `json:"transport"`
	Port      uint16     `json:"port"`
	MovedFrom string     `json:"moved_from,omitempty"`
	FirstSeen time.Time  `json:"first_seen,omitzero"`
	LastSeen  time.Time  `json:"last_seen,omitzero"`
	Fields    []Field    `json:"fields,omitempty"`
	Before    *sideJSON  `json:"before,omitempty"`
	After     *sideJSON  `json:"after,omitempty"`
}

// sideJSON is what was open on one side of a change.
type sideJSON struct {
	Verdict  string `json:"verdict"`
	Service  string `json:"service"`
	Product  string `json:"product"`
	Version  string `json:"version"`
	TLSCert  string `json:"tls_cert"`
	Hostname string `json:"hostname"`
	MAC      string `json:"mac"`
	Severity string `json:"severity"`
}

func side(f *reports.Finding) *sideJSON {
	if f == nil {
		return nil
	}
	return &sideJSON{
		f.Verdict.String(), reports.Line(f.Service), reports.Line(f.Product), reports.Line(f.Version), reports.Line(f.TLSCert),
		reports.Line(f.Hostname), f.MAC, f.Severity,
	}
}

// writeJSON writes one object, whose last member is the list of changes.
func (d *Difference) writeJSON(ctx context.Context, w io.Writer) error {
	head, err := json.MarshalIndent(struct {
		From    Run             `json:"from"`
		To      Run             `json:"to"`
		Differs bool            `json:"differs"`
		Counts  map[Kind]uint64 `json:"counts"`
	}{d.From, d.To, d.Differs(), d.Counts}, "", "  ")
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(w, "%s,\n  \"changes\": [", strings.TrimSuffix(string(head), "\n}")); err != nil {
		return err
	}
	before, behind := "\n    ", "]\n}\n"
	err = d.of.each(ctx, func(c Change) error {
		text, err := json.MarshalIndent(c.json(), "    ", "  ")
		if err == nil {
			_, err = fmt.Fprintf(w, "%s%s", before, text)
		}
		before, behind = ",\n    ", "\n  ]\n}\n"
		return err
	})
	if err == nil {
		_, err = io.WriteString(w, behind)
	}
	return err
}

func (c *Change) json() changeJSON {
	j := changeJSON{
		Change: c.Kind, IP: c.Target.Addr, Transport: c.Target.Port.Proto.String(), Port: c.Target.Port.Number,
		FirstSeen: c.First, LastSeen: c.Last, Before: side(c.Before), After: side(c.After),
	}
	for _, f := range c.Fields {
		j.Fields = append(j.Fields, Field{f.Name, reports.Line(f.Before), reports.Line(f.After)})
	}
	if c.From.IsValid() {
		j.MovedFrom = c.From.String()
	}
	return j
}

func (d *Difference) writeCSV(ctx context.Context, w io.Writer) error {
	out := csv.NewWriter(w)
	out.UseCRLF = true
	if err := out.Write([]string{"from_run", "to_run", "change", "ip", "transport", "port", "moved_from", "verdict_before", "verdict_after",
		"product_before", "product_after", "version_before", "version_after", "tls_cert_before", "tls_cert_after", "first_seen", "last_seen"}); err != nil {
		return err
	}
	err := d.of.each(ctx, func(c Change) error {
		b, a := orEmpty(c.Before), orEmpty(c.After)
		from := ""
		if c.From.IsValid() {
			from = c.From.String()
		}
		row := []string{d.From.ID, d.To.ID, string(c.Kind), c.Target.Addr.String(), c.Target.Port.Proto.String(), fmt.Sprint(c.Target.Port.Number), from}
		for _, s := range []string{b.Verdict.String(), a.Verdict.String(), b.Product, a.Product, version(b.Version), version(a.Version), b.TLSCert, a.TLSCert} {
			row = append(row, reports.Cell(s))
		}
		return out.Write(append(row, moment(c.First), moment(c.Last)))
	})
	out.Flush()
	return cmp.Or(err, out.Error())
}

func orEmpty(f *reports.Finding) *reports.Finding {
	if f == nil {
		return &reports.Finding{}
	}
	return f
}

// version keeps a spreadsheet from reading a version as a number, as in the
// reports of findings.
func version(s string) string {
	if s == "" || s[0] == 'v' {
		return s
	}
	return "v" + s
}

func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}
