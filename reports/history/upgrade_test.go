package history_test

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dormant/reports"
	"dormant/reports/history"
	"dormant/scanner"
)

// testdata/schema1.db was made by a program of schema 1: two runs that ended,
// the first judged again, and one that was killed with hostile findings in it.
func TestUpgrade(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("testdata", "schema1.db"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "h.db")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(t, path)
	var got []string
	points := trend(t, s, history.RunFilter{})
	for _, p := range points {
		n := 0
		if err := s.Findings(t.Context(), p.Run, func(reports.Finding) error { n++; return nil }); err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprintf("%s %s revision %d: %d open of %d, %v, %v", p.Run.ID, p.Run.Status, p.Run.Revision, p.Run.Open, n, p.Tally.Severities, p.Changes))
	}
	want := []string{
		"s_1 complete revision 2: 2 open of 3, map[low:2], map[]",
		"s_2 complete revision 1: 1 open of 2, map[low:1], map[changed:1 missing:1]",
		"s_3 unfinished revision 1: 60 open of 66, map[high:2 info:53 low:2 medium:3], map[]",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	for text, want := range map[string]int{"vite": 1, "dev server": 1, "no such text": 0} {
		p, err := s.Search(t.Context(), history.Query{Runs: []history.Run{points[0].Run}, Text: text})
		if err != nil || len(p.Findings) != want {
			t.Errorf("Search %q = %d findings, %v; want %d", text, len(p.Findings), err, want)
		}
	}
	// And it goes on: the killed run is continued, in a batch of answers of its own.
	facts := points[2].Run.Facts
	r, err := s.Begin(t.Context(), *points[2].Run.Plan(), func() reports.Run { return facts })
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Write(t.Context(), service{at: "10.99.0.1:1947/tcp", state: scanner.Closed}.finding(facts.ScanID, day(4))); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	n, found := 0, false
	err = s.Findings(t.Context(), points[2].Run, func(f reports.Finding) error {
		n++
		found = found || f.IP == netip.MustParseAddr("10.99.0.1")
		return nil
	})
	if err != nil || !found || n != 67 {
		t.Errorf("continued: %d findings, the new one %t, %v; want 67 with it", n, found, err)
	}
}
