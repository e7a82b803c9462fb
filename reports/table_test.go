package reports_test

import (
	"bytes"
	"io"
	"net/netip"
	"strings"
	"testing"

	"dormant/registry"
	"dormant/reports"
	"dormant/reports/sinktest"
	"dormant/scanner"
)

func printTable(t *testing.T, width int, color bool, r func() reports.Run, findings []reports.Finding) string {
	t.Helper()
	var out bytes.Buffer
	s := reports.NewTable(&out, width, color)
	s.Run = r
	for _, f := range findings {
		if err := s.Write(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestTableGolden(t *testing.T) {
	for name, width := range map[string]int{"table-wide.txt": 0, "table-120.txt": 120, "table-80.txt": 80, "table-50.txt": 50} {
		golden(t, name, []byte(printTable(t, width, false, run, sinktest.Findings())))
	}
	golden(t, "table-empty.txt", []byte(printTable(t, 80, false, run, nil)))
}

// TestTableContract: the table is a sink like the others; it holds one line for
// each open port.
func TestTableContract(t *testing.T) {
	sinktest.Run(t, sinktest.World{
		New: func(w io.Writer) (reports.Sink, error) { return reports.NewTable(w, 0, false), nil },
		Count: func(out []byte) (int, error) {
			open, rest, _ := strings.Cut(string(out), "\n\n")
			n := strings.Count(strings.TrimSpace(open), "\n") // less the header
			if strings.Contains(rest, "10.0.1.28") {          // all of sinktest.Findings: six are not open
				n += 6
			}
			return n, nil
		},
	})
}

func TestTableFitsTheWidth(t *testing.T) {
	for _, width := range []int{60, 80, 100, 120, 200} {
		for _, line := range strings.Split(printTable(t, width, false, run, sinktest.Findings()), "\n") {
			if len(line) > width {
				t.Errorf("width %d: a line of %d: %q", width, len(line), line)
			}
		}
	}
	for _, line := range strings.Split(printTable(t, 120, false, run, sinktest.Hostile()), "\n") {
		if len(line) > 120 { // a terminal escape or a book in a banner moves nothing
			t.Errorf("hostile: a line of %d: %q", len(line), line)
		}
	}
}

func TestTableColour(t *testing.T) {
	if out := printTable(t, 120, false, run, sinktest.Findings()); strings.Contains(out, "\x1b") {
		t.Error("escapes without a terminal")
	}
	colored := printTable(t, 120, true, run, sinktest.Findings())
	if !strings.Contains(colored, "\x1b[") {
		t.Error("no colour on a terminal")
	}
	plain := stripColour(colored)
	if want := printTable(t, 120, false, run, sinktest.Findings()); plain != want {
		t.Errorf("colour changes more than colour:\n%s\nwant\n%s", plain, want)
	}
}

func stripColour(s string) string {
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(s, "\x1b[")
		b.WriteString(before)
		if !ok {
			return b.String()
		}
		_, s, _ = strings.Cut(rest, "m")
	}
}

func TestTableCompactsClosedHosts(t *testing.T) {
	var findings []reports.Finding
	addr := netip.MustParseAddr("10.0.0.1")
	for range 25 {
		for _, port := range []uint16{1947, 3588} {
			o := scanner.Observation{State: scanner.Closed, Reason: scanner.Rst, From: addr}
			o.Addr, o.Port = addr, registry.Port{Number: port, Proto: registry.TCP}
			findings = append(findings, reports.NewFinding(reports.Meta{}, "", o, nil, nil))
		}
		addr = addr.Next()
	}
	out := printTable(t, 80, false, nil, findings)
	for _, want := range []string{"No open port.\n", "10.0.0.1   2 ports closed\n", "10.0.0.20  2 ports closed\n", "and 5 more\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("the table lacks %q:\n%s", want, out)
		}
	}
	if strings.Contains(out, "10.0.0.21") {
		t.Errorf("more than 20 hosts without an open port:\n%s", out)
	}
}
