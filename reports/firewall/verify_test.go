package firewall

import (
	"archive/zip"
	"bytes"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dormant/scanner"
)

// testImpact is an impact of three services: kept, cut and unknown.
func testImpact(t *testing.T) *Impact {
	t.Helper()
	rules := parsed(t, "new.v4", "*filter\n:FORWARD ACCEPT [0:0]\n-A FORWARD -d 10.0.1.21 -j DROP\n-A FORWARD -d 10.0.1.22 -m time --timestart 08:00 -j DROP\nCOMMIT\n", Options{})
	m, err := NewImpact(t.Context(), Question{Proposed: rules, Now: now(),
		Findings: found(t, "10.0.1.20:1947/tcp license_manager", "10.0.1.21:1947/tcp license_manager", "10.0.1.22:5093/udp license_manager")})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := WriteJSON(&b, m); err != nil {
		t.Fatal(err)
	}
	if m, err = ReadImpact("impact.json", b.Bytes()); err != nil {
		t.Fatal(err)
	}
	return m
}

// TestVerify crosses what was predicted with what was measured.
func TestVerify(t *testing.T) {
	m := testImpact(t)
	source := netip.MustParseAddr("10.2.0.5")
	for _, tt := range []struct {
		name     string
		states   [3]scanner.State // 0: not asked
		results  string
		rollBack bool
	}{
		{"as predicted", [3]scanner.State{scanner.Open, scanner.Filtered, 0}, "as_predicted as_predicted not_measured", false},
		{"rejected", [3]scanner.State{scanner.Open, scanner.Closed, scanner.Open}, "as_predicted as_predicted not_measured", false},
		{"gone", [3]scanner.State{scanner.Filtered, scanner.Unreachable, 0}, "deviation as_predicted not_measured", true},
		{"ended", [3]scanner.State{scanner.Closed, scanner.OpenFiltered, 0}, "deviation as_predicted not_measured", true},
		{"still there", [3]scanner.State{scanner.Open, scanner.Open, 0}, "as_predicted deviation not_measured", false},
		{"our fault", [3]scanner.State{scanner.Unknown, 0, scanner.Unknown}, "not_measured not_measured not_measured", false},
	} {
		seen := map[scanner.Target]scanner.Observation{}
		for i, s := range tt.states {
			if s != 0 {
				seen[m.Targets()[i]] = scanner.Observation{Target: m.Targets()[i], State: s, Reason: scanner.NoResponse}
			}
		}
		v := Verify(m, "vantage", now(), func(scanner.Target) netip.Addr { return source }, seen)
		var results []string
		rollBack := false
		for _, c := range v.Checks {
			results = append(results, c.Result)
			rollBack = rollBack || c.RollBack
			if c.Why == "" {
				t.Errorf("%s: %s has no reason", tt.name, c.Target)
			}
		}
		if got := strings.Join(results, " "); got != tt.results || rollBack != tt.rollBack || strings.Contains(v.Headline, "ROLL BACK") != rollBack {
			t.Errorf("%s: %s, roll back %t, %q; want %s, roll back %t", tt.name, got, rollBack, v.Headline, tt.results, tt.rollBack)
		}
	}
}

func TestReadImpactFaults(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"", "firewall: f:1: want what firewall impact -o FILE.json wrote: EOF"},
		{"{\n\"schema\": 1,\n\"sevices\": []}", "firewall: f:3: want what firewall impact"},
		{`{"schema": 2}`, "firewall: f: schema 2: want 1"},
		{`{"schema": 1, "services": [{"target": "10.0.0.1:80"}]}`, `firewall: f: service "10.0.0.1:80": want ADDRESS:PORT/tcp or /udp`},
		{`{"schema": 1, "services": [{"target": "10.0.0.1:80/tcp", "after": {"allow": ["x"]}}]}`, `service 10.0.0.1:80/tcp: "x": want addresses and networks`},
	} {
		if _, err := ReadImpact("f", []byte(tt.text)); err == nil || !strings.HasPrefix(err.Error(), "firewall: f") || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want %s", tt.text, err, tt.want)
		}
	}
}

