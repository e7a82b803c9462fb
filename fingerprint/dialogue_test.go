package fingerprint

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"dormant/registry"
)

func TestDialogue(t *testing.T) {
	httpPage := "HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n\r\n<title>x</title>"
	stage2 := []Opener{
		{ID: "one", Send: []byte("ONE"), Wait: time.Second, Shapes: []Shape{shapeClosesOnText, shapeSilent}},
		{ID: "two", Send: []byte("TWO"), Wait: time.Second, Shapes: []Shape{shapeClosesOnText}},
		{ID: "late", Send: []byte("LATE"), Wait: time.Second, Shapes: []Shape{shapeClosesAfterSilence}},
	}
	license := map[registry.Port]Opener{
		{Number: 1947, Proto: registry.TCP}: {ID: "hasp_get", Send: []byte(get10), Wait: 5 * time.Second},
		{Number: 475, Proto: registry.TCP}:  {ID: "nethasp", Send: []byte("\r\n\r\n"), Wait: time.Second},
	}
	for _, tt := range []struct {
		name   string
		port   uint16
		cfg    Config
		serve  func(uint16) func(net.Conn)
		want   []string
		status Status
	}{
		{
			name: "refused", port: 3588, serve: only(1, nil),
			want: []string{"silence=refused"}, status: StatusRefused,
		},
		{
			name: "banner that says it all", port: 3588, serve: only(3588, greets("STRONG hello\r\n")),
			want: []string{"silence=quiet"}, status: StatusDone,
		},
		{
			name: "silent: the GET shares the connection, then TLS, then one opener", port: 3588, serve: only(3588, silent),
			want: []string{"silence=timeout", "get10=timeout", "tls=timeout", "one=timeout"}, status: StatusDone,
		},
		{
			name: "page that says it all", port: 3588, serve: only(3588, answers("HTTP/1.0 200 OK\r\nServer: STRONG\r\n\r\n")),
			want: []string{"silence=timeout", "get10=fin"}, status: StatusDone,
		},
		{
			name: "HTTP of unknown make", port: 3588, serve: only(3588, answers(httpPage)),
			want: []string{"silence=timeout", "get10=fin", "get11=fin", "tls=fin"}, status: StatusDone,
		},
		{
			name: "HTTP that wants TLS", port: 3588,
			serve: only(3588, answers("HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n")),
			want:  []string{"silence=timeout", "get10=fin", "tls=fin"}, status: StatusDone,
		},
		{
			name: "closes on text: a port that said nothing has one opener more", port: 3588, serve: only(3588, closesOnText),
			want: []string{"silence=timeout", "get10=fin", "tls=fin", "one=fin", "two=fin"}, status: StatusDone,
		},
		{
			name: "closes on text, and speaks to the first opener", port: 3588,
			serve: only(3588, func(c net.Conn) {
				buf := make([]byte, 2048)
				if n, _ := c.Read(buf); string(buf[:n]) == "ONE" {
					_, _ = c.Write([]byte("a word of its own\n"))
				}
			}),
			want: []string{"silence=timeout", "get10=fin", "tls=fin", "one=fin"}, status: StatusDone,
		},
		{
			name: "closes on text, two connections", port: 3588, cfg: Config{Connections: 2}, serve: only(3588, closesOnText),
			want: []string{"silence=timeout", "get10=fin", "tls=fin"}, status: StatusDone,
		},
		{
			name: "closes on text, five connections", port: 3588, cfg: Config{Connections: 9}, serve: only(3588, closesOnText),
			want: []string{"silence=timeout", "get10=fin", "tls=fin", "one=fin", "two=fin"}, status: StatusDone,
		},
		{
			name: "one connection only", port: 3588, cfg: Config{Connections: 1}, serve: only(3588, silent),
			want: []string{"silence=timeout", "get10=timeout"}, status: StatusBudget,
		},
		{
			name: "closes at once", port: 3588, serve: only(3588, closes),
			want: []string{"silence=fin", "tls=fin"}, status: StatusDone,
		},
		{
			name: "closes after two seconds of silence", port: 3588,
			serve: only(3588, func(c net.Conn) {
				_ = c.SetReadDeadline(time.Now().Add(2 * time.Second))
				_, _ = c.Read(make([]byte, 2048))
			}),
			want: []string{"silence=fin", "tls=fin", "late=fin"}, status: StatusDone,
		},
		{
			name: "drip", port: 3588, serve: only(3588, drops),
			want: []string{"silence=quiet"}, status: StatusDone,
		},
		{
			name: "endless: nothing more is asked", port: 3588, serve: only(3588, floods),
			want: []string{"silence=full"}, status: StatusDone,
		},
		{
			name: "accepts everywhere: nothing beyond the first connection", port: 3588, serve: everywhere(silent),
			want: []string{"silence=timeout", "get10=timeout"}, status: StatusDone,
		},
		{
			name: "license manager", port: 1947, serve: only(1947, answers("HTTP/1.0 403 Forbidden\r\nServer: STRONG\r\n\r\n")),
			want: []string{"get10=fin"}, status: StatusDone,
		},
		{
			name: "another server on the license manager's port is not asked the same twice", port: 1947, serve: only(1947, answers(httpPage)),
			want: []string{"get10=fin", "get11=fin", "tls=fin"}, status: StatusDone,
		},
		{
			name: "silent on the license manager's port", port: 1947, serve: only(1947, silent),
			want: []string{"get10=timeout", "silence=timeout", "tls=timeout", "one=timeout"}, status: StatusDone,
		},
		{
			name: "binary license opener, then as usual", port: 475, serve: only(475, closesOnText),
			want: []string{"nethasp=fin", "silence=timeout", "get10=fin", "tls=fin", "one=fin", "two=fin"}, status: StatusDone,
		},
		{
			name: "budget of time spent: two connections are left", port: 3588, cfg: Config{HostTime: time.Second}, serve: only(3588, silent),
			want: []string{"silence=timeout", "get10=timeout", "tls=timeout"}, status: StatusBudget,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				network := newFakeNet(t, tt.serve)
				tt.cfg.Dialer = network
				i := NewIdentifier(fakeRules{first: license, stage2: stage2}, tt.cfg)
				ev, err := i.Identify(t.Context(), openPort("10.0.0.9", tt.port))
				if err != nil {
					t.Fatalf("Identify: %v", err)
				}
				if d := cmp.Diff(tt.want, probesOf(ev)); d != "" {
					t.Errorf("exchanges (-want +got):\n%s", d)
				}
				if ev.Status != tt.status {
					t.Errorf("Status = %s, want %s", ev.Status, tt.status)
				}
				checkManners(t, network, i.cfg, ev)
				network.wg.Wait() // every connection was closed
			})
		})
	}
}

