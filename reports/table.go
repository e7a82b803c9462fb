package reports

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"dormant/fingerprint"
	"dormant/scanner"
)

// The bounds of the table: a terminal is no place for a thousand rows.
const (
	maxOpenRows   = 1000
	maxClosedRows = 20
	minWidth      = 60 // columns; a narrower terminal wraps by itself
	minEvidence   = 24 // columns; with less the evidence gets lines of its own
)

// Table prints findings for a terminal: the open ports with their evidence,
// what needs attention in words, one row for each host that answered without an
// open port, and what was covered. It prints when it is closed.
type Table struct {
	// Run returns the facts for the coverage line; nil leaves the line out.
	Run func() Run

	w     io.Writer
	width int
	color bool

	open    ranked[Finding]
	changes ranked[change] // against the last comparable run

	host       hostCount // the host whose findings are coming
	closed     []hostCount
	moreClosed uint64
}

var _ Sink = (*Table)(nil)

// hostCount is what one host answered.
type hostCount struct {
	addr                     netip.Addr
	open, closed, prohibited int
}

// NewTable returns the table for a terminal of width columns. Colour only
// repeats what the words say. A width of 0 or less is one without a bound.
func NewTable(w io.Writer, width int, color bool) *Table {
	return &Table{w: w, width: width, color: color, open: ranked[Finding]{limit: maxOpenRows}, changes: ranked[change]{limit: maxClosedRows}}
}

// Write remembers what the table will show of the finding.
func (t *Table) Write(_ context.Context, f Finding) error {
	if f.IP != t.host.addr {
		t.endHost()
		t.host = hostCount{addr: f.IP}
	}
	if changed(&f) {
		t.changes.add(newChange(&f), breach(&f))
	}
	switch f.State {
	case scanner.Open:
		t.host.open++
		f.Dialogue, f.Flags = nil, append([]string(nil), f.Flags...)
		if f.Full != nil { // all that the name of a row needs of it
			f.Full = &fingerprint.Verdict{Reason: f.Full.Reason}
		}
		t.open.add(f, breach(&f))
	case scanner.Closed:
		t.host.closed++
	case scanner.Filtered:
		if f.ReasonIP == f.IP {
			t.host.prohibited++
		}
	case scanner.OpenFiltered, scanner.Unreachable, scanner.Unknown: // nobody answered
	}
	return nil
}

// endHost keeps the host as a compact row if it answered and has nothing open.
func (t *Table) endHost() {
	h := t.host
	switch {
	case h.open > 0 || h.closed+h.prohibited == 0:
	case len(t.closed) < maxClosedRows:
		t.closed = append(t.closed, h)
	default:
		t.moreClosed++
	}
}

// Close prints the table.
func (t *Table) Close() error {
	t.endHost()
	var b strings.Builder
	open := t.open.all()
	t.writeOpen(&b, open)
	t.writeAttention(&b, open)
	t.writeChanges(&b)
	t.writeClosed(&b)
	if t.Run != nil {
		run := t.Run()
		t.section(&b, t.paint(strings.Join(wrap(run.Coverage(), t.lineWidth()), "\n"), run.Complete()))
	}
	if _, err := io.WriteString(t.w, b.String()); err != nil {
		return fmt.Errorf("reports: write table: %w", err)
	}
	return nil
}

func (t *Table) lineWidth() int {
	if t.width <= 0 {
		return 1 << 20
	}
	return max(t.width, minWidth)
}

// section puts a blank line between the parts.
func (t *Table) section(b *strings.Builder, s string) {
	if b.Len() > 0 {
		b.WriteByte('\n')
	}
	b.WriteString(strings.TrimRight(s, "\n") + "\n")
}

func (t *Table) paint(s string, good bool) string {
	if !t.color || good {
		return s
	}
	return colour(s, text.FgYellow)
}

// colour does not ask the environment whether colour is wanted: the caller has.
func colour(s string, c text.Color) string {
	return text.Bold.EscapeSeq() + c.EscapeSeq() + s + text.Reset.EscapeSeq()
}

// style is columns apart by two spaces, without lines.
func style() table.Style {
	s := table.StyleDefault
	s.Options = table.OptionsNoBordersAndSeparators
	s.Box.PaddingLeft, s.Box.PaddingRight = "", "  "
	s.Format.Header = text.FormatDefault
	return s
}