// FuzzReadImpact: what is not refused has only targets that can be asked.
func FuzzReadImpact(f *testing.F) {
	f.Add(readTestdata(f, "impact.golden.json"))
	f.Add([]byte(`{"schema": 1, "services": [{"target": "[fd00::1]:80/tcp", "after": {"allow": ["any"]}}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := ReadImpact("f", text)
		if err != nil {
			return
		}
		for i, x := range m.Targets() {
			if !x.Addr.IsValid() || x.Port.Number == 0 || x.Port.Proto == 0 {
				t.Fatalf("target %d of %q cannot be asked: %v", i, text, x)
			}
			m.Services[i].predicts(x.Addr)
		}
	})
}

// TestBundle: what was written is found good, and every change is found.
func TestBundle(t *testing.T) {
	pem, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	key, err := ParseKey(pem)
	if err != nil {
		t.Fatal(err)
	}
	files := []BundleFile{{"impact.json", []byte("{}")}, {"after.json", []byte("[]")}, {"rules/new.v4", []byte("*filter")}}
	facts := BundleFacts{Ticket: "CHG-1", SignedBy: "A. Person", Version: "v0", Made: now(), Results: []string{"3 services as predicted."}}
	var b bytes.Buffer
	if err := WriteBundle(&b, files, facts, key); err != nil {
		t.Fatal(err)
	}
	good := b.Bytes()
	rewrite := func(change func(name string, data []byte) (string, []byte)) []byte {
		inside, err := readZip(good)
		if err != nil {
			t.Fatal(err)
		}
		var out []BundleFile
		for name, data := range inside {
			if name, data = change(name, data); name != "" {
				out = append(out, BundleFile{name, data})
			}
		}
		var b bytes.Buffer
		if err := writeZip(&b, out, now()); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	for _, tt := range []struct {
		name   string
		text   []byte
		faults []string
	}{
		{"good", good, nil},
		{"changed", rewrite(func(n string, d []byte) (string, []byte) {
			if n == "after.json" {
				d = []byte("{}")
			}
			return n, d
		}), []string{"after.json was changed"}},
		{"missing", rewrite(func(n string, d []byte) (string, []byte) {
			if n == "rules/new.v4" {
				n = ""
			}
			return n, d
		}), []string{"rules/new.v4 is missing"}},
		{"added", rewrite(func(n string, d []byte) (string, []byte) {
			if n == "impact.json" {
				return "impact2.json", d
			}
			return n, d
		}), []string{"impact.json is missing", "impact2.json was added"}},
		{"manifest", rewrite(func(n string, d []byte) (string, []byte) {
			if n == manifestName {
				d = bytes.Replace(d, []byte("CHG-1"), []byte("CHG-2"), 1)
			}
			return n, d
		}), []string{"manifest.sig does not fit the manifest"}},
		{"unsigned", rewrite(func(n string, d []byte) (string, []byte) {
			if n == signatureName {
				n = ""
			}
			return n, d
		}), []string{"manifest.sig does not fit the manifest"}},
	} {
		c, err := CheckBundle(tt.text)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if d := cmp.Diff(tt.faults, c.Faults); d != "" {
			t.Errorf("%s: faults (-want +got):\n%s", tt.name, d)
		}
		if good := len(tt.faults) == 0; good && !bytes.Equal(c.Signer, key[32:]) {
			t.Errorf("%s: signer %x, want %x", tt.name, c.Signer, key[32:])
		}
	}
	for _, bad := range [][]byte{nil, []byte("PK"), empty(t)} {
		if _, err := CheckBundle(bad); err == nil {
			t.Errorf("%q counts as a bundle", bad)
		}
	}
}

func empty(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := zip.NewWriter(&b).Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// FuzzCheckBundle: any file is refused or checked, and only a whole one is good.
func FuzzCheckBundle(f *testing.F) {
	var b bytes.Buffer
	if err := WriteBundle(&b, []BundleFile{{"a", []byte("b")}}, BundleFacts{Made: now()}, nil); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := CheckBundle(text)
		if err == nil && len(c.Faults) == 0 && c.Files == 0 {
			if files, err := readZip(text); err != nil || len(files) > 2 {
				t.Fatal("files that nobody listed are good")
			}
		}
	})
}
