package reports_test

import (
	"bytes"
	"testing"

	"dormant/reports/sinktest"

	"github.com/google/go-cmp/cmp"
	"github.com/xuri/excelize/v2"
)

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
	if answer, err := book.GetCellValue("Summary", "B1"); err != nil || len(answer) < 20 {
		t.Errorf("Summary!B1 = %q, %v; want the answer", answer, err)
	}
}
