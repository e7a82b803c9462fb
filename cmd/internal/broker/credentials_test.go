package broker

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// A key that was made for this test, and for nothing else.
const (
	testSeed   = "SUAECADHH7AG7HLZYU6MDBA6HJUGJLYBK7CMLGH5ZAUP4LKTZN4UTX3DOU"
	testPublic = "UBV4HYRP5UXVCEAWY2W4HG5V5VHU6MKQCHG4XD3SMCNPV6DWCWHCWGPF"
)

// pems writes a certificate and its key as files.
func pems(t *testing.T, c tls.Certificate) (cert, key string) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: c.Certificate[0]}, key: {Type: "PRIVATE KEY", Bytes: der}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// TestCredentialsOfACluster: what a cluster of the user's own wants to see is
// shown to it, and where it is missing, or is another's, it is a refusal.
func TestCredentialsOfACluster(t *testing.T) {
	mine, trusted := selfSigned(t, time.Now().Add(time.Hour))
	other, _ := selfSigned(t, time.Now().Add(time.Hour))
	ca, key := pems(t, mine)
	otherCA, otherKey := pems(t, other)
	seed := filepath.Join(t.TempDir(), "seed")
	if err := os.WriteFile(seed, []byte(testSeed), 0o600); err != nil {
		t.Fatal(err)
	}
	n := plain(t, &server.Options{
		Host: "localhost", Port: server.RANDOM_PORT, Nkeys: []*server.NkeyUser{{Nkey: testPublic}}, Users: []*server.User{{Username: "a", Password: "b"}},
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{mine}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: trusted}, TLSTimeout: 5,
	})
	port := n.ClientURL()[strings.LastIndex(n.ClientURL(), ":"):]
	for _, tt := range []struct {
		name    string
		o       Options
		refused bool
	}{
		{"a key", Options{NKey: seed, CA: ca, Cert: ca, Key: key}, false},
		{"a password", Options{URLs: []string{"tls://a:b@localhost" + port}, CA: ca, Cert: ca, Key: key}, false},
		{"nothing", Options{CA: ca, Cert: ca, Key: key}, true},
		{"no certificate", Options{NKey: seed, CA: ca}, true},
		{"a certificate of another authority", Options{NKey: seed, CA: ca, Cert: otherCA, Key: otherKey}, true},
		{"a broker of another authority", Options{NKey: seed, CA: otherCA, Cert: ca, Key: key}, true},
	} {
		if tt.o.URLs == nil {
			tt.o.URLs = []string{"tls://localhost" + port}
		}
		tt.o.Log = quiet()
		conn, err := Dial(t.Context(), tt.o)
		if conn != nil {
			conn.Close()
		}
		hungUp := err != nil && strings.Contains(err.Error(), "closed by remote after TLS handshake") // while this side spoke
		if (err != nil) != tt.refused || tt.refused && !Refused(err) && !hungUp {
			t.Errorf("%s: %v; want a refusal: %t", tt.name, err, tt.refused)
		}
	}
}

// TestCredentialsOfAnOperator: a cluster that knows its users by what an operator
// signed takes the file with it, and refuses who has none, or a seed alone. The
// files in testdata were made for this test, and for nothing else.
func TestCredentialsOfAnOperator(t *testing.T) {
	operator, err := server.ReadOperatorJWT("testdata/operator.jwt")
	if err != nil {
		t.Fatal(err)
	}
	account, err := os.ReadFile("testdata/account.jwt")
	if err != nil {
		t.Fatal(err)
	}
	accounts := &server.MemAccResolver{}
	if err := accounts.Store("AAOZDACQOPFL4KZBKPWZDBQINJKJYLFXKM7GOC3XN3Q5CQTEK2QD735J", strings.TrimSpace(string(account))); err != nil {
		t.Fatal(err)
	}
	o := &server.Options{Host: "localhost", Port: server.RANDOM_PORT, AccountResolver: accounts}
	o.TrustedOperators = append(o.TrustedOperators, operator)
	n := plain(t, o)
	seed := filepath.Join(t.TempDir(), "seed")
	if err := os.WriteFile(seed, []byte(testSeed), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name    string
		o       Options
		refused bool
	}{
		{"the file", Options{Creds: "testdata/user.creds"}, false},
		{"nothing", Options{}, true},
		{"a seed alone", Options{NKey: seed}, true},
	} {
		tt.o.URLs, tt.o.Log = []string{n.ClientURL()}, quiet()
		conn, err := Dial(t.Context(), tt.o)
		if conn != nil {
			conn.Close()
		}
		if tt.refused != (err != nil && Refused(err)) || !tt.refused && err != nil {
			t.Errorf("%s: %v; want a refusal: %t", tt.name, err, tt.refused)
		}
	}
	if _, err := Dial(t.Context(), Options{URLs: []string{n.ClientURL()}, Creds: "testdata/none.creds", Log: quiet()}); err == nil || !strings.Contains(err.Error(), "none.creds") {
		t.Errorf("a file that is not there: %v; want its name", err)
	}
}
