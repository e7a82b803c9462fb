package enroll

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go"

	"dormant/cmd/internal/broker"
	"dormant/cmd/internal/fleet"
	"dormant/reports"
	"dormant/scanner"
)

const (
	// answerWithin bounds the wait for a certificate.
	answerWithin = 15 * time.Second
	// lookEvery is how often KeepFresh looks at the certificate.
	lookEvery = time.Hour
	// maxKnocks bounds the tries to get in: they take half a minute.
	maxKnocks = 20
)

// Request is what Enroll needs.
type Request struct {
	Token string
	// Servers are "host:port"; those of the token if empty.
	Servers []string
	// Dir becomes the credential folder. One that holds a credential is only
	// written over with Replace, and then at the very end.
	Dir     string
	Replace bool
	Log     *slog.Logger
}

var (
	// ErrAway is wrapped by the error of Enroll if no server answered.
	ErrAway = errors.New("the server did not answer")
	// ErrNotKept is wrapped if the token was used, and the folder could not be
	// written.
	ErrNotKept = errors.New("the token is used, and the credential could not be kept")
)

// Enroll turns a token into a credential in a folder. The key is made here and
// stays here. It says nothing to a server that is not the token's. Its errors
// are of what was given, unless they wrap ErrAway or ErrNotKept.
func Enroll(ctx context.Context, r Request) (*Credential, error) {
	t, err := parseToken(r.Token)
	if err != nil {
		return nil, fmt.Errorf("enroll: %w", err)
	}
	if len(r.Servers) > 0 {
		t.servers = r.Servers
	}
	if len(t.servers) == 0 {
		return nil, errors.New("enroll: the token names no server: give its address")
	}
	if err := checkServers(t.servers); err != nil {
		return nil, fmt.Errorf("enroll: %w", err)
	}
	if _, err := os.Lstat(filepath.Join(r.Dir, agentFile)); err == nil && !r.Replace {
		return nil, fmt.Errorf("enroll: %s holds a credential already: name another folder, or replace it", r.Dir)
	}
	c, err := t.redeem(ctx, r.Log)
	if err != nil {
		return nil, fmt.Errorf("enroll: %w", err)
	}
	c.dir = r.Dir
	if err := c.save(); err != nil {
		return nil, fmt.Errorf("enroll: %w: %w", ErrNotKept, err)
	}
	return c, nil
}

// redeem asks the server.
func (t *parsedToken) redeem(ctx context.Context, log *slog.Logger) (*Credential, error) {
	nonce := make([]byte, 16)
	rand.Read(nonce) //nolint:errcheck // it never fails, as documented
	name := hex.EncodeToString(nonce)
	c := &Credential{}
	o := broker.Options{
		Name: "enroll", User: name, Inbox: fleet.EnrollInbox(name), TLSFirst: true, Log: log,
		TLS: &tls.Config{
			MinVersion:         tls.VersionTLS13,
			InsecureSkipVerify: true, //nolint:gosec // VerifyConnection verifies, from the token's fingerprint
			VerifyConnection: func(s tls.ConnectionState) (err error) {
				if c.trust, err = t.verify(s.PeerCertificates); err != nil { // in the words of TLS: it is no server that is away
					err = &tls.CertificateVerificationError{UnverifiedCertificates: s.PeerCertificates, Err: err}
				}
				return err
			},
		},
	}
	for _, s := range t.servers {
		o.URLs = append(o.URLs, "tls://"+s)
	}
	conn, err := knock(ctx, o)
	switch {
	case errors.Is(err, nats.ErrAuthorization):
		return nil, fmt.Errorf("%w: many want to be enrolled at once: try again in a minute: %w", ErrAway, err)
	case err != nil && broker.Refused(err):
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrAway, err)
	}
	defer conn.Close()
	reply, self, err := c.ask(ctx, conn, fleet.EnrollSubject, t.secret)
	if err != nil {
		return nil, err
	}
	c.About = About{Agent: reply.Agent, Site: reply.Site, Vantages: reply.Vantages, Servers: t.servers}
	c.self = self
	return c, c.check()
}

// knock connects. The broker has room for a few at a time who want to be enrolled;
// those beyond are refused as anybody is, and ask again a second or two later.
func knock(ctx context.Context, o broker.Options) (*nats.Conn, error) {
	for tries := 1; ; tries++ {
		conn, err := broker.Dial(ctx, o)
		if !errors.Is(err, nats.ErrAuthorization) || tries == maxKnocks {
			return conn, err
		}
		if err := scanner.Sleep(ctx, time.Second+mathrand.N(time.Second)); err != nil {
			return nil, err
		}
	}
}

// verify finds the authority of the token among what the server presents, and
// holds the server's certificate against it.
func (t *parsedToken) verify(chain []*x509.Certificate) (*x509.Certificate, error) {
	for _, c := range chain {
		if !bytes.Equal(fingerprint(c), t.fingerprint) {
			continue
		}
		pool := x509.NewCertPool()
		pool.AddCert(c)
		_, err := chain[0].Verify(x509.VerifyOptions{Roots: pool, DNSName: ServerName})
		return c, err
	}
	return nil, errors.New("this is not the server that made the token: its certificate is another's")
}

// ask makes a key, has it signed and checks the answer.
func (c *Credential) ask(ctx context.Context, conn *nats.Conn, subject string, secret []byte) (*enrollReply, *pair, error) {
	key, err := newKey()
	if err != nil {
		return nil, nil, err
	}
	q := enrollRequest{Version: fleet.Version, Secret: secret}
	if q.CSR, err = request(key); err != nil {
		return nil, nil, err
	}
	data, err := json.Marshal(q)
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	m, err := conn.RequestWithContext(ctx, subject, data)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrAway, err)
	}
	var reply enrollReply
	if len(m.Data) > maxRequest || json.Unmarshal(m.Data, &reply) != nil {
		return nil, nil, errors.New("the server's answer cannot be read")
	}
	if reply.Fault != "" {
		return nil, nil, fmt.Errorf("the server says: %s", reports.Line(reply.Fault))
	}
	self, err := c.takeOn(reply.Certificate, key)
	return &reply, self, err
}

// Renew has a new certificate signed, for a new key, over a connection of this
// credential, and keeps it. The next connection uses it.
func (c *Credential) Renew(ctx context.Context, conn *nats.Conn) error {
	_, self, err := c.ask(ctx, conn, fleet.RenewSubject(c.Agent), nil)
	if err != nil {
		return fmt.Errorf("enroll: renew: %w", err)
	}
	if err := savePair(filepath.Join(c.dir, credentialFile), self); err != nil {
		return fmt.Errorf("enroll: renew: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.self = self
	return nil
}

// KeepFresh renews the certificate when it is time, until ctx ends. What fails
// is tried again an hour later; there are a month's hours for it.
func (c *Credential) KeepFresh(ctx context.Context, conn *nats.Conn, log *slog.Logger) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		c.mu.Lock()
		isDue := due(c.self.cert, time.Now())
		c.mu.Unlock()
		if isDue && conn.IsConnected() {
			if err := c.Renew(ctx, conn); err != nil {
				log.Warn("the certificate could not be renewed", "ends", c.Ends(), "error", err)
			} else {
				log.Info("the certificate was renewed", "ends", c.Ends())
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
