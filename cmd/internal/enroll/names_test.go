package enroll

import (
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// open makes an authority without a broker.
func open(t *testing.T) *Authority {
	t.Helper()
	a, err := Open(filepath.Join(t.TempDir(), "enroll"))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// tokenFor makes a token for alpha at hq.
func tokenFor(t *testing.T, a *Authority, replace bool) string {
	t.Helper()
	text, _, err := a.NewToken(TokenFor{Agent: "alpha", Site: "hq", Vantages: []string{"lan"}, Replace: replace})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// newRequest is one to sign, for a key of its own.
func newRequest(t *testing.T) []byte {
	t.Helper()
	key, err := newKey()
	if err != nil {
		t.Fatal(err)
	}
	csr, err := request(key)
	if err != nil {
		t.Fatal(err)
	}
	return csr
}

// redeemed has the token turned into a certificate.
func redeemed(t *testing.T, a *Authority, text string) (*x509.Certificate, error) {
	t.Helper()
	token, err := parseToken(text)
	if err != nil {
		t.Fatal(err)
	}
	_, der, err := a.enroll(&enrollRequest{Secret: token.secret, CSR: newRequest(t)}, time.Now())
	if err != nil {
		return nil, err
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c, nil
}

// TestTokensOfOneName: who has a name keeps it until somebody says otherwise,
// however many tokens for it lie about.
func TestTokensOfOneName(t *testing.T) {
	const taken, unknown = "alpha is enrolled already", "not known here"
	for _, tt := range []struct {
		name string
		do   func(t *testing.T, a *Authority) string // returns the token that is tried
		want string                                  // of the fault; empty: a certificate
	}{
		{"a second one, made before the first was used", func(t *testing.T, a *Authority) string {
			first, second := tokenFor(t, a, false), tokenFor(t, a, false)
			if _, err := redeemed(t, a, first); err != nil {
				t.Fatal(err)
			}
			return second
		}, taken},
		{"one to replace it", func(t *testing.T, a *Authority) string {
			if _, err := redeemed(t, a, tokenFor(t, a, false)); err != nil {
				t.Fatal(err)
			}
			return tokenFor(t, a, true)
		}, ""},
		{"one to replace it, and then it was revoked", func(t *testing.T, a *Authority) string {
			if _, err := redeemed(t, a, tokenFor(t, a, false)); err != nil {
				t.Fatal(err)
			}
			text := tokenFor(t, a, true)
			if err := a.Revoke("alpha"); err != nil {
				t.Fatal(err)
			}
			return text
		}, unknown},
		{"one that was made after it was revoked", func(t *testing.T, a *Authority) string {
			if _, err := redeemed(t, a, tokenFor(t, a, false)); err != nil {
				t.Fatal(err)
			}
			if err := a.Revoke("alpha"); err != nil {
				t.Fatal(err)
			}
			return tokenFor(t, a, false)
		}, ""},
		{"one beside which another agent was revoked", func(t *testing.T, a *Authority) string {
			text := tokenFor(t, a, false)
			if _, _, err := a.NewToken(TokenFor{Agent: "beta", Site: "hq", Vantages: []string{"lan"}}); err != nil {
				t.Fatal(err)
			}
			if err := a.Revoke("beta"); err != nil {
				t.Fatal(err)
			}
			return text
		}, ""},
		{"one that fell into wrong hands before it was used", func(t *testing.T, a *Authority) string {
			text := tokenFor(t, a, false)
			if err := a.Revoke("alpha"); err != nil {
				t.Error(err)
			}
			if err := a.Revoke("alpha"); !errors.Is(err, ErrNoAgent) {
				t.Errorf("Revoke when nothing is left = %v; want %v", err, ErrNoAgent)
			}
			return text
		}, unknown},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := open(t)
			_, err := redeemed(t, a, tt.do(t, a))
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("enroll = %v; want %q", err, tt.want)
			}
		})
	}
}

// TestTokenOutlivesADiskThatIsFull: what could not be kept has not used it up.
func TestTokenOutlivesADiskThatIsFull(t *testing.T) {
	a := open(t)
	text := tokenFor(t, a, false)
	agents := filepath.Join(a.dir, agentsDir)
	if err := os.Remove(agents); err != nil { // nothing can be written there
		t.Fatal(err)
	}
	if _, err := redeemed(t, a, text); err == nil {
		t.Error("enroll = nil; want that the record cannot be written")
	}
	if err := os.Mkdir(agents, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := redeemed(t, a, text); err != nil {
		t.Errorf("enroll when there is room again = %v", err)
	}
}

// TestAgentWhoseAnswersAreLost: an agent whose disk is full has its certificate
// renewed hour by hour and can keep none of them. The one that it has stays good.
func TestAgentWhoseAnswersAreLost(t *testing.T) {
	a := open(t)
	has, err := redeemed(t, a, tokenFor(t, a, false))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for hours := 1; hours <= 30; hours++ {
		now = now.Add(time.Hour)
		if _, _, err := a.renew("alpha", newRequest(t), now); err != nil {
			t.Fatal(err)
		}
		if _, err := a.agentOf(has, now); err != nil {
			t.Fatalf("after %d answers that were lost: %v", hours, err)
		}
	}
	if r, err := a.readAgent("alpha"); err != nil || len(r.Previous) > maxPrevious {
		t.Errorf("%d certificates are kept, %v; want at most %d", len(r.Previous), err, maxPrevious)
	}
}

// TestServerCertificateThatCannotBeKept: as long as the old one is good nobody
// is turned away because a new one cannot be written.
func TestServerCertificateThatCannotBeKept(t *testing.T) {
	a, now := open(t), time.Now()
	first, err := a.serverCertificate(nil, now)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(a.dir); err != nil { // nothing can be written there
		t.Fatal(err)
	}
	late := now.Add(300 * 24 * time.Hour)
	if c, err := a.serverCertificate(nil, late); err != nil || serialOf(c.Leaf) != serialOf(first.Leaf) {
		t.Errorf("two months before its end: %v, %v; want the old one", c, err)
	}
	if c, err := a.serverCertificate([]string{"new.example.net"}, late); err == nil {
		t.Errorf("with a name that it has not: %v; want an error", c.Leaf.DNSNames)
	}
	if c, err := a.serverCertificate(nil, now.Add(serverOf+time.Hour)); err == nil {
		t.Errorf("after its end: %v; want an error", c.Leaf.NotAfter)
	}
}

// TestFolderOfAnotherUser: root is told whose command it is, before anything is
// written that the server could not read.
func TestFolderOfAnotherUser(t *testing.T) {
	dir := t.TempDir()
	for _, mine := range []string{dir, filepath.Join(dir, "not-there")} {
		if err := CheckOwner(mine); err != nil {
			t.Errorf("CheckOwner(%s) = %v", mine, err)
		}
	}
	if err := os.Chown(dir, 54321, -1); err != nil {
		t.Skipf("a folder cannot be given to another user here: %v", err)
	}
	if err := CheckOwner(dir); err == nil || !strings.Contains(err.Error(), "sudo -H -u #54321") {
		t.Errorf("CheckOwner = %v; want whose it is", err)
	}
}
