package firewall

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"

	"dormant/reports"
)

// WriteText writes the report for a terminal.
func WriteText(w io.Writer, d Document) error {
	_, headline, sections := d.document()
	var b strings.Builder
	b.WriteString(reports.Line(headline) + "\n")
	for _, s := range sections {
		fmt.Fprintf(&b, "\n%s\n", reports.Line(s.Title))
		for _, text := range s.Text {
			fmt.Fprintf(&b, "  %s\n", line(text))
		}
		for _, code := range s.Code {
			fmt.Fprintf(&b, "    %s\n", line(code))
		}
		if len(s.Rows) == 0 {
			continue
		}
		t := table.NewWriter()
		t.SetStyle(table.StyleLight)
		t.Style().Options = table.OptionsNoBordersAndSeparators
		t.AppendHeader(row(s.Head))
		for _, r := range cleanRows(s.Rows) {
			t.AppendRow(row(r))
		}
		for l := range strings.Lines(t.Render()) {
			b.WriteString(" " + strings.TrimRight(l, " \n") + "\n")
		}
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("firewall: write the report: %w", err)
	}
	return nil
}

func row(cells []string) table.Row {
	out := make(table.Row, len(cells))
	for i, c := range cells {
		out[i] = c
	}
	return out
}

// line is a longer text as reports.Line makes it: in pieces, so that nothing is
// cut off.
func line(s string) string {
	var b strings.Builder
	const piece = 60 // every byte may become four
	for len(s) > piece {
		b.WriteString(reports.Line(s[:piece]))
		s = s[piece:]
	}
	return b.String() + reports.Line(s)
}

// WriteMarkdown writes the report for a ticket.
func WriteMarkdown(w io.Writer, d Document) error {
	title, headline, sections := d.document()
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n**%s**\n", plain(title), plain(headline))
	for _, s := range sections {
		fmt.Fprintf(&b, "\n## %s\n", plain(s.Title))
		for _, text := range s.Text {
			fmt.Fprintf(&b, "\n%s\n", plain(text))
		}
		for i, code := range s.Code {
			if i == 0 {
				b.WriteString("\n")
			}
			fmt.Fprintf(&b, "    %s\n", line(code)) // an indented block has no end mark to forge
		}
		if len(s.Rows) == 0 {
			continue
		}
		b.WriteString("\n| " + strings.Join(s.Head, " | ") + " |\n|" + strings.Repeat("---|", len(s.Head)) + "\n")
		for _, r := range s.Rows {
			for _, cell := range r {
				b.WriteString("| " + plain(cell) + " ")
			}
			b.WriteString("|\n")
		}
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("firewall: write the report: %w", err)
	}
	return nil
}

// plain is s as text: nothing in it is markup, a link, or the end of a cell.
func plain(s string) string {
	var b strings.Builder
	for _, c := range []byte(line(s)) {
		if strings.IndexByte("\\`*_{}[]<>#+!|~&@", c) >= 0 {
			b.WriteByte('\\')
		}
		b.WriteByte(c)
	}
	return b.String()
}

//go:embed impact.html
var page string

// WriteHTML writes the report as one page that loads nothing.
func WriteHTML(w io.Writer, d Document) error {
	title, headline, sections := d.document()
	t, err := template.New("impact").Funcs(template.FuncMap{"line": line}).Parse(page)
	if err == nil {
		for i := range sections {
			sections[i].Rows = cleanRows(sections[i].Rows)
		}
		err = t.Execute(w, map[string]any{"Title": title, "Headline": headline, "Sections": sections})
	}
	if err != nil {
		return fmt.Errorf("firewall: write the report: %w", err)
	}
	return nil
}
