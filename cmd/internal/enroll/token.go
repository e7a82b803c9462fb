package enroll

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"dormant/cmd/internal/disk"
	"dormant/cmd/internal/fleet"
)

const (
	// DefaultExpiry is how long a token can be used.
	DefaultExpiry = 24 * time.Hour
	// MaxExpiry is the longest that may be asked for.
	MaxExpiry = 30 * 24 * time.Hour
	// tokenStart is how every token begins, so that people and scanners for
	// secrets know one.
	tokenStart  = "dormant-token-1-"
	secretLen   = 32 // bytes
	maxServers  = 16
	maxToken    = 4096 // bytes of its text
	maxVantages = 64
)

// TokenFor says what a token is made for.
type TokenFor struct {
	Agent    string        // the name that the agent will have
	Site     string        //
	Vantages []string      // at least one
	Servers  []string      // "host:port" where the agent finds the server; may be empty
	Expiry   time.Duration // zero: DefaultExpiry
	// Replace allows a name that an agent has: its old credential ends when the
	// token is used.
	Replace bool
}

// token is a token as its file has it: never its secret.
type token struct {
	Hash     string    `json:"sha256"` // of the secret, in hexadecimal digits
	Agent    string    `json:"agent"`
	Site     string    `json:"site"`
	Vantages []string  `json:"vantages"`
	Expires  time.Time `json:"expires"`
	Replace  bool      `json:"replace,omitempty"`
}

func (t *TokenFor) check() error {
	if err := fleet.CheckName("agent", t.Agent); err != nil {
		return err
	}
	if t.Agent == "enroll" {
		return errors.New(`agent "enroll": the name is taken: want another`)
	}
	if len(t.Vantages) == 0 || len(t.Vantages) > maxVantages {
		return fmt.Errorf("%d vantages: want 1 to %d", len(t.Vantages), maxVantages)
	}
	seen := map[string]bool{}
	for _, v := range t.Vantages {
		if err := (fleet.Place{Site: t.Site, Vantage: v}).Check(); err != nil {
			return err
		}
		if seen[v] {
			return fmt.Errorf("vantage %s: named twice", v)
		}
		seen[v] = true
	}
	if t.Expiry < 0 || t.Expiry > MaxExpiry {
		return fmt.Errorf("expiry %s: want at most %s", t.Expiry, MaxExpiry)
	}
	return checkServers(t.Servers)
}

func checkServers(all []string) error {
	if len(all) > maxServers {
		return fmt.Errorf("%d servers: want at most %d", len(all), maxServers)
	}
	for _, s := range all {
		host, port, err := net.SplitHostPort(s)
		n, perr := strconv.ParseUint(port, 10, 16)
		if err != nil || net.ParseIP(host) == nil && !hostName(host) || perr != nil || n == 0 {
			return fmt.Errorf("server %.100q: want HOST:PORT", s)
		}
	}
	return nil
}

// NewToken makes a token and returns its text, which is kept nowhere.
func (a *Authority) NewToken(t TokenFor) (text string, expires time.Time, err error) {
	if err := t.check(); err != nil {
		return "", time.Time{}, fmt.Errorf("enroll: token: %w", err)
	}
	if t.Expiry == 0 {
		t.Expiry = DefaultExpiry
	}
	there, err := a.readAgent(t.Agent)
	switch {
	case err == nil && there.Revoked.IsZero() && !t.Replace:
		return "", time.Time{}, fmt.Errorf("enroll: token: agent %s is enrolled already: choose another name, revoke it, or replace it", t.Agent)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return "", time.Time{}, err
	}
	secret := make([]byte, secretLen)
	rand.Read(secret) //nolint:errcheck // it never fails, as documented
	kept := token{
		Hash: hash(secret), Agent: t.Agent, Site: t.Site, Vantages: t.Vantages,
		Expires: time.Now().Add(t.Expiry).UTC().Truncate(time.Second), Replace: t.Replace,
	}
	b, err := json.MarshalIndent(kept, "", "  ")
	if err == nil {
		err = a.locked(func() error {
			a.dropOldTokens()
			return disk.Replace(a.tokenFile(kept.Hash), append(b, '\n'))
		})
	}
	if err != nil {
		return "", time.Time{}, fmt.Errorf("enroll: token: %w", err)
	}
	return tokenText(secret, a.fingerprint(), t.Servers), kept.Expires, nil
}

