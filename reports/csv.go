package reports

import (
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"slices"
)

// CSVOptions say how CSV is written. The zero value is schema v1 as
// documented: comma, no byte order mark, all columns.
type CSVOptions struct {
	// Comma is the delimiter: ',' (also when 0), ';', '|' or tab.
	Comma rune
	// BOM puts U+FEFF before the header. Cells are ASCII, so that only Excel's
	// guess of the encoding gains by it; several importers fail on it.
	BOM bool
	// Columns are the names to print, in order; none means all of schema v1.
	Columns []string
	// Preset prints another tool's columns instead: a key of Presets. It
	// excludes Columns.
	Preset string
}

// Check says what is wrong with the options, before anything is written.
func (o CSVOptions) Check() error {
	_, _, err := o.layout()
	return err
}

// ParseComma reads a delimiter as users write it: "," ";" "|" or "tab".
func ParseComma(s string) (rune, error) {
	switch s {
	case ",", "comma":
		return ',', nil
	case ";", "semicolon":
		return ';', nil
	case "|", "pipe":
		return '|', nil
	case "\t", `\t`, "tab":
		return '\t', nil
	default:
		return 0, fmt.Errorf("reports: CSV delimiter %q: want , ; | or tab", s)
	}
}

// CSV writes RFC 4180: CRLF, a header always, every record as wide as it.
type CSV struct {
	w    *csv.Writer
	cols []column
	row  []string
}

var _ Sink = (*CSV)(nil)

// NewCSV writes the header to w and returns the sink of the records.
func NewCSV(w io.Writer, o CSVOptions) (*CSV, error) {
	cols, comma, err := o.layout()
	if err != nil {
		return nil, err
	}
	if o.BOM {
		if _, err := io.WriteString(w, "\ufeff"); err != nil {
			return nil, fmt.Errorf("reports: write CSV: %w", err)
		}
	}
	c := &CSV{w: csv.NewWriter(w), cols: cols, row: make([]string, len(cols))}
	c.w.UseCRLF, c.w.Comma = true, comma
	for i := range cols {
		c.row[i] = cols[i].name
	}
	if err := c.w.Write(c.row); err != nil {
		return nil, fmt.Errorf("reports: write CSV: %w", err)
	}
	return c, nil
}

// layout resolves the options to columns and a delimiter.
func (o CSVOptions) layout() ([]column, rune, error) {
	comma := o.Comma
	if !slices.Contains([]rune{0, ',', ';', '|', '\t'}, comma) {
		return nil, 0, fmt.Errorf("reports: CSV delimiter %q: want , ; | or tab", comma)
	}
	if o.Preset != "" && len(o.Columns) > 0 {
		return nil, 0, fmt.Errorf("reports: CSV preset %q and columns: want one of the two", o.Preset)
	}
	cols, err := chosen(o.Columns)
	if err != nil {
		return nil, 0, err
	}
	if o.Preset != "" {
		p, err := preset(o.Preset)
		if err != nil {
			return nil, 0, err
		}
		cols = p.columns
		if comma == 0 {
			comma = p.comma
		}
	}
	if comma == 0 {
		comma = ','
	}
	return cols, comma, nil
}

// Write writes one record.
func (c *CSV) Write(_ context.Context, f Finding) error {
	for i := range c.cols {
		c.row[i] = c.cols[i].cell(&f)
	}
	if err := c.w.Write(c.row); err != nil {
		return fmt.Errorf("reports: write CSV: %w", err)
	}
	return nil
}

// Close flushes. It does not close the writer.
func (c *CSV) Close() error {
	c.w.Flush()
	if err := c.w.Error(); err != nil {
		return fmt.Errorf("reports: write CSV: %w", err)
	}
	return nil
}
