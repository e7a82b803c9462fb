package enroll

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"dormant/cmd/internal/broker"
	"dormant/cmd/internal/disk"
	"dormant/cmd/internal/fleet"
)

// The files of an authority, below the state folder. All are 0600, the folders
// 0700.
const (
	authorityFile = "authority.pem"
	serverFile    = "server.pem"
	lockFile      = "lock"
	agentsDir     = "agents"
	tokensDir     = "tokens"
	addressesFile = "addresses.json"
	placesFile    = "places.json"
)

// lockWithin bounds the wait for another process that changes the folder.
const lockWithin = 10 * time.Second

// Authority signs credentials, and says who is who. Several processes may have
// the same folder open: the server, and a command beside it.
type Authority struct {
	dir  string
	self *pair

	mu     sync.Mutex // guards server and the folder against this process's own changes
	server *pair
}

var _ broker.Gate = (*Authority)(nil)

// Open opens the authority in dir, and makes it if there is none. A folder that
// holds a damaged one is an error: a new authority would lock out every agent.
func Open(dir string) (*Authority, error) {
	for _, d := range []string{dir, filepath.Join(dir, agentsDir), filepath.Join(dir, tokensDir)} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, fmt.Errorf("enroll: %w", err)
		}
	}
	a := &Authority{dir: dir}
	err := a.locked(func() (err error) {
		a.self, err = loadOrMake(filepath.Join(dir, authorityFile), func() (*pair, error) { return newAuthority(time.Now()) })
		return err
	})
	if err != nil {
		return nil, err
	}
	return a, nil
}

// loadOrMake reads a pair, or makes and keeps one if there is no file.
func loadOrMake(path string, fresh func() (*pair, error)) (*pair, error) {
	text, err := os.ReadFile(path)
	if err == nil {
		p, err := decodePair(text)
		if err != nil {
			return nil, fmt.Errorf("enroll: %s: %w", path, err)
		}
		return p, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("enroll: %w", err)
	}
	p, err := fresh()
	if err == nil {
		err = savePair(path, p)
	}
	if err != nil {
		return nil, fmt.Errorf("enroll: %s: %w", path, err)
	}
	return p, nil
}

func savePair(path string, p *pair) error {
	text, err := encodePair(p)
	if err != nil {
		return err
	}
	return disk.Replace(path, text)
}

// locked runs fn while no other process changes the folder.
func (a *Authority) locked(fn func() error) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	path := filepath.Join(a.dir, lockFile)
	for until := time.Now().Add(lockWithin); ; {
		f, err := disk.Lock(path)
		if errors.Is(err, disk.ErrLocked) && time.Now().Before(until) {
			time.Sleep(10 * time.Millisecond)
			continue
		}
		if err != nil {
			return fmt.Errorf("enroll: %s: %w", path, err)
		}
		return errors.Join(fn(), f.Close())
	}
}

// ServerTLS is the configuration of the broker's port. names are what agents may
// call the server, host names and addresses; ServerName is always one. The
// certificate is renewed by itself when somebody connects and it is time.
func (a *Authority) ServerTLS(names []string) (*tls.Config, error) {
	for _, name := range names {
		if net.ParseIP(name) == nil && !hostName(name) {
			return nil, fmt.Errorf("enroll: %q: want a host name or an address", name)
		}
	}
	if _, err := a.serverCertificate(names, time.Now()); err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AddCert(a.self.cert)
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		ClientAuth: tls.VerifyClientCertIfGiven,
		ClientCAs:  pool,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return a.serverCertificate(names, time.Now())
		},
	}, nil
}

func hostName(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '.' && r != '_'
	})
}

// serverCertificate returns the server's own, made anew if it ends soon or lacks
// one of the names.
func (a *Authority) serverCertificate(names []string, now time.Time) (*tls.Certificate, error) {
	a.mu.Lock()
	p := a.server
	a.mu.Unlock()
	if p == nil || due(p.cert, now) || !covers(p.cert, names) {
		err := a.locked(func() error {
			fresh, err := a.renewServer(names, now)
			if err == nil {
				p = fresh
			}
			return err
		})
		if err != nil && (p == nil || now.After(p.cert.NotAfter) || !covers(p.cert, names)) {
			return nil, err // else the old one does, until there is room for a new one
		}
	}
	return &tls.Certificate{
		Certificate: [][]byte{p.cert.Raw, a.self.cert.Raw}, // with the authority's, for those who only know its fingerprint
		PrivateKey:  p.key,
		Leaf:        p.cert,
	}, nil
}

