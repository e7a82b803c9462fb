package reports

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/xuri/excelize/v2"

	"dormant/registry"
	"dormant/scanner"
)

// maxSheetRows is how many findings one sheet takes: 2^20 rows less the header,
// which is the limit of the file format (ECMA-376).
const maxSheetRows = 1<<20 - 1

// XLSX writes a workbook: a sheet for each question. Cells have types, so that
// nothing a host sent is ever taken for a formula, a number or a date. Beyond
// some megabytes the rows wait in a temporary file until Close.
type XLSX struct {
	w      io.Writer
	o      Options
	book   *excelize.File
	all    *sheet
	sheets int
	cols   []column
	urgent ranked[urgent] // they stand before the findings and are known after them
	// changed holds what differs from the last run, of which missing ports are
	// a part; it stands behind the findings.
	changed     *sheet
	changedCols []column
	tally       *tally
	styles      styles
}

var _ Sink = (*XLSX)(nil)

// urgent is one row of the sheet Attention.
type urgent struct {
	gravity int
	row     []any
}

// maxUrgent bounds the rows of the sheet Attention, which wait in memory.
const maxUrgent = 10_000

// styles are the numbers of the book's cell styles.
type styles struct{ header, date, wrap int }

// sheet is a stream of rows.
type sheet struct {
	name   string
	stream *excelize.StreamWriter
	rows   int // with the header
	width  int
}

// NewXLSX returns the sink that writes to w.
func NewXLSX(w io.Writer, o Options) (*XLSX, error) {
	x := &XLSX{w: w, o: o, book: excelize.NewFile(), cols: columns(), tally: newTally(), urgent: ranked[urgent]{limit: maxUrgent}}
	if err := x.open(); err != nil {
		_ = x.book.Close()
		return nil, fmt.Errorf("reports: XLSX: %w", err)
	}
	return x, nil
}

func (x *XLSX) open() (err error) {
	dateFormat := "yyyy-mm-dd hh:mm:ss.000"
	if x.styles.header, err = x.book.NewStyle(&excelize.Style{
		Font: &excelize.Font{Bold: true, Color: "FFFFFF"}, Fill: excelize.Fill{Type: "pattern", Pattern: 1, Color: []string{"1D2326"}},
	}); err != nil {
		return err
	}
	if x.styles.date, err = x.book.NewStyle(&excelize.Style{CustomNumFmt: &dateFormat}); err != nil {
		return err
	}
	if x.styles.wrap, err = x.book.NewStyle(&excelize.Style{Alignment: &excelize.Alignment{WrapText: true, Vertical: "top"}}); err != nil {
		return err
	}
	if err := x.book.SetSheetName("Sheet1", "Summary"); err != nil {
		return err
	}
	if _, err = x.book.NewSheet("Attention"); err != nil { // its place
		return err
	}
	if err := x.nextFindings(); err != nil {
		return err
	}
	if x.changedCols, err = chosen(changeColumns()); err != nil {
		return err
	}
	x.changed, err = x.columnSheet("Changes", x.changedCols)
	return err
}

// nextFindings begins a sheet of findings: the first, or another when it is full.
func (x *XLSX) nextFindings() (err error) {
	x.sheets++
	x.all, err = x.columnSheet(findingsName(x.sheets), x.cols)
	return err
}

// findingsName is the name of the i-th sheet of findings, counted from 1.
func findingsName(i int) string {
	if i == 1 {
		return "Findings"
	}
	return "Findings " + strconv.Itoa(i)
}

// columnSheet begins a sheet of the given columns.
func (x *XLSX) columnSheet(name string, cols []column) (*sheet, error) {
	names := make([]string, len(cols))
	widths := make([]float64, len(cols))
	for i := range cols {
		names[i], widths[i] = cols[i].name, columnWidth(&cols[i])
	}
	return x.newSheet(name, names, widths)
}

// columnWidth is in characters.
func columnWidth(c *column) float64 {
	switch {
	case c.kind == aTimestamp:
		return 24
	case c.name == "evidence" || c.name == "note":
		return 60
	case c.name == "product" || c.name == "cpe" || c.name == "hostname" || c.name == "flags":
		return 30
	case c.kind == anInteger || c.kind == aDecimal:
		return 10
	default:
		return 16
	}
}

