package history_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"dormant/reports"
	"dormant/reports/history"
	"dormant/scanner"
)

// stored lists what is stored of a run, in words.
func stored(t *testing.T, s *history.Store, run history.Run) []string {
	t.Helper()
	var list []string
	err := s.Findings(t.Context(), run, func(f reports.Finding) error {
		list = append(list, fmt.Sprintf("%v %d %v %s", f.IP, f.Port, f.State, f.Version))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// A recorder is given everything twice and more, in one batch and in several,
// and by one that goes on after the first was killed.
func testRepeated(t *testing.T, s *history.Store) {
	lm := func(version string) service {
		return service{at: "10.0.0.1:1947/tcp", product: "Sentinel", version: version}
	}
	closed := service{at: "10.0.0.2:5093/udp", state: scanner.Closed}
	filtered := service{at: closed.at, state: scanner.Filtered}
	opened := service{at: closed.at, product: "RMS", version: "9"}
	zoned := service{at: "[fe80::1%eth0]:1947/tcp", state: scanner.Closed}
	other := service{at: "[fe80::1%eth1]:1947/tcp", state: scanner.Closed}
	var many []service // the neighbours in a block are told apart
	var all []string
	for i := range 256 {
		many = append(many, service{at: fmt.Sprintf("10.0.7.%d:1947/tcp", i), state: scanner.Closed})
		all = append(all, fmt.Sprintf("10.0.7.%d 1947 closed ", i))
	}
	type step struct {
		services []service
		killed   bool // and continued
	}
	for i, tt := range []struct {
		name  string
		steps []step
		want  []string
		fresh []uint64 // what each recorder has stored
	}{
		{"open twice at once", []step{{services: []service{lm("18"), lm("19")}}}, []string{"10.0.0.1 1947 open 19"}, []uint64{1}},
		{"open twice", []step{{services: []service{lm("18")}}, {services: []service{lm("19"), lm("20")}}}, []string{"10.0.0.1 1947 open 20"}, []uint64{1, 1}},
		{"open and again after a crash", []step{{services: []service{lm("18")}, killed: true}, {services: []service{lm("19")}}},
			[]string{"10.0.0.1 1947 open 19"}, []uint64{1, 0}},
		{"nothing comes again after a crash", []step{{services: []service{lm("18"), closed}, killed: true}, {}},
			[]string{"10.0.0.1 1947 open 18", "10.0.0.2 5093 closed "}, []uint64{2, 0}},
		{"closed twice at once", []step{{services: []service{closed, closed}}}, []string{"10.0.0.2 5093 closed "}, []uint64{1}},
		{"closed twice", []step{{services: []service{closed}}, {services: []service{filtered}}, {services: []service{closed}}},
			[]string{"10.0.0.2 5093 closed "}, []uint64{1, 1, 1}},
		{"closed and again after a crash", []step{{services: []service{closed}, killed: true}, {services: []service{closed, filtered}}},
			[]string{"10.0.0.2 5093 closed "}, []uint64{1, 0}},
		{"closed, then open", []step{{services: []service{closed}}, {services: []service{opened}}}, []string{"10.0.0.2 5093 open 9"}, []uint64{1, 2}},
		{"closed, then open at once", []step{{services: []service{closed, opened, closed}}}, []string{"10.0.0.2 5093 open 9"}, []uint64{2}},
		{"closed, then open after a crash", []step{{services: []service{closed, lm("1")}, killed: true}, {services: []service{opened, opened}, killed: true}, {services: []service{opened, closed}}},
			[]string{"10.0.0.1 1947 open 1", "10.0.0.2 5093 open 9"}, []uint64{2, 1, 0}},
		{"open, then closed", []step{{services: []service{opened}}, {services: []service{closed}, killed: true}, {services: []service{closed}}},
			[]string{"10.0.0.2 5093 open 9"}, []uint64{1, 1, 0}},
		{"zones are apart", []step{{services: []service{zoned, other}, killed: true}, {services: []service{other, zoned}}},
			[]string{"fe80::1%eth0 1947 closed ", "fe80::1%eth1 1947 closed "}, []uint64{2, 0}},
		{"a block", []step{{services: many[:100]}, {services: many, killed: true}, {services: many}}, all, []uint64{100, 256, 0}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			facts := reports.Run{ScanID: fmt.Sprintf("s_r%d", i), Site: "hq", Vantage: "probe", Scan: scanner.Summary{Complete: true}}
			begin := func() *history.Recorder {
				r, err := s.Begin(t.Context(), plan("0.0.0.0/0", "::/0"), func() reports.Run { return facts })
				if err != nil {
					t.Fatal(err)
				}
				return r
			}
			r := begin()
			for k, step := range tt.steps {
				for _, v := range step.services {
					if err := r.Write(t.Context(), v.finding(facts.ScanID, day(1))); err != nil {
						t.Fatal(err)
					}
				}
				if err := history.Flush(r); err != nil {
					t.Fatal(err)
				}
				if got := r.Stored(); got != tt.fresh[k] {
					t.Errorf("step %d: Stored = %d, want %d", k, got, tt.fresh[k])
				}
				if step.killed { // it is never closed
					r = begin()
				}
			}
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
			run, err := s.Find(t.Context(), facts.ScanID)
			if err != nil {
				t.Fatal(err)
			}
			if d := gocmp.Diff(tt.want, stored(t, s, run)); d != "" {
				t.Errorf("stored (-want +got):\n%s", d)
			}
			if run.Status != "complete" || !run.Swept() {
				t.Errorf("the run is %s, swept %t; want complete", run.Status, run.Swept())
			}
		})
	}
	// Nothing is left behind of what was replaced.
	runs, err := s.Runs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if n, err := history.Details(t.Context(), s); err != nil || n != total(runs) {
		t.Errorf("%d details are stored for %d open ports (%v)", n, total(runs), err)
	}
	if err := s.Prune(t.Context(), runs); err != nil {
		t.Fatal(err)
	}
	if n, err := history.Details(t.Context(), s); err != nil || n != 0 {
		t.Errorf("%d details are left of no run (%v)", n, err)
	}
}

func total(runs []history.Run) (n uint64) {
	for _, r := range runs {
		n += r.Open
	}
	return n
}

// A run that was judged again and is then written again keeps what the revision
// replaced, and all of it goes when it is pruned.
func testRevisedAndRepeated(t *testing.T, s *history.Store) {
	lm := service{at: "10.0.0.1:1947/tcp", product: "Sentinel", version: "18"}
	run := record(t, s, "s_1", day(1), plan("10.0.0.0/24"), true, lm)
	f := lm.finding("s_1", day(1))
	f.Product = "Sentinel LDK"
	if _, err := s.Revise(t.Context(), run, "2.0", []reports.Finding{f}); err != nil {
		t.Fatal(err)
	}
	lm.version = "19"
	run = record(t, s, "s_1", day(1), plan("10.0.0.0/24"), true, lm)
	if got := stored(t, s, run); !slices.Equal(got, []string{"10.0.0.1 1947 open 19"}) || run.Revision != 2 {
		t.Errorf("stored %q, revision %d; want version 19 in revision 2", got, run.Revision)
	}
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
	if err := s.Prune(t.Context(), []history.Run{run}); err != nil {
		t.Fatal(err)
	}
	if n, err := history.Details(t.Context(), s); err != nil || n != 0 {
		t.Errorf("%d details are left of no run (%v)", n, err)
	}
}

// A run that is removed while it is written says so.
func testPrunedWhileWritten(t *testing.T, s *history.Store) {
	r, err := s.Begin(t.Context(), plan("10.0.0.0/24"), func() reports.Run { return reports.Run{ScanID: "s_1"} })
	if err != nil {
		t.Fatal(err)
	}
	run, err := s.Find(t.Context(), "s_1")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Prune(t.Context(), []history.Run{run}); err != nil {
		t.Fatal(err)
	}
	r2, err := s.Begin(t.Context(), plan("10.0.0.0/24"), func() reports.Run { return reports.Run{ScanID: "s_2"} }) // a file gives it the same number
	if err != nil {
		t.Fatal(err)
	}
	removed := func(what string, err error) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), "was removed while it was written") {
			t.Errorf("%s = %v; want that the run was removed", what, err)
		}
	}
	removed("Close of nothing", r.Close())
	removed("Replan", r.Replan(t.Context(), plan("10.0.0.0/8")))
	_, err = s.Revise(t.Context(), run, "2.0", nil)
	removed("Revise", err)
	if err := s.Prune(t.Context(), []history.Run{run}); err != nil {
		t.Errorf("Prune again = %v", err)
	}
	if err := r.Write(t.Context(), service{at: "10.0.0.1:1947/tcp"}.finding("s_1", day(1))); err != nil {
		t.Fatal(err)
	}
	removed("Close", r.Close())
	if run := end(t, s, r2, "s_2"); run.Open != 0 || run.Revision != 1 {
		t.Errorf("the next run has %d open ports and revision %d; want none, and 1", run.Open, run.Revision)
	}
	if n, err := history.Details(t.Context(), s); err != nil || n != 0 {
		t.Errorf("%d details are left of no run (%v)", n, err)
	}
}

