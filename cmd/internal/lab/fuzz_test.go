package lab

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

// canned is a connection whose client said everything at once and left.
type canned struct {
	net.Conn
	in  *strings.Reader
	out strings.Builder
}

func (c *canned) Read(b []byte) (int, error)  { return c.in.Read(b) }
func (c *canned) Write(b []byte) (int, error) { return c.out.Write(b) }

// FuzzStreams: whatever a client sends, no service falls over, none answers
// with much more than it was sent, and every length that is told is right.
func FuzzStreams(f *testing.F) {
	for _, seed := range []string{get10, hello, "", "\r\n\r\n", "OPTIONS / HTTP/1.0\r\n\r\n", "GET /%00<x> HTTP/1.1\r\nHost: [::1\r\n\r\n",
		"PING\r\nGET a\r\nHost: x\r\n", "\x00\x00\x00\x08\x04\xd2\x16\x2f\x00\x00\x27\x10\x00\x03\x00\x00", "A\n\n"} {
		f.Add(seed)
	}
	plays := map[string]handler{
		"hasp": site(haspLM("1", false)), "acc": site(haspLM("1", true)), "keys": site(keysServer("1")), "vite": site(vite),
		"webpack": site(webpack), "python": site(pythonHTTP), "nginx": site(func(r request) string { return nginx(r, false) }),
		"block": streams(blockPage), "redis": streams(redis), "postgres": streams(postgres), "ssh": streams(ssh),
		"shell": streams(shell), "nethasp": streams(netHASP), "silent": streams(silent),
	}
	f.Fuzz(func(t *testing.T, text string) {
		for name, play := range plays {
			fake := &canned{in: strings.NewReader(text)}
			play.stream(context.Background(), &conn{Conn: fake, left: maxRead})
			got := fake.out.String()
			if most := 2000 + 100*len(text); len(got) > most {
				t.Errorf("%s answers %d bytes to %d", name, len(got), len(text))
			}
			head, body, ok := strings.Cut(got, "\r\n\r\n")
			if ok && strings.Contains(head, "Content-Length") && !strings.Contains(head+"\r\n", fmt.Sprintf("Content-Length: %d\r\n", len(body))) {
				t.Errorf("%s tells a wrong length:\n%s", name, got)
			}
		}
	})
}

// FuzzDatagrams: an answer is never longer than the question, so that the lab
// reflects nothing.
func FuzzDatagrams(f *testing.F) {
	f.Add([]byte("Su2oVSt4AABHZW50cmljZV9BUENfZ3Vlc3QAbWUA"))
	f.Add([]byte("123456789012345678901234567890123456789012345678901234567890"))
	search := lmSearch("lab-license")
	f.Fuzz(func(t *testing.T, text []byte) {
		if n := len(rms(text)); n > len(text) {
			t.Errorf("RMS answers %d bytes to %d", n, len(text))
		}
		if n := len(search(text)); n > len(text) {
			t.Errorf("the license manager answers %d bytes to %d", n, len(text))
		}
	})
}

// TestConnReadsNoMoreThanItsBound holds for a client that never stops.
func TestConnReadsNoMoreThanItsBound(t *testing.T) {
	in := strings.NewReader(strings.Repeat("x", 3*maxRead))
	started := time.Now()
	silent(t.Context(), &conn{Conn: &canned{in: in}, left: maxRead})
	if left := in.Len(); left != 2*maxRead {
		t.Errorf("%d bytes were read, want %d (in %v)", 3*maxRead-left, maxRead, time.Since(started))
	}
}
