package reports_test

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dormant/fingerprint"
	"dormant/registry"
	"dormant/reports"
	"dormant/scanner"
)

// TestSortedGivesWhatTellsMost: in whatever order answers of one target come,
// and however many of them are held at a time.
func TestSortedGivesWhatTellsMost(t *testing.T) {
	spoken := &fingerprint.Evidence{}
	row := func(last byte, vantage string, s scanner.State, ev *fingerprint.Evidence) reports.Finding {
		return reports.Finding{
			IP: netip.AddrFrom4([4]byte{10, 0, 0, last}), Transport: registry.TCP, Port: 1,
			Vantage: vantage, State: s, Dialogue: ev,
		}
	}
	rows := []reports.Finding{
		row(1, "lan", scanner.Filtered, nil), row(1, "lan", scanner.Open, spoken),
		row(2, "lan", scanner.Open, spoken), row(2, "lan", scanner.Open, nil), row(2, "lan", scanner.OpenFiltered, nil),
		row(3, "lan", scanner.Unreachable, nil),
		row(4, "lan", scanner.Unreachable, nil), row(4, "dmz", scanner.Filtered, nil), row(4, "lan", scanner.Closed, nil),
	}
	want := []string{
		"10.0.0.1 lan open spoken with", "10.0.0.2 lan open spoken with", "10.0.0.3 lan unreachable",
		"10.0.0.4 dmz filtered", "10.0.0.4 lan closed",
	}
	for held := 1; held <= len(rows)+1; held++ {
		for shift := range rows {
			k := new(kept)
			s := reports.NewSortedRows(k, t.TempDir(), held)
			for i := range rows {
				if err := s.Write(t.Context(), rows[(i+shift)%len(rows)]); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range k.findings {
				words := f.IP.String() + " " + f.Vantage + " " + f.State.String()
				if f.Dialogue != nil {
					words += " spoken with"
				}
				got = append(got, words)
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Fatalf("%d held, beginning with row %d (-want +got):\n%s", held, shift, d)
			}
		}
	}
}
