package lab

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"dormant/fingerprint"
	"dormant/registry"
)

// anyPrefix is a network of loopback that no other test uses at this time, as
// good as certainly.
func anyPrefix() netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{127, byte(80 + rand.IntN(100)), byte(rand.IntN(256)), 0}), 26)
}

// running starts a lab and returns its hosts by number; the test's end stops it.
func running(t *testing.T) map[byte]Host {
	t.Helper()
	return runningWith(t, Config{})
}

func runningWith(t *testing.T, cfg Config) map[byte]Host {
	t.Helper()
	goleak.VerifyNone(t)
	ready := make(chan []Host, 1)
	cfg.Prefix, cfg.Ready = anyPrefix(), func(h []Host) { ready <- h }
	l, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx) }() // ends by cancel, below
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run = %v, want nil after the end of its context", err)
		}
		goleak.VerifyNone(t)
	})
	select {
	case hosts := <-ready:
		byNumber := map[byte]Host{}
		for _, h := range hosts {
			byNumber[h.Addr.As4()[3]] = h
		}
		return byNumber
	case err := <-ended:
		ended <- err
		t.Fatalf("Run = %v before it was ready", err)
		return nil
	}
}

// ask sends text to a service and returns what came until the peer closed, was
// quiet for the wait, or had talked for twice as long.
func ask(t *testing.T, h Host, network string, port uint16, text string, wait time.Duration) string {
	t.Helper()
	c, err := net.Dial(network, netip.AddrPortFrom(h.Addr, port).String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	buf := make([]byte, 4096)
	for started := time.Now(); ; {
		_ = c.SetReadDeadline(time.Now().Add(wait)) // a dead connection shows in Read
		n, err := c.Read(buf)
		got.Write(buf[:n])
		if err != nil || network == "udp" || time.Since(started) > 2*wait {
			return got.String()
		}
	}
}

const get10 = "GET / HTTP/1.0\r\n\r\n"

// hello begins like a TLS ClientHello: what a plain port says to it tells its stack.
const hello = "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"

func TestServices(t *testing.T) {
	hosts := running(t)
	for _, tt := range []struct {
		name   string
		host   byte
		port   uint16
		text   string
		want   string // in the answer; "" for none at all
		absent string // not in the answer
	}{
		{"HASP LM refuses", 10, 1947, get10, "HTTP/1.0 403 Forbidden\r\nServer: HASP LM/25.02\r\nDate: ", ""},
		{"… its body", 10, 1947, get10, "Content-Length: 137\r\n\r\n<title>403 Forbidden</title>\n", ""},
		{"… an unknown path", 10, 1947, "GET /x HTTP/1.1\r\nHost: x\r\n\r\n", "403 Forbidden", ""},
		{"… OPTIONS", 10, 1947, "OPTIONS / HTTP/1.0\r\n\r\n", "HTTP/0.0 501 Not Implemented\r\n", ""},
		{"… its body", 10, 1947, "OPTIONS / HTTP/1.0\r\n\r\n", "Content-Length: 164\r\n\r\n", ""},
		{"… an empty line", 10, 1947, "\r\n\r\n", "", ""},
		{"open ACC", 11, 1947, get10, "HTTP/1.0 302 Moved\r\nServer: HASP LM/18.00\r\n", ""},
		{"… its body", 11, 1947, get10, "Location: /_int_/index.html\r\nContent-Type: text/html\r\nContent-Length: 106\r\n", ""},
		{"keys server", 14, 3712, get10, "Server: SentinelKeysServer/1.3.2\r\nMIME-Version: 1.1\r\n", ""},
		{"vite", 20, 3588, get10, `src="/@vite/client"`, "Content-Length"},
		{"vite, any path", 20, 3588, "GET /none HTTP/1.1\r\nHost: x\r\n\r\n", "200 OK", ""},
		{"vite, no HTTP", 20, 3588, hello, nodeBad, ""},
		{"webpack without Host", 21, 3712, get10, "Invalid Host header", "same-origin"},
		{"webpack with Host", 21, 3712, "GET / HTTP/1.1\r\nHost: 127.0.0.1:3712\r\n\r\n", "Cross-Origin-Resource-Policy: same-origin", "Invalid"},
		{"webpack with a foreign name", 21, 3712, "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", "Invalid Host header", ""},
		{"webpack quotes safely", 21, 3712, "GET /<b> HTTP/1.1\r\nHost: localhost\r\n\r\n", `Cannot GET /\x3cb\x3e`, "<b>"},
		{"python", 22, 3047, get10, "Server: SimpleHTTP/0.6 Python/3.11.2", ""},
		{"python, no HTTP", 22, 3047, hello, "Error code: 400", "HTTP/1"},
		{"go", 23, 3588, get10, "build status", ""},
		{"go, another path", 23, 3588, "GET /none HTTP/1.0\r\n\r\n", "404 page not found\n", ""},
		{"go, no HTTP", 23, 3588, hello + "\r\n\r\n", "400 Bad Request", ""},
		{"redis", 30, 3712, get10, "-ERR wrong number of arguments for 'get' command\r\n", ""},
		{"redis, Host", 30, 3712, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "", ""},
		{"redis, ping", 30, 3712, "PING\r\n", "+PONG\r\n", ""},
		{"postgres, text", 31, 3588, get10, "", ""},
		{"postgres, SSLRequest", 31, 3588, "\x00\x00\x00\x08\x04\xd2\x16\x2f", "N", ""},
		{"postgres, start-up", 31, 3588, "\x00\x00\x00\x09\x00\x03\x00\x00\x00", "no pg_hba.conf entry", ""},
		{"ssh", 32, 3047, get10, "SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u10\r\nInvalid SSH identification string.\r\n", ""},
		{"nginx, plain", 33, 3712, get10, "The plain HTTP request was sent to HTTPS port", ""},
		{"shell", 40, 3588, get10, "sh: 1: GET: not found\n", "2:"},
		{"shell, commands", 40, 3588, "id; uname -a\n$(id)\n", "sh: 1: id;: not found\nsh: 2: $(id): not found\n", "uid="},
		{"tarpit", 41, 3047, "", "ah", ""},
		{"dead forward", 42, 3712, "", "", ""},
		{"block page", 43, 3588, get10, "Web Page Blocked!", ""},
		{"block page, no HTTP", 43, 3712, hello, "Web Page Blocked!", ""},
		{"silent", 44, 5093, get10, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := ask(t, hosts[tt.host], "tcp", tt.port, tt.text, 800*time.Millisecond)
			if !strings.Contains(got, tt.want) || tt.want == "" && got != "" {
				t.Errorf("answer to %q:\n%q\nwant %q", tt.text, got, tt.want)
			}
			if tt.absent != "" && strings.Contains(got, tt.absent) {
				t.Errorf("answer to %q:\n%q\nwant no %q", tt.text, got, tt.absent)
			}
			if _, body, ok := strings.Cut(got, "\r\n\r\n"); ok && strings.Contains(got, "Content-Length: ") {
				if !strings.Contains(got, fmt.Sprintf("Content-Length: %d\r\n", len(body))) {
					t.Errorf("the body has %d bytes, the header says otherwise:\n%s", len(body), got)
				}
			}
		})
	}
}

