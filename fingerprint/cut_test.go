package fingerprint

import (
	"testing"
	"time"
)

// TestCutAnswerHasNoHalfVersion cuts every example of every rule at every byte:
// what came may lack a version, and never has a part of one.
func TestCutAnswerHasNoHalfVersion(t *testing.T) {
	rules := defaults(t)
	for _, rule := range rules.All() {
		for i, e := range rule.Examples {
			want := signsOf(rules.hits(Evidence{Exchanges: []Exchange{e.Exchange}}, nil))
			if len(e.Fields) > 0 || len(want) == 0 || len(e.Exchange.Received) > 512 {
				continue // nothing is received, or too long for a quick test
			}
			whole := map[string]string{}
			for _, s := range want {
				whole[s.Rule] = s.Version
			}
			for n := range e.Exchange.Received {
				ex := e.Exchange
				ex.Received, ex.End = ex.Received[:n], EndCut
				s := subjects(Evidence{Exchanges: []Exchange{ex}}, nil)[0]
				f, ok := rule.match(s)
				if got := rule.sign(ex, f).Version; ok && got != "" && got != whole[rule.ID] {
					t.Errorf("%s, example %d, cut at %d: version %q, want %q or none", rule.ID, i, n, got, whole[rule.ID])
					break
				}
			}
		}
	}
}

// TestCutAnswer: where an answer ends early, what it says of a name, a version
// and an echo is only what is whole.
func TestCutAnswer(t *testing.T) {
	rules := defaults(t)
	slow := []Chunk{{At: time.Second, Bytes: 8}, {At: 2 * time.Second, Bytes: 8}}
	for _, tt := range []struct {
		name             string
		ex               Exchange
		product, version string
	}{
		{"whole", Exchange{Probe: ProbeSilence, Received: []byte("SSH-2.0-OpenSSH_9.2p1\r\n"), End: EndCut}, "OpenSSH", "9.2p1"},
		{"ended by us", Exchange{Probe: ProbeSilence, Received: []byte("SSH-2.0-OpenSSH_9"), End: EndCut}, "OpenSSH", ""},
		{"slow, without its end", Exchange{Probe: ProbeSilence, Received: []byte("SSH-2.0-OpenSSH_9"), Chunks: slow, End: EndQuiet}, "OpenSSH", ""},
		{"slow and closed", Exchange{Probe: ProbeSilence, Received: []byte("SSH-2.0-OpenSSH_9"), Chunks: slow, End: EndFin}, "OpenSSH", "9"},
		{"at once", Exchange{Probe: ProbeSilence, Received: []byte("SSH-2.0-OpenSSH_9"), End: EndQuiet}, "OpenSSH", "9"},
		{"half a header", Exchange{Probe: ProbeGet10, Received: []byte("HTTP/1.1 200 OK\r\nServer: Apache"), End: EndFin}, "", ""},
		{"half an echo", Exchange{Probe: ProbeGet10, Sent: []byte(get10), Received: []byte("GET /"), End: EndCut}, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var product, version string
			if signs := signsOf(rules.hits(Evidence{Exchanges: []Exchange{tt.ex}}, nil)); len(signs) > 0 {
				product, version = signs[0].Product, signs[0].Version
				if signs[0].Service == "echo" {
					product = "echo"
				}
			}
			if product != tt.product || version != tt.version {
				t.Errorf("%q %q, want %q %q", product, version, tt.product, tt.version)
			}
		})
	}
}