func hash(secret []byte) string {
	sum := sha256.Sum256(secret)
	return hex.EncodeToString(sum[:])
}

func (a *Authority) tokenFile(hash string) string {
	return filepath.Join(a.dir, tokensDir, hash+".json")
}

// dropOldTokens removes those that ran out a month ago: until then, who tries
// one is told that it ran out.
func (a *Authority) dropOldTokens() {
	all, err := os.ReadDir(filepath.Join(a.dir, tokensDir))
	if err != nil {
		return // the next write says it
	}
	for _, e := range all {
		if info, err := e.Info(); err == nil && time.Since(info.ModTime()) > 2*MaxExpiry {
			_ = os.Remove(filepath.Join(a.dir, tokensDir, e.Name())) // the next time, else
		}
	}
}

// withdraw ends the tokens for an agent that nobody has used, and returns how
// many there were. The folder is locked.
func (a *Authority) withdraw(agent string) (n int, err error) {
	all, err := os.ReadDir(filepath.Join(a.dir, tokensDir))
	for _, e := range all {
		path := filepath.Join(a.dir, tokensDir, e.Name())
		t, rerr := readToken(path)
		if rerr == nil && t.Agent == agent { // one that cannot be read cannot be used
			err = errors.Join(err, os.Remove(path))
			n++
		}
	}
	return n, err
}

func readToken(path string) (*token, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var t token
	if err := json.Unmarshal(text, &t); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &t, nil
}

// findToken finds the token of a secret. The folder is locked, so that of two
// who come at the same moment the second finds nothing.
func (a *Authority) findToken(secret []byte, now time.Time) (*token, error) {
	unknown := &fault{"the token is not known here: it was used or withdrawn, or is of another server"}
	if len(secret) != secretLen {
		return nil, unknown
	}
	t, err := readToken(a.tokenFile(hash(secret)))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, unknown
	case err != nil:
		return nil, fmt.Errorf("enroll: token: %w", err)
	case t.Hash != hash(secret):
		return nil, unknown
	case now.After(t.Expires):
		return nil, &fault{fmt.Sprintf("the token ran out on %s: ask for another", t.Expires.UTC().Format("2006-01-02 15:04 MST"))}
	}
	return t, nil
}

// tokenText is what people carry: secret, fingerprint, servers and a checksum
// that finds a token that was cut.
func tokenText(secret, fingerprint []byte, servers []string) string {
	b := append(append(bytes.Clone(secret), fingerprint...), strings.Join(servers, ",")...)
	b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
	return tokenStart + base64.RawURLEncoding.EncodeToString(b)
}

// parsedToken is what a token's text says.
type parsedToken struct {
	secret, fingerprint []byte
	servers             []string
}

// parseToken reads what tokenText writes. Its errors do not show the token.
func parseToken(text string) (*parsedToken, error) {
	text = strings.TrimSpace(text)
	coded, ok := strings.CutPrefix(text, tokenStart)
	if !ok || len(text) > maxToken {
		return nil, fmt.Errorf("want a token: it begins with %s", tokenStart)
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(coded)
	if err != nil || len(b) < 2*secretLen+4 || crc32.ChecksumIEEE(b[:len(b)-4]) != binary.BigEndian.Uint32(b[len(b)-4:]) {
		return nil, errors.New("the token is cut or mistyped: copy it whole")
	}
	b = b[:len(b)-4]
	t := &parsedToken{secret: b[:secretLen], fingerprint: b[secretLen : 2*secretLen]}
	if rest := string(b[2*secretLen:]); rest != "" {
		t.servers = strings.Split(rest, ",")
	}
	if err := checkServers(t.servers); err != nil {
		return nil, fmt.Errorf("the token: %w", err)
	}
	return t, nil
}