// checkManners holds what no peer may ever see more of.
func checkManners(t *testing.T, network *fakeNet, cfg Config, ev Evidence) {
	t.Helper()
	if network.overlap {
		t.Error("two connections to one host at a time")
	}
	if len(network.dials) > 1 && network.nearest < cfg.Gap {
		t.Errorf("connections %v apart, want at least %v", network.nearest, cfg.Gap)
	}
	if ev.Connections > maxConnections {
		t.Errorf("%d connections, want at most %d", ev.Connections, maxConnections)
	}
	if ev.BytesReceived > cfg.HostBytes+maxConnections*(floorBytes+drainBytes) {
		t.Errorf("%d bytes received, budget %d", ev.BytesReceived, cfg.HostBytes)
	}
	at := time.Duration(0)
	for _, ex := range ev.Exchanges {
		if ex.At < at {
			t.Errorf("%s begins at %v, before the exchange in front of it ended at %v", ex.Probe, ex.At, at)
		}
		at = ex.At + ex.Elapsed
		got := 0
		for _, c := range ex.Chunks {
			got += c.Bytes
		}
		if got != len(ex.Received) {
			t.Errorf("%s: chunks hold %d bytes of %d", ex.Probe, got, len(ex.Received))
		}
	}
}

// TestDripHasTimes: the chunks show the rhythm of a tarpit.
func TestDripHasTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newFakeNet(t, only(3588, drops))
		defer network.wg.Wait()
		i := NewIdentifier(fakeRules{}, Config{Dialer: network, NoCanaries: true})
		ev, err := i.Identify(t.Context(), openPort("10.0.0.9", 3588))
		if err != nil {
			t.Fatal(err)
		}
		want := []Chunk{{0, 1}, {time.Second, 1}, {2 * time.Second, 1}, {3 * time.Second, 1}}
		if d := cmp.Diff(want, ev.Exchanges[0].Chunks); d != "" {
			t.Errorf("chunks (-want +got):\n%s", d)
		}
		if !dripping(ev.Exchanges[0]) {
			t.Error("drips = false")
		}
	})
}

