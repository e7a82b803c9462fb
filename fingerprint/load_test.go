package fingerprint

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

// files is a folder of rules, by id.
func files(rules map[string]string) fstest.MapFS {
	fsys := fstest.MapFS{}
	for id, text := range rules {
		fsys["rules/"+id+".yaml"] = &fstest.MapFile{Data: []byte(text)}
	}
	return fsys
}

const goodRule = `id: a
service: http
product: P
verdict: known_service
evidence: {kind: http_header, points: 70}
match:
  - {field: data, contains: hello}
sources: [a book]
examples:
  - {text: hello}
`

func TestLoadFaults(t *testing.T) {
	replace := func(old, new string) string {
		if !strings.Contains(goodRule, old) {
			t.Fatalf("%q is not in the rule", old)
		}
		return strings.Replace(goodRule, old, new, 1)
	}
	for _, tt := range []struct {
		name string
		text string
		want []string // one a fault, in order; nil for none
	}{
		{name: "good", text: goodRule},
		{name: "empty", text: "", want: []string{"fingerprint: rules/a.yaml: empty file"}},
		{name: "unknown key", text: goodRule + "colour: red\n", want: []string{"fingerprint: rules/a.yaml:11: unknown key \"colour\": want id, service, product, version, cpe, verdict, reason, family, evidence, ports, on, inside, match, tell, flags, confirm, severity, hint, settle, note, sources, examples, not"}},
		{name: "list for text", text: replace("product: P", "product: [P]"), want: []string{`fingerprint: rules/a.yaml:3: a list: want a text`}},
		{name: "word for number", text: replace("points: 70", "points: many"), want: []string{`fingerprint: rules/a.yaml:5: value "many": want a whole number`}},
		{name: "broken YAML", text: "id: [", want: []string{"fingerprint: rules/a.yaml:1: did not find expected node content"}},
		{name: "two documents", text: goodRule + "---\nid: b\n", want: []string{`fingerprint: rules/a.yaml:11: a second document: want one, without a line "---" inside`}},
		{name: "file name", text: replace("id: a", "id: b"), want: []string{`fingerprint: rules/a.yaml:1: id "b": want "a", the name of the file`}},
		{name: "class", text: replace("known_service", "confirmed_c2"), want: []string{`fingerprint: rules/a.yaml:4: verdict "confirmed_c2": want license_manager, dev_server, known_service, open_shell, tunnel_or_proxy, possible_c2, middlebox, tarpit or unidentified`}},
		{name: "points", text: replace("points: 70", "points: 99"), want: []string{"fingerprint: rules/a.yaml:5: evidence points 99: want 1 to 95 (weak 5-15, medium 25-40, specific 60-95)"}},
		{name: "kind", text: replace("http_header", "feeling"), want: []string{`fingerprint: rules/a.yaml:5: evidence kind "feeling": want cert, http_header, http_body, banner, shell, exec, tls_stack, behaviour or protocol`}},
		{name: "field", text: replace("field: data", "field: smell"), want: []string{`fingerprint: rules/a.yaml:7: field "smell": want data, status, header:NAME, body, title, length, end, first_byte_ms, cert:…, tls:version, alpn or body:sha1`}},
		{name: "pattern", text: replace("contains: hello", "pattern: '('"), want: []string{"fingerprint: rules/a.yaml:7: pattern \"(\": want RE2: error parsing regexp: missing closing ): `(`"}},
		{name: "pattern of nothing", text: replace("contains: hello", "pattern: 'x*'"), want: []string{`fingerprint: rules/a.yaml:7: pattern "x*" matches the empty text and so everything`}},
		{name: "group", text: replace("contains: hello", "pattern: '(?P<vendor>x)'"), want: []string{`fingerprint: rules/a.yaml:7: pattern "(?P<vendor>x)": group "vendor": want version, product, hostname or edition`}},
		{name: "two tests", text: replace("contains: hello", "contains: hello, equals: x"), want: []string{"fingerprint: rules/a.yaml:7: field data has 2 tests: want one of pattern, equals, contains, hex, absent, min/max"}},
		{name: "hex", text: replace("contains: hello", "hex: 0x05"), want: []string{`fingerprint: rules/a.yaml:7: hex "0x05": "0x" is no byte: want two hex digits or ??`}},
		{name: "computed", text: replace("field: data, contains: hello", "computed: magic"), want: []string{`fingerprint: rules/a.yaml:7: computed "magic": no such rule in handshakes.go`}},
		{name: "template", text: replace("product: P", "product: 'P {edition}'"), want: []string{`fingerprint: rules/a.yaml:3: product "P {edition}": {edition} is not a named group of any pattern`}},
		{name: "probe", text: goodRule + "on: [get12]\n", want: []string{`fingerprint: rules/a.yaml:11: probe "get12": want silence, get10, get11, get404, tls, udp or the id of an opener`}},
		{name: "port", text: goodRule + "ports: [1947]\n", want: []string{`fingerprint: rules/a.yaml:11: port "1947": want NUMBER/tcp or NUMBER/udp`}},
		{name: "family", text: goodRule + "family: X\n", want: []string{`fingerprint: rules/a.yaml:11: family "X" with verdict known_service: every possible_c2 rule names its family and no other rule does`}},
		{name: "no source", text: replace("sources: [a book]\n", ""), want: []string{"fingerprint: rules/a.yaml:1: no source: every rule says where its fact is from"}},
		{name: "example forms", text: replace("{text: hello}", "{text: hello, hex: '00'}"), want: []string{"fingerprint: rules/a.yaml:10: 2 of text, hex and base64 given: want exactly one"}},
		{name: "several", text: strings.Replace(replace("id: a", "id: A"), "points: 70", "points: 0", 1), want: []string{
			`fingerprint: rules/a.yaml:1: id "A": want lower-case letters, digits and dashes`,
			"fingerprint: rules/a.yaml:5: evidence points 0: want 1 to 95 (weak 5-15, medium 25-40, specific 60-95)",
			`fingerprint: rules/a.yaml:1: id "A": want "a", the name of the file`,
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Load(files(map[string]string{"a": tt.text}))
			var got []string
			if err != nil {
				got = strings.Split(err.Error(), "\n")
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("faults (-want +got):\n%s", d)
			}
		})
	}
}

