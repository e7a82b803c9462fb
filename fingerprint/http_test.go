package fingerprint

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseResponse(t *testing.T) {
	for _, tt := range []struct {
		name, data   string
		status       string // "" for no HTTP
		code         int
		server, body string
	}{
		{name: "usual", data: "HTTP/1.1 200 OK\r\nServer: nginx\r\n\r\nhello", status: "HTTP/1.1 200 OK", code: 200, server: "nginx", body: "hello"},
		{name: "any case of names", data: "HTTP/1.0 200 OK\r\nSERVER:  x \r\n\r\n", status: "HTTP/1.0 200 OK", code: 200, server: "x"},
		{name: "LF only", data: "HTTP/1.1 400 Bad Request\nServer: HASP Server/3 (MSWin32)\n\nbody", status: "HTTP/1.1 400 Bad Request", code: 400, server: "HASP Server/3 (MSWin32)", body: "body"},
		{name: "Sentinel's version 0.0", data: "HTTP/0.0 501 Not Implemented\r\n\r\n", status: "HTTP/0.0 501 Not Implemented", code: 501},
		{name: "no slash", data: "HTTP1.1 200 OK\r\nServer: WIBU\r\n\r\n", status: "HTTP1.1 200 OK", code: 200, server: "WIBU"},
		{name: "space behind the reason", data: "HTTP/1.1 200 OK \r\n\r\n", status: "HTTP/1.1 200 OK ", code: 200},
		{name: "no reason", data: "HTTP/1.1 200\r\n\r\n", status: "HTTP/1.1 200", code: 200},
		{name: "cut in the head", data: "HTTP/1.1 200 OK\r\nServer: ng", status: "HTTP/1.1 200 OK", code: 200},
		{name: "cut in the status line", data: "HTTP/1.1 200 O", status: "HTTP/1.1 200 O", code: 200},
		{name: "chunked", data: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\n", status: "HTTP/1.1 200 OK", code: 200, body: "hello world"},
		{name: "chunked, cut short", data: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nff\r\n wor", status: "HTTP/1.1 200 OK", code: 200, body: "hello wor"},
		{name: "chunked only by its word", data: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nplain text\n", status: "HTTP/1.1 200 OK", code: 200, body: "plain text\n"},
		{name: "a head without end", data: "HTTP/1.1 200 OK\r\nServer: x\r\n" + strings.Repeat("X: y\r\n", 10000), status: "HTTP/1.1 200 OK", code: 200, server: "x"},
		{name: "RTSP", data: "RTSP/1.0 400 Bad Request\r\n\r\n"},
		{name: "a page without a head", data: "<!DOCTYPE HTML>\n"},
		{name: "talk", data: "HTTP is fun\r\n"},
		{name: "a code of four digits", data: "HTTP/1.1 2000 OK\r\n\r\n"},
		{name: "nothing"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, ok := parseResponse([]byte(tt.data))
			if !ok {
				if tt.status != "" {
					t.Fatal("not read as HTTP")
				}
				return
			}
			got := []any{r.status, r.code, r.get("server"), string(r.body)}
			if d := cmp.Diff([]any{tt.status, tt.code, tt.server, tt.body}, got); d != "" {
				t.Errorf("parseResponse (-want +got):\n%s", d)
			}
		})
	}
}

func TestTitle(t *testing.T) {
	for _, tt := range []struct{ name, body, want string }{
		{"usual", "<html><head><title>Hello</title>", "Hello"},
		{"attributes, case, white space, entities", "<TITLE lang=en>\n  a &amp;\tb </Title>", "a & b"},
		{"on a page in Latin-1", "<TITLE>Kyocera</TITLE><p>Ger\xe4t", "Kyocera"},
		{"in Latin-1", "<title>Ger\xe4t</title>", "Ger\xe4t"},
		{"on a long page in UTF-8", "<title>ok</title>" + strings.Repeat("ä", maxHead), "ok"},
		{"none", "<h1>x</h1>", ""},
		{"without end", "<title>x", ""},
		{"cut at 200 characters", "<title>" + strings.Repeat("ä", 300) + "</title>", strings.Repeat("ä", 200)},
	} {
		if got := title([]byte(tt.body)); got != tt.want {
			t.Errorf("%s: title = %q, want %q", tt.name, got, tt.want)
		}
	}
}

// FuzzParseResponse: head and body are parts of the answer, the body never
// grows, and a status line has a code of three digits.
func FuzzParseResponse(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nServer: nginx\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"))
	f.Add([]byte("HTTP/0.0 501 Not Implemented\n\n<title>x</title>"))
	f.Add([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7fffffff\r\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, ok := parseResponse(data)
		if !ok {
			return
		}
		if len(r.head)+len(r.body) > len(data) {
			t.Errorf("head %d + body %d > %d bytes", len(r.head), len(r.body), len(data))
		}
		if r.code < 100 || r.code > 999 {
			t.Errorf("code = %d", r.code)
		}
		if n := len([]rune(title(r.body))); n > 200 {
			t.Errorf("title of %d characters", n)
		}
	})
}