// A run that is removed while it is read is not taken for one that ends there,
// also when another has its number.
func testPrunedWhileRead(t *testing.T, s *history.Store) {
	var many []service
	for i := range 300 {
		many = append(many, service{at: fmt.Sprintf("10.0.%d.%d:1947/tcp", i/200, i%200)})
	}
	from := record(t, s, "s_1", day(1), plan("10.0.0.0/16"), true)
	for name, read := range map[string]func(run history.Run, once func() error) error{
		"findings": func(run history.Run, once func() error) error {
			return s.Findings(t.Context(), run, func(reports.Finding) error { return once() })
		},
		"diff": func(run history.Run, once func() error) error {
			return s.Diff(t.Context(), from, run, func(history.Change) error { return once() })
		},
	} {
		run, did := record(t, s, "s_2", day(2), plan("10.0.0.0/16"), true, many...), false
		err := read(run, func() error {
			if did {
				return nil
			}
			did = true
			if err := s.Prune(t.Context(), []history.Run{run}); err != nil {
				return err
			}
			record(t, s, "s_3 "+name, day(3), plan("10.0.0.0/16"), true)
			return nil
		})
		if err == nil || !strings.Contains(err.Error(), "s_2 was removed while it was read") {
			t.Errorf("%s: %v; want that the run was removed", name, err)
		}
	}
}

