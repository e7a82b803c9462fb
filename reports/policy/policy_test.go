package policy_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dormant/fingerprint"
	"dormant/registry"
	"dormant/reports"
	"dormant/reports/policy"
	"dormant/reports/sinktest"
	"dormant/scanner"
)

const text = `
version: 1
rules:
  - name: cad
    address: [10.1.4.0/24, 10.9.0.7]
    port: 1947, 5093/udp
    verdict: license_manager
    product: sentinel*
    expected: yes
    owner: CAD team
    ticket: CHG1
  - name: from-outside
    vantage: internet
    verdict: license_manager
    expected: "no"
    severity: high
  - verdict: [open_shell, possible_c2]
    expected: "no"
    severity: high
  - address: 10.2.0.0/16
    verdict: dev_server
    expected: no
  - address: 10.0.0.0/8
    verdict: dev_server
    expected: unknown
    owner: IT
waivers:
  - {address: 10.2.0.14, port: 3588/tcp, owner: R. Meyer, reason: demo, ticket: CHG2, expires: 2026-12-31}
  - {address: 10.2.0.15, owner: R. Meyer, reason: demo, expires: 2026-10-31}
  - {address: [10.2.0.16, 10.2.0.17], owner: A, reason: first, ticket: CHG3, expires: 2026-09-30}
  - {address: [10.2.0.16, 10.2.0.17], owner: B, reason: longer, expires: 2026-10-31}
  - {address: 10.2.0.17, owner: C, reason: once more, expires: 2026-12-31}
`

func found(addr string, port string, class fingerprint.Class, product, severity, vantage string) reports.Finding {
	p, err := registry.ParsePort(port)
	if err != nil {
		panic(err)
	}
	return reports.Finding{IP: netip.MustParseAddr(addr), Port: p.Number, Transport: p.Proto, State: scanner.Open, Verdict: class,
		Product: product, Severity: severity, Vantage: vantage}
}

