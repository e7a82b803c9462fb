package fingerprint

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestBehaviour: the signs of a dialogue as a whole, on both sides of their
// bounds.
func TestBehaviour(t *testing.T) {
	const node, goText = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n",
		"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n400 Bad Request"
	page := func(server string) string { return "HTTP/1.1 200 OK\r\nServer: " + server + "\r\n\r\n" }
	noise := func(seed uint64, n int) string {
		rng, b := rand.New(rand.NewPCG(seed, 1)), make([]byte, n)
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		return string(b)
	}
	slow := func(first, rtt time.Duration, sent string) Exchange {
		return Exchange{Conn: 1, Probe: ProbeGet10, Sent: []byte(sent), Received: []byte("+\n"), FirstByte: first, TCP: &TCPInfo{RTT: rtt}}
	}
	pieces := func(n, size int, gap time.Duration) Exchange {
		ex := Exchange{Conn: 1, Probe: ProbeSilence, End: EndQuiet, Received: bytes.Repeat([]byte("x"), n*size)}
		for i := range n {
			ex.Chunks = append(ex.Chunks, Chunk{At: time.Duration(i) * gap, Bytes: size})
		}
		return ex
	}
	full := Exchange{Conn: 1, Probe: ProbeSilence, End: EndFull, Received: bytes.Repeat([]byte("ab"), 100)}
	asked := full
	asked.Probe = ProbeGet10
	text := strings.Repeat("any old text, ", 10)
	for _, tt := range []struct {
		name, rule, want string // want is the excerpt, "" for no sign
		list             []Exchange
	}{
		{"nginx with the text of Node.js", "behaviour-claim-mismatch", "header says nginx, error text is Node.js http",
			[]Exchange{answer(1, ProbeGet10, page("nginx/1.22")), answer(2, ProbeTLS, node)}},
		{"Apache with the text of Go", "behaviour-claim-mismatch", "header says apache, error text is Go net/http",
			[]Exchange{answer(1, ProbeTLS, goText), answer(2, ProbeGet10, page("Apache"))}},
		{"nginx with a text that nobody is known for", "behaviour-claim-mismatch", "",
			[]Exchange{answer(1, ProbeGet10, page("nginx")), answer(2, ProbeTLS, goText+"\n")}},
		{"a name that begins alike", "behaviour-claim-mismatch", "", []Exchange{answer(1, ProbeGet10, page("nginxish")), answer(2, ProbeTLS, node)}},
		{"the text of Node.js to a GET", "behaviour-claim-mismatch", "", []Exchange{answer(1, ProbeGet10, page("nginx")), answer(2, ProbeGet11, node)}},

		{"random on two connections", "behaviour-entropy", excerpt(latin1([]byte(noise(1, 48)))),
			[]Exchange{answer(1, ProbeSilence, noise(1, 48)), answer(2, ProbeSilence, noise(2, 48))}},
		{"random, too short to tell", "behaviour-entropy", "", []Exchange{answer(1, ProbeSilence, noise(1, 47)), answer(2, ProbeSilence, noise(2, 47))}},
		{"random on one connection", "behaviour-entropy", "", []Exchange{answer(1, ProbeSilence, noise(1, 64)), answer(1, ProbeGet10, noise(2, 64))}},
		{"the same each time", "behaviour-entropy", "", []Exchange{answer(1, ProbeSilence, noise(1, 64)), answer(2, ProbeSilence, noise(1, 64))}},
		{"text", "behaviour-entropy", "", []Exchange{answer(1, ProbeSilence, text), answer(2, ProbeSilence, text+"!")}},

		{"slow behind a near kernel", "behaviour-far-behind", "first byte after 50ms, round trip 10ms", []Exchange{slow(50*time.Millisecond, 10*time.Millisecond, "x")}},
		{"not long", "behaviour-far-behind", "", []Exchange{slow(49*time.Millisecond, time.Millisecond, "x")}},
		{"as far as the kernel", "behaviour-far-behind", "", []Exchange{slow(50*time.Millisecond, 11*time.Millisecond, "x")}},
		{"nothing was asked", "behaviour-far-behind", "", []Exchange{slow(time.Second, time.Millisecond, "")}},

		{"four drops", "behaviour-drip", "32 bytes in 4 pieces over 3s", []Exchange{pieces(4, 8, time.Second)}},
		{"three drops", "behaviour-drip", "", []Exchange{pieces(3, 8, time.Second)}},
		{"more than a drop", "behaviour-drip", "", []Exchange{pieces(4, 9, time.Second)}},
		{"no pause between", "behaviour-drip", "", []Exchange{pieces(4, 8, 199*time.Millisecond)}},
		{"the longest pause", "behaviour-drip", "8 bytes in 4 pieces over 33s", []Exchange{pieces(4, 2, 11*time.Second)}},

		{"unasked without end", "behaviour-endless", strings.Repeat("ab", 32), []Exchange{full}},
		{"a long answer", "behaviour-endless", "", []Exchange{asked}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ev, got := Evidence{Exchanges: tt.list}, ""
			for _, s := range behaviour(ev, subjects(ev, nil), nil) {
				if s.Rule == tt.rule {
					got = s.Excerpt
				}
			}
			if got != tt.want {
				t.Errorf("%s: %q, want %q", tt.rule, got, tt.want)
			}
		})
	}
}

// TestOddities: what is unusual in a certificate; two together are a sign.
func TestOddities(t *testing.T) {
	seen := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name, serial, san, from, until string
		want                           []string
	}{
		{"plain", "2", "x", "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z", nil},
		{"serial and names", "1", "", "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z", []string{"serial number 1", "no alternative name"}},
		{"ten years", "2", "x", "2026-01-01T00:00:00Z", "2036-01-09T00:00:00Z", nil},
		{"eleven years", "2", "x", "2026-01-01T00:00:00Z", "2037-01-01T00:00:00Z", []string{"valid for more than ten years"}},
		{"this morning", "2", "x", "2026-11-22T11:00:00Z", "2027-01-01T00:00:00Z", []string{"made on the day of the scan"}},
		{"a day ago", "2", "x", "2026-11-21T12:00:00Z", "2027-01-01T00:00:00Z", nil},
		{"in the future", "2", "x", "2026-11-22T13:00:00Z", "2027-01-01T00:00:00Z", nil},
	} {
		fields := map[string]string{"cert:serial": tt.serial, "cert:san": tt.san, "cert:not_before": tt.from, "cert:not_after": tt.until}
		if d := cmp.Diff(tt.want, oddities(fields, seen)); d != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, d)
		}
	}
}
