package main

import (
	"net/netip"
	"strings"
	"testing"

	"dormant/fingerprint"
	"dormant/registry"
	"dormant/reports"
	"dormant/reports/policy"
	"dormant/scanner"
)

// What outsiders may reach is in the notification, with the advice, and not
// counted twice where it is a breach, too.
func TestNotifyExposure(t *testing.T) {
	finding := func(flags ...string) reports.Finding {
		return reports.Finding{
			IP: netip.MustParseAddr("11.77.0.10"), Transport: registry.TCP, Port: 1947, State: scanner.Open, Verdict: fingerprint.LicenseManager, Flags: flags,
			Exposure: &reports.Exposure{Why: []string{"on a public address"}, Advice: "Close it."},
		}
	}
	o := outcomeOf(t, finding(reports.FlagPublic), finding(reports.FlagPublic, policy.FlagBreach), finding(reports.FlagExposureWaived))
	if got, want := o.summary(), "1 against the policy, 2 license managers that outsiders may reach"; got != want {
		t.Errorf("summary = %q, want %q", got, want)
	}
	m := newMessage(reports.Run{ScanID: "s_1"}, o)
	if want := "exposed: 11.77.0.10 1947/tcp license_manager. Close it."; !strings.Contains(m.Text, want) || strings.Contains(m.Text, "more") {
		t.Errorf("message:\n%s\nwant %q, and nothing left out", m.Text, want)
	}
}