func (t *Table) writeOpen(b *strings.Builder, open []Finding) {
	if len(open) == 0 {
		t.section(b, "No open port.")
		return
	}
	rows := make([][8]string, 0, len(open))
	for i := range open {
		rows = append(rows, cells(&open[i]))
	}
	var out strings.Builder
	w := table.NewWriter()
	w.SetOutputMirror(&out)
	w.SetStyle(style())
	widths, own := t.columnWidths(rows)
	w.AppendHeader(table.Row{"ADDRESS", "PORT", "STATE", "VERDICT", "CONF", "PRODUCT/SERVICE", "VERSION", "EVIDENCE"}[:len(widths)])
	configs := make([]table.ColumnConfig, len(widths))
	for i, n := range widths {
		configs[i] = table.ColumnConfig{Number: i + 1, WidthMax: n, WidthMaxEnforcer: snip, Hidden: n == 0}
		if i == 4 {
			configs[i].Align, configs[i].AlignHeader = text.AlignRight, text.AlignRight
		}
	}
	w.SetColumnConfigs(configs)
	for i, r := range rows {
		row := make(table.Row, len(widths))
		for k := range row {
			row[k] = r[k]
		}
		if _, need := attention(&open[i]); need && t.color {
			row[3] = colour(snip(r[3], widths[3]), text.FgRed)
		}
		w.AppendRow(row)
	}
	w.Render()
	lines := strings.Split(out.String(), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	t.section(b, strings.Join(lines, "\n"))
	if more := t.open.more; more > 0 {
		fmt.Fprintf(b, "and %s more; write a report to see all of them (-o audit.csv)\n", plural(more, "open port"))
	}
	if own {
		t.writeEvidence(b, open, rows, widths)
	}
}

// writeEvidence prints the evidence below the table, for narrow terminals, with
// what the table had no room for.
func (t *Table) writeEvidence(b *strings.Builder, open []Finding, rows [][8]string, widths []int) {
	t.section(b, "Evidence:")
	for i := range open {
		var facts []string
		if widths[2] == 0 && open[i].Confirmed == ConfirmedNo {
			facts = append(facts, "open? (a SYN-ACK only)")
		}
		if widths[4] == 0 && rows[i][4] != "" {
			facts = append(facts, "confidence "+rows[i][4])
		}
		if widths[6] == 0 && rows[i][6] != "" {
			facts = append(facts, "version "+rows[i][6])
		}
		if rows[i][7] != "" {
			facts = append(facts, rows[i][7])
		}
		if len(facts) == 0 {
			continue
		}
		for k, part := range wrap(endpoint(&open[i])+"  "+strings.Join(facts, ", "), t.lineWidth()-2) {
			b.WriteString(strings.Repeat("  ", min(k, 1)) + part + "\n")
		}
	}
}

// cells is one row; everything in it is printable ASCII.
func cells(f *Finding) [8]string {
	verdict := f.Verdict.String()
	if verdict == "" {
		verdict = "-"
	}
	if _, need := attention(f); need {
		verdict = "! " + verdict
	}
	state := f.State.String()
	if f.Confirmed == ConfirmedNo {
		state += "?" // a SYN-ACK only
	}
	return [8]string{
		address(f.IP),
		fmt.Sprintf("%d/%s", f.Port, f.Transport),
		state,
		verdict,
		confidence(f),
		escape(name(f), maxText),
		escape(f.Version, maxText),
		escape(f.Evidence, maxEvidence),
	}
}

// columnWidths fits the rows into the terminal: address to confidence keep
// their width, product and version are bounded, the evidence takes the rest. If
// that is too little, own is true and there is no column of the evidence; what
// then is still too wide goes without confidence, state and version: width 0.
func (t *Table) columnWidths(rows [][8]string) (widths []int, own bool) {
	widths = []int{7, 4, 5, 7, 4, 15, 7, 8} // the header's
	for _, r := range rows {
		for k := range r {
			widths[k] = max(widths[k], len(r[k]))
		}
	}
	if t.width <= 0 {
		return widths, false
	}
	widths[6] = min(widths[6], 14)
	rest := t.width - 2*len(widths)
	for k := range 5 {
		rest -= widths[k]
	}
	product := min(widths[5], max(15, t.width/4))
	if left := rest - widths[6] - product; left >= min(minEvidence, widths[7]) {
		widths[5], widths[7] = product, min(widths[7], left)
		return widths, false
	}
	rest += 4 - widths[6] // the gaps around the evidence are free
	for _, k := range []int{4, 2, 6} {
		if rest >= 15 {
			break
		}
		rest, widths[k] = rest+widths[k]+2, 0
	}
	widths[5] = min(widths[5], max(15, rest))
	return widths[:7], true
}

// snip cuts a text to a column's width. A text that begins with an escape is one
// of ours, cut before it was coloured.
func snip(s string, n int) string {
	if len(s) <= n || strings.HasPrefix(s, "\x1b") {
		return s
	}
	if n <= len(cutMark) {
		return s[:n]
	}
	return s[:n-len(cutMark)] + cutMark
}

// writeAttention says in words what a person should look at.
func (t *Table) writeAttention(b *strings.Builder, open []Finding) {
	var out strings.Builder
	shown := 0
	for _, f := range byAttention(open) {
		why, _ := attention(f)
		if shown++; shown > maxClosedRows {
			continue
		}
		line := fmt.Sprintf("%s  %s: %s", endpoint(f), why, explain(f).Title)
		if who := concerns(f); who != "" && breach(f) {
			line += " (" + who + ")"
		}
		for k, part := range wrap(line, t.lineWidth()-2) {
			if k == 0 {
				out.WriteString(t.paint("! "+part, false) + "\n")
			} else {
				out.WriteString("  " + part + "\n")
			}
		}
		if Exposed(f) {
			for _, part := range wrap(explain(f).Advice, t.lineWidth()-4) {
				out.WriteString("    " + part + "\n")
			}
		}
	}
	if shown == 0 {
		return
	}
	t.section(b, "Needs attention:")
	b.WriteString(out.String())
	if shown > maxClosedRows {
		fmt.Fprintf(b, "and %s more\n", number(uint64(shown-maxClosedRows)))
	}
}

// writeChanges says what differs from the last comparable run.
func (t *Table) writeChanges(b *strings.Builder) {
	changes := t.changes.all()
	if len(changes) == 0 {
		return
	}
	t.section(b, "Changed since last time:")
	for _, c := range changes {
		for k, part := range wrap(fmt.Sprintf("%-7s  %s  %s", c.Word, c.Endpoint, c.Brief), t.lineWidth()-2) {
			b.WriteString(strings.Repeat("  ", min(k, 1)) + part + "\n")
		}
	}
	if t.changes.more > 0 {
		fmt.Fprintf(b, "and %s more\n", number(t.changes.more))
	}
}

// writeClosed prints the hosts that are there and serve none of the ports.
func (t *Table) writeClosed(b *strings.Builder) {
	if len(t.closed) == 0 {
		return
	}
	width := 0
	for _, h := range t.closed {
		width = max(width, len(address(h.addr)))
	}
	t.section(b, "Answered, nothing open:")
	for _, h := range t.closed {
		fmt.Fprintf(b, "%-*s  %s\n", width, address(h.addr), h.words())
	}
	if t.moreClosed > 0 {
		fmt.Fprintf(b, "and %s more\n", number(t.moreClosed))
	}
}

func (h hostCount) words() string {
	var parts []string
	if h.closed > 0 {
		parts = append(parts, plural(uint64(h.closed), "port")+" closed")
	}
	if h.prohibited > 0 {
		parts = append(parts, plural(uint64(h.prohibited), "port")+" refused by its own filter")
	}
	return strings.Join(parts, ", ")
}

// wrap breaks a line between words, and inside of one that is too long itself.
func wrap(s string, width int) []string {
	var lines []string
	for len(s) > width {
		at := strings.LastIndexByte(s[:width+1], ' ')
		if at < width/3 {
			lines, s = append(lines, s[:width]), s[width:]
			continue
		}
		lines = append(lines, strings.TrimRight(s[:at], " "))
		s = s[at+1:]
	}
	return append(lines, s)
}
