package policy_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"dormant/fingerprint"
	"dormant/reports"
	"dormant/reports/policy"
)

// clause is a rule or a waiver of the model: lists of words, "" is any.
type clause struct{ address, port, verdict, product, expected, expires string }

func (c clause) yaml() string {
	s := "  - {"
	for _, kv := range [][2]string{{"address", c.address}, {"port", c.port}, {"verdict", c.verdict}, {"product", c.product}} {
		if kv[1] != "" {
			s += kv[0] + ": '" + kv[1] + "', " // in quotes, for the stars
		}
	}
	if c.expected != "" {
		return s + "expected: " + c.expected + "}\n"
	}
	return s + "owner: o, reason: r, expires: " + c.expires + "}\n"
}

// matches looks up what the words mean, which is spelled out here.
func (c clause) matches(f *reports.Finding) bool {
	means := map[string][]string{
		"10.0.0.0/30": {"10.0.0.1", "10.0.0.2"}, "::ffff:10.0.0.0/126": {"10.0.0.1", "10.0.0.2"},
		"10.0.0.2/31": {"10.0.0.2"}, "fd00::/64": {"fd00::1"},
		"1947": {"1947/tcp", "1947/udp"}, "vite*": {"vite", "vite-preview"}, "*e*": {"vite", "vite-preview", "sentinel"},
	}
	for _, is := range [][2]string{
		{c.address, f.IP.String()}, {c.port, fmt.Sprintf("%d/%s", f.Port, f.Transport)}, {c.verdict, f.Verdict.String()}, {c.product, f.Product},
	} {
		if is[0] != "" && !slices.ContainsFunc(strings.Split(is[0], ", "), func(word string) bool {
			return word == is[1] || slices.Contains(means[word], is[1])
		}) {
			return false
		}
	}
	return true
}

// everything is each finding that the words of the model can tell apart.
func everything() (all []reports.Finding) {
	for _, addr := range []string{"10.0.0.1", "10.0.0.2", "10.0.0.4", "fd00::1"} {
		for _, port := range []string{"1947/tcp", "1947/udp", "475/tcp"} {
			for _, class := range []fingerprint.Class{fingerprint.LicenseManager, fingerprint.DevServer} {
				for _, product := range []string{"vite", "vite-preview", "sentinel", "go"} {
					all = append(all, found(addr, port, class, product, "low", "lan"))
				}
			}
		}
	}
	return all
}

// TestAgainstModel holds random policies against a model that knows of no prefix,
// pattern or calendar. A rule that is said never to decide decides nothing.
func TestAgainstModel(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	pick := func(words ...string) string { return words[r.IntN(len(words))] }
	random := func() clause {
		return clause{
			address: pick("10.0.0.0/30", "10.0.0.2/31", "10.0.0.1", "10.0.0.1, fd00::/64", "10.0.0.4, ::ffff:10.0.0.0/126"),
			port:    pick("", "", "1947", "1947/udp", "475/tcp, 1947/tcp"), verdict: pick("", "", "dev_server", "license_manager"),
			product: pick("", "", "vite*", "*e*", "sentinel", "go, vite*"),
		}
	}
	for range 500 {
		var rules, waivers []clause
		text := "version: 1\ndefault: " + pick("no", "unknown", "yes") + "\nrules:\n"
		for range r.IntN(6) {
			c := random()
			c.expected = pick("yes", "no", "no", "unknown")
			rules, text = append(rules, c), text+c.yaml()
		}
		text += "waivers:\n"
		for range r.IntN(4) {
			c := random()
			c.expires = pick("2026-02-28", "2026-12-31", "2028-02-29")
			waivers, text = append(waivers, c), text+c.yaml()
		}
		p, err := policy.Parse("p.yaml", []byte(text))
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		decides := map[int]bool{}
		for _, f := range everything() {
			want := string(p.Default)
			if i := slices.IndexFunc(rules, func(c clause) bool { return c.matches(&f) }); i >= 0 {
				want, decides[p.Rules[i].Line] = rules[i].expected, true
			}
			today := pick("2026-02-28", "2026-03-01", "2026-12-31", "2027-01-01", "2028-02-29", "2028-03-01")
			waived := want == "no" && slices.ContainsFunc(waivers, func(c clause) bool { return today <= c.expires && c.matches(&f) })
			if waived {
				want = "yes"
			}
			now, err := time.ParseInLocation(time.DateTime, today+pick(" 00:00:00", " 23:59:59"), time.Local)
			if err != nil {
				t.Fatal(err)
			}
			held := f
			breach := p.Apply(&held, now)
			if held.Expected != want || breach != (want == "no") || slices.Contains(held.Flags, policy.FlagWaived) != waived {
				t.Fatalf("%v:%d/%v %v %s on %v: breach %t, expected %s %v; want %s, waived %t\n%s",
					f.IP, f.Port, f.Transport, f.Verdict, f.Product, now, breach, held.Expected, held.Flags, want, waived, text)
			}
		}
		for _, idle := range p.Idle(time.Time{}) {
			if decides[idle.Line] {
				t.Fatalf("line %d decides, and is said not to\n%s", idle.Line, text)
			}
		}
	}
}
