package web_test

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strconv"
	"testing"
	"time"

	"dormant/reports"
	"dormant/reports/sinktest"
)

// many is how many open ports each of the two runs has; 1,000,000 with
// DORMANT_BENCH_FINDINGS=1000000.
func many() int {
	if n, err := strconv.Atoi(os.Getenv("DORMANT_BENCH_FINDINGS")); err == nil && n > 0 {
		return n
	}
	return 10_000
}

// BenchmarkPages asks for the pages of a history with two large runs of one job,
// and then with a third of another job at the same place. The first request of each is outside the measurement: it fills the cache of the
// database, and the store keeps the difference that it counts.
func BenchmarkPages(b *testing.B) {
	w := newWorld(b, nil)
	shape := sinktest.Findings()[:8]
	record := func(run int, job string, started time.Time) {
		found := make([]reports.Finding, 0, many())
		for i := range many() {
			f := shape[i%len(shape)]
			f.IP = netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
			f.Dialogue, f.Full = nil, nil
			if i%1000 == run {
				f.Expected, f.Version = "no", strconv.Itoa(run)
			}
			found = append(found, f)
		}
		w.record(b, id(run+1), place("hq", "lan"), job, started, nil, found)
	}
	record(0, "j", now().AddDate(0, -2, 0))
	record(1, "j", now().AddDate(0, 0, -9))
	benchmarkPages(b, w, id(2))
	record(2, "k", now().AddDate(0, 0, -5))
	b.Run("two jobs", func(b *testing.B) { benchmarkPages(b, w, id(3)) })
}

func benchmarkPages(b *testing.B, w *world, last string) {
	for _, bb := range []struct{ name, path string }{
		{"overview", "/"}, {"run", "/runs/" + last}, {"findings", "/findings"}, {"breaches", "/breaches"}, {"verdict", "/findings?verdict=possible_c2"},
		{"port", "/findings?port=475"}, {"subnet", "/findings?address=10.7.0.0/16"}, {"text", "/findings?text=openssh"}, {"nothing", "/findings?text=nosuchthing"},
		{"finding", "/runs/" + last + "/10.0.1.3/tcp/475"}, {"changes", "/changes"}, {"trends", "/trends"},
	} {
		b.Run(bb.name, func(b *testing.B) {
			ask := func() {
				r, got := httptest.NewRequestWithContext(b.Context(), http.MethodGet, bb.path, nil), httptest.NewRecorder()
				r.Header.Set("Authorization", "Bearer "+token)
				w.page.ServeHTTP(got, r)
				if got.Code != http.StatusOK {
					b.Fatalf("%s: %d: %s", bb.path, got.Code, got.Body)
				}
			}
			ask()
			b.ReportAllocs()
			for b.Loop() {
				ask()
			}
		})
	}
}