func TestRepetition(t *testing.T) {
	for _, tt := range []struct {
		name  string
		serve func(net.Conn)
		cfg   Config
		want  []string
		pause time.Duration
	}{
		{
			name: "banner seen twice, a minute apart", serve: greets("BEACON\n"),
			want: []string{"silence=quiet", "tls=quiet", "silence=quiet"}, pause: time.Minute,
		},
		{
			name: "page", serve: answers("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nX: BEACON\r\n\r\n"), cfg: Config{RepeatAfter: time.Second},
			want: []string{"silence=timeout", "get10=fin", "get11=fin", "tls=fin", "get10=fin"}, pause: time.Second,
		},
		{
			name: "not asked for", serve: greets("BEACON\n"), cfg: Config{RepeatAfter: -1},
			want: []string{"silence=quiet", "tls=quiet"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tt.cfg.Dialer, tt.cfg.NoCanaries = newFakeNet(t, only(3588, tt.serve)), true
				i := NewIdentifier(fakeRules{}, tt.cfg)
				ev, err := i.Identify(t.Context(), openPort("10.0.0.9", 3588))
				if err != nil {
					t.Fatal(err)
				}
				if d := cmp.Diff(tt.want, probesOf(ev)); d != "" {
					t.Errorf("exchanges (-want +got):\n%s", d)
				}
				last, before := ev.Exchanges[len(ev.Exchanges)-1], ev.Exchanges[len(ev.Exchanges)-2]
				if pause := last.At - before.At - before.Elapsed; pause < tt.pause {
					t.Errorf("repeated after %v, want at least %v", pause, tt.pause)
				}
			})
		})
	}
}

// TestBudgetOfBytes: a host with endless ports costs its budget once; by default that
// is enough for each of the usual ports to be seen as what it is.
func TestBudgetOfBytes(t *testing.T) {
	for _, tt := range []struct{ budget, full int }{{0, 12}, {maxReceived, 1}} {
		synctest.Test(t, func(t *testing.T) {
			network := newFakeNet(t, func(uint16) func(net.Conn) { return floods })
			i := NewIdentifier(fakeRules{}, Config{Dialer: network, HostBytes: tt.budget})
			for n := range 14 {
				ev, err := i.Identify(t.Context(), openPort("10.0.0.9", uint16(3000+n)))
				if err != nil {
					t.Fatal(err)
				}
				want, end := maxReceived, EndFull
				if n >= tt.full {
					want, end = floorBytes, EndCut
				}
				if got := ev.Exchanges[0]; len(got.Received) != want || got.End != end {
					t.Errorf("budget %d, port %d: %d bytes, %s; want %d, %s", tt.budget, n, len(got.Received), got.End, want, end)
				}
			}
		})
	}
}

func TestLocalFaultIsAnError(t *testing.T) {
	for _, tt := range []struct {
		name string
		err  error
	}{
		{"no descriptor", os.NewSyscallError("socket", syscall.EMFILE)},
		{"no route", os.NewSyscallError("connect", syscall.ENETUNREACH)},
		{"local firewall", os.NewSyscallError("connect", syscall.EPERM)},
		{"no source port", os.NewSyscallError("connect", syscall.EADDRNOTAVAIL)},
		{"unheard of", errors.New("strange")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			i := NewIdentifier(fakeRules{}, Config{Dialer: failingDialer{tt.err}})
			ev, err := i.Identify(t.Context(), openPort("10.0.0.9", 3588))
			if !errors.Is(err, tt.err) || ev.Status != StatusLocalError {
				t.Errorf("Identify = %s, %v; want %s and the fault", ev.Status, err, StatusLocalError)
			}
		})
	}
}

func TestPeerThatCannotBeReachedIsData(t *testing.T) {
	for _, tt := range []struct {
		name string
		err  error
		want Status
	}{
		{"refused", os.NewSyscallError("connect", syscall.ECONNREFUSED), StatusRefused},
		{"kernel gave up", os.NewSyscallError("connect", syscall.ETIMEDOUT), StatusNoConnect},
		{"no neighbour any more", os.NewSyscallError("connect", syscall.EHOSTUNREACH), StatusNoConnect},
		{"dialer gave up", os.ErrDeadlineExceeded, StatusNoConnect},
	} {
		t.Run(tt.name, func(t *testing.T) {
			i := NewIdentifier(fakeRules{}, Config{Dialer: failingDialer{tt.err}, NoCanaries: true})
			ev, err := i.Identify(t.Context(), openPort("10.0.0.9", 3588))
			if err != nil || ev.Status != tt.want || len(ev.Exchanges) != 1 {
				t.Errorf("Identify = %s, %d exchanges, %v; want %s, 1, nil", ev.Status, len(ev.Exchanges), err, tt.want)
			}
		})
	}
}

