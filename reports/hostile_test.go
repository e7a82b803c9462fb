package reports_test

import (
	"bytes"
	"testing"

	"dormant/reports"
	"dormant/reports/sinktest"
)

// FuzzFormats puts one text in every place that a host can fill: every text
// format must still read back as the one finding that it is, and hold nothing
// that a terminal or a browser acts on.
func FuzzFormats(f *testing.F) {
	for _, s := range sinktest.Attacks() {
		if len(s) < 1000 {
			f.Add(s)
		}
	}
	f.Fuzz(func(t *testing.T, s string) {
		finding := sinktest.Findings()[0]
		finding.Hostname, finding.Service, finding.Product, finding.Version, finding.CPE = s, s, s, s, s
		finding.Evidence, finding.Note, finding.TLSName, finding.TLSCert, finding.JARM = s, s, s, s, s
		finding.MACVendor, finding.RuleID, finding.Flags = s, s, []string{s, s}
		finding.Full.Product, finding.Full.Hints, finding.Full.Settle = s, []string{s}, []string{s}
		finding.Full.Signs[0].Excerpt, finding.Full.Signs[0].Rule = s, s
		finding.Dialogue.Exchanges[0].Received, finding.Dialogue.Exchanges[0].Error = []byte(s), s
		for name, r := range readers() {
			if r.binary {
				continue
			}
			out := render(t, name, options(), []reports.Finding{finding})
			sinktest.CheckText(t, out)
			want := 1
			if r.want != nil {
				want = r.want([]reports.Finding{finding})
			}
			if n, err := r.count(out); n != want || err != nil {
				t.Fatalf("%s: %q reads back as %d findings, %v; want %d", name, s, n, err, want)
			}
		}
	})
}

func TestRunText(t *testing.T) {
	var out bytes.Buffer
	r := run()
	if err := r.WriteText(&out); err != nil {
		t.Fatal(err)
	}
	golden(t, "run.txt", out.Bytes())

	out.Reset()
	begun := reports.Run{ScanID: "s_1", Targets: []string{"10.0.0.0/24"}, Ports: []string{"1947/tcp"}, Why: []string{"the run has no end"}}
	if err := begun.WriteText(&out); err != nil {
		t.Fatal(err)
	}
	const want = "run          s_1\ncoverage     INCOMPLETE: the run has no end.\ntargets      10.0.0.0/24\nports        1947/tcp\n"
	if out.String() != want {
		t.Errorf("a run that has only begun: %q, want %q", out.String(), want)
	}
}

func TestCoverageLine(t *testing.T) {
	full := run()
	full.Scan.Complete, full.Scan.Why = true, nil
	quiet := reports.Run{}
	quiet.Scan.Targets, quiet.Scan.Addresses, quiet.Scan.Complete, quiet.Scan.Filtered = 6, 1, true, 6
	part := quiet
	part.Shard = "1/2"
	begun := reports.Run{ScanID: "s_1", Why: []string{"the run has no end"}}
	four := full
	four.Targets = []string{"10.0.1.0/24", "host.example.net", `C:\targets.txt`}
	six := four
	six.Targets = []string{"2001:db8::/120", "host.example.net"}
	cut := full
	cut.Interrupted, cut.Lost, cut.Identify.Cancelled = true, 2, 1
	for _, tt := range []struct {
		name string
		run  reports.Run
		want string
		ok   bool
	}{
		{name: "complete", run: full, ok: true, want: "3,577 targets (511 addresses) from probe-dmz1 at site hq in 1m35s: 9 hosts answered (a machine with IPv4 and IPv6 is two), 10 ports open, " +
			"2 closed, 3,550 filtered, 1 open or filtered, 13 unreachable, 1 not measured. Complete."},
		{name: "one family", run: four, ok: true, want: "3,577 targets (511 addresses) from probe-dmz1 at site hq in 1m35s: 9 hosts answered, 10 ports open, " +
			"2 closed, 3,550 filtered, 1 open or filtered, 13 unreachable, 1 not measured. Complete."},
		{name: "the other", run: six, ok: true, want: "3,577 targets (511 addresses) from probe-dmz1 at site hq in 1m35s: 9 hosts answered, 10 ports open, " +
			"2 closed, 3,550 filtered, 1 open or filtered, 13 unreachable, 1 not measured. Complete."},
		{name: "nobody", run: quiet, ok: true, want: "6 targets (1 address) from this host: nobody answered, 6 filtered. Complete."},
		{name: "cut short", run: cut, want: "3,577 targets (511 addresses) from probe-dmz1 at site hq in 1m35s: 9 hosts answered (a machine with IPv4 and IPv6 is two), 10 ports open, " +
			"2 closed, 3,550 filtered, 1 open or filtered, 13 unreachable, 1 not measured. " +
			"INCOMPLETE: interrupted; 2 findings lost; 1 dialogue cut short."},
		{name: "a shard", run: part, ok: true, want: "Shard 1/2: 6 targets (1 address) from this host: nobody answered, 6 filtered. Complete."},
		{name: "only begun", run: begun, want: "INCOMPLETE: the run has no end."},
		{name: "nothing", want: "nothing was asked"},
	} {
		if got := tt.run.Coverage(); got != tt.want || tt.run.Complete() != tt.ok {
			t.Errorf("%s: coverage = %q, complete %t; want %q, %t", tt.name, got, tt.run.Complete(), tt.want, tt.ok)
		}
	}
}
