package reports_test

import (
	"bytes"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"dormant/fingerprint"
	"dormant/registry"
	"dormant/reports"
	"dormant/scanner"

	"github.com/google/go-cmp/cmp"
)

// exposures are license managers as package policy marks them, and one as a
// file with nothing but the columns tells it.
func exposures() []reports.Finding {
	f := reports.Finding{
		Schema: 1, IP: netip.MustParseAddr("11.77.0.10"), Transport: registry.TCP, Port: 1947, State: scanner.Open, Reason: scanner.SynAck,
		Confirmed: reports.ConfirmedYes, Verdict: fingerprint.LicenseManager, Confidence: 93, Product: "Sentinel LDK License Manager", Clients: -1,
		Severity: "medium", Flags: []string{reports.FlagPublic},
		Exposure: &reports.Exposure{Why: []string{"on a public address"}, Advice: "Close 1947/tcp towards outsiders.\x1b[31m Then | look `again`."},
	}
	outside, read, waived := f, f, f
	outside.IP, outside.Severity, outside.Flags = netip.MustParseAddr("10.1.4.9"), "high", []string{reports.FlagOutside}
	outside.Exposure = &reports.Exposure{Why: []string{"from the vantage <dmz-7>, which the policy calls outside"}}
	read.IP, read.Exposure, read.Flags = netip.MustParseAddr("11.77.0.11"), nil, []string{reports.FlagOutside, reports.FlagPublic}
	waived.IP, waived.Exposure, waived.Flags = netip.MustParseAddr("11.77.0.12"), nil, []string{reports.FlagExposureWaived}
	return []reports.Finding{outside, f, read, waived}
}

func TestExposedGolden(t *testing.T) {
	for _, name := range []string{"exposure.md", "exposure.txt", "exposure.csv", "exposure.jsonl"} {
		var out bytes.Buffer
		var s reports.Sink = reports.NewTable(&out, 100, false)
		if format, err := (reports.Options{}).FormatOf(name); err == nil {
			if s, err = reports.Formats()[format].New(&out, reports.Options{}); err != nil {
				t.Fatal(err)
			}
		}
		for _, f := range exposures() {
			if err := s.Write(t.Context(), f); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(path, out.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(string(want), out.String()); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}

// The page shows the same words in the list and in the card.
func TestExposedPage(t *testing.T) {
	var out bytes.Buffer
	s, err := reports.NewHTML(&out, reports.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range exposures() {
		if err := s.Write(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]int{
		"3 of 4 open ports need attention: 3 license managers that outsiders may reach.": 1,
		"<h3>License manager that outsiders may reach</h3>":                              3,
		"from the vantage &lt;dmz-7&gt;, which the policy calls outside":                 3, // first, list, card
		"Close 1947/tcp towards outsiders.\\x1b[31m Then | look `again`.":                1,
		"exposure_waived": 1,
	} {
		if got := bytes.Count(out.Bytes(), []byte(text)); got != want {
			t.Errorf("%q stands %d times on the page, want %d", text, got, want)
		}
	}
}
