package fingerprint

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"dormant/registry"
	"dormant/scanner"
)

// defaults loads the built-in rules.
func defaults(t testing.TB) *Rules {
	t.Helper()
	rules, err := Complete()
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

// TestRules holds every example of every rule against the whole database: it
// must be won by its own rule and give the fields that it names.
func TestRules(t *testing.T) {
	rules := defaults(t)
	if len(rules.All()) == 0 {
		t.Fatal("no rules: the embedded folder is empty")
	}
	for _, f := range rules.Check() {
		t.Error(f)
	}
}

// TestEveryConditionIsProved: a rule that looks at less than it does would match
// one of its own counter-examples, or take an example of another rule.
func TestEveryConditionIsProved(t *testing.T) {
	rules := defaults(t)
	for _, rule := range rules.All() {
		wider := map[string]*Rule{}
		for i := range rule.conditions {
			if len(rule.conditions) > 1 {
				w := *rule
				w.conditions = slices.Delete(slices.Clone(rule.conditions), i, i+1)
				wider[fmt.Sprintf("match[%d]", i)] = &w
			}
		}
		if rule.On != nil {
			w := *rule
			w.On, wider["on"] = nil, &w
		}
		if rule.Inside != "" {
			w := *rule
			w.Inside, wider["inside"] = "", &w
		}
		for key, w := range wider {
			if !notices(rules, w) {
				t.Errorf("%s: without %s no example fails: want a counter-example under \"not\"", rule.File, key)
			}
		}
	}
}

// notices reports whether an example fails when w stands for the rule of its id.
func notices(rules *Rules, w *Rule) bool {
	match := func(e Example) (found, bool) {
		return w.match(subjects(Evidence{Exchanges: []Exchange{e.Exchange}}, e.Fields)[0])
	}
	matches := func(e Example) bool { _, ok := match(e); return ok }
	loses := func(e Example) bool { // what it was to extract
		f, _ := match(e)
		return e.Want["version"] != "" && w.sign(e.Exchange, f).Version == "" || e.Want["hostname"] != "" && f.groups["hostname"] == ""
	}
	return slices.ContainsFunc(w.Not, matches) || slices.ContainsFunc(w.Examples, loses) || slices.ContainsFunc(rules.All(), func(other *Rule) bool {
		return other.ID != w.ID && rivals(w, other) && w.Points >= other.Points && slices.ContainsFunc(other.Examples, matches)
	})
}

// TestCheckFindsFaults proves that TestRules can fail.
func TestCheckFindsFaults(t *testing.T) {
	const head = "service: http\nproduct: P\nverdict: known_service\nsources: [s]\n"
	rule := func(id, points, rest string) string {
		return fmt.Sprintf("id: %s\n%sevidence: {kind: http_header, points: %s}\n%s", id, head, points, rest)
	}
	const match = "match: [{field: \"header:server\", pattern: '\\AX(?:/(?P<version>[0-9]+))?'}]\n"
	const answer = `HTTP/1.0 200 OK\r\nServer: X/1\r\n\r\n`
	for _, tt := range []struct {
		name  string
		files map[string]string
		want  string // of the only fault, "" for none
	}{
		{name: "good", files: map[string]string{
			"a": rule("a", "70", match+"examples: [{text: \""+answer+"\", version: \"1\"}]\n")}},
		{name: "wrong version", files: map[string]string{
			"a": rule("a", "70", match+"examples: [{text: \""+answer+"\", version: \"2\"}]\n")},
			want: `rules/a.yaml:8: examples: version = "1", want "2"`},
		{name: "does not match", files: map[string]string{
			"a": rule("a", "70", match+"examples: [{text: hello}]\n")},
			want: `rules/a.yaml:8: examples: the rule does not match its own example`},
		{name: "stolen", files: map[string]string{
			"a": rule("a", "70", match+"examples: [{text: \""+answer+"\"}]\n"),
			"b": strings.Replace(rule("b", "71", match+"examples: [{text: \""+answer+"\"}]\n"), "product: P", "product: Q", 1)},
			want: `rules/a.yaml:8: examples: rule b (71 points) takes this example from a (70 points)`},
		{name: "not that matches", files: map[string]string{
			"a": rule("a", "70", match+"examples: [{text: \""+answer+"\"}]\nnot: [{text: \""+answer+"\"}]\n")},
			want: `rules/a.yaml:9: not: the rule matches: "server: X/1"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rules, err := Load(files(tt.files))
			if err != nil {
				t.Fatal(err)
			}
			got := rules.Check()
			if tt.want == "" {
				if len(got) != 0 {
					t.Errorf("Check = %v, want no fault", got)
				}
				return
			}
			if len(got) != 1 || got[0].Error() != tt.want {
				t.Errorf("Check = %v, want %s", got, tt.want)
			}
		})
	}
}

// TestLicenseManagersAreProved: a header is enough only where no other program
// is known to send it, and where it is the license manager that sends it.
func TestLicenseManagersAreProved(t *testing.T) {
	own := []string{"hasp-lm", "hasp-server", "sentinel-keys-server", "sentinel-protection-server"}
	for _, r := range defaults(t).All() {
		if r.Class == LicenseManager && r.Kind != KindProtocol && !slices.Contains(own, r.ID) {
			t.Errorf("%s: kind %s says license_manager: want the reply of its own protocol, or another verdict", r.File, r.Kind)
		}
	}
}

// TestBareStatusLineNamesNobody: servers of several languages send it.
func TestBareStatusLineNamesNobody(t *testing.T) {
	ex := Exchange{Conn: 1, Probe: ProbeTLS, Received: []byte("HTTP/1.1 400 Bad Request\r\n\r\n"), End: EndFin}
	target := scanner.Target{Addr: netip.MustParseAddr("10.0.0.1"), Port: registry.Port{Number: 3712, Proto: registry.TCP}}
	o := scanner.Observation{Target: target, State: scanner.Open, Reason: scanner.SynAck}
	v := defaults(t).Judge(registry.Entry{}, o, Evidence{Target: target, Exchanges: []Exchange{ex}})
	if v.Product != "" || v.Service != "http" || v.Class != DevServer {
		t.Errorf("Judge = %v %q %q, want dev_server http without a product", v.Class, v.Service, v.Product)
	}
}

// TestStrong: how much a sign must be worth to end a dialogue, by its kind.
func TestStrong(t *testing.T) {
	for _, tt := range []struct {
		evidence string
		want     bool
	}{
		{"{kind: banner, points: 84}", false},
		{"{kind: banner, points: 85}", true},
		{"{kind: protocol, points: 85}", true},
		{"{kind: shell, points: 85}", true},
		{"{kind: http_body, points: 89}", false},
		{"{kind: http_body, points: 90}", true},
	} {
		for _, class := range []string{"verdict: known_service", "verdict: possible_c2\nfamily: X"} {
			rules, err := Load(files(map[string]string{"a": "id: a\nservice: x\nproduct: P\n" + class + "\nevidence: " + tt.evidence +
				"\nsources: [s]\nmatch: [{field: data, contains: HELLO}]\nexamples: [{text: HELLO}]\n"}))
			if err != nil {
				t.Fatal(err)
			}
			want := tt.want && class == "verdict: known_service" // a sign of command and control must be seen twice
			if _, got := rules.strong(Exchange{Conn: 1, Probe: ProbeSilence, Received: []byte("HELLO"), End: EndQuiet}); got != want {
				t.Errorf("%s, %s: strong = %t, want %t", tt.evidence, class, got, want)
			}
		}
	}
}

// TestPointsOfAName: how much a rule must be worth to give its verdict. A folder
// of one's own may hold any.
func TestPointsOfAName(t *testing.T) {
	for class, least := range map[string]int{
		"license_manager": 90, "open_shell": 60, "tunnel_or_proxy": 50, "known_service": 50, "dev_server": 50, "middlebox": 50, "tarpit": 50,
	} {
		for _, points := range []int{least - 1, least} {
			rules, err := Load(files(map[string]string{"a": fmt.Sprintf("id: a\nservice: x\nproduct: P\nverdict: %s\nevidence: {kind: banner, points: %d}"+
				"\nsources: [s]\nmatch: [{field: data, contains: HELLO}]\nexamples: [{text: HELLO}]\n", class, points)}))
			if err != nil {
				t.Fatal(err)
			}
			want := Unidentified.String()
			if points == least {
				want = class
			}
			if v := judge(rules, 3588, clean(), answer(1, ProbeSilence, "HELLO")); v.Class.String() != want {
				t.Errorf("%s with %d points: %v, want %s", class, points, v.Class, want)
			}
		}
	}
}

// TestShellOfTwoKinds: two kinds of evidence of an open shell are worth more
// than one text, and only where each can stand alone.
func TestShellOfTwoKinds(t *testing.T) {
	rule := func(id, kind string, points int) string {
		return fmt.Sprintf("id: %s\nservice: x\nverdict: open_shell\nevidence: {kind: %s, points: %d}"+
			"\nsources: [s]\nmatch: [{field: data, contains: HELLO}]\nexamples: [{text: HELLO}]\n", id, kind, points)
	}
	for points, want := range map[int]int{59: 60, 60: 85} {
		rules, err := Load(files(map[string]string{"a": rule("a", "shell", 70), "b": rule("b", "exec", points)}))
		if err != nil {
			t.Fatal(err)
		}
		if v := judge(rules, 3588, clean(), answer(1, ProbeSilence, "HELLO")); v.Class != OpenShell || v.Confidence != want {
			t.Errorf("second kind with %d points: %v %d, want %d", points, v.Class, v.Confidence, want)
		}
	}
}
