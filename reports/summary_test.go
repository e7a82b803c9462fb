package reports_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dormant/reports"
	"dormant/scanner"
)

// TestLowerBoundsAreSaid: numbers that lack what a killed part has sent are not
// shown as if they were whole, and others not as if they were not.
func TestLowerBoundsAreSaid(t *testing.T) {
	for _, tt := range []struct {
		name           string
		uncounted      bool
		want, unwanted string
	}{
		{"everything counted", false, "at most 36 probes", "lower bounds"},
		{"after a kill", true, "at least 36 probes", "at most 36 probes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := reports.Run{Scan: scanner.Summary{Started: time.Unix(1, 0), Targets: 12, Probes: 36, MostToHost: 36, Complete: true, Uncounted: tt.uncounted}}
			var b bytes.Buffer
			if err := r.WriteText(&b); err != nil {
				t.Fatal(err)
			}
			if got := b.String(); !strings.Contains(got, tt.want) || strings.Contains(got, tt.unwanted) || strings.Contains(got, "lower bounds") != tt.uncounted {
				t.Errorf("want %q, not %q, and lower bounds %t in\n%s", tt.want, tt.unwanted, tt.uncounted, got)
			}
		})
	}
}

// TestSummaryText: every line of a run with everything, and none of what a run
// did not do.
func TestSummaryText(t *testing.T) {
	full := reports.Run{ScanID: "s_1", Site: "hq", Vantage: "here", Targets: []string{"10.0.0.0/24"}, Excluded: []string{"10.0.0.9"}, Ports: []string{"1947/tcp"},
		Backend: "afpacket", Seed: 7}
	full.Scan = scanner.Summary{Started: time.Unix(1, 0), Targets: 1000, Addresses: 1000, Probes: 1000, Retries: 0, Rate: 2500, Complete: true, Skipped: 1,
		Loss: &scanner.Loss{Answers: 1, Late: 1, Rate: 0.0005, Recall: 0.9999999}, MaxHalfOpen: 4, MostToHost: 2, MostBytesToHost: 80, Notes: []string{"one MAC answers for all"}}
	full.Identify.Ports, full.Identify.Connections, full.Identify.Canaries, full.Identify.Fragile = 1, 2, 3, 1
	for name, tt := range map[string]struct {
		run  reports.Run
		want string
	}{
		"everything": {full, `
run          s_1
coverage     1,000 targets (1,000 addresses) from here at site hq: nobody answered. Complete. About 0.05% of the probes or their answers got lost: 1 answer came only to a retry, the expected recall is over 99.9999%, retries cost 0% more probes.
targets      10.0.0.0/24
excluded     10.0.0.9
ports        1947/tcp
sweep        1,000 probes (0 again: 0% more) at 2,500 per second, backend afpacket, seed 7
loss         0.05% of probes or answers, by 1 answer of which 1 came to a retry; expected recall over 99.9999%
skipped      1 target without a neighbour got no probe
dialogues    1 port, 2 connections, 0 bytes sent and 0 bytes received, 3 canary connects
gentleness   at most 2 probes of 80 bytes to one host
fragile      1 port open, and not talked to
packets      0 received, 0 not ours, 0 duplicate, 0 foreign, 0 dropped, 0 not sent
half-open    at most 4 at one time
note         one MAC answers for all
`}, "nothing but a sweep": {reports.Run{Scan: scanner.Summary{Started: time.Unix(1, 0), Targets: 1, Probes: 1, Complete: true}}, `
run          
coverage     1 target (0 addresses) from this host: nobody answered. Complete.
targets      
ports        
sweep        1 probe (0 again: 0% more) at 0 per second, backend , seed 0
packets      0 received, 0 not ours, 0 duplicate, 0 foreign, 0 dropped, 0 not sent
half-open    at most 0 at one time
`},
	} {
		var b bytes.Buffer
		if err := tt.run.WriteText(&b); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(tt.want, "\n"+b.String()); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}

// TestReasons: why a run is incomplete, each reason once.
func TestReasons(t *testing.T) {
	started := time.Unix(1, 0)
	for name, tt := range map[string]struct {
		run  reports.Run
		want []string
	}{
		"complete":       {reports.Run{Scan: scanner.Summary{Started: started, Complete: true}}, nil},
		"not begun":      {reports.Run{}, nil},
		"without a word": {reports.Run{Scan: scanner.Summary{Started: started}}, []string{"the sweep did not finish"}},
		"said by both":   {reports.Run{Interrupted: true, Scan: scanner.Summary{Why: []string{"interrupted", "x"}}, Why: []string{"x"}}, []string{"interrupted", "x"}},
		"here": {reports.Run{Lost: 2, Identify: reports.Identification{Cancelled: 1, LocalErrors: 2, Fault: "no\nroom"}},
			[]string{"2 findings lost", "1 dialogue cut short", `2 dialogues failed on this side, the first was no\x0aroom`}},
		"no fault is known": {reports.Run{Identify: reports.Identification{LocalErrors: 1}}, []string{"1 dialogue failed on this side"}},
	} {
		if d := cmp.Diff(tt.want, tt.run.Reasons()); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}
