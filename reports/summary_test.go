package reports_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"dormant/reports"
	"dormant/scanner"
)

// TestLowerBoundsAreSaid: numbers that lack what a killed part has sent are not
// shown as if they were whole, and others not as if they were not.
func TestLowerBoundsAreSaid(t *testing.T) {
	for _, tt := range []struct {
		name           string
		uncounted      bool
		want, unwanted string
	}{
		{"everything counted", false, "at most 36 probes", "lower bounds"},
		{"after a kill", true, "at least 36 probes", "at most 36 probes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := reports.Run{Scan: scanner.Summary{Started: time.Unix(1, 0), Targets: 12, Probes: 36, MostToHost: 36, Complete: true, Uncounted: tt.uncounted}}
			var b bytes.Buffer
			if err := r.WriteText(&b); err != nil {
				t.Fatal(err)
			}
			if got := b.String(); !strings.Contains(got, tt.want) || strings.Contains(got, tt.unwanted) || strings.Contains(got, "lower bounds") != tt.uncounted {
				t.Errorf("want %q, not %q, and lower bounds %t in\n%s", tt.want, tt.unwanted, tt.uncounted, got)
			}
		})
	}
}