// renewServer is called with the folder locked.
func (a *Authority) renewServer(names []string, now time.Time) (*pair, error) {
	path := filepath.Join(a.dir, serverFile)
	fresh := func() (*pair, error) { return a.self.server(names, now) }
	p, err := loadOrMake(path, fresh)
	if err != nil {
		return nil, err
	}
	if due(p.cert, now) || !covers(p.cert, names) || p.cert.CheckSignatureFrom(a.self.cert) != nil {
		if p, err = fresh(); err == nil {
			err = savePair(path, p)
		}
		if err != nil {
			return nil, fmt.Errorf("enroll: %s: %w", path, err)
		}
	}
	a.server = p
	return p, nil
}

// covers tells whether the certificate has all names.
func covers(c *x509.Certificate, names []string) bool {
	return !slices.ContainsFunc(names, func(name string) bool { return c.VerifyHostname(name) != nil })
}

// strangerStays is how long a connection may last that came to be enrolled.
const strangerStays = 30 * time.Second

// Admit says who p is: an agent by its certificate and its record, or one that
// has no certificate and may only ask to be enrolled.
func (a *Authority) Admit(p broker.Peer) (broker.Identity, error) {
	now := time.Now()
	if p.Certificate == nil {
		if err := fleet.CheckNonce(p.User); err != nil {
			return broker.Identity{}, refuse("it has no certificate, and gives no name to be enrolled by")
		}
		return broker.Identity{Name: "enroll", Permissions: fleet.EnrollPermissions(p.User), Until: now.Add(strangerStays)}, nil
	}
	agent, err := a.agentOf(p.Certificate, now)
	if err != nil {
		return broker.Identity{}, err
	}
	return broker.Identity{
		Name:        agent.ID,
		Permissions: fleet.AgentPermissions(agent.ID, agent.Places()),
		Until:       p.Certificate.NotAfter,
	}, nil
}

// agentOf holds a certificate against the record of the agent that it names.
func (a *Authority) agentOf(c *x509.Certificate, now time.Time) (*Agent, error) {
	id, serial := c.Subject.CommonName, serialOf(c)
	if fleet.CheckName("agent", id) != nil {
		return nil, refuse("a certificate of %.64q, which is no agent's name", id)
	}
	if now.After(c.NotAfter) {
		return nil, refuse("agent %s: its certificate ended on %s", id, c.NotAfter.Format(time.DateOnly))
	}
	r, err := a.readAgent(id)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, refuse("agent %s is not enrolled here", id)
	case err != nil:
		return nil, err
	case !r.Revoked.IsZero():
		return nil, refuse("agent %s was revoked on %s", id, r.Revoked.UTC().Format(time.DateTime))
	case serial != r.Serial && c.NotAfter.After(r.Ends):
		return nil, refuse("agent %s: its certificate is newer than what is known here, as after a backup was restored: want a token with --replace", id)
	case serial != r.Serial && !slices.Contains(r.Previous, serial):
		return nil, refuse("agent %s: a certificate that was replaced", id)
	case serial == r.Serial && len(r.Previous) > 0:
		// The newest is in use: those before are over. If this cannot be written,
		// the next look at the connection tries again.
		_ = a.changeAgent(id, func(r *record) error {
			if r.Serial == serial {
				r.Previous = nil
			}
			return nil
		})
	}
	return &r.Agent, nil
}

// refuse says that a peer is known not to be let in. Any other error of Admit
// means that nothing is known.
func refuse(format string, v ...any) error {
	return fmt.Errorf("enroll: %s: %w", fmt.Sprintf(format, v...), broker.ErrRefused)
}

// fingerprint of the authority, as tokens carry it: SHA-256 of its certificate.
func (a *Authority) fingerprint() []byte { return fingerprint(a.self.cert) }
