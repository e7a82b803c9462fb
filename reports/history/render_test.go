package history_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"dormant/reports/history"
)

var update = flag.Bool("update", false, "write the golden files again")

// difference is every kind of change between two runs, hostile texts included.
func difference(t *testing.T, s *history.Store) *history.Difference {
	at := func(a, product, version string) service { return service{at: a, product: product, version: version} }
	mover := service{at: "10.0.0.7:3588/tcp", product: "Vite", version: "5", host: "dev.corp"}
	wide := plan("10.0.0.0/24", "10.0.9.0/24")
	record(t, s, "s_0", day(1), wide, true, at("10.0.0.5:1947/tcp", "Old", "1"), at("10.0.0.6:1947/tcp", "=cmd|' /C calc'!A0", "\x1b[2J"))
	from := record(t, s, "s_1", day(2), wide, true, at("10.0.0.1:1947/tcp", "Sentinel", "18"), at("10.0.0.2:5093/udp", "RMS", "9"),
		at("10.0.0.6:1947/tcp", "=cmd|' /C calc'!A0", "\x1b[2J"), mover, at("10.0.9.1:3588/tcp", "nginx", "1"))
	mover.at = "10.0.0.8:3588/tcp"
	to := record(t, s, "s_2", day(3), plan("10.0.0.0/24", "10.0.8.0/24"), true, at("10.0.0.1:1947/tcp", "Sentinel", "19"),
		at("10.0.0.3:3588/tcp", "<script>", "2"), mover, at("10.0.8.1:3588/tcp", "Vite", "5"))
	from.Finished, to.Finished = from.Started.Add(time.Minute), to.Started.Add(time.Minute)
	d, err := s.Compare(t.Context(), from, to)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func testDifferenceGolden(t *testing.T, s *history.Store) {
	d := difference(t, s)
	for _, format := range history.DiffFormats() {
		var out bytes.Buffer
		if err := d.Write(t.Context(), &out, format); err != nil {
			t.Fatal(err)
		}
		for i, c := range out.Bytes() {
			if (c < ' ' || c > '~') && c != '\n' && c != '\r' {
				t.Errorf("%s: byte %d is %#02x: a terminal may act on it", format, i, c)
			}
		}
		golden := filepath.Join("testdata", "diff."+format)
		if *update {
			if err := os.WriteFile(golden, out.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if diff := gocmp.Diff(string(want), out.String()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", format, diff)
		}
	}
	if !d.Differs() {
		t.Error("Differs = false")
	}
}

// The machines' forms are read by readers that are not ours.
func TestDifferenceReadsBack(t *testing.T) {
	d := difference(t, open(t, newFile(t)))
	n := 0
	for _, of := range d.Counts {
		n += int(of)
	}
	var out bytes.Buffer
	if err := d.Write(t.Context(), &out, "csv"); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(&out).ReadAll()
	if err != nil || len(rows) != 1+n {
		t.Fatalf("CSV: %d rows, %v; want %d", len(rows), err, 1+n)
	}
	for _, row := range rows {
		for _, cell := range row {
			if strings.HasPrefix(cell, "=") {
				t.Errorf("cell %q is a formula", cell)
			}
		}
	}
	if err := d.Write(t.Context(), &out, "json"); err != nil {
		t.Fatal(err)
	}
	var back struct{ Changes []map[string]any }
	if err := json.Unmarshal(out.Bytes(), &back); err != nil || len(back.Changes) != n {
		t.Errorf("JSON: %d changes, %v; want %d", len(back.Changes), err, n)
	}
	if err := d.Write(t.Context(), &out, "xml"); err == nil {
		t.Error("an unknown format is taken")
	}
}
