package history_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"dormant/registry"
	"dormant/reports"
	"dormant/reports/history"
	"dormant/reports/sinktest"
	"dormant/scanner"
)

func testComeBack(t *testing.T, s *history.Store) {
	want := append(sinktest.Findings(), sinktest.Hostile()...)
	facts := func() reports.Run {
		return reports.Run{ScanID: "s_01J9ZK3V7Q", Site: "hq", Vantage: "probe-dmz1", Ticket: "CHG0012345"}
	}
	r, err := s.Begin(t.Context(), plan("10.0.0.0/8"), facts)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range want {
		if err := r.Write(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	run, err := s.Find(t.Context(), "last")
	if err != nil {
		t.Fatal(err)
	}
	got := map[scanner.Target]reports.Finding{}
	err = s.Findings(t.Context(), run, func(f reports.Finding) error {
		got[scanner.Target{Addr: f.IP, Port: registry.Port{Number: f.Port, Proto: f.Transport}}] = f
		return nil
	})
	if err != nil || len(got) != len(want) {
		t.Fatalf("Findings = %d, %v; want %d", len(got), err, len(want))
	}
	for _, w := range want {
		g := got[scanner.Target{Addr: w.IP, Port: registry.Port{Number: w.Port, Proto: w.Transport}}]
		w.Change = "" // what is stored of a run does not depend on other runs
		if w.State != scanner.Open {
			w.Note, w.MACVendor = "", ""
			w.FirstSeen, w.LastSeen = time.Time{}, time.Time{} // of what is not open only the answer is stored
		} else if strings.ContainsRune(w.Product+w.Hostname, 0xfffd) || !validText(w) {
			continue // no text: fingerprint escapes such bytes before they come here, and JSON replaces them
		}
		if d := gocmp.Diff(w, g, equateAddr(), cmpopts.EquateEmpty()); d != "" {
			t.Errorf("%v %d (-want +got):\n%s", w.IP, w.Port, d)
		}
		if w.Dialogue != nil && reports.EvidenceID(g.Dialogue) != w.EvidenceID {
			t.Errorf("%v %d: the evidence has another id than when it was stored", w.IP, w.Port)
		}
	}
}

func validText(f reports.Finding) bool { return strings.ToValidUTF8(f.Service, "") == f.Service }

func testFind(t *testing.T, s *history.Store) {
	for i, id := range []string{"s_aa1", "s_aa2", "s_b"} {
		record(t, s, id, day(i+1), plan("10.0.0.0/24"), true)
	}
	for _, tt := range []struct{ name, want, fault string }{
		{name: "s_aa1", want: "s_aa1"}, {name: "aa2", want: "s_aa2"}, {name: "b", want: "s_b"}, {name: "s_b", want: "s_b"},
		{name: "last", want: "s_b"}, {name: "last~0", want: "s_b"}, {name: "last~2", want: "s_aa1"},
		{name: "last~3", fault: "no such run"}, {name: "s_aa", fault: "more than one"}, {name: "zz", fault: "no such run"},
		{name: "", fault: "want an id"}, {name: "last~x", fault: "want an id"}, {name: "last~-1", fault: "want an id"}, {name: "%", fault: "no such run"},
	} {
		got, err := s.Find(t.Context(), tt.name)
		if got.ID != tt.want || (err == nil) != (tt.fault == "") || err != nil && !strings.Contains(err.Error(), tt.fault) {
			t.Errorf("Find(%q) = %q, %v; want %q, error with %q", tt.name, got.ID, err, tt.want, tt.fault)
		}
	}
}

func testReviseAndPrune(t *testing.T, s *history.Store) {
	lm := service{at: "10.0.0.1:1947/tcp", product: "Sentinel", version: "18"}
	r := record(t, s, "s_1", day(1), plan("10.0.0.0/24"), true, lm, service{at: "10.0.0.2:1947/tcp"})
	target := scanner.Target{Addr: netip.MustParseAddr("10.0.0.1"), Port: registry.Port{Number: 1947, Proto: registry.TCP}}
	f, ok, err := s.Finding(t.Context(), r, target)
	if err != nil || !ok {
		t.Fatalf("Finding = %t, %v", ok, err)
	}
	f.Product = "Sentinel LDK"
	rev, err := s.Revise(t.Context(), r, "2.0", []reports.Finding{f})
	if err != nil || rev.Number != 2 {
		t.Fatalf("Revise = %+v, %v", rev, err)
	}
	if all, err := s.Revisions(t.Context(), r); err != nil || len(all) != 1 || all[0].Version != "2.0" || !all[0].At.Equal(rev.At) || all[0].Changed != 1 {
		t.Errorf("Revisions = %+v, %v; want %+v", all, err, rev)
	}
	g, _, err := s.Finding(t.Context(), r, target)
	if err != nil || g.Product != "Sentinel LDK" || g.Dialogue == nil {
		t.Errorf("Finding after Revise = %q with evidence %t, %v; want the new product and the old evidence", g.Product, g.Dialogue != nil, err)
	}
	r2 := record(t, s, "s_2", day(2), plan("10.0.0.0/24"), true, lm)
	if err := s.Prune(t.Context(), []history.Run{r}); err != nil {
		t.Fatal(err)
	}
	if err := s.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	runs, err := s.Runs(t.Context())
	if err != nil || len(runs) != 1 || runs[0].ID != "s_2" || runs[0].Open != 1 {
		t.Errorf("Runs after Prune = %+v, %v; want s_2 only, whole", runs, err)
	}
	if first, _, err := s.Seen(t.Context(), r2, target); err != nil || first.Day() != 1 {
		t.Errorf("Seen after Prune = %v, %v; want the first day still", first, err)
	}
}
