package reports_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dormant/registry"
	"dormant/reports"
	"dormant/scanner"
)

// TestCoverageOfFindings: for each subnet and port what the findings tell, and
// beside it what only the run knows: what was excluded, and what got lost.
func TestCoverageOfFindings(t *testing.T) {
	loss := 0.04
	facts := reports.Run{Site: "hq", Vantage: "here"}
	facts.Scan.Subnets = []scanner.Subnet{
		{Prefix: netip.MustParsePrefix("10.0.0.0/24"), Excluded: 3072, ExcludedAddresses: 256},
		{Prefix: netip.MustParsePrefix("10.0.1.0/24"), Targets: 4, Excluded: 24, ExcludedAddresses: 2, EstLoss: &loss},
		{Prefix: netip.MustParsePrefix("10.0.2.0/24"), Targets: 12},
		{Prefix: netip.MustParsePrefix("10.0.8.0/21"), Excluded: 24576, ExcludedAddresses: 2048},
	}
	var findings []reports.Finding
	for i, state := range []scanner.State{scanner.Open, scanner.Filtered, scanner.Unknown, scanner.Unreachable} {
		f := reports.Finding{Site: "hq", Vantage: "here", IP: netip.AddrFrom4([4]byte{10, 0, 1, byte(i)}), Transport: registry.TCP, Port: 1947, State: state, ProbesSent: 1}
		switch state {
		case scanner.Open:
			f.ProbesAnswered = 1
		case scanner.Unreachable:
			f.ProbesSent = 0 // a neighbour that answered no ARP
		}
		findings = append(findings, f)
	}
	header := "site,vantage,subnet,port,transport,targets,probed,excluded,answered,unreachable,local_errors,est_loss,complete\r\n"
	for _, tt := range []struct {
		name     string
		run      func() reports.Run
		findings []reports.Finding
		want     string
	}{
		{"the run is known", func() reports.Run { return facts }, findings, "hq,here,10.0.0.0/24,,,0,0,3072,0,0,0,,yes\r\n" +
			"hq,here,10.0.1.0/24,1947,tcp,4,3,2,1,1,1,0.0400,no\r\n" +
			"hq,here,10.0.8.0/21,,,0,0,24576,0,0,0,,yes\r\n"},
		{"it is not", nil, findings, "hq,here,10.0.1.0/24,1947,tcp,4,3,,1,1,1,,no\r\n"},
		{"no finding", func() reports.Run { return facts }, nil, "hq,here,10.0.0.0/24,,,0,0,3072,0,0,0,,yes\r\n" +
			"hq,here,10.0.8.0/21,,,0,0,24576,0,0,0,,yes\r\n"},
	} {
		got := string(render(t, "coverage", reports.Options{Run: tt.run}, tt.findings))
		if d := cmp.Diff(header+tt.want, got); d != "" {
			t.Errorf("%s: coverage (-want +got):\n%s", tt.name, d)
		}
	}
	got := string(render(t, "coverage", reports.Options{Run: func() reports.Run { return facts }, Subnets: true}, nil))
	for _, row := range []string{"10.0.0.0/24,,,0,0,3072,0,0,0,,yes", "10.0.1.0/24,,,4,0,24,0,0,0,0.0400,no", "10.0.2.0/24,,,12,0,0,0,0,0,,no"} {
		if !strings.Contains(got, "hq,here,"+row+"\r\n") {
			t.Errorf("by subnet: no row %q in\n%s", row, got)
		}
	}
}

// TestCoverageSaysWhatWasLostAndMissed: the estimates stand in the line that
// every report ends with.
func TestCoverageSaysWhatWasLostAndMissed(t *testing.T) {
	r := reports.Run{}
	r.Scan = scanner.Summary{Targets: 3000, Addresses: 1000, HostsAlive: 900, Open: 900, Closed: 2000, Filtered: 100, Probes: 3300, Retries: 300, Complete: true,
		Loss:     &scanner.Loss{Answers: 2900, Late: 116, Rate: 0.0396, Missed: 0.18, Recall: 0.99993795},
		Estimate: &scanner.Estimate{First: 899, Second: 898, Both: 897, Missed: 0.002, High: 1.2}}
	got := r.Coverage()
	want := "3,000 targets (1,000 addresses) from this host: 900 hosts answered, 900 ports open, 2,000 closed, 100 filtered. Complete. " +
		"About 4.0% of the probes or their answers got lost: 116 answers came only to a retry, the expected recall is 99.9938%, retries cost 10.0% more probes. " +
		"Two passes: 899 open in the first, 898 in the second, 897 in both; an estimated 0.0 in neither (95%: 0.0 to 1.2)."
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("coverage (-want +got):\n%s", d)
	}
	r.Scan.Loss.Late, r.Scan.Estimate = 0, nil
	if got := r.Coverage(); !strings.HasSuffix(got, "Complete.") {
		t.Errorf("nothing was lost, and it says %q", got)
	}
}
