package history_test

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dormant/fingerprint"
	"dormant/registry"
	"dormant/reports"
	"dormant/reports/history"
	"dormant/scanner"
)

// searchable are two runs with something of every kind to choose by.
func searchable(t *testing.T, s *history.Store) []history.Run {
	t.Helper()
	lm := service{at: "10.0.0.1:1947/tcp", product: "Sentinel LDK", version: "18.00", mac: "00:1a:4b:00:00:01"}
	var runs []history.Run
	for i := range 2 {
		runs = append(runs, record(t, s, fmt.Sprintf("s_%d", i), day(i+1), plan("10.0.0.0/16"), true, lm,
			service{at: "10.0.0.2:3588/tcp", product: "100%_Vite!", version: "5", host: "Dev.corp"},
			service{at: "10.0.1.1:1947/tcp", product: "NetHASP", version: "8", verdict: fingerprint.PossibleC2, severity: "high"},
			service{at: "10.0.1.1:5093/udp", product: "RMS\x00\xff\x1b[2J", version: "9", expected: "no"},
			service{at: "10.0.255.255:1947/tcp", product: "last"},
			service{at: "[fe80::1%eth0]:1947/tcp", product: "zoned"}))
	}
	return runs
}

func testSearch(t *testing.T, s *history.Store) {
	runs := searchable(t, s)
	prefix := netip.MustParsePrefix
	for _, tt := range []struct {
		name string
		q    history.Query
		want []string
	}{
		{"everything", history.Query{}, []string{"10.0.0.1 1947", "10.0.0.2 3588", "10.0.1.1 1947", "10.0.1.1 5093", "10.0.255.255 1947", "fe80::1%eth0 1947"}},
		{"verdict", history.Query{Verdicts: []fingerprint.Class{fingerprint.PossibleC2, fingerprint.Tarpit}}, []string{"10.0.1.1 1947"}},
		{"severity", history.Query{Severities: []string{"high"}}, []string{"10.0.1.1 1947"}},
		{"expected", history.Query{Expected: []string{"no"}}, []string{"10.0.1.1 5093"}},
		{"no policy", history.Query{Expected: []string{""}, Ports: ports()[1:]}, []string{"10.0.0.2 3588"}},
		{"none of none", history.Query{Expected: []string{}}, nil},
		{"prefix", history.Query{Prefix: prefix("10.0.1.0/24")}, []string{"10.0.1.1 1947", "10.0.1.1 5093"}},
		{"prefix that is not masked", history.Query{Prefix: prefix("10.0.1.77/24"), Ports: ports()[2:]}, []string{"10.0.1.1 5093"}},
		{"one address", history.Query{Prefix: prefix("10.0.255.255/32")}, []string{"10.0.255.255 1947"}},
		{"mapped", history.Query{Prefix: prefix("::ffff:10.0.0.0/127")}, []string{"10.0.0.1 1947"}},
		{"all of IPv4", history.Query{Prefix: prefix("0.0.0.0/0"), Ports: []registry.Port{{Number: 1947, Proto: registry.TCP}}},
			[]string{"10.0.0.1 1947", "10.0.1.1 1947", "10.0.255.255 1947"}},
		{"all of IPv6", history.Query{Prefix: prefix("::/0")}, []string{"fe80::1%eth0 1947"}},
		{"link-local", history.Query{Prefix: prefix("fe80::/10")}, []string{"fe80::1%eth0 1947"}},
		{"text", history.Query{Text: "sentinel"}, []string{"10.0.0.1 1947"}},
		{"all words", history.Query{Text: " SENTINEL  18.00 "}, []string{"10.0.0.1 1947"}},
		{"not all words", history.Query{Text: "sentinel vite"}, nil},
		{"host name", history.Query{Text: "DEV.CORP"}, []string{"10.0.0.2 3588"}},
		{"MAC", history.Query{Text: "4b:00:00"}, []string{"10.0.0.1 1947"}},
		{"what LIKE would read", history.Query{Text: "0%_v"}, []string{"10.0.0.2 3588"}},
		{"and its escape", history.Query{Text: "e!"}, []string{"10.0.0.2 3588"}},
		{"nothing is a pattern", history.Query{Text: "1_0"}, nil},
		{"quotes", history.Query{Text: `' OR '1'='1`}, nil},
		{"bytes that are no text", history.Query{Text: "rms\x00\xff"}, []string{"10.0.1.1 5093"}},
		{"together", history.Query{Severities: []string{"low"}, Prefix: prefix("10.0.0.0/23"), Text: "hasp-acc", Ports: ports()[:2]},
			[]string{"10.0.0.1 1947", "10.0.0.2 3588"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for limit := range 4 {
				q := tt.q
				q.Runs, q.Limit = runs, limit
				var got []string
				for pages := 0; pages < 20; pages++ {
					p, err := s.Search(t.Context(), q)
					if err != nil {
						t.Fatal(err)
					}
					if limit > 0 && (len(p.Findings) > limit || p.Next != "" && len(p.Findings) < limit || q.After != "" && len(p.Findings) == 0) {
						t.Errorf("a page has %d findings and more comes: %t; want %d", len(p.Findings), p.Next != "", limit)
					}
					for _, f := range p.Findings {
						got = append(got, fmt.Sprintf("%s %v %d", f.ScanID, f.IP, f.Port))
					}
					if q.After = p.Next; p.Next == "" {
						break
					}
				}
				var want []string
				for _, r := range runs {
					for _, w := range tt.want {
						want = append(want, r.ID+" "+w)
					}
				}
				if d := cmp.Diff(want, got); d != "" {
					t.Errorf("limit %d (-want +got):\n%s", limit, d)
				}
				if n, err := s.Count(t.Context(), q); err != nil || n != uint64(len(want)) {
					t.Errorf("Count = %d, %v; want %d", n, err, len(want))
				}
				if n, err := s.CountOnce(t.Context(), q); err != nil || n != uint64(len(tt.want)) {
					t.Errorf("CountOnce = %d, %v; want %d", n, err, len(tt.want))
				}
			}
		})
	}
	if p, err := s.Search(t.Context(), history.Query{}); err != nil || len(p.Findings) > 0 || p.Next != "" {
		t.Errorf("Search without runs = %+v, %v; want nothing", p, err)
	}
	for _, c := range []history.Cursor{"x", "%", "eA", "AAAA"} {
		if _, err := s.Search(t.Context(), history.Query{Runs: runs, After: c}); !errors.Is(err, history.ErrCursor) {
			t.Errorf("Search after %q = %v; want ErrCursor", c, err)
		}
	}
}

