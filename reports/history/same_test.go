package history_test

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"dormant/fingerprint"
	"dormant/reports"
	"dormant/reports/history"
	"dormant/reports/history/pgtest"
	"dormant/scanner"
)

// TestSameOnBoth stores the same findings in a file and in a database, in
// another order, and asks both the same. DORMANT_BENCH_FINDINGS=100000 makes it
// as many on each.
func TestSameOnBoth(t *testing.T) {
	n := many() / 2 // of each run
	server := pgtest.Start(t, false)
	answers := map[string][]string{}
	for i, db := range []string{newFile(t), server.Fresh(t)} {
		s := open(t, db)
		var runs []history.Run
		for round := range 3 {
			runs = append(runs, recordMany(t, s, round, n*min(round, 1), uint64(i)))
		}
		answers[s.Path()] = ask(t, s, runs)
	}
	var want []string
	for name, got := range answers {
		if len(got) < 1000 {
			t.Fatalf("%s: %d lines, want thousands", name, len(got))
		}
		if d := gocmp.Diff(want, got); want != nil && d != "" {
			t.Errorf("the stores differ:\n%.3000s", d)
		}
		want = got
	}
}

// recordMany stores a run of n findings, the same for the same round, in an
// order of the seed's.
func recordMany(t *testing.T, s *history.Store, round, n int, seed uint64) history.Run {
	t.Helper()
	id := fmt.Sprintf("s_%d", round)
	facts := reports.Run{ScanID: id, Site: "hq", Vantage: "probe", Scan: scanner.Summary{Started: day(round + 1), Complete: true}}
	r, err := s.Begin(t.Context(), plan("10.0.0.0/8"), func() reports.Run { return facts })
	if err != nil {
		t.Fatal(err)
	}
	world := rand.New(rand.NewPCG(1, uint64(round)))
	services := make([]service, n)
	for i := range services {
		v := service{at: fmt.Sprintf("10.%d.%d.%d:1947/tcp", i>>16, i>>8&255, i&255), product: "p", version: "1", severity: "low"}
		switch world.IntN(40) {
		case 0:
			v.version = fmt.Sprint(world.IntN(3))
		case 1:
			v.verdict, v.severity = fingerprint.PossibleC2, "high"
		case 2:
			v.state = scanner.Closed
		case 3:
			v.expected, v.product = "no", "\x00\xff'%_"
		case 4:
			v.at, v.host = fmt.Sprintf("10.200.%d.%d:3588/tcp", i>>8&255, world.IntN(256)), fmt.Sprintf("host-%d.corp", i)
		case 5:
			continue // nobody answers: the zero service
		}
		services[i] = v
	}
	seen := map[string]bool{} // what comes twice would be decided by the order
	services = slices.DeleteFunc(services, func(v service) bool {
		again := v.at == "" || seen[v.at]
		seen[v.at] = true
		return again
	})
	rand.New(rand.NewPCG(2, seed)).Shuffle(len(services), func(i, j int) { services[i], services[j] = services[j], services[i] })
	for i, v := range services {
		f := v.finding(id, day(round+1))
		f.Dialogue = nil
		for range 1 + i%100/99 { // one of a hundred twice
			if err := r.Write(t.Context(), f); err != nil {
				t.Fatal(err)
			}
		}
	}
	return end(t, s, r, id)
}

// ask returns what a store says, in words.
func ask(t *testing.T, s *history.Store, runs []history.Run) (said []string) {
	t.Helper()
	say := func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) }
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(s.Diff(t.Context(), runs[1], runs[2], func(c history.Change) error {
		say("%s %v from %v %v %v %v", c.Kind, c.Target, c.From, c.Fields, c.First, c.Last)
		return nil
	}))
	for _, p := range trend(t, s, history.RunFilter{}) {
		say("%s %v %s %v", p.Run.ID, p.Tally, p.Base, p.Changes)
	}
	for _, q := range []history.Query{
		{Prefix: netip.MustParsePrefix("10.0.0.0/18")}, {Severities: []string{"high"}}, {Expected: []string{"no"}, Text: `\x00`}, {Text: "corp", Ports: ports()[1:2]},
		{Prefix: netip.MustParsePrefix("10.0.64.0/20"), Verdicts: []fingerprint.Class{fingerprint.LicenseManager}},
	} {
		q.Runs, q.Limit = runs, 10_000
		count, err := s.Count(t.Context(), q)
		must(err)
		sum, found := fnv.New64a(), uint64(0)
		for more := true; more; more = q.After != "" {
			p, err := s.Search(t.Context(), q)
			must(err)
			for _, f := range p.Findings {
				fmt.Fprintln(sum, f.ScanID, f.IP, f.Port, f.Version)
				found++
			}
			q.After = p.Next
		}
		if found != count {
			t.Errorf("%+v: %d found, %d counted", q.Text, found, count)
		}
		say("search %q: %d, %x", q.Text, found, sum.Sum64())
	}
	for _, run := range runs {
		sum, n := fnv.New64a(), 0
		var closed []string
		must(s.Findings(t.Context(), run, func(f reports.Finding) error {
			n++
			if f.State == scanner.Open {
				fmt.Fprintln(sum, f.IP, f.Port, f.Product, f.Version)
			} else {
				closed = append(closed, fmt.Sprint(f.IP, f.Port, f.State))
			}
			return nil
		}))
		slices.Sort(closed)
		fmt.Fprintln(sum, closed)
		say("run %s: %d findings, %x", run.ID, n, sum.Sum64())
	}
	return said
}
