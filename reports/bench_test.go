package reports_test

import (
	"context"
	"io"
	"net/netip"
	"runtime"
	"slices"
	"testing"

	"dormant/reports"
	"dormant/reports/sinktest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func diff(want, got []reports.Finding) string {
	return cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{}), cmpopts.EquateEmpty())
}

// BenchmarkFormats is one finding through each format that streams.
func BenchmarkFormats(b *testing.B) {
	f := sinktest.Findings()[0]
	for name, format := range reports.Formats() {
		if !format.Streams {
			continue
		}
		b.Run(name, func(b *testing.B) {
			s, err := format.New(io.Discard, options())
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if err := s.Write(b.Context(), f); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkMillion sends a million findings in the worst order through the sort
// into every format that streams, and reports the most heap that was in use.
func BenchmarkMillion(b *testing.B) {
	const findings = 1_000_000
	f := sinktest.Findings()[8] // closed: most of what a sweep brings
	names := []string{"sort only"}
	for name, format := range reports.Formats() {
		if format.Streams {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				var next reports.Sink = new(counting)
				if name != "sort only" {
					var err error
					if next, err = reports.Formats()[name].New(io.Discard, options()); err != nil {
						b.Fatal(err)
					}
				}
				heap := &peak{Sink: next}
				s := reports.NewSorted(heap, b.TempDir())
				for i := range findings {
					n := uint32(findings - i)
					f.IP = netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)})
					if err := s.Write(b.Context(), f); err != nil {
						b.Fatal(err)
					}
				}
				heap.sample()
				if err := s.Close(); err != nil || heap.n != findings {
					b.Fatalf("Close = %v after %d findings", err, heap.n)
				}
				b.ReportMetric(float64(heap.bytes)/(1<<20), "peak-MiB")
			}
		})
	}
}

// peak samples the heap on the way.
type peak struct {
	reports.Sink
	n     int
	bytes uint64
}

func (p *peak) Write(ctx context.Context, f reports.Finding) error {
	if p.n++; p.n%50_000 == 0 {
		p.sample()
	}
	return p.Sink.Write(ctx, f)
}

func (p *peak) sample() {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	p.bytes = max(p.bytes, m.HeapInuse)
}
