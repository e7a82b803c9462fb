package fingerprint

import (
	"bytes"
	"compress/gzip"
	"crypto/tls"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"dormant/registry"
	"dormant/scanner"
)

// TestHostilePeers talks to real sockets that do their worst. What counts is
// what they can cost: connections, bytes, and goroutines that stay.
func TestHostilePeers(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	t.Run("all", func(t *testing.T) { // the group ends before goleak looks
		for _, tt := range hostilePeers() {
			t.Run(tt.name, func(t *testing.T) {
				t.Parallel()
				testHostile(t, tt)
			})
		}
	})
}

type hostilePeer struct {
	name  string
	serve func(net.Conn)
	first []string // how the dialogue must begin
}

func hostilePeers() []hostilePeer {
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	_, _ = z.Write(make([]byte, 16<<20))
	_ = z.Close()
	return []hostilePeer{
		{"silent", silent, []string{"silence=timeout", "get10=timeout", "tls=timeout"}},
		{"never reads", func(net.Conn) { time.Sleep(1500 * time.Millisecond) }, []string{"silence=timeout", "get10=timeout"}},
		{"closes", closes, []string{"silence=fin"}},
		{"resets", reset, []string{"silence=rst"}},
		{"resets on text", func(c net.Conn) {
			reset(c)
			closesOnText(c)
		}, []string{"silence=timeout", "get10=rst", "tls=rst"}},
		{"floods", floods, []string{"silence=full"}},
		{"drips", func(c net.Conn) {
			for {
				if _, err := c.Write([]byte("x")); err != nil {
					return
				}
				time.Sleep(250 * time.Millisecond)
			}
		}, []string{"silence=quiet"}},
		{"echoes", func(c net.Conn) { _, _ = io.Copy(c, c) }, []string{"silence=timeout", "get10=quiet", "tls=tls_fail"}},
		{"promises four gigabytes", answers("HTTP/1.1 200 OK\r\nContent-Length: 4294967296\r\n\r\nx"), []string{"silence=timeout", "get10=fin", "get11=fin"}},
		{"endless page", func(c net.Conn) {
			if _, err := c.Read(make([]byte, 2048)); err == nil {
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
				floods(c)
			}
		}, []string{"silence=timeout", "get10=full"}},
		{"compressed bomb", answers("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + bomb.String()), []string{"silence=timeout", "get10=fin"}},
		{"endless header", func(c net.Conn) {
			if _, err := c.Read(make([]byte, 2048)); err == nil {
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nX: ")
				floods(c)
			}
		}, []string{"silence=timeout", "get10=full"}},
		{"handshake without end", func(c net.Conn) {
			buf := make([]byte, 2048)
			if n, err := c.Read(buf); err != nil || n == 0 || buf[0] != recordHandshake {
				return
			}
			for { // a message of 16 MiB, one byte a record
				if _, err := c.Write([]byte{recordHandshake, 3, 3, 0, 1, 0xff}); err != nil {
					return
				}
			}
		}, []string{"silence=timeout", "get10=fin", "tls=tls_fail"}},
		{"handshake that stalls", func(c net.Conn) {
			buf := make([]byte, 2048)
			if n, err := c.Read(buf); err == nil && n > 0 && buf[0] == recordHandshake {
				_, _ = c.Write([]byte{recordHandshake, 3, 3, 0, 100, messageServerHello})
				silent(c)
			}
		}, []string{"silence=timeout", "get10=fin", "tls=tls_fail"}},
		{"one byte a second", drops, nil},
		{"chain of a megabyte", onHello(func([]byte) []byte { return certificateFlood(64, 16000) }), []string{"silence=timeout", "get10=fin", "tls=tls_fail"}},
		{"hello come back as the server's", onHello(func(hello []byte) []byte {
			hello = bytes.Clone(hello)
			hello[5] = messageServerHello
			return hello
		}), []string{"silence=timeout", "get10=fin", "tls=tls_fail"}},
		{"certificate of nonsense", onHello(func([]byte) []byte {
			return oldFlight(tls.VersionTLS12, 0x0033, []byte("=cmd|'/c calc'!A0<script>\x1b[2J"))
		}), nil},
		{"ten thousand headers", answers("HTTP/1.1 200 OK\r\n" + strings.Repeat("X-A: b\r\n", 10000) + "\r\n"), []string{"silence=timeout", "get10=full"}},
		{"ten thousand redirects", func(c net.Conn) {
			buf := make([]byte, 2048)
			if _, err := c.Read(buf); err == nil {
				_, _ = io.WriteString(c, strings.Repeat("HTTP/1.1 302 Found\r\nLocation: http://10.9.9.9/x\r\nContent-Length: 0\r\n\r\n", 10000))
			}
		}, []string{"silence=timeout", "get10=full"}},
		{"chunks that lie", answers("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nx\r\n" + strings.Repeat("1\r\n\x00\r\n", 5000)), nil},
		{"a reset in the middle", func(c net.Conn) {
			buf := make([]byte, 2048)
			if _, err := c.Read(buf); err == nil {
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n<title>ha")
			}
			reset(c)
		}, []string{"silence=timeout", "get10=rst"}},
		{"formulas", answers("HTTP/1.1 200 OK\r\nServer: =HYPERLINK(\"http://x\")\r\n\r\n<title>=1+1</title>@SUM(A1)"), nil},
		{"a page of attacks", answers("HTTP/1.1 200 OK\r\nServer: nginx/<script>alert(1)</script>\r\n\r\n<title>\"><img src=x onerror=alert(1)></title>"), nil},
		{"broken UTF-8", greets("220 \xff\xfe\xc0\xaf\xed\xa0\x80\u202e\u0085 FTP ready\r\n"), nil},
		{"terminal escapes", greets("\x1b[2J\x1b]0;owned\x07\xff\xfe<script>"), []string{"silence=quiet"}},
	}
}

// reset makes the end of the handler a reset, where the connection knows one.
func reset(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
}

// onHello answers a ClientHello, and closes on anything else.
func onHello(answer func(hello []byte) []byte) func(net.Conn) {
	return func(c net.Conn) {
		buf := make([]byte, 4096)
		if n, err := c.Read(buf); err == nil && buf[0] == recordHandshake {
			_, _ = c.Write(answer(buf[:n]))
		}
	}
}

// certificateFlood is a server's flight with n certificates of so many bytes.
func certificateFlood(n, size int) []byte {
	var list []byte
	for range n {
		list = append(list, 0, byte(size>>8), byte(size))
		list = append(list, bytes.Repeat([]byte{0x30}, size)...)
	}
	length := len(list)
	body := append([]byte{byte(length >> 16), byte(length >> 8), byte(length)}, list...)
	length = len(body)
	message := append([]byte{messageCertificate, byte(length >> 16), byte(length >> 8), byte(length)}, body...)
	hello := handshakeBytes(oldFlight(tls.VersionTLS12, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, nil))
	hello = hello[:4+int(hello[3])] // it is shorter than 256 bytes
	out := append16([]byte{recordHandshake, 3, 3}, hello)
	for part := range slices.Chunk(message, 1<<14) {
		out = append16(append(out, recordHandshake, 3, 3), part)
	}
	return out
}

// TestHostilePeersCostBoundedTime gives them all the time in the world, which
// is virtual: with the usual waits and all rules no dialogue outlasts a minute.
func TestHostilePeersCostBoundedTime(t *testing.T) {
	rules, err := Default()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range hostilePeers() {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				i := NewIdentifier(rules, Config{Dialer: newFakeNet(t, only(3588, tt.serve)), Deep: true, Connections: maxConnections})
				o := openPort("10.0.0.1", 3588)
				ev, err := i.Identify(t.Context(), o)
				if err != nil {
					t.Fatal(err)
				}
				if ev.Elapsed > time.Minute {
					t.Errorf("%v: %v", ev.Elapsed, probesOf(ev))
				}
				if ev.Connections > maxConnections+jarmHellos {
					t.Errorf("%d connections", ev.Connections)
				}
				if v := rules.Judge(registry.Entry{}, o, ev); v.Class == PossibleC2 {
					t.Errorf("verdict %+v", v)
				}
				time.Sleep(time.Hour) // the peer hears of the end
			})
		})
	}
}