func (x *XLSX) newSheet(name string, header []string, widths []float64) (*sheet, error) {
	if _, err := x.book.NewSheet(name); err != nil {
		return nil, err
	}
	w, err := x.book.NewStreamWriter(name)
	if err != nil {
		return nil, err
	}
	s := &sheet{name: name, stream: w, width: len(header)}
	for i, n := range widths {
		if err := w.SetColWidth(i+1, i+1, n); err != nil {
			return nil, err
		}
	}
	if err := w.SetPanes(&excelize.Panes{Freeze: true, YSplit: 1, TopLeftCell: "A2", ActivePane: "bottomLeft"}); err != nil {
		return nil, err
	}
	row := make([]any, len(header))
	for i, h := range header {
		row[i] = excelize.Cell{StyleID: x.styles.header, Value: h}
	}
	return s, s.add(row)
}

func (s *sheet) add(row []any) error {
	s.rows++
	at, err := excelize.CoordinatesToCellName(1, s.rows)
	if err != nil {
		return err
	}
	return s.stream.SetRow(at, row)
}

// finish makes the rows a table, which has filters, and ends the stream.
func (s *sheet) finish() error {
	if s.rows > 1 { // a table needs a row below its header
		last, err := excelize.CoordinatesToCellName(s.width, s.rows)
		if err != nil {
			return err
		}
		table := &excelize.Table{Range: "A1:" + last, Name: strings.ReplaceAll(s.name, " ", "_"), StyleName: "TableStyleLight1"}
		if err := s.stream.AddTable(table); err != nil {
			return err
		}
	}
	return s.stream.Flush()
}

// Write adds a row.
func (x *XLSX) Write(_ context.Context, f Finding) error {
	x.tally.add(&f)
	if err := x.add(&f); err != nil {
		return fmt.Errorf("reports: write XLSX: %w", err)
	}
	return nil
}

func (x *XLSX) add(f *Finding) error {
	if changed(f) && x.changed.rows <= maxSheetRows {
		if err := x.changed.add(x.row(x.changedCols, f)); err != nil {
			return err
		}
	}
	if x.o.Keep != nil && !x.o.Keep(f) {
		return nil
	}
	if why, need := attention(f); need && f.State == scanner.Open {
		e := explain(f)
		row := []any{endpoint(f), why, title(f), escape(f.Evidence, maxEvidence), e.Else, e.Advice, escape(f.Owner, maxText), escape(f.Ticket, maxText),
			escape(f.Note, maxNote)}
		x.urgent.add(urgent{gravity(f), row}, breach(f))
	}
	if x.all.rows > maxSheetRows {
		if err := x.all.finish(); err != nil {
			return err
		}
		if err := x.nextFindings(); err != nil {
			return err
		}
	}
	return x.all.add(x.row(x.cols, f))
}

func (x *XLSX) row(cols []column, f *Finding) []any {
	row := make([]any, len(cols))
	for i := range cols {
		row[i] = x.typed(&cols[i], f)
	}
	return row
}

// typed is a cell in the column's type; nil is an empty one.
func (x *XLSX) typed(c *column, f *Finding) any {
	s := c.plain(f)
	if s == "" {
		return nil
	}
	switch c.kind {
	case anInteger:
		if n, err := strconv.ParseInt(s, 10, 64); err == nil {
			return n
		}
	case aDecimal:
		if n, err := strconv.ParseFloat(s, 64); err == nil {
			return n
		}
	case aTimestamp:
		if t, err := time.Parse(time.RFC3339, s); err == nil {
			return excelize.Cell{StyleID: x.styles.date, Value: t}
		}
	case aText, aVersion, aList:
	}
	return escape(s, c.limit)
}

// Close writes the workbook.
func (x *XLSX) Close() error {
	err := x.finish()
	if e := x.book.Close(); err == nil {
		err = e
	}
	if err != nil {
		return fmt.Errorf("reports: write XLSX: %w", err)
	}
	return nil
}

func (x *XLSX) finish() error {
	for _, step := range []func() error{x.all.finish, x.changed.finish, x.attention, x.verdicts, x.coverage, x.summary, x.order} {
		if err := step(); err != nil {
			return err
		}
	}
	_, err := x.book.WriteTo(x.w)
	return err
}

// attention writes what a person should look at, the gravest first.
func (x *XLSX) attention() error {
	header := []string{"target", "reason", "what it is", "evidence", "what else it could be", "what to do", "owner", "ticket", "note"}
	s, err := x.newSheet("Attention", header, []float64{28, 28, 44, 60, 60, 80, 16, 16, 60})
	if err != nil {
		return err
	}
	rows := x.urgent.all()
	slices.SortStableFunc(rows, func(a, b urgent) int { return a.gravity - b.gravity })
	for _, u := range rows {
		if err := s.add(u.row); err != nil {
			return err
		}
	}
	if x.urgent.more > 0 {
		if err := s.add([]any{"and " + number(x.urgent.more) + " more, in the sheet Findings"}); err != nil {
			return err
		}
	}
	return s.finish()
}

