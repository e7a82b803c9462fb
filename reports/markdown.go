package reports

import (
	"context"
	"fmt"
	"io"
	"strings"

	"dormant/fingerprint"
	"dormant/scanner"
)

// maxMarkdown bounds the rows of a Markdown report; it is for tickets and pull
// requests, which have bounds of their own.
const maxMarkdown = 1000

// Markdown writes a report for a ticket or a wiki: the answer, what needs
// attention, the open ports, what was covered. It is written when it is closed.
type Markdown struct {
	w     io.Writer
	o     Options
	tally *tally
	open  ranked[Finding]

	changes ranked[change] // against the last run
}

var _ Sink = (*Markdown)(nil)

// NewMarkdown returns the sink that writes to w.
func NewMarkdown(w io.Writer, o Options) *Markdown {
	return &Markdown{w: w, o: o, tally: newTally(), open: ranked[Finding]{limit: maxMarkdown}, changes: ranked[change]{limit: maxChanges}}
}

// Write keeps what the report will show.
func (m *Markdown) Write(_ context.Context, f Finding) error {
	m.tally.add(&f)
	if changed(&f) {
		m.changes.add(newChange(&f), breach(&f))
	}
	if f.State != scanner.Open {
		return nil
	}
	f.Flags, f.Dialogue = escapeAll(f.Flags), nil
	if f.Full != nil { // it is part of the name, the rest is not shown
		f.Full = &fingerprint.Verdict{Reason: f.Full.Reason}
	}
	m.open.add(f, breach(&f))
	return nil
}

// Close writes the report.
func (m *Markdown) Close() error {
	run := m.o.run()
	var b strings.Builder
	fmt.Fprintf(&b, "# Dormant ports\n\n**%s**\n", plain(m.tally.answer(&run)))
	open := m.open.all()
	m.attention(&b, open)
	m.changed(&b)
	m.table(&b, open)
	fmt.Fprintf(&b, "\n## Coverage\n\n%s\n", plain(run.Coverage()))
	for _, g := range gaps(&run, m.tally) {
		fmt.Fprintf(&b, "- %s %s\n", g.Value, plain(g.Name))
	}
	if _, err := io.WriteString(m.w, b.String()); err != nil {
		return fmt.Errorf("reports: write Markdown: %w", err)
	}
	return nil
}

// changed lists what differs from the last run.
func (m *Markdown) changed(b *strings.Builder) {
	changes := m.changes.all()
	if len(changes) == 0 {
		return
	}
	b.WriteString("\n## Changed since last time\n\n")
	for _, c := range changes {
		fmt.Fprintf(b, "- **%s** %s %s\n", plain(c.Word), code(c.Endpoint), plain(c.What))
	}
	if m.changes.more > 0 {
		fmt.Fprintf(b, "\nand %s more.\n", number(m.changes.more))
	}
}

func (m *Markdown) attention(b *strings.Builder, open []Finding) {
	for i, f := range byAttention(open) {
		why, _ := attention(f)
		if i == 0 {
			b.WriteString("\n## Needs attention\n")
		}
		e := explain(f)
		fmt.Fprintf(b, "\n### %s: %s\n\n", code(endpoint(f)), plain(e.Title))
		fmt.Fprintf(b, "- **Reason:** %s\n", plain(why))
		if who := concerns(f); who != "" {
			fmt.Fprintf(b, "- **Who:** %s\n", plain(who))
		}
		if f.Evidence != "" {
			fmt.Fprintf(b, "- **What was seen:** %s\n", code(f.Evidence))
		}
		fmt.Fprintf(b, "- **Why it stands out:** %s\n", plain(e.Why))
		if e.Else != "" {
			fmt.Fprintf(b, "- **What else it could be:** %s\n", plain(e.Else))
		}
		fmt.Fprintf(b, "- **What to do:** %s\n", plain(e.Advice))
	}
}

func (m *Markdown) table(b *strings.Builder, open []Finding) {
	b.WriteString("\n## Open ports\n\n")
	if len(open) == 0 {
		b.WriteString("None.\n")
		return
	}
	b.WriteString("| Address | Port | Verdict | Confidence | Product or service | Version | Evidence |\n")
	b.WriteString("|---|---|---|---:|---|---|---|\n")
	for i := range open {
		f := &open[i]
		verdict := f.Verdict.String()
		if _, need := attention(f); need {
			verdict += " (!)"
		}
		fmt.Fprintf(b, "| %s | %d/%s | %s | %s | %s | %s | %s |\n", code(address(f.IP)), f.Port, transport(f), plain(verdict),
			confidence(f), plain(name(f)), plain(f.Version), code(f.Evidence))
	}
	if more := m.open.more; more > 0 {
		fmt.Fprintf(b, "\nand %s more; the CSV of the run has all of them.\n", plural(more, "open port"))
	}
}

// plain is s as text: nothing in it is markup, a link, or the end of a cell.
func plain(s string) string {
	s = escape(s, maxNote)
	var b strings.Builder
	for i := range len(s) {
		link := s[i] == ':' && i+1 < len(s) && s[i+1] != ' ' || s[i] == '.' && i >= 3 && strings.EqualFold(s[i-3:i], "www")
		if link || strings.IndexByte("\\`*_{}[]<>#+!|~&@", s[i]) >= 0 {
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// code is s as a code span, "" for nothing. A backtick would end the span and a
// bar the cell; both are written as the other bytes that cannot be shown.
func code(s string) string {
	if s == "" {
		return ""
	}
	s = strings.NewReplacer("`", `\x60`, "|", `\x7c`).Replace(escape(s, maxEvidence))
	return "` " + s + " `"
}