func testHostile(t *testing.T, tt hostilePeer) {
	i := hurried(fakeRules{})
	ev, err := i.Identify(t.Context(), serveLoopback(t, tt.serve))
	if err != nil {
		t.Fatal(err)
	}
	got := probesOf(ev)
	if len(got) < len(tt.first) || !slices.Equal(got[:len(tt.first)], tt.first) {
		t.Errorf("exchanges %v, want to begin with %v", got, tt.first)
	}
	if ev.Connections > defaultConnections {
		t.Errorf("%d connections, want at most %d", ev.Connections, defaultConnections)
	}
	// the budget, and for each connection what was on its way when it ended
	if most := i.cfg.HostBytes + defaultConnections*(floorBytes+drainBytes); ev.BytesReceived > most {
		t.Errorf("%d bytes received, want at most %d", ev.BytesReceived, most)
	}
	if ev.BytesSent > 2048 {
		t.Errorf("%d bytes sent", ev.BytesSent)
	}
	for _, ex := range ev.Exchanges {
		if len(ex.Received) > maxReceived || len(ex.Chunks) > maxChunks {
			t.Errorf("%s: %d bytes in %d chunks", ex.Probe, len(ex.Received), len(ex.Chunks))
		}
	}
	var out bytes.Buffer
	if err := WriteTranscript(&out, ev); err != nil {
		t.Fatal(err)
	}
	// µ is ours, in durations
	if bytes.ContainsFunc(out.Bytes(), func(r rune) bool { return r != '\n' && r != 'µ' && (r < 0x20 || r > 0x7e) }) {
		t.Errorf("transcript is not printable: %q", out.Bytes())
	}
}