func TestCancelEndsTheDialogueAtOnce(t *testing.T) {
	for _, after := range []time.Duration{0, 50 * time.Millisecond, time.Second, 4 * time.Second, 9 * time.Second} {
		t.Run(after.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				network := newFakeNet(t, only(3588, silent))
				i := NewIdentifier(fakeRules{}, Config{Dialer: network})
				ctx, cancel := context.WithTimeout(t.Context(), after)
				defer cancel()
				began := time.Now()
				ev, err := i.Identify(ctx, openPort("10.0.0.9", 3588))
				if err != nil || ev.Status != StatusCancelled {
					t.Errorf("Identify = %s, %v; want %s, nil", ev.Status, err, StatusCancelled)
				}
				if took := time.Since(began); took != after {
					t.Errorf("took %v, want %v", took, after)
				}
				network.wg.Wait()
			})
		})
	}
}

func TestUserAgentAndPath(t *testing.T) {
	i := NewIdentifier(fakeRules{}, Config{UserAgent: "dormant/1 (a@b)\r\nX: y\x00ü" + strings.Repeat("z", 300)})
	d := i.begin(openPort("fe80::1%eth0", 3588), Evidence{})
	request := string(d.get(d.nowhere()))
	line, rest, _ := strings.Cut(request, "\r\n")
	if !strings.HasPrefix(line, "GET /") || len(line) != len("GET /abcdefghijkl HTTP/1.1") {
		t.Errorf("request line %q", line)
	}
	if again := i.begin(openPort("fe80::1%eth0", 3588), Evidence{}).nowhere(); !strings.HasPrefix(line, "GET "+again+" ") {
		t.Errorf("the same seed gives two paths: %s, then %q", again, line)
	}
	if !strings.HasPrefix(rest, "Host: [fe80::1]:3588\r\nUser-Agent: dormant/1 (a@b)X: yzzz") || strings.Count(rest, "\r\n") != 5 {
		t.Errorf("request %q", request)
	}
	if strings.ContainsAny(line, ";|`$<>&()") {
		t.Errorf("request line %q has a shell's characters", line)
	}
}

func TestDatagramIsEvidence(t *testing.T) {
	o := openPort("10.0.0.9", 1947)
	o.Port.Proto, o.Reason, o.Payload, o.At = registry.UDP, 3, []byte("reply"), time.Unix(1000, 0)
	i := NewIdentifier(fakeRules{}, Config{Payload: func(registry.Port) []byte { return []byte("search") }})
	ev, err := i.Identify(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	want := Evidence{
		Target: o.Target, Started: time.Unix(1000, 0).Add(-time.Millisecond), Status: StatusDone,
		BytesSent: 6, BytesReceived: 5, Elapsed: time.Millisecond,
		Exchanges: []Exchange{{
			Probe: ProbeUDP, Sent: []byte("search"), Received: []byte("reply"), End: EndReply,
			FirstByte: time.Millisecond, Elapsed: time.Millisecond, Chunks: []Chunk{{time.Millisecond, 5}},
		}},
	}
	if d := cmp.Diff(want, ev, cmpopts.EquateComparable(o.Addr)); d != "" {
		t.Errorf("evidence (-want +got):\n%s", d)
	}
	text, err := json.Marshal(ev)
	if err != nil {
		t.Fatal(err)
	}
	var back Evidence
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(ev, back, cmpopts.EquateComparable(o.Addr)); d != "" {
		t.Errorf("JSON round trip (-want +got):\n%s", d)
	}
}

func TestJSONRoundTripOfADialogue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := NewIdentifier(fakeRules{}, Config{Dialer: newFakeNet(t, only(3588, answers("\x00\xff\x1b[2J")))})
		ev, err := i.Identify(t.Context(), openPort("2001:db8::1", 3588))
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(ev)
		if err != nil {
			t.Fatal(err)
		}
		var back Evidence
		if err := json.Unmarshal(text, &back); err != nil {
			t.Fatal(err)
		}
		again, err := json.Marshal(back)
		if err != nil || !bytes.Equal(text, again) {
			t.Errorf("JSON changed on the way: %s, then %s (%v)", text, again, err)
		}
	})
}

