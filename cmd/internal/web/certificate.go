package web

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// pairFiles is a certificate with its key in two files. They are read again when
// one of them has changed: what renews them, by itself every few weeks, does not
// start the server anew.
type pairFiles struct {
	cert, key string
	log       *slog.Logger

	mu   sync.Mutex
	pair tls.Certificate
	seen [2]time.Time // when the files had been changed at the last look, zero for not there
}

// TLSFiles returns a Config.TLS with the certificate and the key in two files, as
// they are whenever somebody connects. While what is there cannot be read, the
// last that could is used, and log is told.
func TLSFiles(cert, key string, log *slog.Logger) (*tls.Config, error) {
	p := &pairFiles{cert: cert, key: key, log: log}
	if err := p.read(); err != nil {
		return nil, err
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: p.newest}, nil
}

// read reads the files, if they have changed.
func (p *pairFiles) read() error {
	var seen [2]time.Time
	for i, name := range []string{p.cert, p.key} {
		if info, err := os.Stat(name); err == nil { // err: to read it says why
			seen[i] = info.ModTime()
		}
	}
	if seen == p.seen && p.pair.Leaf != nil {
		return nil
	}
	p.seen = seen
	pair, err := tls.LoadX509KeyPair(p.cert, p.key)
	if err != nil {
		return fmt.Errorf("web: certificate %s with key %s: %w", p.cert, p.key, err)
	}
	p.pair = pair
	if ends := pair.Leaf.NotAfter; time.Now().After(ends) {
		p.log.Warn("the certificate of the page has ended", "file", p.cert, "ended", ends)
	}
	return nil
}

// newest is a tls.Config.GetCertificate.
func (p *pairFiles) newest(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.read(); err != nil {
		p.log.Warn("the certificate of the page cannot be read: the one before is used", "error", err)
	}
	pair := p.pair
	return &pair, nil
}
