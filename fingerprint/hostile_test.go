package fingerprint

import (
	"bytes"
	"compress/gzip"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

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
		{"resets", func(c net.Conn) { _ = c.(*net.TCPConn).SetLinger(0) }, []string{"silence=rst"}},
		{"resets on text", func(c net.Conn) {
			_ = c.(*net.TCPConn).SetLinger(0)
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
		{"terminal escapes", greets("\x1b[2J\x1b]0;owned\x07\xff\xfe<script>"), []string{"silence=quiet"}},
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