// TestConfirm: a doubtful license manager is asked once more, a clear one not.
func TestConfirm(t *testing.T) {
	rules := defaults(t)
	for _, tt := range []struct {
		name   string
		port   uint16
		server string
		want   []string
	}{
		{"version on its port", 1947, "HASP LM/25.02", []string{"get10=fin"}},
		{"no version", 1947, "HASP LM", []string{"get10=fin", "hasp_options=fin"}},
		{"another port", 3588, "HASP LM/25.02", []string{"silence=timeout", "get10=fin", "hasp_options=fin"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				network := newFakeNet(t, only(tt.port, func(c net.Conn) {
					buf := make([]byte, 2048)
					n, err := c.Read(buf)
					if err != nil {
						return
					}
					status := "HTTP/1.0 403 Forbidden"
					if bytes.HasPrefix(buf[:n], []byte("OPTIONS")) {
						status = "HTTP/0.0 501 Not Implemented"
					}
					_, _ = io.WriteString(c, status+"\r\nServer: "+tt.server+"\r\nContent-Type: text/html\r\n\r\n")
				}))
				o := openPort("10.0.0.1", tt.port)
				ev, err := NewIdentifier(rules, Config{Dialer: network}).Identify(t.Context(), o)
				if err != nil {
					t.Fatal(err)
				}
				if d := cmp.Diff(tt.want, probesOf(ev)); d != "" {
					t.Errorf("exchanges (-want +got):\n%s", d)
				}
				v := rules.Judge(registry.Entry{}, o, ev)
				rule := "hasp-acc-denied"
				if len(tt.want) > 1 {
					rule = "hasp-options-501"
				}
				if v.Class != LicenseManager || v.RuleID != rule {
					t.Errorf("verdict %v by %s, want %s", v.Class, v.RuleID, rule)
				}
				network.wg.Wait()
			})
		})
	}
}

// TestConfirmPassword: whether a service asks for a password is in the verdict
// where its first answer is the same with and without one.
func TestConfirmPassword(t *testing.T) {
	const redisGet, rfb = "-ERR wrong number of arguments for 'get' command\r\n", "RFB 003.008\n"
	rules := defaults(t)
	tests := map[string]struct {
		product       string
		banner        string // said before anything is asked
		first, opener string // the answer to any text, and what asks for more
		second        string // the answer to the opener, behind the banner
		want          string
	}{
		"redis open":        {"Redis", "", redisGet, "PING", "+PONG\r\n", "no_authentication"},
		"redis closed":      {"Redis", "", redisGet, "PING", "-NOAUTH Authentication required.\r\n", "authentication"},
		"vnc open":          {"VNC server", rfb, "", "RFB", "\x01\x01", "no_authentication"},
		"vnc open at last":  {"VNC server", rfb, "", "RFB", "\x03\x13\x02\x01", "no_authentication"},
		"vnc with password": {"VNC server", rfb, "", "RFB", "\x01\x02", "authentication"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				network := newFakeNet(t, only(6379, func(c net.Conn) {
					said := make(chan struct{})
					go func() { // the peer may ask before it reads
						defer close(said)
						if test.banner != "" {
							_, _ = io.WriteString(c, test.banner)
						}
					}()
					defer func() { <-said }()
					buf := make([]byte, 2048)
					n, err := c.Read(buf)
					if err != nil {
						return
					}
					answer := test.first
					if bytes.HasPrefix(buf[:n], []byte(test.opener)) {
						answer = test.second
					}
					<-said
					_, _ = io.WriteString(c, answer)
				}))
				o := openPort("10.0.0.1", 6379)
				ev, err := NewIdentifier(rules, Config{Dialer: network}).Identify(t.Context(), o)
				if err != nil {
					t.Fatal(err)
				}
				if v := rules.Judge(registry.Entry{}, o, ev); v.Product != test.product || !slices.Contains(v.Flags, test.want) {
					t.Errorf("verdict %s with flags %v, want %s with %s", v.Product, v.Flags, test.product, test.want)
				}
				network.wg.Wait()
			})
		})
	}
}
