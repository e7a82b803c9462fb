package policy_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"dormant/fingerprint"
	"dormant/registry"
	"dormant/reports"
	"dormant/reports/policy"
	"dormant/scanner"
)

func TestPublic(t *testing.T) {
	for _, tt := range []struct {
		addr string
		want bool
	}{
		{"8.8.8.8", true}, {"1.1.1.1", true}, {"9.255.255.255", true}, {"11.0.0.0", true}, {"100.63.255.255", true}, {"100.128.0.0", true},
		{"172.15.255.255", true}, {"172.32.0.0", true}, {"192.0.0.9", true}, {"198.17.255.255", true}, {"198.20.0.0", true}, {"223.255.255.255", true},
		{"0.0.0.0", false}, {"10.0.0.1", false}, {"100.64.0.1", false}, {"100.127.255.255", false}, {"127.0.0.1", false}, {"169.254.1.1", false},
		{"172.16.0.1", false}, {"172.31.255.255", false}, {"192.0.0.8", false}, {"192.0.2.1", false}, {"192.88.99.1", false}, {"192.168.1.1", false},
		{"198.18.0.1", false}, {"198.51.100.7", false}, {"203.0.113.7", false}, {"224.0.0.1", false}, {"255.255.255.255", false},
		{"2606:4700::1111", true}, {"2a00:1450::1", true}, {"2001:4860:4860::8888", true}, {"3ffe::1", true},
		{"::", false}, {"::1", false}, {"fe80::1", false}, {"fe80::1%eth0", false}, {"fd00::1", false}, {"fc00::1", false}, {"ff02::1", false},
		{"2001:db8::1", false}, {"3fff::1", false}, {"2001::1", false}, {"2001:2::1", false}, {"100::1", false}, {"5f00::1", false}, {"64:ff9b:1::1", false},
		{"::ffff:10.0.0.1", false}, {"::ffff:8.8.8.8", true}, {"64:ff9b::8.8.8.8", true}, {"64:ff9b::10.0.0.1", false},
		{"2002:808:808::1", true}, {"2002:a00:1::1", false}, {"2606:4700::1%eth0", false},
	} {
		if got := policy.Public(netip.MustParseAddr(tt.addr)); got != tt.want {
			t.Errorf("Public(%s) = %t, want %t", tt.addr, got, tt.want)
		}
	}
	if policy.Public(netip.Addr{}) {
		t.Error("no address is public")
	}
}

// What the standard library calls private, loopback, link-local or multicast is
// never public.
func FuzzPublic(f *testing.F) {
	f.Add([]byte{8, 8, 8, 8})
	f.Add([]byte{0x20, 2, 10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		a, ok := netip.AddrFromSlice(b)
		if ok && policy.Public(a) && (!a.Unmap().IsGlobalUnicast() || a.Unmap().IsPrivate()) && !strings.HasPrefix(a.String(), "64:ff9b::") {
			t.Errorf("Public(%v) = true", a)
		}
	})
}

const zones = `
version: 1
vantages:
  dmz-*: outside
  Branch: outside
  guest: inside
rules:
  - {address: 10.1.4.0/24, verdict: license_manager, expected: yes, owner: CAD}
waivers:
  - {address: 10.1.4.9, port: 1947/tcp, vantage: dmz-1, owner: R. Meyer, reason: "partner; until the fair", ticket: CHG2, expires: 2026-12-31}
  - {address: 10.1.4.8, owner: R. Meyer, reason: gone, expires: 2026-10-31}
`

func dossiers(p registry.Port) (registry.Entry, bool) {
	if p.Number != 1947 {
		return registry.Entry{}, false
	}
	return registry.Entry{Number: 1947, Facts: []registry.Fact{{Topic: registry.TopicAdvice, Text: "no"}, {Topic: registry.TopicOutside, Text: "Close it; now."}}}, true
}

