package enroll

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"time"
)

// ServerName is what every server of ours is called in its certificate.
const ServerName = "server.dormant.internal"

const (
	// backdated is how far a certificate begins before now: clocks differ.
	backdated   = 48 * time.Hour
	authorityOf = 20 * 365 * 24 * time.Hour
	serverOf    = 365 * 24 * time.Hour
	agentOf     = 90 * 24 * time.Hour
)

// pair is a key with its certificate.
type pair struct {
	key  crypto.Signer
	cert *x509.Certificate
}

func newKey() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }

// serialOf is how records name a certificate.
func serialOf(c *x509.Certificate) string { return fmt.Sprintf("%032x", c.SerialNumber) }

// sign makes a certificate from template, by itself if by is nil.
func sign(template *x509.Certificate, public crypto.PublicKey, by *pair, key crypto.Signer) (*x509.Certificate, error) {
	template.BasicConstraintsValid = true
	parent, signer := template, key
	if by != nil {
		parent, signer = by.cert, by.key
		if template.NotAfter.After(by.cert.NotAfter) {
			template.NotAfter = by.cert.NotAfter
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, signer)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// newAuthority makes the key and the certificate that all others are signed by.
func newAuthority(now time.Time) (*pair, error) {
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	cert, err := sign(&x509.Certificate{
		Subject:        pkix.Name{CommonName: "dormant authority"},
		NotBefore:      now.Add(-backdated),
		NotAfter:       now.Add(authorityOf),
		IsCA:           true,
		MaxPathLenZero: true,
		KeyUsage:       x509.KeyUsageCertSign,
	}, key.Public(), nil, key)
	if err != nil {
		return nil, err
	}
	return &pair{key, cert}, nil
}

// server makes the server's own certificate, with a key of its own.
func (p *pair) server(names []string, now time.Time) (*pair, error) {
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: ServerName},
		NotBefore:   now.Add(-backdated),
		NotAfter:    now.Add(serverOf),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:    []string{ServerName},
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	cert, err := sign(template, key.Public(), p, nil)
	if err != nil {
		return nil, err
	}
	return &pair{key, cert}, nil
}

// agent signs the key of an agent. The names in the certificate are for people:
// what an agent may do stands in its record.
func (p *pair) agent(public crypto.PublicKey, a *Agent, now time.Time) (*x509.Certificate, error) {
	return sign(&x509.Certificate{
		Subject:     pkix.Name{CommonName: a.ID, Organization: []string{a.Site}, OrganizationalUnit: a.Vantages},
		NotBefore:   now.Add(-backdated),
		NotAfter:    now.Add(agentOf),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, public, p, nil)
}

// requestedKey returns the public key of a request, which proves to have the
// private one. Nothing else of the request is looked at.
func requestedKey(der []byte) (crypto.PublicKey, error) {
	r, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, errors.New("the request to sign cannot be read")
	}
	switch key := r.PublicKey.(type) {
	case *ecdsa.PublicKey:
		if key.Curve != elliptic.P256() {
			return nil, errors.New("want a key on P-256 or ed25519")
		}
	case ed25519.PublicKey:
	default:
		return nil, errors.New("want a key on P-256 or ed25519")
	}
	if err := r.CheckSignature(); err != nil {
		return nil, errors.New("the request is not signed by its key")
	}
	return r.PublicKey, nil
}

// request makes what requestedKey reads.
func request(key crypto.Signer) ([]byte, error) {
	return x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
}

// due tells whether it is time to renew c: a third of its time is left, or it was
// made by a clock that was far ahead. The two days before its making do not count.
func due(c *x509.Certificate, now time.Time) bool {
	life := c.NotAfter.Sub(c.NotBefore.Add(backdated))
	return now.After(c.NotAfter.Add(-life/3)) || now.Before(c.NotBefore)
}

// The types of PEM blocks in our files.
const (
	certBlock = "CERTIFICATE"
	keyBlock  = "PRIVATE KEY" // PKCS #8
)

// encodePair is the form of a file: the key, then the certificate.
func encodePair(p *pair) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(p.key)
	if err != nil {
		return nil, err
	}
	return append(pem.EncodeToMemory(&pem.Block{Type: keyBlock, Bytes: der}), encodeCert(p.cert)...), nil
}

func encodeCert(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: certBlock, Bytes: c.Raw})
}

// decodePair reads what encodePair writes.
func decodePair(text []byte) (*pair, error) {
	block, rest := pem.Decode(text)
	if block == nil || block.Type != keyBlock {
		return nil, errors.New("want a private key in PEM form")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	key, ok := parsed.(crypto.Signer)
	if !ok {
		return nil, errors.New("want a private key that signs")
	}
	cert, err := decodeCert(rest)
	if err != nil {
		return nil, err
	}
	if same, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool }); !ok || !same.Equal(cert.PublicKey) {
		return nil, errors.New("the certificate is of another key")
	}
	return &pair{key, cert}, nil
}

func decodeCert(text []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != certBlock {
		return nil, errors.New("want a certificate in PEM form")
	}
	return x509.ParseCertificate(block.Bytes)
}