func TestNetHASP(t *testing.T) {
	h := running(t)[13]
	if h.Services[0].Missing != "" {
		t.Skip("475/tcp ", h.Services[0].Missing)
	}
	got := hex.EncodeToString([]byte(ask(t, h, "tcp", 475, "\r\n\r\n", time.Second/2)))
	want := "f2fa" + strings.Repeat("f2", 60) + strings.Repeat("00", 8)
	if got != want {
		t.Errorf("answer = %s, want %s", got, want)
	}
}

func TestDatagrams(t *testing.T) {
	hosts := running(t)
	const search = "Su2oVSt4AABHZW50cmljZV9BUENfZ3Vlc3QAbWUA" // recorded in 2016
	opener, _ := hex.DecodeString("72fe1d1300000000" + "00000002000186a0" + "0001977c" + strings.Repeat("00", 20))
	for _, tt := range []struct {
		name string
		host byte
		port uint16
		text string
		want string
	}{
		{"RMS", 12, 5093, string(opener), string(opener[:12]) + `,PSH,'A{^QOHpe])]\^cRH>%gNQX`},
		{"RMS, short", 12, 5093, "123456789012", ""},
		{"LM search", 10, 1947, search, string(lmSearch("lab-license")([]byte(search)))},
		{"LM, another datagram", 10, 1947, strings.Repeat("A", 41), ""},
		{"LM, empty", 10, 1947, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := ask(t, hosts[tt.host], "udp", tt.port, tt.text, time.Second/2)
			if got != tt.want {
				t.Errorf("answer = %q, want %q", got, tt.want)
			}
		})
	}
	if n := len(lmSearch("lab-license")([]byte(search))); n != 40 {
		t.Errorf("the answer to an LM search has %d bytes, want 40", n)
	}
}