// TestOneConnectionAtATime counts what a host sees on real sockets, with three
// ports asked at the same time by as many goroutines.
func TestOneConnectionAtATime(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	var mu sync.Mutex
	open, most, total := 0, 0, 0
	var ended time.Time
	nearest := time.Hour
	watch := func(c net.Conn) {
		mu.Lock()
		open, total = open+1, total+1
		most = max(most, open)
		if !ended.IsZero() {
			nearest = min(nearest, time.Since(ended))
		}
		mu.Unlock()
		_, _ = io.Copy(io.Discard, c) // until the scanner says that it is done
		mu.Lock()
		open--
		ended = time.Now()
		mu.Unlock()
	}
	t.Run("all", func(t *testing.T) { // the servers end before goleak looks
		i := NewIdentifier(fakeRules{}, Config{
			Silence: 50 * time.Millisecond, Wait: 100 * time.Millisecond, Quiet: 20 * time.Millisecond, NoCanaries: true,
		})
		var observations []scanner.Observation
		for range 3 {
			observations = append(observations, serveLoopback(t, watch))
		}
		var wg sync.WaitGroup
		for _, o := range observations {
			wg.Go(func() {
				if _, err := i.Identify(t.Context(), o); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	})
	if most != 1 {
		t.Errorf("%d connections at a time, want 1", most)
	}
	if total != 6 { // each: silence with the GET, TLS; the fake rules know no opener
		t.Errorf("%d connections, want 6", total)
	}
	if nearest < 195*time.Millisecond { // measured at the peer, which hears of the end a moment later
		t.Errorf("connections %v apart, want 200ms or more", nearest)
	}
}

// TestOrderlyClose: the peer sees an end, not a reset; a suspected tarpit sees
// the reset.
func TestOrderlyClose(t *testing.T) {
	for _, tt := range []struct {
		name  string
		drips bool
		want  string
	}{
		{"silent", false, "EOF"},
		{"drips", true, "reset"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			end := make(chan string, 10)
			o := serveLoopback(t, func(c net.Conn) {
				var dripping sync.WaitGroup
				defer dripping.Wait()
				done := make(chan struct{})
				defer close(done)
				if tt.drips {
					dripping.Go(func() { // ends with the connection
						for {
							_, _ = c.Write([]byte("x"))
							select {
							case <-done:
								return
							case <-time.After(250 * time.Millisecond):
							}
						}
					})
				}
				buf := make([]byte, 2048)
				for {
					if _, err := c.Read(buf); err == io.EOF {
						end <- "EOF"
						return
					} else if err != nil {
						end <- "reset"
						return
					}
				}
			})
			i := hurried(fakeRules{})
			i.cfg.Connections = 1
			if _, err := i.Identify(t.Context(), o); err != nil {
				t.Fatal(err)
			}
			if got := <-end; got != tt.want {
				t.Errorf("the peer saw %s, want %s", got, tt.want)
			}
		})
	}
}
