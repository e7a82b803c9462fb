package reports

import (
	"context"
	"fmt"
	"io"
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
	urgent *sheet
	sheets int
	cols   []column
	tally  *tally
	styles styles
}

var _ Sink = (*XLSX)(nil)

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
	x := &XLSX{w: w, o: o, book: excelize.NewFile(), cols: columns(), tally: newTally()}
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
	if x.urgent, err = x.newSheet("Attention", attentionHeader(), []float64{28, 22, 44, 60, 60, 80}); err != nil {
		return err
	}
	return x.nextFindings()
}

func attentionHeader() []string {
	return []string{"target", "reason", "what it is", "evidence", "what else it could be", "what to do"}
}

// nextFindings begins a sheet of findings: the first, or another when it is full.
func (x *XLSX) nextFindings() (err error) {
	x.sheets++
	name := "Findings"
	if x.sheets > 1 {
		name += " " + strconv.Itoa(x.sheets)
	}
	names := make([]string, len(x.cols))
	widths := make([]float64, len(x.cols))
	for i := range x.cols {
		names[i], widths[i] = x.cols[i].name, columnWidth(&x.cols[i])
	}
	x.all, err = x.newSheet(name, names, widths)
	return err
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
	if x.all.rows > maxSheetRows {
		if err := x.all.finish(); err != nil {
			return err
		}
		if err := x.nextFindings(); err != nil {
			return err
		}
	}
	row := make([]any, len(x.cols))
	for i := range x.cols {
		row[i] = x.typed(&x.cols[i], f)
	}
	if err := x.all.add(row); err != nil {
		return err
	}
	why, need := attention(f)
	if !need || f.State != scanner.Open || x.urgent.rows > maxSheetRows {
		return nil
	}
	e := explain(f)
	return x.urgent.add([]any{endpoint(f), why, title(f), escape(f.Evidence, maxEvidence), e.Else, e.Advice})
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
	for _, step := range []func() error{x.all.finish, x.urgent.finish, x.verdicts, x.ports, x.summary} {
		if err := step(); err != nil {
			return err
		}
	}
	_, err := x.book.WriteTo(x.w)
	return err
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

// ports writes the sheet that counts states by port.
func (x *XLSX) ports() error {
	states := []scanner.State{scanner.Open, scanner.Closed, scanner.Filtered, scanner.OpenFiltered, scanner.Unreachable, scanner.Unknown}
	header := []string{"port", "transport", "registered for"}
	for _, state := range states {
		header = append(header, state.String())
	}
	s, err := x.newSheet("By port", header, []float64{10, 12, 36, 14, 14, 14, 14, 14, 14})
	if err != nil {
		return err
	}
	for _, p := range x.tally.sortedPorts() {
		row := []any{int(p.Number), p.Proto.String(), x.registered(p)}
		for _, state := range states {
			row = append(row, x.tally.ports[p].states[state])
		}
		if err := s.add(row); err != nil {
			return err
		}
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
