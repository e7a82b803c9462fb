package fleet

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCheckName(t *testing.T) {
	for _, tt := range []struct {
		name string
		ok   bool
	}{
		{"hq", true}, {"a", true}, {"9", true}, {"plant-2", true}, {strings.Repeat("a", 32), true},
		{"", false}, {"-a", false}, {"HQ", false}, {"a.b", false}, {"a_b", false}, {"*", false}, {">", false}, {"a b", false},
		{"a/b", false}, {"..", false}, {"ä", false}, {"a\x00", false}, {"a\n", false}, {strings.Repeat("a", 33), false},
	} {
		if err := CheckName("site", tt.name); (err == nil) != tt.ok {
			t.Errorf("CheckName(%q) = %v; want ok %t", tt.name, err, tt.ok)
		}
	}
}

func TestCheckOrigin(t *testing.T) {
	hq := Place{Site: "hq", Vantage: "lan"}
	for _, tt := range []struct {
		name, subject string
		m             Message
		ok            bool
	}{
		{"part", hq.ResultSubject("hq-1", "R-1"), part(), true},
		{"done", hq.ResultSubject("hq-1", "R-1"), done(), true},
		{"part of another run", hq.ResultSubject("hq-1", "R-2"), part(), false},
		{"done of another run", hq.ResultSubject("hq-1", "R-2"), done(), false},
		{"done of another agent", hq.ResultSubject("hq-2", "R-1"), done(), false},
		{"work", hq.WorkSubject(), part(), false},
		{"a beat", hq.BeatSubject("hq-1"), part(), false},
		{"no message", hq.ResultSubject("hq-1", "R-1"), Message{Version: Version}, false},
		{"wildcard", hq.ResultSubject("*", "R-1"), part(), false},
		{"nothing", "", part(), false},
	} {
		if err := CheckOrigin(tt.subject, tt.m); (err == nil) != tt.ok {
			t.Errorf("%s: CheckOrigin(%q) = %v; want ok %t", tt.name, tt.subject, err, tt.ok)
		}
	}
	if err := CheckShard(hq.WorkSubject(), shard()); err != nil {
		t.Error(err)
	}
	if err := CheckShard(Place{Site: "branch", Vantage: "lan"}.WorkSubject(), shard()); err == nil {
		t.Error("a shard of hq is taken for one of branch")
	}
}

// FuzzParseSubject: what is read is written the same.
func FuzzParseSubject(f *testing.F) {
	p := Place{Site: "hq", Vantage: "lan"}
	for _, s := range []string{p.ResultSubject("a", "R"), p.BeatSubject("a"), p.HelloSubject("a"), p.WorkSubject(), "dormant.result.a.b.c.>"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		o, err := ParseSubject(s)
		if err != nil {
			return
		}
		if !slices.Contains([]string{o.ResultSubject(o.Agent, o.Run), o.BeatSubject(o.Agent), o.HelloSubject(o.Agent)}, s) {
			t.Errorf("ParseSubject(%q) = %+v", s, o)
		}
	})
}

// matches tells whether a subject or a narrower pattern lies within pattern.
func matches(pattern, subject string) bool {
	p, s := strings.Split(pattern, "."), strings.Split(subject, ".")
	for i, token := range p {
		switch {
		case token == ">":
			return len(s) > i
		case i >= len(s) || token != "*" && token != s[i]:
			return false
		}
	}
	return len(p) == len(s)
}

// TestPermissionsAreServed: what an agent may publish is exported, and no two
// agents share a subject but that of their common work.
func TestPermissionsAreServed(t *testing.T) {
	hq, dmz := Place{Site: "hq", Vantage: "lan"}, Place{Site: "hq", Vantage: "dmz"}
	a, b := AgentPermissions("alpha", []Place{hq, dmz}), AgentPermissions("beta", []Place{hq})
	for _, subject := range append(slices.Clone(a.Publish), EnrollPermissions("x").Publish...) {
		if !slices.ContainsFunc(Services(), func(s Service) bool { return matches(s.Subject, subject) }) {
			t.Errorf("nothing is exported for %s", subject)
		}
	}
	var common []string
	for _, subject := range b.Publish {
		if slices.Contains(a.Publish, subject) {
			common = append(common, subject)
		}
	}
	want := []string{
		"$JS.API.CONSUMER.INFO.DORMANT_WORK.hq_lan", "$JS.API.CONSUMER.MSG.NEXT.DORMANT_WORK.hq_lan", "$JS.ACK.DORMANT_WORK.hq_lan.>",
	}
	if d := cmp.Diff(want, common); d != "" {
		t.Errorf("common subjects (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]string{"_INBOX_alpha.>"}, a.Subscribe); d != "" {
		t.Errorf("subscriptions (-want +got):\n%s", d)
	}
}

func TestCheckNonce(t *testing.T) {
	for _, tt := range []struct {
		nonce string
		ok    bool
	}{
		{"00112233445566778899aabbccddeeff", true},
		{"", false}, {"00", false}, {"00112233445566778899AABBCCDDEEFF", false}, {"*", false}, {"00112233445566778899aabbccddee.>", false},
	} {
		if err := CheckNonce(tt.nonce); (err == nil) != tt.ok {
			t.Errorf("CheckNonce(%q) = %v; want ok %t", tt.nonce, err, tt.ok)
		}
	}
}
