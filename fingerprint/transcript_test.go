package fingerprint

import (
	"bytes"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dormant/registry"
	"dormant/scanner"
)

func TestEscape(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"text", "GET / HTTP/1.0\r\n", `GET / HTTP/1.0\r\n`},
		{"backslash", `C:\x`, `C:\\x`},
		{"control and terminal", "\x00\t\x1b[2J\x7f", `\x00\t\x1b[2J\x7f`},
		{"not ASCII", "\xffé", `\xff\xc3\xa9`},
		{"nothing", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := Escape([]byte(tt.in)); got != tt.want {
				t.Errorf("Escape(%q) = %s, want %s", tt.in, got, tt.want)
			}
		})
	}
}

func FuzzEscape(f *testing.F) {
	f.Add([]byte("HTTP/1.0 403 Forbidden\r\nServer: HASP LM/25.02\r\n\r\n"))
	f.Add([]byte{0, 1, 2, '\\', 'x', 0x7f, 0x80, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		text := Escape(b)
		if strings.ContainsFunc(text, func(r rune) bool { return r < 0x20 || r > 0x7e }) {
			t.Errorf("Escape(%q) = %q: not printable ASCII", b, text)
		}
		back, err := strconv.Unquote(`"` + strings.ReplaceAll(text, `"`, `\"`) + `"`) // the same escapes as in Go
		if err != nil || back != string(b) {
			t.Errorf("Escape(%q) = %q, which is read as %q, %v", b, text, back, err)
		}
	})
}

func TestWriteTranscript(t *testing.T) {
	ev := Evidence{
		Target:  scanner.Target{Addr: netip.MustParseAddr("10.0.0.9"), Port: registry.Port{Number: 1947, Proto: registry.TCP}},
		Started: time.Date(2026, 3, 1, 12, 0, 0, 5e6, time.UTC), Status: StatusDone,
		Host:        HostContext{CanariesAsked: 2},
		Connections: 2, BytesSent: 18, BytesReceived: 30, Elapsed: 3500 * time.Millisecond,
		Exchanges: []Exchange{
			{
				Conn: 1, Probe: ProbeSilence, At: time.Millisecond, Connect: 400 * time.Microsecond,
				End: EndTimeout, Elapsed: 3 * time.Second, TCP: &TCPInfo{BytesAcked: 1, HasSendWnd: true, SendWindow: 65483},
			},
			{
				Conn: 1, Probe: ProbeGet10, At: 3 * time.Second, Sent: []byte(get10), Received: []byte("HTTP/1.0 403\r\n\r\n\x1b[2J"),
				Chunks: []Chunk{{20 * time.Millisecond, 16}, {120 * time.Millisecond, 4}}, End: EndFin, Elapsed: 130 * time.Millisecond,
			},
			{
				Conn: 2, Probe: ProbeTLS, At: 3400 * time.Millisecond, Received: bytes.Repeat([]byte{0xff}, 30),
				End: EndTLSFail, Elapsed: 10 * time.Millisecond, Error: "remote error:\n x", TLS: &TLSInfo{Version: "TLS 1.0", Cipher: "x", WantCert: true},
			},
		},
	}
	want := `10.0.0.9:1947/tcp, 2026-03-01T12:00:00.005Z
canaries: 0 of 2 random ports accepted a connection
connection 1, handshake 400µs
   0.001s  silence
   3.001s  timeout, 0 bytes; acked 1, unacked 0, retransmitted 0, rtt 0s, window 65483
   3.000s  get10
   3.000s  > GET / HTTP/1.0\r\n
           > \r\n
   3.020s  < HTTP/1.0 403\r\n
           < \r\n
   3.120s  < \x1b[2J
   3.130s  fin, 20 bytes
connection 2
   3.400s  tls
   3.410s  < ` + strings.Repeat(`\xff`, 24) + `
           < ` + strings.Repeat(`\xff`, 6) + `
           TLS 1.0, x, wants a client certificate
   3.410s  tls_fail, 30 bytes; remote error:\n x
done: connections 2, bytes sent 18, received 30, in 3.500s
`
	var out strings.Builder
	if err := WriteTranscript(&out, ev); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, out.String()); d != "" {
		t.Errorf("transcript (-want +got):\n%s", d)
	}
}

func BenchmarkEscape(b *testing.B) {
	page := bytes.Repeat([]byte("<p>one line of a page</p>\r\n"), 64)
	b.SetBytes(int64(len(page)))
	b.ReportAllocs()
	for b.Loop() {
		Escape(page)
	}
}
