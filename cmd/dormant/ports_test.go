package main

import (
	"strings"
	"testing"
	"unicode/utf8"

	"dormant/registry"
)

// TestPortsTableFits: the list has no more columns than the terminal, and loses
// no word of what a port is.
func TestPortsTableFits(t *testing.T) {
	reg, err := registry.Default()
	if err != nil {
		t.Fatal(err)
	}
	var views []portView
	for _, e := range reg.Entries() {
		views = append(views, view(reg, portArg{number: e.Number}))
	}
	for _, tt := range []struct {
		columns int
		date    bool
	}{{0, true}, {120, true}, {80, true}, {70, false}, {60, false}} {
		var out strings.Builder
		if err := portsTable(&out, views, tt.columns); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(out.String()) {
			if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); tt.columns > 0 && n > tt.columns {
				t.Errorf("%d columns: a line of %d: %q", tt.columns, n, line)
			}
		}
		if got := strings.Contains(out.String(), "2010-07-23"); got != tt.date {
			t.Errorf("%d columns: a date is shown: %t, want %t", tt.columns, got, tt.date)
		}
		for _, v := range views {
			for word := range strings.FieldsSeq(v.Title) {
				if !strings.Contains(out.String(), word) {
					t.Errorf("%d columns: %d lacks %q", tt.columns, v.Port, word)
				}
			}
		}
	}
}
