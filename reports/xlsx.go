package reports

import (
	"context"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/xuri/excelize/v2"

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
	rows   int       // with the header
	widths []float64 // of the columns, in characters
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
	dateFormat := `yyyy-mm-dd hh:mm:ss.000\Z` // UTC
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
	x.changed, err = x.columnSheet(changesName, x.changedCols)
	return err
}

// nextFindings begins a sheet of findings: the first, or another when it is full.
func (x *XLSX) nextFindings() (err error) {
	x.sheets++
	x.all, err = x.columnSheet(findingsName(x.sheets), x.cols)
	return err
}

// changesName is the name of the last sheet.
const changesName = "Changes"

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
	all := 0.0
	for _, n := range widths {
		all += n
	}
	if err := x.onPages(name, all); err != nil {
		return nil, err
	}
	w, err := x.book.NewStreamWriter(name)
	if err != nil {
		return nil, err
	}
	s := &sheet{name: name, stream: w, widths: widths}
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

func (s *sheet) add(row []any, opts ...excelize.RowOpts) error {
	s.rows++
	at, err := excelize.CoordinatesToCellName(1, s.rows)
	if err != nil {
		return err
	}
	return s.stream.SetRow(at, row, opts...)
}

// addWrapped adds a row of texts that are broken to the widths of the columns.
func (s *sheet) addWrapped(style int, texts []any) error {
	row := make([]any, len(texts))
	height := 0.0
	for i, t := range texts {
		row[i] = excelize.Cell{StyleID: style, Value: t}
		height = max(height, heightOf(t.(string), s.widths[i])) // the callers give texts only
	}
	return s.add(row, excelize.RowOpts{Height: height})
}

// heightOf is the height in points of a cell of that width whose text is broken
// into lines. Not every program finds it by itself: LibreOffice writes the second
// line over the next row.
func heightOf(text string, width float64) float64 {
	const line, highest = 15, 409 // the default, and the limit of the format
	return min(line*max(math.Ceil(float64(len(text))/(0.9*width)), 1), highest)
}

// finish makes the rows a table, which has filters, and ends the stream.
func (s *sheet) finish() error {
	if s.rows > 1 { // a table needs a row below its header
		last, err := excelize.CoordinatesToCellName(len(s.widths), s.rows)
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
