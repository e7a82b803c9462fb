package reports_test

import (
	"bytes"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"dormant/fingerprint"
	"dormant/reports"
	"dormant/reports/sinktest"
	"dormant/scanner"

	"github.com/google/go-cmp/cmp"
	"github.com/xuri/excelize/v2"
)

// forbidden returns findings of which only the last breaks the policy, and one
// before it is gone.
func forbidden() []reports.Finding {
	all := slices.Clone(sinktest.Findings())
	last := all[3] // a development server
	last.IP, last.Expected, last.Owner, last.Ticket = netip.MustParseAddr("2001:db8::ff"), "no", "web team", "CHG-7"
	last.Change, last.Note = "new", "forbidden by rule no-dev"
	gone := all[8]
	gone.IP, gone.State, gone.Change, gone.Note = netip.MustParseAddr("2001:db8::fe"), scanner.Closed, "gone", "was license_manager"
	return append(all, gone, last)
}

// TestBreachesFirst: what breaks the policy stands before everything else,
// wherever it was found.
func TestBreachesFirst(t *testing.T) {
	findings := forbidden()
	target := findings[len(findings)-1].IP.String()
	var table bytes.Buffer
	s := reports.NewTable(&table, 120, false)
	for _, f := range findings {
		if err := s.Write(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	page := string(render(t, "html", options(), findings))
	markdown := string(render(t, "markdown", options(), findings))
	for _, tt := range []struct{ name, text, after, first, then string }{
		{"table", table.String(), "ADDRESS", target, "10.0.1.20"},
		{"table, attention", table.String(), "Needs attention:", target, "10.0.1.23"},
		{"table, who", table.String(), "Needs attention:", "(owner web team, ticket CHG-7)", "10.0.1.23"},
		{"html", page, "Look at these first", target, "10.0.1.23"},
		{"html, rows", page, "<tbody data-step", target, "10.0.1.20"},
		{"html, answer", page, "<h1>", "1 of them against the policy", "</h1>"},
		{"html, changes", page, "Changed since last time", target, "was license_manager"},
		{"markdown", markdown, "Needs attention", target, "10.0.1.23"},
		{"markdown, changes", markdown, "Changed since last time", target, "was license"},
		{"markdown, rows", markdown, "|---", target, "10.0.1.20"},
	} {
		_, rest, ok := strings.Cut(tt.text, tt.after)
		first, then := strings.Index(rest, tt.first), strings.Index(rest, tt.then)
		if !ok || first < 0 || then < first {
			t.Errorf("%s: behind %q, %q is at %d and %q at %d; want the first before the second\n%s", tt.name, tt.after, tt.first, first, tt.then, then, rest[:min(len(rest), 600)])
		}
	}
}

// TestXLSXSheets: each question has its sheet.
func TestXLSXSheets(t *testing.T) {
	o := options()
	o.Keep = reports.OpenOnly
	book, err := excelize.OpenReader(bytes.NewReader(render(t, "xlsx", o, forbidden())))
	if err != nil {
		t.Fatal(err)
	}
	cells := map[string]string{}
	for _, at := range []string{"Attention!A2", "Attention!B2", "Attention!G2", "Changes!A2", "Changes!B2", "Changes!A4", "Coverage!C2"} {
		sheet, cell, _ := strings.Cut(at, "!")
		if cells[at], err = book.GetCellValue(sheet, cell); err != nil {
			t.Fatal(err)
		}
	}
	want := map[string]string{
		"Attention!A2": "[2001:db8::ff]:475/tcp", "Attention!B2": "against the policy", "Attention!G2": "web team",
		"Changes!A2": "changed", "Changes!B2": "10.0.1.24", "Changes!A4": "gone", "Coverage!C2": "",
	}
	if d := cmp.Diff(want, cells); d != "" {
		t.Errorf("cells (-want +got):\n%s", d)
	}
	rows, err := book.GetRows("Findings")
	if err != nil {
		t.Fatal(err)
	}
	if n := len(rows) - 1; n != open(forbidden()) {
		t.Errorf("%d findings, want the %d that are open", n, open(forbidden()))
	}
}

// TestBreachesOutliveTheBound: a breach takes the place of another finding.
func TestBreachesOutliveTheBound(t *testing.T) {
	f := sinktest.Findings()[4]
	f.Full, f.Dialogue, f.Verdict = nil, nil, fingerprint.KnownService
	var out bytes.Buffer
	table := reports.NewTable(&out, 0, false)
	addr := netip.MustParseAddr("10.0.0.0")
	for i := range 1002 {
		addr = addr.Next()
		f.IP = addr
		if i == 1001 {
			f.Expected = "no"
		}
		if err := table.Write(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
	if err := table.Close(); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(out.String(), "\n")
	if !strings.HasPrefix(lines[1], addr.String()+" ") || !strings.Contains(out.String(), "and 2 open ports more") {
		t.Errorf("the second line is %q, want %s there, and 2 more counted", lines[1], addr)
	}
}

// TestCoverageOfSubnets: where silent targets are a number only, the engine's
// counts are written.
func TestCoverageOfSubnets(t *testing.T) {
	o := reports.Options{Subnets: true, Run: func() reports.Run {
		r := reports.Run{Site: "hq", Vantage: "here"}
		r.Scan.Subnets = []scanner.Subnet{
			{Prefix: netip.MustParsePrefix("10.0.1.0/24"), Targets: 12, Probed: 12, Answered: 3, Open: 1},
			{Prefix: netip.MustParsePrefix("10.0.2.0/24"), Targets: 12, Probed: 6, Answered: 1},
		}
		return r
	}}
	got := string(render(t, "coverage", o, sinktest.Findings()))
	want := "site,vantage,subnet,port,transport,targets,probed,excluded,answered,unreachable,local_errors,est_loss,complete\r\n" +
		"hq,here,10.0.1.0/24,,,12,12,0,3,0,0,,yes\r\n" +
		"hq,here,10.0.2.0/24,,,12,6,0,1,0,0,,no\r\n"
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("coverage (-want +got):\n%s", d)
	}
}
