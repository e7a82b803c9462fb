package fingerprint

import (
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
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

// TestWhole: what is waited for behind a pause, and what is not.
func TestWhole(t *testing.T) {
	for _, tt := range []struct {
		name, answer string
		want         bool
	}{
		{"line", "220 x\n", true},
		{"a few bytes", "SSH-2.0", false},
		{"half a head", "HTTP/1.1 200 OK\r\nServer: x\r\n", false},
		{"head", "HTTP/1.1 200 OK\r\nServer: x\r\n\r\n", true},
		{"head with LF alone", "HTTP/1.0 200 OK\nServer: x\n\n", true},
		{"no status", "HTTP/1.1 OK\r\n\r\n", true},
		{"half a page", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", false},
		{"page", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", true},
		{"length of a page that is not sent", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", true},
		{"first chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", false},
		{"all chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", true},
	} {
		if got := whole([]byte(tt.answer)); got != tt.want {
			t.Errorf("%s: whole(%q) = %t, want %t", tt.name, tt.answer, got, tt.want)
		}
	}
}

// TestPageAfterItsHead: a page may take longer than its head.
func TestPageAfterItsHead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		serve := func(c net.Conn) {
			if _, err := c.Read(make([]byte, 2048)); err != nil {
				return
			}
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n")
			time.Sleep(2 * time.Second)
			_, _ = io.WriteString(c, "STRONG")
			silent(c)
		}
		i := NewIdentifier(fakeRules{}, Config{Dialer: newFakeNet(t, only(3588, serve)), NoCanaries: true})
		ev, err := i.Identify(t.Context(), openPort("10.0.0.9", 3588))
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff([]string{"silence=timeout", "get10=quiet"}, probesOf(ev)); d != "" {
			t.Errorf("exchanges (-want +got):\n%s", d)
		}
	})
}
