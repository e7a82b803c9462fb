package lab

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"time"
)

// stage holds what is made anew for each lab: the certificate of the TLS host.
type stage struct{ cert tls.Certificate }

func newStage() (*stage, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	now := time.Now()
	template := x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: "intranet.lab.internal", Organization: []string{"dormant lab"}},
		DNSNames:     []string{"intranet.lab.internal"},
		NotBefore:    now.Add(-30 * 24 * time.Hour),
		NotAfter:     now.Add(335 * 24 * time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	return &stage{tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}}, nil
}

// nginxTLS is nginx on a TLS port: it says so to plain HTTP, too.
func (s *stage) nginxTLS(ctx context.Context, c *conn) {
	first := make([]byte, 1)
	if _, err := io.ReadFull(c, first); err != nil {
		return
	}
	again := &conn{Conn: &replay{c, first}, left: c.left + len(first)}
	if first[0] != 0x16 { // a TLS handshake record; RFC 8446 section 5.1
		if r, ok := readRequest(again); ok {
			c.say(nginx(r, true))
		}
		return
	}
	session := tls.Server(again, &tls.Config{Certificates: []tls.Certificate{s.cert}, NextProtos: []string{"http/1.1"}, MinVersion: tls.VersionTLS12})
	if err := session.HandshakeContext(ctx); err != nil {
		return // the client's fault, or it has seen enough
	}
	inner := &conn{Conn: session, left: maxRead}
	if r, ok := readRequest(inner); ok {
		inner.say(nginx(r, false))
	}
	_ = session.Close() // the client may be gone
}

// replay gives back the bytes that were read of a connection first.
type replay struct {
	*conn
	head []byte
}

func (r *replay) Read(b []byte) (int, error) {
	if len(r.head) > 0 {
		n := copy(b, r.head)
		r.head = r.head[n:]
		return n, nil
	}
	return r.conn.Read(b)
}

// nginx answers one request; plain tells that it came to the TLS port without TLS.
func nginx(r request, plain bool) string {
	header := []string{"Server: nginx/1.22.1", "Date", "Content-Type: text/html", "Content-Length", "Connection: close"}
	page := func(title, text string) string {
		return "<html>\r\n<head><title>" + title + "</title></head>\r\n<body>\r\n<center><h1>" + text + "</h1></center>\r\n"
	}
	const foot = "<hr><center>nginx/1.22.1</center>\r\n</body>\r\n</html>\r\n"
	switch {
	case r.method == "":
		return response("HTTP/1.1 400 Bad Request", header, page("400 Bad Request", "400 Bad Request")+foot)
	case plain:
		return response("HTTP/1.1 400 Bad Request", header,
			page("400 The plain HTTP request was sent to HTTPS port", "400 Bad Request")+
				"<center>The plain HTTP request was sent to HTTPS port</center>\r\n"+foot)
	case r.path == "/":
		return response("HTTP/1.1 200 OK", header, "<!DOCTYPE html>\n<html><head><title>Intranet</title></head><body><h1>Intranet</h1></body></html>\n")
	default:
		return response("HTTP/1.1 404 Not Found", header, page("404 Not Found", "404 Not Found")+foot)
	}
}