func TestExposure(t *testing.T) {
	p, err := policy.Parse("p.yaml", []byte(zones))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.Local)
	lm, dev := fingerprint.LicenseManager, fingerprint.DevServer
	closed := found("8.8.8.8", "1947/tcp", lm, "", "info", "")
	closed.State = scanner.Closed
	for _, tt := range []struct {
		name   string
		policy *policy.Policy
		f      reports.Finding
		want   string // severity, flags, note
	}{
		{"inside", p, found("10.1.4.1", "1947/tcp", lm, "", "info", "hq"), "info [] "},
		{"a pattern of the policy", p, found("10.1.4.1", "1947/tcp", lm, "", "info", "dmz-7"),
			"high [exposed_outside] outsiders may reach it: it answers from the vantage dmz-7, which the policy calls outside. Close it, now"},
		{"in any case of letters", p, found("10.1.4.1", "3588/tcp", lm, "", "info", "branch"),
			"high [exposed_outside] outsiders may reach it: it answers from the vantage branch, which the policy calls outside"},
		{"the policy takes a name back", p, found("10.1.4.1", "1947/tcp", lm, "", "info", "guest"), "info [] "},
		{"the name alone", p, found("10.1.4.1", "5093/udp", lm, "", "info", "DMZ"),
			"high [exposed_outside] outsiders may reach it: it answers from the vantage DMZ, which is outside by its name"},
		{"no policy", nil, found("10.1.4.1", "5093/udp", lm, "", "info", "internet"),
			"high [exposed_outside] outsiders may reach it: it answers from the vantage internet, which is outside by its name"},
		{"a longer name says nothing", nil, found("10.1.4.1", "5093/udp", lm, "", "info", "guest-vm-3"), "info [] "},
		{"a public address", nil, found("8.8.8.8", "1947/udp", lm, "", "info", "hq"),
			"medium [exposed_public_address] outsiders may reach it: it answers on a public address. Close it, now"},
		{"both", p, found("2606:4700::1", "475/tcp", lm, "", "low", "dmz-1"),
			"high [exposed_outside exposed_public_address] outsiders may reach it: it answers from the vantage dmz-1, which the policy calls outside and on a public address"},
		{"no license manager", p, found("8.8.8.8", "1947/tcp", dev, "", "info", "dmz-1"), "info [] "},
		{"not open", p, closed, "info [] "},
		{"this host's own view", p, found("8.8.8.8", "1947/tcp", lm, "", "info", reports.LocalVantage), "info [] "},
		{"waived", p, found("10.1.4.9", "1947/tcp", lm, "", "info", "dmz-1"), "info [exposure_waived] exposure waived until 2026-12-31: partner, until the fair"},
		{"waived elsewhere", p, found("10.1.4.9", "1947/tcp", lm, "", "info", "dmz-2"),
			"high [exposed_outside] outsiders may reach it: it answers from the vantage dmz-2, which the policy calls outside. Close it, now"},
		{"its waiver ended", p, found("10.1.4.8", "1947/tcp", lm, "", "info", "dmz-1"),
			"high [exposed_outside] outsiders may reach it: it answers from the vantage dmz-1, which the policy calls outside, its waiver ended 2026-10-31. Close it, now"},
	} {
		a := &policy.Auditor{Policy: tt.policy, Dossier: dossiers, Now: now}
		f := tt.f
		f.Note = "rest"
		a.Hold(&f)
		if got := fmt.Sprintln(f.Severity, f.Flags, strings.TrimSuffix(strings.TrimSuffix(f.Note, "rest"), "; ")); got != tt.want+"\n" {
			t.Errorf("%s:\n got %s\nwant %s", tt.name, got, tt.want)
		}
		if a.Hold(&tt.f); tt.name == "waived" && tt.f.Owner != "R. Meyer" {
			t.Errorf("waived: owner %q, want that of the waiver", tt.f.Owner)
		}
		if reports.Exposed(&f) != (f.Exposure != nil) {
			t.Errorf("%s: exposed %t, and Exposure is %v", tt.name, reports.Exposed(&f), f.Exposure)
		}
		failOn, err := policy.ParseFailOn("exposed")
		if err != nil || failOn.Fails(&f) != reports.Exposed(&f) {
			t.Errorf("%s: --fail-on exposed fails: %t, %v; want %t", tt.name, failOn.Fails(&f), err, reports.Exposed(&f))
		}
	}
}

// A stored finding is held again as on the first day, whatever was said of it
// before.
func TestExposureAgain(t *testing.T) {
	strict, err := policy.Parse("p.yaml", []byte("version: 1\nvantages: {hq: outside}\nrules:\n  - {address: 8.0.0.0/8, expected: no}\n"))
	if err != nil {
		t.Fatal(err)
	}
	mild, err := policy.Parse("p.yaml", []byte("version: 1\n"))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.Local)
	plain := found("8.8.8.8", "1947/tcp", fingerprint.LicenseManager, "", "low", "hq")
	plain.Full, plain.Note = &fingerprint.Verdict{Severity: "low"}, "the note"
	for _, first := range []*policy.Policy{nil, strict, mild} {
		for _, then := range []*policy.Policy{strict, mild} {
			got, want := plain, plain
			a := policy.Auditor{Policy: first, Dossier: dossiers, Now: now}
			a.Hold(&got)
			a.Policy = then
			if breach := a.Hold(&want); breach != (then == strict) {
				t.Errorf("Hold = %t, want what the policy says", breach)
			}
			a.Again(&got, "")
			if d := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{}), cmpopts.EquateEmpty()); d != "" {
				t.Errorf("held again (-want +got):\n%s", d)
			}
		}
		got := plain
		a := policy.Auditor{Policy: first, Dossier: dossiers, Now: now}
		a.Hold(&got)
		want := got
		a.Policy = nil
		if a.Again(&got, ""); cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})) != "" {
			t.Errorf("without a policy what was said did not stay: %+v", got)
		}
		bare := plain // stored by a program that marked nothing
		if a.Again(&bare, ""); !reports.Exposed(&bare) {
			t.Errorf("without a policy a public address is not exposed: %+v", bare)
		}
		judged := plain
		if policy.Carry(&want, &judged); cmp.Diff(want, judged, cmpopts.EquateComparable(netip.Addr{}), cmpopts.EquateEmpty()) != "" {
			t.Errorf("Carry (-want +got):\n%s", cmp.Diff(want, judged, cmpopts.EquateComparable(netip.Addr{}), cmpopts.EquateEmpty()))
		}
		judged = plain
		judged.Verdict = fingerprint.KnownService
		if policy.Carry(&want, &judged); reports.Exposed(&judged) {
			t.Errorf("what is no license manager any more is exposed: %v", judged.Flags)
		}
	}
}

func TestVantageFaults(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"zone", "version: 1\nvantages:\n  dmz: out\n", `p.yaml:3: vantages: dmz: zone "out": want inside or outside`},
		{"pattern", "version: 1\nvantages:\n  '[': outside\n", `p.yaml:3: vantages: name "["`},
		{"twice", "version: 1\nvantages:\n  dmz: outside\n  DMZ: inside\n", `p.yaml:4: vantages: DMZ stands in line 3, too`},
		{"a list", "version: 1\nvantages: [dmz]\n", `p.yaml:2: vantages: want names with inside or outside`},
		{"a list as zone", "version: 1\nvantages: {dmz: [outside]}\n", `p.yaml:2: vantages: dmz: zone "": want inside or outside`},
	} {
		if _, err := policy.Parse("p.yaml", []byte(tt.in)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: Parse = %v; want %q", tt.name, err, tt.want)
		}
	}
}
