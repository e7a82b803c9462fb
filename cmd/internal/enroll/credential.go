package enroll

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"dormant/cmd/internal/broker"
	"dormant/cmd/internal/disk"
	"dormant/cmd/internal/fleet"
)

// The files of a credential folder: 0600, the folder 0700.
const (
	credentialFile = "agent.pem" // key and certificate in one: they change together
	trustFile      = "authority-of-server.pem"
	agentFile      = "agent.json" // the last one that is written
)

// About is what agent.json says.
type About struct {
	Agent    string   `json:"agent"`
	Site     string   `json:"site"`
	Vantages []string `json:"vantages"`
	Servers  []string `json:"servers"` // "host:port"
}

// Credential is an agent's own, read from its folder. It may be used by several
// goroutines.
type Credential struct {
	About
	dir   string
	trust *x509.Certificate

	mu   sync.Mutex
	self *pair
}

// ErrNotEnrolled is returned for a folder without a credential.
var ErrNotEnrolled = errors.New("no credential: dormant agent enroll, by the same user, makes one from a token")

// Load reads the credential folder. One that others can read is refused.
func Load(dir string) (*Credential, error) {
	text, err := os.ReadFile(filepath.Join(dir, agentFile))
	if errors.Is(err, fs.ErrNotExist) {
		err = ErrNotEnrolled
	}
	if err != nil {
		return nil, fmt.Errorf("enroll: %s: %w", dir, err)
	}
	c := &Credential{dir: dir}
	if err := json.Unmarshal(text, &c.About); err != nil {
		return nil, fmt.Errorf("enroll: %s: %w", filepath.Join(dir, agentFile), err)
	}
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("enroll: %s: %w", filepath.Join(dir, agentFile), err)
	}
	if c.self, err = readPrivate(filepath.Join(dir, credentialFile)); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, trustFile)
	if text, err = os.ReadFile(path); err == nil {
		c.trust, err = decodeCert(text)
	}
	if err != nil {
		return nil, fmt.Errorf("enroll: %s: %w", path, err)
	}
	if end, now := c.self.cert.NotAfter, time.Now(); now.After(end) {
		return nil, fmt.Errorf("enroll: %s: the certificate ended on %s, and the clock of this machine says %s: if that is right, enroll again with a new token",
			dir, end.Format(time.DateOnly), now.Format(time.DateOnly))
	}
	return c, nil
}

func (a *About) check() error {
	if err := fleet.CheckName("agent", a.Agent); err != nil {
		return err
	}
	if len(a.Vantages) == 0 || len(a.Vantages) > maxVantages {
		return fmt.Errorf("%d vantages: want 1 to %d", len(a.Vantages), maxVantages)
	}
	for _, p := range a.Places() {
		if err := p.Check(); err != nil {
			return err
		}
	}
	return checkServers(a.Servers)
}

// Places are those that the agent works for.
func (a *About) Places() []fleet.Place {
	return (&Agent{Site: a.Site, Vantages: a.Vantages}).Places()
}

func readPrivate(path string) (*pair, error) {
	info, err := os.Stat(path)
	if err == nil && othersRead(info) {
		err = fmt.Errorf("others can read it: chmod 600 %s", path)
	}
	var text []byte
	if err == nil {
		text, err = os.ReadFile(path)
	}
	var p *pair
	if err == nil {
		p, err = decodePair(text)
	}
	if err != nil {
		return nil, fmt.Errorf("enroll: %s: %w", path, err)
	}
	return p, nil
}

// Ends is when the certificate runs out.
func (c *Credential) Ends() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.self.cert.NotAfter
}

// Options are those to connect with as this agent: the servers, its certificate
// (always the newest, also after a renewal) and its inbox.
func (c *Credential) Options() broker.Options {
	pool := x509.NewCertPool()
	pool.AddCert(c.trust)
	var urls []string
	for _, s := range c.Servers {
		urls = append(urls, "tls://"+s)
	}
	return broker.Options{
		URLs: urls,
		Name: "agent " + c.Agent,
		TLS: &tls.Config{
			MinVersion: tls.VersionTLS13,
			RootCAs:    pool,
			ServerName: ServerName,
			GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				c.mu.Lock()
				defer c.mu.Unlock()
				return &tls.Certificate{Certificate: [][]byte{c.self.cert.Raw}, PrivateKey: c.self.key, Leaf: c.self.cert}, nil
			},
		},
		TLSFirst: true,
		Inbox:    fleet.Inbox(c.Agent),
	}
}

// save writes the whole folder; agent.json last, so that a half one is none.
func (c *Credential) save() error {
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return err
	}
	about, err := json.MarshalIndent(c.About, "", "  ")
	if err == nil {
		err = disk.Replace(filepath.Join(c.dir, trustFile), encodeCert(c.trust))
	}
	if err == nil {
		err = savePair(filepath.Join(c.dir, credentialFile), c.self)
	}
	if err == nil {
		err = disk.Replace(filepath.Join(c.dir, agentFile), append(about, '\n'))
	}
	return err
}

// takeOn makes the certificate in der that of the credential, if it is one that
// was signed by the server's authority, for key.
func (c *Credential) takeOn(der []byte, key crypto.Signer) (*pair, error) {
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, errors.New("the server's answer holds no certificate")
	}
	pool := x509.NewCertPool()
	pool.AddCert(c.trust)
	_, err = cert.Verify(x509.VerifyOptions{Roots: pool, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	if err != nil {
		return nil, fmt.Errorf("the certificate in the server's answer: %w", err)
	}
	if same, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool }); !ok || !same.Equal(cert.PublicKey) {
		return nil, errors.New("the certificate in the server's answer is of another key")
	}
	return &pair{key, cert}, nil
}
