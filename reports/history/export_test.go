package history_test

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"dormant/reports"
	"dormant/reports/history"
	"dormant/scanner"
)

func testExportAndImport(t *testing.T, fresh maker) {
	a, b := open(t, fresh(t)), open(t, fresh(t))
	lm := service{at: "10.0.0.1:1947/tcp", product: "Sentinel", version: "18", mac: "00:1a:4b:00:00:01"}
	closed := service{at: "10.0.0.2:5093/udp", state: scanner.Closed}
	record(t, a, "s_1", day(1), plan("10.0.0.0/24"), true, lm, closed)
	record(t, a, "s_2", day(2), plan("10.0.0.0/24"), false, lm)
	facts := reports.Run{ScanID: "s_0", Scan: scanner.Summary{Started: day(0)}}
	killed, err := a.Begin(t.Context(), plan("10.0.0.0/24"), func() reports.Run { return facts })
	if err != nil || killed.Leave() != nil {
		t.Fatal(err)
	}
	runs, err := a.Runs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := a.Export(t.Context(), &out, runs...); err != nil {
		t.Fatal(err)
	}
	text := out.String()
	ids, err := b.Import(t.Context(), strings.NewReader(text))
	if err != nil || len(ids) != 3 {
		t.Fatalf("Import = %v, %v", ids, err)
	}
	all := func(s *history.Store) (list []string) {
		runs, err := s.Runs(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range runs {
			list = append(list, fmt.Sprint(r.ID, r.Started, r.Status, r.Swept(), r.Facts.Why))
			err := s.Findings(t.Context(), r, func(f reports.Finding) error {
				list = append(list, fmt.Sprint(f.IP, f.Port, f.State, f.Product, f.EvidenceID, f.MAC, f.ObservedAt, f.Dialogue != nil))
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		return list
	}
	if d := gocmp.Diff(all(a), all(b)); d != "" {
		t.Errorf("after import (-want +got):\n%s", d)
	}
	part := strings.ReplaceAll(strings.Replace(text, `"findings":2}`, `"findings":2,"fault":"damaged"}`, 1), "s_", "s_p")
	if _, err := b.Import(t.Context(), strings.NewReader(part)); err != nil {
		t.Fatal(err)
	}
	run, err := b.Find(t.Context(), "s_p1")
	if err != nil || run.Status != "incomplete" || run.Swept() || len(run.Why) != 1 || !strings.Contains(run.Why[0], "could not be read") {
		t.Errorf("a run that was exported in part is %s, swept %t, %q, %v; want it incomplete", run.Status, run.Swept(), run.Why, err)
	}
	for _, tt := range []struct{ name, in, want string }{
		{"again", text, "line 1: run s_2 is in"},
		{"empty", "", "no run in it"},
		{"no export", `{"x":1}`, "want a run, then"},
		{"not JSON", "schema,scan_id", "line 1"},
		{"newer", `{"run":{"dormant_export":2}}`, "export version 2"},
		{"cut", strings.ReplaceAll(text[:len(text)-40], "s_", "s_x"), "in the middle of a run"},
		{"a finding less", strings.ReplaceAll(strings.Replace(text, `"findings":1`, `"findings":7`, 1), "s_", "s_y"), "its end says 7"},
		{"a run within a run", strings.Repeat(`{"run":{"dormant_export":1,"id":"s_w","plan":{},"facts":{"scan_id":"s_w"}}}`, 2), "line 2: want a run, then"},
		{"longer than can be read again", strings.ReplaceAll(strings.Replace(text, `"Product":"`, `"Product":"`+strings.Repeat("x", 65<<20), 1), "s_", "s_z"), "a text is longer than any"},
	} {
		if _, err := b.Import(t.Context(), strings.NewReader(tt.in)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: Import = %v; want %q", tt.name, err, tt.want)
		}
	}
}

// Whatever is read as an import is stored or refused, and never ends the
// program.
func FuzzImport(f *testing.F) {
	f.Add([]byte(`{"run":{"dormant_export":1,"id":"s_1","plan":{"prefixes":["10.0.0.0/24"],"ports":["1947/tcp"]},"facts":{"scan_id":"s_1"}}}` + "\n" +
		`{"finding":{"IP":"10.0.0.1","Transport":"tcp","Port":1947,"State":"open","Reason":"syn-ack"}}` + "\n" + `{"end":{"id":"s_1","findings":1}}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		s, err := history.Open(t.Context(), filepath.Join(t.TempDir(), "h.db"))
		if err != nil {
			t.Fatal(err)
		}
		ids, err := s.Import(t.Context(), bytes.NewReader(in))
		for _, id := range ids {
			run, ferr := s.Find(t.Context(), id)
			if ferr == nil {
				ferr = s.Findings(t.Context(), run, func(reports.Finding) error { return nil })
			}
			if ferr != nil {
				t.Errorf("Import took %q (%v), and it cannot be read: %v", id, err, ferr)
			}
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}
