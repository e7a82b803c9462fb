package main

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dormant/reports"
	"dormant/reports/history"
	"dormant/reports/sinktest"
)

// TestExplainHostile: a stored finding, be it from another program's history,
// cannot steer the terminal that it is explained on.
func TestExplainHostile(t *testing.T) {
	run := history.Run{ID: "s_1", Facts: reports.Run{Vantage: "\x1b[2Jlan"}}
	for _, f := range sinktest.Hostile() {
		var out bytes.Buffer
		if err := writeExplanation(&out, run, &f, "text", true); err != nil {
			t.Fatal(err)
		}
		sinktest.CheckText(t, out.Bytes())
	}
}

// TestExplainText holds the whole text of one finding of each kind that reads
// otherwise: with a host name, hints, what lost, nothing that decided, no dialogue.
func TestExplainText(t *testing.T) {
	findings := sinktest.Findings()
	swept := findings[0]
	swept.Full, swept.Hostname = nil, ""
	run := history.Run{ID: "s_1", Started: findings[0].Dialogue.Started, Facts: reports.Run{Vantage: "lan"}}
	var out bytes.Buffer
	for _, f := range []reports.Finding{findings[0], findings[1], findings[2], findings[5], swept} {
		if err := writeExplanation(&out, run, &f, "text", false); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/explain.txt")
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), out.String()); d != "" {
		t.Errorf("explanations differ from testdata/explain.txt (-want +got):\n%s", d)
	}
	for _, transcript := range []bool{true, false} {
		out.Reset()
		err := writeExplanation(&out, run, &findings[0], "text", transcript)
		if said := strings.Contains(out.String(), "connection 1\n"); err != nil || said != transcript {
			t.Errorf("transcript %t: in the text %t, %v", transcript, said, err)
		}
	}
}

// TestExplainPolicy: that the policy made the severity is said.
func TestExplainPolicy(t *testing.T) {
	for _, tt := range []struct {
		name, note string
		want       string // a line, "" for none
	}{
		{name: "no policy", note: "web; a hint"},
		{name: "a breach", note: "forbidden by rule shells, its waiver ended 2026-10-31; web; a hint", want: "  - forbidden by rule shells, its waiver ended 2026-10-31\n"},
	} {
		f := sinktest.Findings()[4]
		v := *f.Full
		v.Reason, v.Hints = "web", []string{"a hint"}
		f.Full, f.Note = &v, tt.note
		var out bytes.Buffer
		if err := writeExplanation(&out, history.Run{}, &f, "text", false); err != nil {
			t.Fatal(err)
		}
		_, seen, _ := strings.Cut(out.String(), "Why it stands out\n")
		seen, _, _ = strings.Cut(seen, "\n\n")
		if want := "  - " + reports.Explain(&f).Why + "\n" + tt.want; !strings.HasPrefix(seen, want) || strings.Contains(seen, "  - web") {
			t.Errorf("%s: explained as %q; want it to begin with %q", tt.name, seen, want)
		}
	}
}
