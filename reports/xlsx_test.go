package reports_test

import (
	"archive/zip"
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dormant/reports"
	"dormant/reports/sinktest"

	"github.com/google/go-cmp/cmp"
	"github.com/xuri/excelize/v2"
)

// TestXLSXLarge writes more than the library keeps in memory of a sheet: the rest
// waits in a file, and must come back from it.
func TestXLSXLarge(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	f := sinktest.Findings()[0]
	f.Change = "new"
	f.Evidence, f.Note = strings.Repeat("<evidence>", 60), strings.Repeat("&note;", 100)
	findings := slices.Repeat([]reports.Finding{f}, 10_000)
	out := render(t, "xlsx", options(), findings)
	if left, err := filepath.Glob(filepath.Join(os.Getenv("TMPDIR"), "*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	book, err := excelize.OpenReader(bytes.NewReader(out))
	if err != nil {
		t.Fatal(err)
	}
	defer book.Close() //nolint:errcheck // only read
	if d := cmp.Diff([]string{"Summary", "Attention", "Findings", "By verdict", "Coverage", "Changes"}, book.GetSheetList()); d != "" {
		t.Errorf("sheets (-want +got):\n%s", d)
	}
	size, err := sheetSize(out, "xl/worksheets/sheet3.xml")
	if err != nil || size <= excelize.StreamChunkSize {
		t.Fatalf("the sheet has %d bytes, %v; want more than the library keeps in memory, %d", size, err, excelize.StreamChunkSize)
	}
	for _, name := range []string{"Findings", "Changes"} {
		rows, err := book.Rows(name)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for rows.Next() {
			n++
		}
		if err := rows.Close(); err != nil || n != len(findings)+1 {
			t.Errorf("%s has %d rows, %v; want %d and the header", name, n, err, len(findings))
		}
	}
}

// sheetSize returns how long a part of a workbook is, in bytes.
func sheetSize(book []byte, name string) (uint64, error) {
	z, err := zip.NewReader(bytes.NewReader(book), int64(len(book)))
	if err != nil {
		return 0, err
	}
	for _, f := range z.File {
		if f.Name == name {
			return f.UncompressedSize64, nil
		}
	}
	return 0, fs.ErrNotExist
}

func TestXLSXTypes(t *testing.T) {
	book, err := excelize.OpenReader(bytes.NewReader(render(t, "xlsx", options(), sinktest.Findings())))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"Summary", "Attention", "Findings", "By verdict", "Coverage", "Changes"}, book.GetSheetList()); d != "" {
		t.Errorf("sheets (-want +got):\n%s", d)
	}
	type got struct {
		Type  excelize.CellType
		Value string
	}
	want := map[string]got{
		"K2":  {excelize.CellTypeUnset, "1947"},             // port: a number
		"Q2":  {excelize.CellTypeUnset, "1.234"},            // rtt_ms
		"F2":  {excelize.CellTypeInlineString, "10.0.1.20"}, // ip
		"W2":  {excelize.CellTypeInlineString, "18.00"},     // version: a text, so without the v
		"W6":  {excelize.CellTypeInlineString, "8.10"},
		"E2":  {excelize.CellTypeUnset, "46348.15765185185"},
		"P11": {excelize.CellTypeUnset, "63"},
	}
	have := map[string]got{}
	for at := range want {
		kind, err := book.GetCellType("Findings", at)
		if err != nil {
			t.Fatal(err)
		}
		value, err := book.GetCellValue("Findings", at, excelize.Options{RawCellValue: true})
		if err != nil {
			t.Fatal(err)
		}
		have[at] = got{kind, value}
	}
	if d := cmp.Diff(want, have); d != "" {
		t.Errorf("cells (-want +got):\n%s", d)
	}
	panes, err := book.GetPanes("Findings")
	if err != nil || !panes.Freeze || panes.YSplit != 1 {
		t.Errorf("panes = %+v, %v; want the header frozen", panes, err)
	}
	tables, err := book.GetTables("Findings")
	if err != nil || len(tables) != 1 || tables[0].Range != "A1:AR17" {
		t.Errorf("tables = %+v, %v; want one over all rows", tables, err)
	}
	answer, err := book.GetCellValue("Summary", "B1")
	if err != nil || len(answer) < 110 {
		t.Errorf("Summary!B1 = %q, %v; want the answer", answer, err)
	}
	for _, name := range []string{"Summary", "Attention"} { // long texts get the lines that they need
		if height, err := book.GetRowHeight(name, map[string]int{"Summary": 1, "Attention": 2}[name]); err != nil || height < 30 {
			t.Errorf("%s: the row of a long text is %v points high, %v; want two lines and more", name, height, err)
		}
	}
}

// TestXLSXPrints: the sheets that people read are a page wide, those of findings
// a few, and each page repeats the head of its sheet.
func TestXLSXPrints(t *testing.T) {
	book, err := excelize.OpenReader(bytes.NewReader(render(t, "xlsx", options(), sinktest.Findings())))
	if err != nil {
		t.Fatal(err)
	}
	heads := map[string]string{}
	for _, n := range book.GetDefinedName() {
		heads[n.Scope] += n.Name + "=" + n.RefersTo
	}
	want := map[string]int{"Summary": 1, "Attention": 1, "Findings": 5, "By verdict": 1, "Coverage": 1, "Changes": 3}
	for _, name := range book.GetSheetList() {
		page, err := book.GetPageLayout(name)
		if err != nil || page.FitToWidth == nil || *page.FitToWidth != want[name] || *page.FitToHeight != 0 || *page.Orientation != "landscape" {
			t.Errorf("%s: printed on %+v, %v; want %d pages wide, landscape", name, page, err, want[name])
		}
		if head := "_xlnm.Print_Titles='" + name + "'!$1:$1"; name != "Summary" && heads[name] != head {
			t.Errorf("%s: its pages repeat %q, want %q", name, heads[name], head)
		}
	}
}
