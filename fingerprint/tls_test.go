package fingerprint

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"net/netip"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dormant/registry"
	"dormant/scanner"
)

// certificate makes a self-signed one.
func certificate(t testing.TB, key crypto.Signer) tls.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(4711), Subject: pkix.Name{CommonName: "box.example"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func rsaKey(t testing.TB) crypto.Signer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func ecKey(t testing.TB) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// serveLoopback runs h for every connection to a loopback port.
func serveLoopback(t testing.TB, h func(net.Conn)) scanner.Observation {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	t.Cleanup(func() {
		_ = l.Close()
		serving.Wait()
	})
	serving.Go(func() { // ends when l is closed
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { // ends with h
				defer c.Close()
				h(c)
			})
		}
	})
	at := l.Addr().(*net.TCPAddr).AddrPort()
	return scanner.Observation{
		Target: scanner.Target{Addr: at.Addr(), Port: registry.Port{Number: at.Port(), Proto: registry.TCP}},
		State:  scanner.Open, Reason: scanner.SynAck, RTT: time.Millisecond,
	}
}

// hurried is an Identifier for loopback: the same steps, shorter waits.
func hurried(rules guide) *Identifier {
	return NewIdentifier(rules, Config{
		Silence: 100 * time.Millisecond, Wait: time.Second, Quiet: 50 * time.Millisecond,
		Gap: 10 * time.Millisecond, NoCanaries: true, RepeatAfter: -1,
	})
}

// overTLS serves a page inside TLS.
func overTLS(cfg *tls.Config) func(net.Conn) {
	return func(c net.Conn) {
		s := tls.Server(c, cfg)
		buf := make([]byte, 2048)
		if _, err := s.Read(buf); err != nil {
			return
		}
		_, _ = io.WriteString(s, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nSTRONG")
		_ = s.CloseWrite()
		_, _ = io.Copy(io.Discard, io.LimitReader(c, 1<<16))
	}
}

func TestTLS(t *testing.T) {
	onRSA, onEC := certificate(t, rsaKey(t)), certificate(t, ecKey(t))
	ec := []tls.Certificate{onEC}
	// what would be said to a port that answers in no known way
	rules := fakeRules{stage2: []Opener{{ID: "ping", Send: []byte("PING"), Wait: time.Second, Shapes: []Shape{shapeAnswers}}}}
	for _, tt := range []struct {
		name   string
		cfg    *tls.Config
		want   []string
		tls    TLSInfo // of the first handshake; Chain by leaf below
		noLeaf bool
	}{
		{
			name: "TLS 1.3", cfg: &tls.Config{Certificates: ec},
			want: []string{"tls=reply", "in:get10=fin"}, tls: TLSInfo{Version: "TLS 1.3", Cipher: "TLS_AES_128_GCM_SHA256"},
		},
		{
			name: "HTTP/1.1 agreed", cfg: &tls.Config{Certificates: ec, MaxVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}},
			want: []string{"tls=reply", "in:get11=fin"},
			tls:  TLSInfo{Version: "TLS 1.2", Cipher: "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", ALPN: "http/1.1"},
		},
		{
			name: "HTTP/2 agreed: the page comes on a second connection", cfg: &tls.Config{Certificates: ec, NextProtos: []string{"h2", "http/1.1"}},
			want: []string{"tls=reply", "tls=reply", "in:get11=fin"},
			tls:  TLSInfo{Version: "TLS 1.3", Cipher: "TLS_AES_128_GCM_SHA256", ALPN: "h2"},
		},
		{
			name: "TLS 1.0 only, RSA key exchange, 3DES",
			cfg: &tls.Config{
				Certificates: []tls.Certificate{onRSA}, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10,
				CipherSuites: []uint16{tls.TLS_RSA_WITH_3DES_EDE_CBC_SHA},
			},
			want: []string{"tls=reply", "in:get10=fin"}, tls: TLSInfo{Version: "TLS 1.0", Cipher: "TLS_RSA_WITH_3DES_EDE_CBC_SHA"},
		},
		{
			name: "TLS 1.1 only, RC4",
			cfg: &tls.Config{
				Certificates: []tls.Certificate{onRSA}, MinVersion: tls.VersionTLS11, MaxVersion: tls.VersionTLS11,
				CipherSuites: []uint16{tls.TLS_RSA_WITH_RC4_128_SHA},
			},
			want: []string{"tls=reply", "in:get10=fin"}, tls: TLSInfo{Version: "TLS 1.1", Cipher: "TLS_RSA_WITH_RC4_128_SHA"},
		},
		{
			name: "wants a client certificate, TLS 1.2",
			cfg:  &tls.Config{Certificates: ec, MaxVersion: tls.VersionTLS12, ClientAuth: tls.RequireAnyClientCert},
			want: []string{"tls=tls_fail"},
			tls:  TLSInfo{Version: "TLS 1.2", Cipher: "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", WantCert: true},
		},
		{
			name: "wants a client certificate, TLS 1.3: refused after our part",
			cfg:  &tls.Config{Certificates: ec, ClientAuth: tls.RequireAnyClientCert},
			want: []string{"tls=reply", "in:get10=fin"},
			tls:  TLSInfo{Version: "TLS 1.3", Cipher: "TLS_AES_128_GCM_SHA256", WantCert: true},
		},
		{
			name: "wants a name", cfg: &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
				return nil, errors.New("no name")
			}},
			want: []string{"tls=tls_fail"}, noLeaf: true,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.cfg.MinVersion = max(tt.cfg.MinVersion, tls.VersionTLS10)
			ev, err := hurried(rules).Identify(t.Context(), serveLoopback(t, overTLS(tt.cfg)))
			if err != nil {
				t.Fatal(err)
			}
			if len(ev.Exchanges) < 3 {
				t.Fatalf("exchanges %v", probesOf(ev))
			}
			if d := cmp.Diff(tt.want, probesOf(ev)[2:]); d != "" { // behind silence and get10
				t.Errorf("exchanges (-want +got):\n%s", d)
			}
			if tt.noLeaf {
				if ex := ev.Exchanges[2]; len(ex.Received) != 7 || ex.Received[0] != recordAlert {
					t.Errorf("received %q, want the alert", ex.Received)
				}
				return
			}
			got := *ev.Exchanges[2].TLS
			if len(got.Chain) != 1 || !bytes.Equal(got.Chain[0], tt.cfg.Certificates[0].Certificate[0]) {
				t.Errorf("chain of %d, want the server's certificate", len(got.Chain))
			}
			got.Chain = nil
			if d := cmp.Diff(tt.tls, got); d != "" {
				t.Errorf("TLS (-want +got):\n%s", d)
			}
		})
	}
}