func TestOpenerFaults(t *testing.T) {
	for _, tt := range []struct {
		name, text, want string
	}{
		{name: "too long", text: "openers: [{id: x, transport: tcp, text: \"" + strings.Repeat("x", 257) + "\", sources: [s]}]",
			want: "fingerprint: openers.yaml:1: opener of 257 bytes: want 1 to 256"},
		{name: "generic id", text: "openers: [{id: get10, transport: tcp, text: x, sources: [s]}]",
			want: `fingerprint: openers.yaml:1: id "get10": want lower-case letters, digits, _ and -, and not the name of a generic probe`},
		{name: "transport", text: "openers:\n  - id: x\n    transport: sctp\n    text: x\n    sources: [s]",
			want: `fingerprint: openers.yaml:3: transport "sctp": want tcp or udp`},
		{name: "shape", text: "openers: [{id: x, transport: tcp, text: x, shapes: [round], sources: [s]}]",
			want: `fingerprint: openers.yaml:1: shape "round": want speaks, http, tls, answers, closes_on_text, resets_on_text, resets_on_tls, closes_on_tls, closes_after_silence, closes_at_once, silent`},
		{name: "wait", text: "openers: [{id: x, transport: tcp, text: x, wait: 1h, sources: [s]}]",
			want: `fingerprint: openers.yaml:1: wait "1h": want a duration from 100ms to 10s`},
		{name: "twice", text: "openers:\n- {id: x, transport: tcp, text: x, sources: [s]}\n- {id: x, transport: tcp, text: y, sources: [s]}",
			want: `fingerprint: openers.yaml:3: id "x": stands twice`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Load(fstest.MapFS{"openers.yaml": {Data: []byte(tt.text)}})
			if err == nil || err.Error() != tt.want {
				t.Errorf("Load = %v\nwant   %s", err, tt.want)
			}
		})
	}
}

func TestOverlay(t *testing.T) {
	base, err := Load(files(map[string]string{"a": goodRule}))
	if err != nil {
		t.Fatal(err)
	}
	over, err := base.Overlay(fstest.MapFS{
		"a.yaml": {Data: []byte(strings.Replace(goodRule, "product: P", "product: Q", 1))},
		"b.yaml": {Data: []byte(strings.Replace(goodRule, "id: a", "id: b", 1))},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := base.Overlay(fstest.MapFS{}); err == nil {
		t.Error("an empty folder was accepted")
	}
	if _, err := base.Overlay(os.DirFS("testdata/not-there")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing folder: %v, want that it does not exist", err)
	} else if strings.Contains(err.Error(), "stat .") {
		t.Errorf("a missing folder: %v, want no path but the one that was given", err)
	}
	names := func(r *Rules) (list []string) {
		for _, rule := range r.All() {
			list = append(list, rule.ID+" "+rule.Product)
		}
		return list
	}
	if d := cmp.Diff([]string{"a Q", "b P"}, names(over)); d != "" {
		t.Errorf("after the overlay (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]string{"a P"}, names(base)); d != "" {
		t.Errorf("the base has changed (-want +got):\n%s", d)
	}
}

// TestDefaultIsComplete: what is read in haste is what is read in full, but
// for the examples.
func TestDefaultIsComplete(t *testing.T) {
	brief, err := Default()
	if err != nil {
		t.Fatal(err)
	}
	full := defaults(t)
	if len(brief.All()) != len(full.All()) {
		t.Fatalf("%d rules without examples, %d with them", len(brief.All()), len(full.All()))
	}
	for i, want := range full.All() {
		got := brief.All()[i]
		if len(got.Examples) != 0 || len(want.Examples) == 0 {
			t.Errorf("%s: %d examples in haste, %d in full", want.ID, len(got.Examples), len(want.Examples))
		}
		stripped := *want
		stripped.Examples, stripped.Not = nil, nil
		diff := cmp.Diff(&stripped, got, cmp.AllowUnexported(Rule{}, condition{}, pattern{}, literal{}, document{}),
			cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".compile" || p.Last().String() == ".computed" }, cmp.Ignore()))
		if diff != "" {
			t.Errorf("%s: (-full +brief):\n%s", want.ID, diff)
		}
	}
}
