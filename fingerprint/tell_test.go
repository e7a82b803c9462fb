package fingerprint

import (
	"regexp"
	"strings"
	"testing"
)

func TestTell(t *testing.T) {
	answer := Exchange{Received: []byte("\xf2\xfa\xf2\xf2\xf2\xf2")}
	for _, tt := range []struct {
		name, tell, where string
		values            map[string]string
		want              string
	}{
		{name: "no tell", where: "a\x00", want: `a\x00`},
		{name: "count and begin", tell: "{bytes} bytes, {begin}", want: "6 bytes, f2 fa f2 f2"},
		{name: "what matched", tell: "answered {seen}", where: "N", want: "answered N"},
		{name: "what matched is escaped", tell: "answered {seen}", where: "\x1b[2J", want: `answered \x1b[2J`},
		{name: "a group", tell: "host {hostname}", where: "raw", values: map[string]string{"hostname": "lic-a"}, want: "host lic-a"},
		{name: "a group that is not known", tell: "host {hostname}", where: "raw\n", want: `raw\n`},
		{name: "a value names a value", tell: "host {hostname}", where: "raw", values: map[string]string{"hostname": "{seen}"}, want: "host {seen}"},
		{name: "too long", tell: "{seen} and more", where: strings.Repeat("x", 300), want: strings.Repeat("x", 197) + "..."},
	} {
		rule := &Rule{Tell: tt.tell}
		if got := rule.tell(answer, tt.where, tt.values); got != tt.want {
			t.Errorf("%s: tell = %q, want %q", tt.name, got, tt.want)
		}
	}
}

// TestEvidenceIsReadable: what a rule shows of its own examples is no riddle.
func TestEvidenceIsReadable(t *testing.T) {
	bytes, word := regexp.MustCompile(`\\x[0-9a-f]{2}`), regexp.MustCompile(`[ -~]{4}`)
	rules := defaults(t)
	for _, rule := range rules.All() {
		for i, e := range rule.Examples {
			for _, h := range rules.exampleHits(e) {
				if h.rule != rule {
					continue
				}
				if shown := h.sign.Excerpt; !word.MatchString(bytes.ReplaceAllString(shown, "\n")) {
					t.Errorf("%s: example %d shows %q as evidence: give the rule a tell", rule.File, i, shown)
				}
			}
		}
	}
}

func TestTellNamesWhatThereIs(t *testing.T) {
	const text = "id: a\nservice: http\nverdict: known_service\nevidence: {kind: banner, points: 70}\nsources: [s]\n" +
		"match: [{field: data, equals: x}]\ntell: \"host {hostname}\"\nexamples: [{text: x}]\n"
	_, err := Load(files(map[string]string{"a": text}))
	const want = `fingerprint: rules/a.yaml:7: tell "host {hostname}": {hostname}: want {bytes}, {begin}, {seen} or a named group of a pattern`
	if err == nil || err.Error() != want {
		t.Errorf("Load = %v\nwant %s", err, want)
	}
}
