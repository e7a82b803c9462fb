package history_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dormant/fingerprint"
	"dormant/reports"
	"dormant/reports/history"
	"dormant/scanner"
)

// recordAt stores a run of a place and a job.
func recordAt(t testing.TB, s *history.Store, id, site, vantage, job string, on time.Time, services ...service) history.Run {
	t.Helper()
	facts := reports.Run{ScanID: id, Site: site, Vantage: vantage, Job: job, Scan: scanner.Summary{Started: on, Finished: on.Add(time.Minute), Complete: true}}
	r, err := s.Begin(t.Context(), plan("10.0.0.0/16"), func() reports.Run { return facts })
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range services {
		f := v.finding(id, on)
		f.Site, f.Vantage = site, vantage
		if err := r.Write(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
	return end(t, s, r, id)
}

// testOnce: a port that several jobs found is there once, as the newest of them
// found it, and only if that is what was asked for.
func testOnce(t *testing.T, s *history.Store) {
	c2 := func(at string) service { return service{at: at, verdict: fingerprint.PossibleC2, severity: "high"} }
	lm := func(at string) service { return service{at: at} }
	shell := service{at: "10.0.0.9:3588/tcp", verdict: fingerprint.OpenShell}
	breach := service{at: "10.0.0.4:1947/tcp", expected: "no"} // of a job that has a policy
	// The newest run is neither the first that is asked for nor the last.
	runs := []history.Run{
		recordAt(t, s, "s_monthly", "hq", "lan", "monthly", day(2), lm("10.0.0.1:1947/tcp"), c2("10.0.0.2:3588/tcp"), breach, c2("10.0.0.9:3588/tcp")),
		recordAt(t, s, "s_dmz", "hq", "dmz", "monthly", day(9), lm("10.0.0.1:1947/tcp"), c2("10.0.0.4:1947/tcp")),
		recordAt(t, s, "s_nightly", "hq", "lan", "nightly", day(5), lm("10.0.0.1:1947/tcp"), lm("10.0.0.2:3588/tcp"), c2("10.0.0.3:1947/tcp"), shell),
		recordAt(t, s, "s_branch", "branch", "lan", "nightly", day(1), lm("10.0.0.1:1947/tcp")),
		recordAt(t, s, "s_weekly", "hq", "lan", "weekly", day(3), lm("10.0.0.1:1947/tcp"), lm("10.0.0.4:1947/tcp"), lm("[fe80::1%eth0]:1947/tcp")),
		recordAt(t, s, "s_none", "hq", "lan", "other", day(8)),
	}
	for _, tt := range []struct {
		name string
		q    history.Query
		want []string
	}{
		{"everything", history.Query{}, []string{
			"10.0.0.1 license_manager: nightly weekly monthly", "10.0.0.2 license_manager: nightly monthly", "10.0.0.3 possible_c2: nightly",
			"10.0.0.4 license_manager: weekly monthly(no)", "10.0.0.9 open_shell: nightly monthly", "fe80::1%eth0 license_manager: weekly",
			"10.0.0.1 license_manager: dmz", "10.0.0.4 possible_c2: dmz", "10.0.0.1 license_manager: branch",
		}},
		{"what it was does not count", history.Query{Verdicts: []fingerprint.Class{fingerprint.PossibleC2}}, []string{"10.0.0.3 possible_c2: nightly", "10.0.0.4 possible_c2: dmz"}},
		{"what it is", history.Query{Verdicts: []fingerprint.Class{fingerprint.OpenShell}}, []string{"10.0.0.9 open_shell: nightly monthly"}},
		{"a job without a policy takes no breach back", history.Query{Expected: []string{"no"}}, []string{"10.0.0.4 license_manager: weekly monthly(no)"}},
		{"a policy is held against nothing else", history.Query{Expected: []string{""}, Text: "hasp", Prefix: netip.MustParsePrefix("10.0.0.4/32")},
			[]string{"10.0.0.4 license_manager: weekly monthly(no)", "10.0.0.4 possible_c2: dmz"}},
		{"nothing", history.Query{Text: "no such thing"}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for limit := range len(tt.want) + 2 {
				q := tt.q
				q.Runs, q.Limit = runs, limit
				var got []string
				for range 20 {
					p, err := s.SearchOnce(t.Context(), q)
					if err != nil {
						t.Fatal(err)
					}
					if limit > 0 && (len(p.Findings) > limit || p.Next != "" && len(p.Findings) < limit || q.After != "" && len(p.Findings) == 0) || len(p.Seen) != len(p.Findings) {
						t.Errorf("a page has %d findings and says of %d who saw them, and more comes: %t; want %d", len(p.Findings), len(p.Seen), p.Next != "", limit)
					}
					for i, f := range p.Findings {
						if p.Seen[i][0].Run != f.ScanID && q.Expected == nil {
							t.Errorf("%v is that of %s, and %v saw it", f.IP, f.ScanID, p.Seen[i])
						}
						line := fmt.Sprintf("%v %v:", f.IP, f.Verdict)
						for _, by := range p.Seen[i] {
							line += " " + strings.TrimPrefix(by.Run, "s_")
							if by.Expected != "" {
								line += "(" + by.Expected + ")"
							}
						}
						got = append(got, line)
					}
					if q.After = p.Next; p.Next == "" {
						break
					}
				}
				if d := cmp.Diff(tt.want, got); d != "" {
					t.Errorf("limit %d (-want +got):\n%s", limit, d)
				}
				if n, err := s.CountOnce(t.Context(), q); err != nil || n != uint64(len(tt.want)) {
					t.Errorf("CountOnce = %d, %v; want %d", n, err, len(tt.want))
				}
			}
		})
	}
	if first := runs[0].ID; first != "s_monthly" {
		t.Errorf("the caller's runs were sorted: the first is %s", first)
	}
}

// testOnceAll holds the merge against one in memory, over many runs and ports.
func testOnceAll(t *testing.T, s *history.Store) {
	var runs []history.Run
	for round := range 4 {
		runs = append(runs, recordMany(t, s, round, 300, 1))
	}
	for _, q := range []history.Query{
		{}, {Severities: []string{"high"}}, {Expected: []string{"no"}}, {Verdicts: []fingerprint.Class{fingerprint.LicenseManager}}, {Ports: ports()[:1]},
	} {
		q.Runs, q.Limit = runs, 7
		seen, newest, chosen := map[string][]history.Seen{}, map[string]string{}, map[string]bool{}
		all, asked := history.Query{Limit: 10_000}, q
		asked.Limit = 10_000
		for _, run := range slices.Backward(runs) { // the newest first
			all.Runs, asked.Runs = []history.Run{run}, []history.Run{run}
			found, err := s.Search(t.Context(), all)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range found.Findings {
				at := fmt.Sprint(f.IP, f.Port, f.Transport)
				seen[at] = append(seen[at], history.Seen{Run: run.ID, Expected: f.Expected})
				if newest[at] == "" && (q.Expected == nil || slices.Contains(q.Expected, f.Expected)) {
					newest[at] = run.ID
				}
			}
			if found, err = s.Search(t.Context(), asked); err != nil {
				t.Fatal(err)
			}
			for _, f := range found.Findings {
				if at := fmt.Sprint(f.IP, f.Port, f.Transport); newest[at] == run.ID {
					chosen[at] = true
				}
			}
		}
		got := map[string]bool{}
		for {
			p, err := s.SearchOnce(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			for i, f := range p.Findings {
				at := fmt.Sprint(f.IP, f.Port, f.Transport)
				if got[at] {
					t.Errorf("%s came twice", at)
				}
				if got[at] = true; !slices.Equal(p.Seen[i], seen[at]) {
					t.Errorf("%s was seen by %v, want %v", at, p.Seen[i], seen[at])
				}
			}
			if q.After = p.Next; p.Next == "" {
				break
			}
		}
		if d := cmp.Diff(chosen, got); d != "" || len(got) < 5 {
			t.Errorf("%d ports (-want +got):\n%s", len(got), d)
		}
		if n, err := s.CountOnce(t.Context(), q); err != nil || n != uint64(len(got)) {
			t.Errorf("CountOnce = %d, %v; want %d", n, err, len(got))
		}
	}
}
