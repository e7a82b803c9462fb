package broker

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// selfSigned is a certificate of localhost that its own key has signed, and that
// trusts itself.
func selfSigned(t *testing.T, until time.Time) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: until.Add(-48 * time.Hour), NotAfter: until,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// lines counts what was logged. It may be used by several goroutines.
type lines struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(b)
}

func (l *lines) count(words string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.all.String(), words)
}

// TestAbsence: a broker that is there, and that cannot be connected to, is told
// once, with the reason, and no more than once.
func TestAbsence(t *testing.T) {
	later := func() time.Time { return time.Now().AddDate(1, 0, 0) }
	server, trusted := selfSigned(t, time.Now().Add(time.Hour))
	over, overPool := selfSigned(t, time.Now().Add(-time.Hour))
	for _, tt := range []struct {
		name, want string
		server     *tls.Config
		trusted    *x509.CertPool
	}{
		{"its certificate is over", "the right time in the clocks of this machine and of the server", &tls.Config{Certificates: []tls.Certificate{over}}, overPool},
		{"its clock is wrong", "the right time in the clocks of this machine and of the server", &tls.Config{
			Certificates: []tls.Certificate{server}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: trusted, Time: later,
		}, trusted},
		{"another one", "unknown authority", &tls.Config{Certificates: []tls.Certificate{server}}, overPool},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			var serving sync.WaitGroup
			serving.Go(func() { // ends when l is closed
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					_, _ = io.Copy(io.Discard, tls.Server(c, tt.server))
					_ = c.Close()
				}
			})
			defer serving.Wait()
			defer l.Close() //nolint:errcheck // the test is over
			said := &lines{}
			conn, err := Dial(t.Context(), Options{
				URLs: []string{"tls://" + l.Addr().String()}, Wait: true, TLSFirst: true, Log: slog.New(slog.NewTextHandler(said, nil)),
				TLS: &tls.Config{RootCAs: tt.trusted, ServerName: "localhost", Certificates: []tls.Certificate{server}},
			})
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			for until := time.Now().Add(time.Minute); said.count("tried again") == 0 && time.Now().Before(until); {
				time.Sleep(20 * time.Millisecond)
			}
			time.Sleep(2 * time.Second) // to prove an absence: another try fails meanwhile
			if n, m := said.count("tried again"), said.count(tt.want); n != 1 || m != 1 {
				t.Errorf("told %d times, %d with %q: want 1\n%s", n, m, tt.want, said.all.String())
			}
		})
	}
}
