package fingerprint

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"net"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestJARMOfGo holds the ten handshakes against a real server: the values were
// measured with the published program on Go 1.26. Another version of Go may
// have another one.
func TestJARMOfGo(t *testing.T) {
	for _, tt := range []struct {
		name string
		next []string
		want string
	}{
		{"with ALPN", []string{"h2", "http/1.1"}, "40d40d40d00000000043d43d00043d6aff5ab0f4fc31897186312c9e639319"},
		{"without ALPN", nil, "40d40d40d00040d00043d43d00043d3bef2bf79cd6719851e8198c1e8f9a14"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			o := serveLoopback(t, func(c net.Conn) {
				s := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{certificate(t, ecKey(t))}, NextProtos: tt.next})
				if s.Handshake() == nil {
					silent(s)
				}
			})
			i := hurried(fakeRules{})
			i.cfg.Deep = true
			ev, err := i.Identify(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			var got string
			for _, ex := range ev.Exchanges {
				if ex.TLS != nil && ex.TLS.JARM != "" {
					got = ex.TLS.JARM
				}
			}
			if got != tt.want {
				t.Errorf("JARM %q, want %q", got, tt.want)
			}
			if n := len(slices.DeleteFunc(probesOf(ev), func(s string) bool { return !strings.HasPrefix(s, "jarm=") })); n != jarmHellos {
				t.Errorf("%d hellos, want %d", n, jarmHellos)
			}
		})
	}
}

// TestJARMIsNotTaken: not unless asked for, not of a port with a name, not of a
// plain one.
func TestJARMIsNotTaken(t *testing.T) {
	for _, tt := range []struct {
		name  string
		deep  bool
		serve func(net.Conn)
	}{
		{"not asked for", false, overTLS(&tls.Config{Certificates: []tls.Certificate{certificate(t, ecKey(t))}})},
		{"named", true, overTLS(&tls.Config{Certificates: []tls.Certificate{certificate(t, ecKey(t))}})},
		{"plain", true, silent},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			i := hurried(fakeRules{})
			i.cfg.Deep = tt.deep
			ev, err := i.Identify(t.Context(), serveLoopback(t, tt.serve))
			if err != nil {
				t.Fatal(err)
			}
			if ev.Connections > defaultConnections {
				t.Errorf("%d connections: %v", ev.Connections, probesOf(ev))
			}
		})
	}
}

// TestArrange holds the five orders against examples worked out by hand.
func TestArrange(t *testing.T) {
	for _, tt := range []struct {
		order order
		in    string
		want  string
	}{
		{forward, "abcde", "abcde"}, {reverse, "abcde", "edcba"},
		{topHalf, "abcde", "cba"}, {bottomHalf, "abcde", "de"}, {middleOut, "abcde", "cdbea"},
		{topHalf, "abcd", "ba"}, {bottomHalf, "abcd", "cd"}, {middleOut, "abcd", "cbda"},
	} {
		if got := string(arrange([]byte(tt.in), tt.order)); got != tt.want {
			t.Errorf("order %d of %s = %s, want %s", tt.order, tt.in, got, tt.want)
		}
	}
}

// TestHellosAreWellFormed: crypto/tls reads every hello of ours as what it is.
func TestHellosAreWellFormed(t *testing.T) {
	hellos := [][]byte{oldHello()}
	for _, j := range jarmTen() {
		hellos = append(hellos, j.encode("192.0.2.1"))
	}
	for n, hello := range hellos {
		if got, want := int(binary.BigEndian.Uint16(hello[3:]))+5, len(hello); got != want {
			t.Errorf("hello %d: record of %d bytes in %d", n, got, want)
		}
		client, server := net.Pipe()
		var read *tls.ClientHelloInfo
		done := make(chan error, 1)
		go func() { // ends when client is closed
			done <- tls.Server(server, &tls.Config{MinVersion: tls.VersionTLS10, GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
				read = h
				return nil, net.ErrClosed
			}}).Handshake()
		}()
		_ = client.SetDeadline(time.Now().Add(5 * time.Second))
		if _, err := client.Write(hello); err != nil {
			t.Errorf("hello %d: %v", n, err)
		}
		_ = client.Close()
		<-done
		if read == nil || len(read.CipherSuites) < 30 {
			t.Errorf("hello %d is read as %+v", n, read)
		}
	}
}

// TestJARMOfSilence: nothing ten times is no fingerprint.
func TestJARMOfSilence(t *testing.T) {
	if got := jarmOf([jarmHellos][]byte{}); got != "" {
		t.Errorf("JARM of nothing = %q", got)
	}
}