// TestEverythingElseIsClosed: what the table does not name refuses at once.
func TestEverythingElseIsClosed(t *testing.T) {
	for _, h := range running(t) {
		for _, port := range []uint16{475, 1947, 3047, 3588, 3712, 5093, 33333} {
			want := false
			for _, s := range h.Services {
				want = want || s.Port == (registry.Port{Number: port, Proto: registry.TCP}) && s.Missing == ""
			}
			c, err := net.Dial("tcp", netip.AddrPortFrom(h.Addr, port).String())
			if err == nil {
				_ = c.Close() // only the handshake counts
			}
			if (err == nil) != want {
				t.Errorf("%s %s: open = %t, want %t", h.Name, netip.AddrPortFrom(h.Addr, port), err == nil, want)
			}
		}
	}
}

// TestManyClients: more connections than are served at a time wait, and all
// are served in the end.
func TestManyClients(t *testing.T) {
	h := running(t)[10]
	answers := make(chan string)
	const clients = 5 * maxConns
	for range clients {
		go func() { answers <- ask(t, h, "tcp", 1947, get10, 5*time.Second) }() // ends when it is answered
	}
	for range clients {
		if got := <-answers; !strings.Contains(got, "HASP LM") {
			t.Fatalf("answer = %q, want the license manager's", got)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	for _, tt := range []struct{ prefix, want string }{
		{"10.0.0.0/24", "want a network inside 127.0.0.0/8"},
		{"126.0.0.0/7", "want a network inside 127.0.0.0/8"},
		{"127.77.0.1/24", "want a network inside 127.0.0.0/8"},
		{"::1/128", "want a network inside 127.0.0.0/8"},
		{"0.0.0.0/0", "want a network inside 127.0.0.0/8"},
		{"127.77.0.0/27", "want /26 or wider"},
	} {
		l, err := New(Config{Prefix: netip.MustParsePrefix(tt.prefix)})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("New(%s) = %v, %v; want %q", tt.prefix, l, err, tt.want)
		}
	}
	if _, err := New(Config{}); err == nil {
		t.Error("New without a prefix = nil error, want a refusal")
	}
}

// TestAddressInUse: a port that somebody else holds is an error, and nothing
// stays open after it.
func TestAddressInUse(t *testing.T) {
	defer goleak.VerifyNone(t)
	prefix := anyPrefix()
	last := prefix.Addr().As4()
	last[3] += 44
	ln, err := net.Listen("tcp", netip.AddrPortFrom(netip.AddrFrom4(last), 5093).String())
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	l, err := New(Config{Prefix: prefix, Ready: func([]Host) { t.Error("ready although a port is taken") }})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("Run = %v, want that the address is in use", err)
	}
	first := prefix.Addr().As4()
	first[3] += 10
	if c, err := net.Dial("tcp", netip.AddrPortFrom(netip.AddrFrom4(first), 1947).String()); err == nil {
		_ = c.Close()
		t.Error("the license server still listens after Run has failed")
	}
}

// TestHostsTellTheTruth: every kind of answer is in the lab, and every service
// says what to expect.
func TestHostsTellTheTruth(t *testing.T) {
	l, err := New(Config{Prefix: netip.MustParsePrefix(DefaultPrefix)})
	if err != nil {
		t.Fatal(err)
	}
	got := map[fingerprint.Class]int{}
	closed := 0
	seen := map[netip.Addr]bool{}
	for _, h := range l.Hosts() {
		if seen[h.Addr] {
			t.Errorf("%v is played twice", h.Addr)
		}
		seen[h.Addr] = true
		if len(h.Services) == 0 {
			closed++
		}
		for _, s := range h.Services {
			got[s.Verdict]++
		}
	}
	want := map[fingerprint.Class]int{
		fingerprint.LicenseManager: 7, fingerprint.DevServer: 4, fingerprint.KnownService: 4, fingerprint.OpenShell: 1,
		fingerprint.Tarpit: 1, fingerprint.Middlebox: 9, fingerprint.Unidentified: 1,
	}
	if d := cmp.Diff(want, got); d != "" || closed < 3 {
		t.Errorf("%d closed hosts, services by verdict (-want +got):\n%s", closed, d)
	}
}