// point is one run of a trend.
type point struct {
	Run     history.Run
	Tally   history.Tally
	Base    string
	Changes map[history.Kind]uint64
}

// trend returns how the runs that f chooses developed, the oldest first.
func trend(t *testing.T, s *history.Store, f history.RunFilter) []point {
	t.Helper()
	runs, err := s.RunsOf(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(runs)
	points := make([]point, len(runs))
	for i, run := range runs {
		p := point{Run: run}
		if p.Tally, err = s.Tally(t.Context(), run); err != nil {
			t.Fatal(err)
		}
		if !run.Finished.IsZero() {
			if p.Base, p.Changes, err = s.Changes(t.Context(), run); err != nil {
				t.Fatal(err)
			}
		}
		points[i] = p
	}
	return points
}

func testTrend(t *testing.T, s *history.Store) {
	lm := service{at: "10.0.0.1:1947/tcp", product: "Sentinel", version: "18"}
	bad := service{at: "10.0.0.3:3588/tcp", verdict: fingerprint.PossibleC2, severity: "high", expected: "no"}
	p := plan("10.0.0.0/24")
	record(t, s, "s_0", day(1), p, true, lm, service{at: "10.0.0.2:1947/tcp"})
	record(t, s, "s_1", day(2), p, true, lm, bad)
	record(t, s, "s_2", day(3), p, true, lm)
	want := []string{
		"s_0 open 2 breaches 0 c2 0 base  map[]",
		"s_1 open 2 breaches 1 c2 1 base s_0 map[missing:1 new:1]",
		"s_2 open 1 breaches 0 c2 0 base s_1 map[gone:1 missing:1]",
	}
	check := func(f history.RunFilter, want []string) {
		t.Helper()
		var got []string
		for _, p := range trend(t, s, f) {
			got = append(got, fmt.Sprintf("%s open %d breaches %d c2 %d base %s %v", p.Run.ID, p.Tally.Open, p.Tally.Breaches(),
				p.Tally.Verdicts["possible_c2"], p.Base, p.Changes))
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("trend of %+v (-want +got):\n%s", f, d)
		}
	}
	check(history.RunFilter{}, want)
	check(history.RunFilter{}, want) // what was kept
	check(history.RunFilter{Limit: 2}, want[1:])
	check(history.RunFilter{Limit: 1, Offset: 1}, want[1:2])
	check(history.RunFilter{Offset: 1}, want[:2])
	check(history.RunFilter{Since: day(2), Until: day(3)}, want[1:2])
	check(history.RunFilter{Sites: []string{"hq"}, Vantages: []string{"probe"}, Jobs: []string{""}, Ended: true}, want)
	check(history.RunFilter{Sites: []string{"elsewhere", ""}}, nil)

	runs, err := s.Runs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// Judged again: the counts follow.
	f, _, err := s.Finding(t.Context(), runs[1], scanner.Target{Addr: netip.MustParseAddr("10.0.0.3"), Port: ports()[1]})
	if err != nil {
		t.Fatal(err)
	}
	f.Verdict = fingerprint.DevServer
	if _, err := s.Revise(t.Context(), runs[1], "2.0", []reports.Finding{f}); err != nil {
		t.Fatal(err)
	}
	want[1] = "s_1 open 2 breaches 1 c2 0 base s_0 map[missing:1 new:1]"
	check(history.RunFilter{}, want)
	// Pruned: what was known of the difference stays.
	if err := s.Prune(t.Context(), runs[2:]); err != nil {
		t.Fatal(err)
	}
	check(history.RunFilter{}, want[1:])
}

func testPlaces(t *testing.T, s *history.Store) {
	for i, x := range [][3]string{{"b", "v", ""}, {"a", "v", "monthly"}, {"a", "v", "monthly"}, {"a", "v", ""}, {"", "", ""}} {
		facts := reports.Run{ScanID: fmt.Sprintf("s_%d", i), Site: x[0], Vantage: x[1], Job: x[2], Scan: scanner.Summary{Started: day(i + 1)}}
		r, err := s.Begin(t.Context(), plan("10.0.0.0/24"), func() reports.Run { return facts })
		if err != nil {
			t.Fatal(err)
		}
		if i > 0 {
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	got, err := s.Places(t.Context())
	want := []history.Place{{Runs: 1, Last: day(5)}, {Site: "a", Vantage: "v", Runs: 1, Last: day(4)},
		{Site: "a", Vantage: "v", Job: "monthly", Runs: 2, Last: day(3)}, {Site: "b", Vantage: "v", Runs: 1, Last: day(1)}}
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Errorf("Places, %v (-want +got):\n%s", err, d)
	}
	for _, tt := range []struct {
		f    history.RunFilter
		want string
	}{
		{history.RunFilter{}, "[s_4 s_3 s_2 s_1 s_0]"},
		{history.RunFilter{Ended: true}, "[s_4 s_3 s_2 s_1]"},
		{history.RunFilter{Jobs: []string{"monthly"}}, "[s_2 s_1]"},
		{history.RunFilter{Sites: []string{""}}, "[s_4]"},
		{history.RunFilter{Sites: []string{"b", "a"}, Since: day(1), Until: day(3)}, "[s_1 s_0]"},
		{history.RunFilter{Until: day(1).Add(-time.Second)}, "[]"},
	} {
		runs, err := s.RunsOf(t.Context(), tt.f)
		ids := []string{}
		for _, r := range runs {
			ids = append(ids, r.ID)
		}
		if fmt.Sprint(ids) != tt.want || err != nil {
			t.Errorf("RunsOf(%+v) = %v, %v; want %s", tt.f, ids, err, tt.want)
		}
	}
}

func testHistory(t *testing.T, s *history.Store) {
	lm := service{at: "10.0.0.1:1947/tcp", product: "Sentinel", version: "18"}
	record(t, s, "s_0", day(1), plan("10.0.0.0/24"), true, lm)
	record(t, s, "s_1", day(2), plan("10.0.0.0/24"), true)
	record(t, s, "s_2", day(3), plan("10.9.0.0/24"), true)
	looks, err := s.History(t.Context(), history.RunFilter{Sites: []string{"hq"}}, scanner.Target{Addr: netip.MustParseAddr("10.0.0.1"), Port: ports()[0]})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, l := range looks {
		got = append(got, fmt.Sprint(l.Run.ID, " ", l.Asked, " ", l.Finding != nil && l.Finding.Product == "Sentinel"))
	}
	if d := cmp.Diff([]string{"s_2 false false", "s_1 true false", "s_0 true true"}, got); d != "" {
		t.Errorf("History (-want +got):\n%s", d)
	}
}