// FuzzJARM: any ten answers give a fingerprint of 62 characters, or none.
func FuzzJARM(f *testing.F) {
	f.Add([]byte{recordHandshake, 3, 3, 0, 4, messageServerHello, 0, 0, 0})
	f.Add(oldFlight(tls.VersionTLS12, 0x0033, []byte("der")))
	f.Fuzz(func(t *testing.T, answer []byte) {
		var answers [jarmHellos][]byte
		answers[3] = answer
		if got := jarmOf(answers); got != "" && len(got) != 62 {
			t.Errorf("JARM %q of %d characters", got, len(got))
		}
	})
}

// TestOldServer reads the certificate of a server that has only cipher suites
// that Go has not, from what it says in the clear.
func TestOldServer(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip(err)
	}
	for _, tt := range []struct {
		name, ciphers, suite string
		key                  []string
	}{
		{"DHE with RSA", "DHE-RSA-AES128-SHA", "TLS_DHE_RSA_WITH_AES_128_CBC_SHA", []string{"rsa:2048"}},
		{"DHE with Camellia", "DHE-RSA-CAMELLIA256-SHA", "TLS_DHE_RSA_WITH_CAMELLIA_256_CBC_SHA", []string{"rsa:2048"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			cert, key := filepath.Join(dir, "cert"), filepath.Join(dir, "key")
			if out, err := exec.Command(openssl, "req", "-x509", "-newkey", tt.key[0], "-nodes", "-subj", "/CN=old.example",
				"-keyout", key, "-out", cert).CombinedOutput(); err != nil {
				t.Fatalf("openssl req: %v\n%s", err, out)
			}
			o := serveCommand(t, exec.Command(openssl, "s_server", "-quiet", "-cert", cert, "-key", key, "-tls1_2",
				"-cipher", tt.ciphers+":@SECLEVEL=0", "-accept"))
			ev, err := hurried(fakeRules{}).Identify(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff([]string{"silence=timeout", "get10=fin", "tls=tls_fail", "old_tls=quiet"}, probesOf(ev)); d != "" {
				t.Errorf("exchanges (-want +got):\n%s", d)
			}
			last := ev.Exchanges[len(ev.Exchanges)-1]
			if last.TLS == nil || last.TLS.Version != "TLS 1.2" || last.TLS.Cipher != tt.suite || len(last.TLS.Chain) != 1 {
				t.Fatalf("TLS %+v, want %s and a certificate", last.TLS, tt.suite)
			}
			if got := certFields(last.TLS.Chain[0])["cert:subject"]; got != "CN=old.example" {
				t.Errorf("subject %q", got)
			}
		})
	}
}

// TestNothingInCommon: only a refusal for want of a cipher suite leads to the
// older hello, once, and a server that refuses that too is left alone.
func TestNothingInCommon(t *testing.T) {
	alert := func(description byte) []byte { return []byte{recordAlert, 3, 3, 0, 2, 2, description} }
	offersDHE := func(hello []byte) bool { return bytes.Contains(hello, []byte{0x00, 0x39, 0x00, 0x33}) }
	for _, tt := range []struct {
		name   string
		answer func(hello []byte) []byte
		want   []string
		suite  string
	}{
		{"handshake_failure, then a certificate", func(hello []byte) []byte {
			if offersDHE(hello) {
				return oldFlight(tls.VersionTLS10, 0x0039, []byte("der"))
			}
			return alert(40)
		}, []string{"silence=timeout", "get10=fin", "tls=tls_fail", "old_tls=fin"}, "TLS_DHE_RSA_WITH_AES_256_CBC_SHA"},
		{"handshake_failure twice", func([]byte) []byte { return alert(40) },
			[]string{"silence=timeout", "get10=fin", "tls=tls_fail", "old_tls=fin"}, ""},
		{"unrecognized_name", func([]byte) []byte { return alert(112) },
			[]string{"silence=timeout", "get10=fin", "tls=tls_fail"}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ev, err := hurried(fakeRules{}).Identify(t.Context(), serveLoopback(t, onHello(tt.answer)))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.want, probesOf(ev)); d != "" {
				t.Errorf("exchanges (-want +got):\n%s", d)
			}
			suite := ""
			if last := ev.Exchanges[len(ev.Exchanges)-1]; last.TLS != nil {
				suite = last.TLS.Cipher
			}
			if suite != tt.suite {
				t.Errorf("suite %q, want %q", suite, tt.suite)
			}
		})
	}
}
