package web_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dormant/cmd/internal/web"
)

// certified writes a certificate of that name and its key into two files, which
// were changed at that time.
func certified(t *testing.T, cert, key, name string, changed, ends time.Time) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: ends}
	der, err := x509.CreateCertificate(rand.Reader, template, template, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []struct {
		path, kind string
		der        []byte
	}{{cert, "CERTIFICATE", der}, {key, "PRIVATE KEY", secret}} {
		if err := os.WriteFile(f.path, pem.EncodeToMemory(&pem.Block{Type: f.kind, Bytes: f.der}), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(f.path, changed, changed); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRenewedCertificate: a certificate that is renewed on the disk is used
// without a new start, and one that is half written does no harm.
func TestRenewedCertificate(t *testing.T) {
	dir, at := t.TempDir(), time.Now().Add(-time.Hour)
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	log := &journal{}
	if _, err := web.TLSFiles(cert, key, slog.New(slog.NewTextHandler(log, nil))); err == nil {
		t.Error("TLSFiles without files: no error")
	}
	certified(t, cert, key, "first", at, time.Now().Add(time.Hour))
	config, err := web.TLSFiles(cert, key, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	uses := func(want string) {
		t.Helper()
		c, err := config.GetCertificate(nil)
		if err != nil || c.Leaf.Subject.CommonName != want {
			t.Errorf("%v, %v; want the certificate of %s", c, err, want)
		}
	}
	uses("first")
	if err := os.WriteFile(cert, []byte("-----BEGIN"), 0o600); err != nil {
		t.Fatal(err)
	}
	uses("first")
	uses("first")
	if n := strings.Count(log.String(), "cannot be read"); n != 1 {
		t.Errorf("half a file is told of %d times, want once:\n%s", n, log)
	}
	if err := os.Remove(cert); err != nil {
		t.Fatal(err)
	}
	uses("first")
	uses("first")
	if n := strings.Count(log.String(), "cannot be read"); n != 2 {
		t.Errorf("no file and half a file are told of %d times, want twice:\n%s", n, log)
	}
	certified(t, cert, key, "second", at.Add(time.Minute), time.Now().Add(time.Hour))
	uses("second")
	certified(t, cert, key, "third", at.Add(2*time.Minute), time.Now().Add(-time.Minute))
	uses("third")
	if !strings.Contains(log.String(), "has ended") || strings.Contains(log.String(), "PRIVATE") {
		t.Errorf("log:\n%s", log)
	}
}