// TestPlainPortAnswersAClientHello: all of the answer is kept, also what comes
// in a second piece after Go has given up on it.
func TestPlainPortAnswersAClientHello(t *testing.T) {
	page := "<!DOCTYPE HTML>\n<p>Error code: 400</p>\n"
	o := serveLoopback(t, func(c net.Conn) {
		buf := make([]byte, 2048)
		n, err := c.Read(buf)
		if err != nil || buf[0] != recordHandshake {
			return
		}
		if n > 500 {
			t.Errorf("hello of %d bytes, want one small segment", n)
		}
		for _, part := range []string{page[:20], page[20:]} {
			_, _ = io.WriteString(c, part)
			time.Sleep(20 * time.Millisecond)
		}
	})
	ev, err := hurried(fakeRules{}).Identify(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	ex := ev.Exchanges[2]
	if ex.Probe != ProbeTLS || string(ex.Received) != page || ex.End != EndFin || ex.TLS != nil || len(ex.Sent) == 0 {
		t.Errorf("%s: %q, %s, %v; want %q, fin, no TLS", ex.Probe, ex.Received, ex.End, ex.TLS, page)
	}
}

// TestServerThatGoCannotFinishWith: the certificate is taken from the wire.
func TestServerThatGoCannotFinishWith(t *testing.T) {
	flight := oldFlight(tls.VersionTLS10, 0x0016, []byte("not a certificate at all")) // DHE_RSA_WITH_3DES
	o := serveLoopback(t, func(c net.Conn) {
		if n, err := c.Read(make([]byte, 2048)); err == nil && n > 100 {
			_, _ = c.Write(flight)
			_, _ = io.Copy(io.Discard, c)
		}
	})
	ev, err := hurried(fakeRules{}).Identify(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	want := &TLSInfo{Version: "TLS 1.0", Cipher: "TLS_DHE_RSA_WITH_3DES_EDE_CBC_SHA", Chain: [][]byte{[]byte("not a certificate at all")}, WantCert: true}
	if d := cmp.Diff(want, ev.Exchanges[2].TLS); d != "" || ev.Exchanges[2].End != EndTLSFail {
		t.Errorf("%s, TLS (-want +got):\n%s", ev.Exchanges[2].End, d)
	}
}

// oldFlight is a ServerHello, Certificate, CertificateRequest and
// ServerHelloDone, split over records of nine bytes.
func oldFlight(version, suite uint16, der []byte) []byte {
	vector := func(width int, b []byte) []byte {
		var out []byte
		for i := width - 1; i >= 0; i-- {
			out = append(out, byte(len(b)>>(8*i)))
		}
		return append(out, b...)
	}
	hello := []byte{byte(version >> 8), byte(version)}
	hello = append(hello, make([]byte, 32)...)
	hello = append(hello, 0, byte(suite>>8), byte(suite), 0)
	var messages []byte
	for _, m := range []struct {
		kind byte
		body []byte
	}{
		{messageServerHello, hello},
		{messageCertificate, vector(3, vector(3, der))},
		{messageCertificateRequest, []byte{1, 1, 0, 0}},
		{14, nil},
	} {
		messages = append(append(messages, m.kind), vector(3, m.body)...)
	}
	var out []byte
	for len(messages) > 0 {
		n := min(9, len(messages))
		out = append(out, recordHandshake, byte(version>>8), byte(version))
		out = append(out, vector(2, messages[:n])...)
		messages = messages[n:]
	}
	return out
}

// TestPlaintextAgreesWithGo: a second opinion on what the wire reader finds.
func TestPlaintextAgreesWithGo(t *testing.T) {
	cert := certificate(t, ecKey(t))
	for _, version := range []uint16{tls.VersionTLS10, tls.VersionTLS11, tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			client, server := net.Pipe()
			go func() { // ends with the handshake
				s := tls.Server(server, &tls.Config{
					Certificates: []tls.Certificate{cert}, MinVersion: version, MaxVersion: version, ClientAuth: tls.RequestClientCert,
				})
				_ = s.Handshake()
				_ = s.Close()
			}()
			w := &wire{Conn: client, room: 1 << 20, tape: &tape{}}
			var want, got TLSInfo
			session := tls.Client(w, clientConfig(&want, nil))
			if err := session.Handshake(); err != nil {
				t.Fatal(err)
			}
			plaintext(w.tape.in, &got)
			if version == tls.VersionTLS13 { // nothing but the hello is in the clear, and that is left to Go
				if d := cmp.Diff(TLSInfo{}, got); d != "" {
					t.Errorf("(-want +got):\n%s", d)
				}
				return
			}
			state := session.ConnectionState()
			want.Version, want.Cipher = tls.VersionName(state.Version), tls.CipherSuiteName(state.CipherSuite)
			if d := cmp.Diff(want, got); d != "" || !want.WantCert || len(want.Chain) != 1 {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func FuzzPlaintext(f *testing.F) {
	f.Add(oldFlight(tls.VersionTLS10, 0x0035, []byte("certificate")))
	f.Add([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
	f.Add([]byte{22, 3, 3, 0, 1, 2, 22, 3, 3, 255, 255, 11})
	f.Fuzz(func(t *testing.T, b []byte) {
		var seen TLSInfo
		plaintext(b, &seen)
		if len(seen.Chain) > maxChain {
			t.Errorf("%d certificates", len(seen.Chain))
		}
		total := 0
		for _, der := range seen.Chain {
			total += len(der)
			if len(der) == 0 {
				t.Error("an empty certificate")
			}
		}
		if total > len(b) {
			t.Errorf("%d bytes of certificates from %d", total, len(b))
		}
		if seen.Version == "" && seen.Cipher != "" {
			t.Errorf("a cipher suite %s without a version", seen.Cipher)
		}
	})
}

func TestLoopbackAddressIsNotItself(t *testing.T) {
	// a dial that meets its own socket must not look like an open port
	self := netip.MustParseAddrPort("127.0.0.1:40000")
	i := NewIdentifier(fakeRules{}, Config{NoCanaries: true, Dialer: selfDialer{net.TCPAddrFromAddrPort(self)}})
	ev, err := i.Identify(t.Context(), openPort("127.0.0.1", 40000))
	if err != nil || ev.Status != StatusRefused {
		t.Errorf("Identify = %s, %v; want %s", ev.Status, err, StatusRefused)
	}
}

// serveCommand runs a server whose last argument is the address to listen on,
// on a free port of loopback, and ends it with the test.
func serveCommand(t *testing.T, cmd *exec.Cmd) scanner.Observation {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := l.Addr().(*net.TCPAddr).AddrPort()
	_ = l.Close() // the command takes the port over
	cmd.Args = append(cmd.Args, at.String())
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for range 100 {
		if c, err := net.Dial("tcp4", at.String()); err == nil {
			_ = c.Close()
			return openPort(at.Addr().String(), at.Port())
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("%s does not listen on %v", cmd.Path, at)
	return scanner.Observation{}
}