func TestApply(t *testing.T) {
	p, err := policy.Parse("p.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.Local)
	lm, dev, shell := fingerprint.LicenseManager, fingerprint.DevServer, fingerprint.OpenShell
	for _, tt := range []struct {
		name string
		f    reports.Finding
		now  time.Time
		want string // breach expected owner ticket severity flags
	}{
		{"allowed", found("10.1.4.9", "1947/tcp", lm, "Sentinel LDK", "low", ""), now, "false yes CAD team CHG1 low []"},
		{"allowed by address", found("10.9.0.7", "5093/udp", lm, "Sentinel RMS", "low", ""), now, "false yes CAD team CHG1 low []"},
		{"not on this port", found("10.9.0.7", "5093/tcp", lm, "Sentinel RMS", "low", ""), now, "false unknown   low []"},
		{"not this product", found("10.1.4.9", "1947/tcp", lm, "CodeMeter", "low", ""), now, "false unknown   low []"},
		{"the first rule decides", found("10.1.4.9", "1947/tcp", lm, "Sentinel LDK", "low", "internet"), now, "false yes CAD team CHG1 low []"},
		{"by vantage", found("10.1.5.9", "1947/tcp", lm, "Sentinel LDK", "low", "internet"), now, "true no   high [policy_breach]"},
		{"forbidden", found("10.1.4.9", "3588/tcp", shell, "", "high", ""), now, "true no   high [policy_breach]"},
		{"a breach is at least medium", found("10.2.0.1", "3588/tcp", dev, "Vite", "low", ""), now, "true no   medium [policy_breach]"},
		{"and keeps what is worse", found("10.2.0.1", "3588/tcp", dev, "Vite", "high", ""), now, "true no   high [policy_breach]"},
		{"waived", found("10.2.0.14", "3588/tcp", dev, "Vite", "low", ""), now, "false yes R. Meyer CHG2 low [policy_waived]"},
		{"waived on its last day", found("10.2.0.14", "3588/tcp", dev, "Vite", "low", ""), time.Date(2026, 12, 31, 23, 59, 0, 0, time.Local),
			"false yes R. Meyer CHG2 low [policy_waived]"},
		{"no longer", found("10.2.0.14", "3588/tcp", dev, "Vite", "low", ""), time.Date(2027, 1, 1, 0, 0, 0, 0, time.Local),
			"true no R. Meyer CHG2 medium [policy_waiver_expired policy_breach]"},
		{"ended", found("10.2.0.15", "1/udp", dev, "", "low", ""), now, "true no R. Meyer  medium [policy_waiver_expired policy_breach]"},
		{"ended twice", found("10.2.0.16", "1/udp", dev, "", "low", ""), now, "true no B  medium [policy_waiver_expired policy_breach]"},
		{"ended twice, then waived", found("10.2.0.17", "1/udp", dev, "", "low", ""), now, "false yes C  low [policy_waived]"},
		{"owner without approval", found("10.3.0.1", "3588/tcp", dev, "Vite", "low", ""), now, "false unknown IT  low []"},
	} {
		f := tt.f
		breach := p.Apply(&f, tt.now)
		got := fmt.Sprintf("%t %s %s %s %s %v", breach, f.Expected, f.Owner, f.Ticket, f.Severity, f.Flags)
		if got != tt.want {
			t.Errorf("%s: Apply = %q, want %q", tt.name, got, tt.want)
		}

		// A stored finding is held against a policy again.
		once := tt.f
		once.Note, once.Flags, once.Ticket = "own note; and more", []string{"self_signed"}, "CHG-scan"
		once.Full = &fingerprint.Verdict{Severity: tt.f.Severity}
		again := once
		p.Apply(&again, tt.now)
		judged := once
		policy.Carry(&again, &judged)
		if d := cmp.Diff(again, judged, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); d != "" {
			t.Errorf("%s: Carry after Apply (-want +got):\n%s", tt.name, d)
		}
		policy.Undo(&again, "CHG-scan")
		if d := cmp.Diff(once, again, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); d != "" {
			t.Errorf("%s: Undo after Apply (-want +got):\n%s", tt.name, d)
		}
	}
	bare := found("10.2.0.14", "3588/tcp", 0, "", "info", "") // without a dialogue, under a stricter policy of another day
	if (&policy.Policy{Default: policy.No}).Apply(&bare, now); bare.Severity != "medium" {
		t.Errorf("a breach that nothing was judged of has severity %q, want medium", bare.Severity)
	}
	if policy.Undo(&bare, ""); bare.Severity != "info" {
		t.Errorf("and without the policy %q, want info", bare.Severity)
	}
	closed := reports.Finding{State: scanner.Closed, Severity: "info"}
	if p.Apply(&closed, now) || closed.Expected != "" {
		t.Errorf("Apply to a closed port = %+v; want it left alone", closed)
	}
}

// TestPatterns: names are no paths, and letters have no case.
func TestPatterns(t *testing.T) {
	p, err := policy.Parse("p.yaml", []byte(`{version: 1, rules: [{name: go, product: go*, vantage: DMZ-*, expected: no, reason: "not here; never"}], vantages: {b/*: outside}}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		product, vantage, want string
	}{
		{"Go net/http", "dmz-1", "forbidden by rule go: not here, never"},
		{"Go net/http", "DMZ-a/b", "forbidden by rule go: not here, never"},
		{"Go net/http", "lan", ""},
		{"Gopher", "dmz-1", "forbidden by rule go: not here, never"},
		{"CherryPy", "dmz-1", ""},
	} {
		f := found("10.0.0.1", "3588/tcp", fingerprint.DevServer, tt.product, "low", tt.vantage)
		if breach := p.Apply(&f, time.Now()); f.Note != tt.want || breach != (tt.want != "") {
			t.Errorf("Apply to %s from %s = %t, note %q; want %q", tt.product, tt.vantage, breach, f.Note, tt.want)
		}
	}
	f := found("10.0.0.1", "1947/tcp", fingerprint.LicenseManager, "Sentinel", "low", "B/north/1")
	(&policy.Auditor{Policy: p, Now: time.Now()}).Hold(&f)
	if !reports.Exposed(&f) {
		t.Errorf("from %s: not exposed: %q", f.Vantage, f.Note)
	}
}

func TestParseFaults(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		want     []string
	}{
		{"no version", "rules: []", []string{"p.yaml:1: no version: want version: 1"}},
		{"unknown key", "version: 1\nrulez: []", []string{`p.yaml:2: unknown key "rulez": want version, default, vantages, rules, waivers`}},
		{"unknown key in a rule", "version: 1\nrules:\n  - adress: 10.0.0.1\n    expected: no", []string{`p.yaml:3: unknown key "adress": want name, `}},
		{"unknown key, and others", "version: 1\nrules:\n  - {adress: x, port: 1, expected: no}\n  - {port: 0/tcp, expected: no}", []string{`p.yaml:3: unknown key "adress"`, `p.yaml:4: port "0/tcp"`}},
		{"another version", "version: 2", []string{"p.yaml:1: version 2: want version: 1"}},
		{"vantage", "version: 1\nrules:\n  - {vantage: '[', expected: no}", []string{`p.yaml:3: vantage "["`}},
		{"no number", "version: one\nrules: []", []string{`p.yaml:1: value "one": want a whole number`}},
		{"not YAML", "version: 1\n  x: [", []string{"p.yaml:2: "}},
		{"empty", "", []string{"p.yaml:1: no version: want version: 1"}},
		{"several faults", "version: 1\nrules:\n  - address: 10.0.0.1/8\n    expected: maybe\n  - {port: 0/tcp, expected: no}\n",
			[]string{`p.yaml:3: address "10.0.0.1/8"`, `p.yaml:3: expected "maybe": want yes, no or unknown`, `p.yaml:5: port "0/tcp"`}},
		{"matches everything", "version: 1\nrules:\n  - expected: no", []string{"p.yaml:3: matches everything"}},
		{"verdict", "version: 1\nrules:\n  - {verdict: evil, expected: no}", []string{`p.yaml:3: verdict "evil": want license_manager`}},
		{"product", "version: 1\nrules:\n  - {product: '[', expected: no}", []string{`p.yaml:3: product "["`}},
		{"severity", "version: 1\nrules:\n  - {port: 1947, expected: no, severity: dire}", []string{`severity "dire": want info, low`}},
		{"name twice", "version: 1\nrules:\n  - {name: a, port: 1, expected: no}\n  - {name: a, port: 2, expected: no}", []string{`p.yaml:4: name "a" stands in line 3, too`}},
		{"waiver", "version: 1\nwaivers:\n  - {port: 1947, expires: tomorrow}", []string{`p.yaml:3: expires "tomorrow"`, "without reason or owner"}},
		{"waiver without owner", "version: 1\nwaivers:\n  - {port: 1947, reason: r, expires: 2027-03-31}", []string{"p.yaml:3: a waiver without reason or owner"}},
		{"waiver without reason", "version: 1\nwaivers:\n  - {port: 1947, owner: A, expires: 2027-03-31}", []string{"p.yaml:3: a waiver without reason or owner"}},
		{"an empty rule", "version: 1\nrules:\n  -\n  - {port: 1947, expected: no}", []string{"p.yaml:3: an empty entry"}},
		{"half of the mapped block", "version: 1\nrules:\n  - {address: '::ffff:0:0/95', expected: no}", []string{`p.yaml:3: address "::ffff:0:0/95"`}},
		{"two documents", "version: 1\n---\nversion: 1\n", []string{"a second document"}},
		{"nested list", "version: 1\nrules:\n  - {port: [[1]], expected: no}", []string{"p.yaml:3: want plain values"}},
	} {
		_, err := policy.Parse("p.yaml", []byte(tt.in))
		for _, want := range tt.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: Parse = %v; want %q", tt.name, err, want)
			}
		}
	}
}

// What Init writes is read by Load, and nothing that it allows is a breach.
func TestInitReadsBack(t *testing.T) {
	findings := append(sinktest.Findings(), sinktest.Hostile()...)
	var out bytes.Buffer
	if err := policy.Init(&out, "s_1\n- evil", findings); err != nil {
		t.Fatal(err)
	}
	p, err := policy.Parse("p.yaml", out.Bytes())
	if err != nil {
		t.Fatalf("what Init writes is refused: %v\n%s", err, out.String())
	}
	for _, f := range findings {
		breach := p.Apply(&f, time.Now())
		want := f.State == scanner.Open && (f.Verdict == fingerprint.OpenShell || f.Verdict == fingerprint.PossibleC2 ||
			f.Verdict == fingerprint.TunnelOrProxy || f.Verdict == fingerprint.DevServer)
		if breach != want {
			t.Errorf("%v %d %v: breach = %t, want %t", f.IP, f.Port, f.Verdict, breach, want)
		}
		if f.Verdict == fingerprint.LicenseManager && f.Expected != "yes" {
			t.Errorf("%v: a license manager that was found is %q", f.IP, f.Expected)
		}
	}
}

func TestImport(t *testing.T) {
	var out bytes.Buffer
	err := policy.Import(&out, "inv.csv", strings.NewReader("\ufeffIP;Port;Transport;Product;Owner\n10.1.4.9;1947;tcp;Sentinel, LDK [v2]*;\"CAD: \"\"team\"\"\"\n10.2.0.0/16;3588;;;#yes\n"))
	if err != nil {
		t.Fatal(err)
	}
	p, err := policy.Parse("p.yaml", out.Bytes())
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	type row struct{ Expected, Owner string }
	var got []row
	for _, f := range []reports.Finding{
		found("10.1.4.9", "1947/tcp", fingerprint.LicenseManager, "Sentinel, LDK [v2]*", "low", ""),
		found("10.1.4.9", "1947/udp", fingerprint.LicenseManager, "Sentinel, LDK [v2]*", "low", ""),
		found("10.2.9.9", "3588/udp", fingerprint.DevServer, "x", "low", ""),
	} {
		p.Apply(&f, time.Now())
		got = append(got, row{f.Expected, f.Owner})
	}
	if d := cmp.Diff([]row{{"yes", `CAD: "team"`}, {"unknown", ""}, {"yes", "#yes"}}, got); d != "" {
		t.Errorf("(-want +got):\n%s\n%s", d, out.String())
	}
	for _, tt := range []struct{ name, in, want string }{
		{"empty", "", "inv.csv:1: want a header"},
		{"no port", "ip,name\n10.0.0.1,x\n", "no column port"},
		{"twice", "ip,address,port\n", `"address": another one`},
		{"no row", "ip,port\n", "no row below"},
		{"bad rows", "ip,port\n10.0.0.1,1947\nhost,1947\n10.0.0.1,99999\n", `inv.csv:3: address "host"`},
		{"bad port", "ip,port\n10.0.0.1,99999\n", `inv.csv:2: port "99999"`},
		{"ragged", "ip,port\n10.0.0.1\n", "wrong number of fields"},
		{"expected", "ip,port,expected\n10.0.0.1,1,perhaps\n", `expected "perhaps"`},
	} {
		if err := policy.Import(&bytes.Buffer{}, "inv.csv", strings.NewReader(tt.in)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: Import = %v; want %q", tt.name, err, tt.want)
		}
	}
}

func TestFailOn(t *testing.T) {
	dev := found("10.0.0.1", "3588/tcp", fingerprint.DevServer, "", "medium", "")
	breach := dev
	breach.Flags = []string{policy.FlagBreach}
	for _, tt := range []struct {
		words       string
		dev, breach bool
	}{
		{"breach", false, true}, {"dev_server", true, true}, {"possible_c2", false, false}, {"possible_c2,dev_server", true, true},
		{"low", true, true}, {"medium", true, true}, {"high", false, false}, {"high, breach", false, true}, {"change", false, false},
	} {
		o, err := policy.ParseFailOn(tt.words)
		if err != nil || o.Fails(&dev) != tt.dev || o.Fails(&breach) != tt.breach {
			t.Errorf("%q: fails on dev %t, on breach %t, %v; want %t, %t", tt.words, o.Fails(&dev), o.Fails(&breach), err, tt.dev, tt.breach)
		}
	}
	closed := breach
	closed.State = scanner.Closed
	if o, err := policy.ParseFailOn("breach,dev_server,low"); err != nil || o.Fails(&closed) {
		t.Errorf("fails on a closed port, %v", err)
	}
	words := policy.FailWords()
	if !slices.Contains(words, "license_manager") || !slices.Contains(words, "unidentified") {
		t.Errorf("FailWords = %q, want every verdict", words)
	}
	for _, word := range words {
		if o, err := policy.ParseFailOn(word); err != nil || cmp.Equal(o, policy.FailOn{}) {
			t.Errorf("ParseFailOn(%q) = %+v, %v; want it to be taken", word, o, err)
		}
	}
	for _, words := range []string{"", "bad", "breach,", "low,high"} {
		if _, err := policy.ParseFailOn(words); err == nil {
			t.Errorf("ParseFailOn(%q): no error", words)
		}
	}
}

// A policy is taken or refused; what is taken has no rule that matches all.
func FuzzParse(f *testing.F) {
	f.Add([]byte(text))
	f.Fuzz(func(t *testing.T, in []byte) {
		p, err := policy.Parse("p", in)
		if err != nil {
			return
		}
		for _, r := range p.Rules {
			if r.Expected == "" || len(r.Match.Addresses)+len(r.Match.Ports)+len(r.Match.Verdicts)+len(r.Match.Products)+len(r.Match.Vantages) == 0 {
				t.Errorf("a rule was taken that says nothing or matches everything: %+v", r)
			}
		}
		fd := found("10.0.0.1", "3588/tcp", fingerprint.DevServer, "x", "low", "")
		p.Apply(&fd, time.Now())
	})
}
