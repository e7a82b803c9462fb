package history_test

import (
	"context"
	"fmt"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"dormant/fingerprint"
	"dormant/reports"
	"dormant/reports/history"
	"dormant/scanner"
)

func testDiff(t *testing.T, s *history.Store) {
	lm := service{at: "10.0.0.1:1947/tcp", product: "Sentinel", version: "18", mac: "00:1a:4b:00:00:01"}
	vite := service{at: "10.0.0.2:3588/tcp", product: "Vite", version: "5", host: "dev.corp"}
	newer := lm
	newer.version = "19"
	moved := vite
	moved.at = "10.0.0.9:3588/tcp"
	again, other := moved, lm
	again.at, other.speaks = "10.0.0.10:3588/tcp", "http"
	unnamed := service{at: "10.0.0.1:1947/tcp", verdict: fingerprint.Unidentified}
	guessed := unnamed
	guessed.speaks = "http"
	closed := service{at: "10.0.0.1:1947/tcp", state: scanner.Closed}
	type run struct {
		services []service
		plan     history.Plan
		broken   bool
	}
	small := plan("10.0.0.0/31")
	for _, tt := range []struct {
		name     string
		runs     []run
		from, to int // of runs
		want     []string
	}{
		{"nothing changed", []run{{services: []service{lm, vite}}, {services: []service{lm, vite}}}, 0, 1, nil},
		{"new", []run{{services: []service{lm}}, {services: []service{lm, vite}}}, 0, 1, []string{"new 10.0.0.2:3588/tcp"}},
		{"changed", []run{{services: []service{lm}}, {services: []service{newer}}}, 0, 1, []string{"changed 10.0.0.1:1947/tcp version 18>19"}},
		{"what an unnamed one speaks is a guess", []run{{services: []service{unnamed}}, {services: []service{guessed}}}, 0, 1, nil},
		{"what a named one speaks is a fact", []run{{services: []service{lm}}, {services: []service{other}}}, 0, 1, []string{"changed 10.0.0.1:1947/tcp service hasp-acc>http"}},
		{"moved from run to run", []run{{services: []service{vite}}, {services: []service{moved}}, {services: []service{again}}}, 1, 2,
			[]string{"gone 10.0.0.2:3588/tcp", "moved 10.0.0.10:3588/tcp from 10.0.0.9"}},
		{"silent once is missing", []run{{services: []service{lm, vite}}, {services: []service{lm}}}, 0, 1, []string{"missing 10.0.0.2:3588/tcp"}},
		{"closed once is missing", []run{{services: []service{lm}}, {services: []service{closed}}}, 0, 1, []string{"missing 10.0.0.1:1947/tcp"}},
		{"silent twice is gone", []run{{services: []service{lm}}, {}, {}}, 1, 2, []string{"gone 10.0.0.1:1947/tcp"}},
		{"silent twice, seen over both", []run{{services: []service{lm}}, {}, {}}, 0, 2, []string{"gone 10.0.0.1:1947/tcp"}},
		{"gone is said once", []run{{services: []service{lm}}, {}, {}, {}}, 2, 3, nil},
		{"missing and back", []run{{services: []service{lm}}, {}, {services: []service{lm}}}, 1, 2, nil},
		{"back and changed", []run{{services: []service{lm}}, {}, {services: []service{newer}}}, 1, 2, []string{"changed 10.0.0.1:1947/tcp version 18>19"}},
		{"an interrupted run says nothing of silence", []run{{services: []service{lm}}, {broken: true}}, 0, 1, []string{"not_scanned 10.0.0.1:1947/tcp"}},
		{"and is no strike", []run{{services: []service{lm}}, {broken: true}, {}}, 0, 2, []string{"missing 10.0.0.1:1947/tcp"}},
		{"outside of the plan", []run{{services: []service{lm, vite}}, {services: []service{lm}, plan: small}}, 0, 1, []string{"not_scanned 10.0.0.2:3588/tcp"}},
		{"asked for the first time", []run{{services: []service{lm}, plan: small}, {services: []service{lm, vite}}}, 0, 1, []string{"first_run 10.0.0.2:3588/tcp"}},
		{"moved by host name", []run{{services: []service{lm, vite}}, {services: []service{lm, moved}}}, 0, 1, []string{"moved 10.0.0.9:3588/tcp from 10.0.0.2"}},
		{"a name at two addresses is no machine", []run{{services: []service{lm, vite}}, {services: []service{lm, moved, {at: "10.0.0.10:3588/tcp", host: "dev.corp"}}}}, 0, 1,
			[]string{"missing 10.0.0.2:3588/tcp", "new 10.0.0.9:3588/tcp", "new 10.0.0.10:3588/tcp"}},
		{"another MAC is another machine", []run{
			{services: []service{{at: "10.0.0.3:1947/tcp", mac: "00:00:00:00:00:03", cert: "sha256:aa"}}},
			{services: []service{{at: "10.0.0.4:1947/tcp", mac: "00:00:00:00:00:04", cert: "sha256:aa"}}}}, 0, 1,
			[]string{"missing 10.0.0.3:1947/tcp", "new 10.0.0.4:1947/tcp"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var runs []history.Run
			for i, r := range tt.runs {
				if r.plan.Ports == nil {
					r.plan = plan("10.0.0.0/24")
				}
				runs = append(runs, record(t, s, fmt.Sprintf("s_%d", i), day(i+1), r.plan, !r.broken, r.services...))
			}
			var got []string
			err := s.Diff(t.Context(), runs[tt.from], runs[tt.to], func(c history.Change) error {
				text := string(c.Kind) + " " + c.Target.String()
				if c.From.IsValid() {
					text += " from " + c.From.String()
				}
				for _, f := range c.Fields {
					text += fmt.Sprintf(" %s %s>%s", f.Name, f.Before, f.After)
				}
				got = append(got, text)
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if d := gocmp.Diff(tt.want, got); d != "" {
				t.Errorf("changes (-want +got):\n%s", d)
			}
			if err := s.Prune(t.Context(), runs); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// Of too many changes nobody is told who moved, but all of them are there.
func testTooManyChanges(t *testing.T, s *history.Store) {
	vite := service{at: "10.0.0.2:3588/tcp", product: "Vite", host: "dev.corp"}
	stays, moved := service{at: "10.0.0.1:1947/tcp", product: "Sentinel"}, vite
	moved.at = "10.0.0.3:3588/tcp"
	from := record(t, s, "s_1", day(1), plan("10.0.0.0/24"), true, stays, vite)
	to := record(t, s, "s_2", day(2), plan("10.0.0.0/24"), true, stays, moved)
	for held, want := range map[int]string{2: "10.0.0.3 moved ", 1: "10.0.0.2 missing 10.0.0.3 new "} {
		history.HoldFew(s, held)
		got := ""
		err := s.Diff(t.Context(), from, to, func(c history.Change) error {
			got += fmt.Sprint(c.Target.Addr, " ", c.Kind, " ")
			return nil
		})
		if err != nil || got != want {
			t.Errorf("Diff that holds %d = %q, %v; want %q", held, got, err, want)
		}
	}
}

// A run is compared with the last one that shares a target with it, however many
// of other networks came between.
func testBase(t *testing.T, s *history.Store) {
	record(t, s, "s_0", day(1), plan("10.0.0.0/24"), true)
	for i := range 101 {
		record(t, s, fmt.Sprintf("s_other%d", i), day(2), plan("10.9.0.0/24"), true)
	}
	run := record(t, s, "s_1", day(3), plan("10.0.0.0/23"), true)
	if base, ok, err := s.Base(t.Context(), run); err != nil || !ok || base.ID != "s_0" {
		t.Errorf("Base = %q, %t, %v; want s_0", base.ID, ok, err)
	}
	run = record(t, s, "s_2", day(4), plan("10.1.0.0/24"), true)
	if base, ok, err := s.Base(t.Context(), run); err != nil || ok {
		t.Errorf("Base = %q, %t, %v; want none", base.ID, ok, err)
	}
}

// keep remembers what it is given.
type keep struct{ findings []reports.Finding }

func (k *keep) Close() error { return nil }

func testAnnotate(t *testing.T, s *history.Store) {
	lm := service{at: "10.0.0.1:1947/tcp", product: "Sentinel", version: "18"}
	vite := service{at: "10.0.0.2:3588/tcp", product: "Vite", host: "dev.corp"}
	nginx := service{at: "10.0.0.3:3588/tcp", product: "nginx"}
	p := plan("10.0.0.0/24")
	steps := []struct {
		services []service
		want     []string
	}{
		{[]service{lm, vite}, []string{"10.0.0.1 open first_run 1 1", "10.0.0.2 open first_run 1 1"}},
		{[]service{lm, vite, nginx}, []string{"10.0.0.1 open same 1 2", "10.0.0.2 open same 1 2", "10.0.0.3 open new 2 2"}},
		{[]service{{at: lm.at, product: "Sentinel", version: "19"}, {at: vite.at, state: scanner.Closed}},
			[]string{"10.0.0.1 open changed 1 3", "10.0.0.2 closed missing 1 2", "10.0.0.3 filtered missing 2 2"}},
		{[]service{{at: lm.at, product: "Sentinel", version: "19"}},
			[]string{"10.0.0.1 open same 1 4", "10.0.0.2 filtered gone 1 2", "10.0.0.3 filtered gone 2 2"}},
		{[]service{lm, {at: "10.0.0.7:3588/tcp", product: "Vite", host: "dev.corp"}},
			[]string{"10.0.0.1 open changed 1 5", "10.0.0.7 open new 5 5"}},
	}
	for i, step := range steps {
		run := record(t, s, fmt.Sprintf("s_%d", i), day(i+1), p, true, step.services...)
		var k keep
		a := s.Annotate(run, &k)
		if err := s.Findings(t.Context(), run, func(f reports.Finding) error { return a.Write(t.Context(), f) }); err != nil {
			t.Fatal(err)
		}
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, f := range k.findings {
			got = append(got, fmt.Sprintf("%v %v %s %d %d", f.IP, f.State, f.Change, f.FirstSeen.Day(), f.LastSeen.Day()))
		}
		if d := gocmp.Diff(step.want, got); d != "" {
			t.Errorf("run %d (-want +got):\n%s", i, d)
		}
	}
}

func (k *keep) Write(_ context.Context, f reports.Finding) error {
	k.findings = append(k.findings, f)
	return nil
}

func TestCounts(t *testing.T) {
	for kind, want := range map[history.Kind]bool{
		history.New: true, history.Changed: true, history.Moved: true, history.Gone: true,
		history.Same: false, history.FirstRun: false, history.Missing: false, history.NotScanned: false,
	} {
		if got := kind.Counts(); got != want {
			t.Errorf("%s.Counts() = %t, want %t", kind, got, want)
		}
	}
}
