package history_test

import (
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"testing"
	"time"

	"dormant/fingerprint"
	"dormant/reports"
	"dormant/reports/history"
	"dormant/reports/history/pgtest"
	"dormant/scanner"
)

// many is how many findings the benchmarks store; DORMANT_BENCH_FINDINGS=1000000
// is what the figures of the README are from.
func many() int {
	if n, err := strconv.Atoi(os.Getenv("DORMANT_BENCH_FINDINGS")); err == nil && n > 0 {
		return n
	}
	return 20_000
}

// fill stores a run of n open ports; every hundredth differs from run to run.
func fill(b *testing.B, s *history.Store, id string, n, round int) history.Run {
	b.Helper()
	facts := reports.Run{ScanID: id, Site: "hq", Vantage: "probe", Scan: scanner.Summary{Complete: true}}
	r, err := s.Begin(b.Context(), plan("10.0.0.0/8"), func() reports.Run { return facts })
	if err != nil {
		b.Fatal(err)
	}
	f := service{at: "10.0.0.1:1947/tcp", product: "Sentinel LDK License Manager", version: "18.00"}.finding(id, day(1))
	for i := range n {
		f.IP = netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		f.Dialogue.Target.Addr = f.IP
		f.Version = "18.00"
		if i%100 == round {
			f.Version = "19." + strconv.Itoa(round)
		}
		if err := r.Write(b.Context(), f); err != nil {
			b.Fatal(err)
		}
	}
	if err := r.Close(); err != nil {
		b.Fatal(err)
	}
	run, err := s.Find(b.Context(), id)
	if err != nil {
		b.Fatal(err)
	}
	return run
}

// eachStore runs a benchmark on a file and on a database.
func eachStore(b *testing.B, run func(b *testing.B, s *history.Store)) {
	b.Run("sqlite", func(b *testing.B) { run(b, open(b, newFile(b))) })
	b.Run("postgres", func(b *testing.B) { run(b, open(b, pgtest.Start(b, true).Fresh(b))) })
}

func BenchmarkRecord(b *testing.B) {
	n := many()
	eachStore(b, func(b *testing.B, s *history.Store) {
		b.ReportAllocs()
		start := time.Now()
		runs := 0
		for b.Loop() {
			fill(b, s, fmt.Sprintf("s_%d", runs), n, 0)
			runs++
		}
		b.ReportMetric(float64(n*runs)/time.Since(start).Seconds(), "findings/s")
		if st, err := os.Stat(s.Path()); err == nil {
			b.ReportMetric(float64(st.Size())/float64(n*runs), "bytes/finding")
		}
	})
}

func BenchmarkDiff(b *testing.B) {
	n := many()
	eachStore(b, func(b *testing.B, s *history.Store) {
		from, to := fill(b, s, "s_from", n, 0), fill(b, s, "s_to", n, 1)
		b.ReportAllocs()
		b.ResetTimer()
		for b.Loop() {
			changes := 0
			if err := s.Diff(b.Context(), from, to, func(history.Change) error { changes++; return nil }); err != nil {
				b.Fatal(err)
			}
			if want := n / 50; changes != want {
				b.Fatalf("%d changes, want %d", changes, want)
			}
		}
	})
}

// BenchmarkSearch asks for the first page of what is seldom: the whole run is
// looked through.
func BenchmarkSearch(b *testing.B) {
	n := many()
	eachStore(b, func(b *testing.B, s *history.Store) {
		run := fill(b, s, "s_from", n, 0)
		for name, q := range map[string]history.Query{
			"first":   {},
			"seldom":  {Verdicts: []fingerprint.Class{fingerprint.PossibleC2}},
			"text":    {Text: "nowhere to be found"},
			"version": {Text: "19.0", Prefix: netip.MustParsePrefix("10.0.3.0/24")},
		} {
			b.Run(name, func(b *testing.B) {
				q.Runs = []history.Run{run}
				for b.Loop() {
					if _, err := s.Search(b.Context(), q); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	})
}
