package reports_test

import (
	"io"
	"net/netip"
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

// BenchmarkSortedMillion sorts a million findings that come in the worst order,
// in bounded memory.
func BenchmarkSortedMillion(b *testing.B) {
	f := sinktest.Findings()[8] // closed: most of what a sweep brings
	b.ReportAllocs()
	for b.Loop() {
		c := new(counting)
		s := reports.NewSorted(c, b.TempDir())
		for i := range 1_000_000 {
			n := uint32(1_000_000 - i)
			f.IP = netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)})
			if err := s.Write(b.Context(), f); err != nil {
				b.Fatal(err)
			}
		}
		if err := s.Close(); err != nil || c.n != 1_000_000 {
			b.Fatalf("Close = %v after %d findings", err, c.n)
		}
	}
}