// order brings the sheets in the order of the questions: what was found, by
// verdict, what was covered, what changed.
func (x *XLSX) order() error {
	names := []string{"By verdict", "Coverage"}
	for i := x.sheets; i > 1; i-- {
		names = slices.Insert(names, 0, findingsName(i))
	}
	for _, name := range names {
		if err := x.book.MoveSheet(name, "Changes"); err != nil {
			return err
		}
	}
	return nil
}

// verdicts writes the sheet that counts by verdict.
func (x *XLSX) verdicts() error {
	s, err := x.newSheet("By verdict", []string{"verdict", "open ports", "what it means"}, []float64{20, 12, 100})
	if err != nil {
		return err
	}
	for _, c := range byGravity() {
		if n := x.tally.verdicts[c]; n > 0 {
			e := explain(&Finding{Verdict: c, State: scanner.Open})
			if err := s.add([]any{className(c), n, e.Title + ". " + e.Why}); err != nil {
				return err
			}
		}
	}
	return s.finish()
}

// coverage writes the sheet that counts states by port, and of the whole run.
// Where the targets of a state came as a number only, the ports do not have it.
func (x *XLSX) coverage() error {
	scan := x.o.run().Scan
	states := []struct {
		state scanner.State
		run   uint64 // what the engine counted
	}{
		{scanner.Open, scan.Open}, {scanner.Closed, scan.Closed}, {scanner.Filtered, scan.Filtered}, {scanner.OpenFiltered, scan.OpenFiltered},
		{scanner.Unreachable, scan.Unreachable}, {scanner.Unknown, scan.Unknown},
	}
	header := []string{"port", "transport", "registered for"}
	for _, s := range states {
		header = append(header, s.state.String())
	}
	s, err := x.newSheet("Coverage", header, []float64{10, 12, 36, 14, 14, 14, 14, 14, 14})
	if err != nil {
		return err
	}
	for _, p := range x.tally.sortedPorts() {
		row := []any{int(p.Number), p.Proto.String(), x.registered(p)}
		for _, s := range states {
			var n any
			if s.run <= x.tally.states[s.state] {
				n = x.tally.ports[p].states[s.state]
			}
			row = append(row, n)
		}
		if err := s.add(row); err != nil {
			return err
		}
	}
	all := []any{nil, nil, "all ports"}
	for _, s := range states {
		all = append(all, max(s.run, x.tally.states[s.state]))
	}
	if err := s.add(all); err != nil {
		return err
	}
	return s.finish()
}

func (x *XLSX) registered(p registry.Port) string {
	e, _ := x.o.dossier(p)
	return escape(e.Title, maxText)
}

// summary fills the first sheet: the answer, the run, what was not covered.
func (x *XLSX) summary() error {
	run := x.o.run()
	rows := [][]any{
		{"Answer", x.tally.answer(&run)}, {"Coverage", run.Coverage()}, {"Run", run.ScanID}, {"Site", run.Site}, {"Seen from", run.Vantage},
		{"Ticket", run.Ticket}, {"Targets", strings.Join(run.Targets, " ")}, {"Excluded", strings.Join(run.Excluded, " ")},
		{"Ports", strings.Join(run.Ports, " ")}, {"Started", moment(run.Scan.Started)}, {"Finished", moment(run.Scan.Finished)},
		{"Program", "dormant " + run.Version},
	}
	for _, why := range run.Reasons() {
		rows = append(rows, []any{"Incomplete", why})
	}
	for _, g := range gaps(&run, x.tally) {
		rows = append(rows, []any{"Not covered", g.Value + " " + g.Name})
	}
	for i, row := range rows {
		for k := range row {
			row[k] = escape(row[k].(string), 32_000) // a cell holds 32,767 characters
		}
		if err := x.book.SetSheetRow("Summary", "A"+strconv.Itoa(i+1), &row); err != nil {
			return err
		}
	}
	if err := x.book.SetColWidth("Summary", "A", "A", 14); err != nil {
		return err
	}
	if err := x.book.SetColWidth("Summary", "B", "B", 110); err != nil {
		return err
	}
	return x.book.SetCellStyle("Summary", "A1", "B"+strconv.Itoa(len(rows)), x.styles.wrap)
}