// Names that a database could not keep are refused before anything is stored.
func testNames(t *testing.T, s *history.Store) {
	for _, tt := range []struct {
		name, what string
		facts      reports.Run
	}{
		{"zero byte in the id", "id", reports.Run{ScanID: "s_\x00"}},
		{"zero byte in the site", "site", reports.Run{ScanID: "s_1", Site: "a\x00"}},
		{"no text in the vantage", "vantage", reports.Run{ScanID: "s_1", Vantage: "\xff"}},
		{"no text in the job", "job", reports.Run{ScanID: "s_1", Job: "\xc3"}},
	} {
		_, err := s.Begin(t.Context(), plan("10.0.0.0/24"), func() reports.Run { return tt.facts })
		if err == nil || !strings.Contains(err.Error(), tt.what+" of the run") {
			t.Errorf("%s: Begin = %v; want that the %s is refused", tt.name, err, tt.what)
		}
	}
	facts := reports.Run{ScanID: "s_1", Site: "Zürich '\"\\%_", Vantage: "\x1b[2J", Why: []string{"a\x00b"}}
	r, err := s.Begin(t.Context(), plan("10.0.0.0/24"), func() reports.Run { return facts })
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	runs, err := s.RunsOf(t.Context(), history.RunFilter{Sites: []string{facts.Site}, Vantages: []string{facts.Vantage}})
	if err != nil || len(runs) != 1 || runs[0].Facts.Why[0] != "a\x00b" {
		t.Errorf("RunsOf = %+v, %v; want the run as it was stored", runs, err)
	}
}

// What is read ahead says what single questions say: in order, with gaps, and
// backwards.
func testSightings(t *testing.T, s *history.Store) {
	var services []service
	for i := range 600 {
		services = append(services, service{at: fmt.Sprintf("10.0.%d.%d:1947/tcp", i/200, i%200)})
	}
	run := record(t, s, "s_1", day(1), plan("10.0.0.0/16"), true, services...)
	elsewhere := run
	elsewhere.Vantage = "elsewhere"
	target := func(i int) scanner.Target {
		return scanner.Target{Addr: netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), Port: ports()[0]}
	}
	order := map[string][]int{"backwards": nil, "all": nil, "some": {0, 1, 1, 2, 5, 3, 700, 4, 0}, "every 50th": nil}
	for i := range 1000 {
		order["all"] = append(order["all"], i)
		order["backwards"] = append(order["backwards"], 999-i)
		if i%50 == 0 {
			order["every 50th"] = append(order["every 50th"], i, i+10, i+40)
		}
	}
	for name, asked := range order {
		for _, run := range []history.Run{run, elsewhere} {
			at, known := history.SightingsOf(s, run), 0
			for _, i := range asked {
				first, last, err := at(t.Context(), target(i))
				if err != nil {
					t.Fatal(err)
				}
				wantFirst, wantLast, err := s.Seen(t.Context(), run, target(i))
				if err != nil || first != wantFirst || last != wantLast {
					t.Fatalf("%s from %s: %v was seen %v to %v, want %v to %v, %v", name, run.Vantage, target(i), first, last, wantFirst, wantLast, err)
				}
				if !first.IsZero() {
					known++
				}
			}
			if (known > 0) != (run.Vantage == "probe") {
				t.Errorf("%s: %d were seen from %s", name, known, run.Vantage)
			}
		}
	}
}
