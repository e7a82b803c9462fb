package enroll

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"dormant/cmd/internal/broker"
)

// age makes the agent's certificate one that was signed so long ago, in the
// folder and in the record alike.
func (s *site) age(t *testing.T, c *Credential, by time.Duration) {
	t.Helper()
	cert, err := s.self.agent(c.self.key.Public(), &Agent{ID: c.Agent, Site: c.Site, Vantages: c.Vantages}, time.Now().Add(-by))
	if err != nil {
		t.Fatal(err)
	}
	c.self = &pair{c.self.key, cert}
	if err := c.save(); err != nil {
		t.Fatal(err)
	}
	err = s.changeAgent(c.Agent, func(r *record) error {
		r.Serial, r.Renewed = serialOf(cert), time.Now().Add(-by)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestRenewal: by itself when it is time, over the old certificate, which ends
// when the new one is used.
func TestRenewal(t *testing.T) {
	s := start(t, hq)
	c := s.enrolled(t, "alpha", hq)
	s.age(t, c, 61*24*time.Hour)
	old := *c.self
	conn := dial(t, c)
	ctx, stop := context.WithCancel(bounded(t))
	var group sync.WaitGroup
	group.Go(func() { c.KeepFresh(ctx, conn, logTo(t)) }) // ends with ctx
	defer group.Wait()
	defer stop()
	for until := time.Now().Add(30 * time.Second); c.Ends().Equal(old.cert.NotAfter); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatal("the certificate is not renewed")
		}
	}
	if left := time.Until(c.Ends()); left < agentOf-time.Hour {
		t.Errorf("the new certificate has %s left: want %s", left, agentOf)
	}
	if c.self.key == old.key {
		t.Error("the new certificate is of the old key")
	}
	if err := s.try(t, s.self.cert, &old); err != nil {
		t.Errorf("the old certificate before the new one was used: %v; want it to be good", err)
	}
	again, err := Load(c.dir) // as after a restart
	if err != nil {
		t.Fatal(err)
	}
	if err := s.try(t, s.self.cert, again.self); err != nil {
		t.Errorf("the new certificate: %v", err)
	}
	if err := s.try(t, s.self.cert, &old); !broker.Refused(err) {
		t.Errorf("the old certificate after the new one was used: %v; want a refusal", err)
	}
	if err := again.Renew(bounded(t), dial(t, again)); err == nil || !strings.Contains(err.Error(), "a moment ago") {
		t.Errorf("renewing again at once: %v; want it refused", err)
	}
}

// TestServerCertificateIsRenewed: made anew when it ends soon, when a name is
// missing, and kept otherwise.
func TestServerCertificateIsRenewed(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	serial := func(names []string, now time.Time) string {
		t.Helper()
		a, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		c, err := a.serverCertificate(names, now)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Leaf.VerifyHostname(ServerName); err != nil {
			t.Error(err)
		}
		return serialOf(c.Leaf)
	}
	first := serial([]string{"audit.example.net", "10.0.0.1"}, now)
	if got := serial([]string{"10.0.0.1"}, now); got != first {
		t.Error("the certificate changes with a restart")
	}
	if got := serial([]string{"10.0.0.1"}, now.Add(200*24*time.Hour)); got != first {
		t.Error("the certificate changes when half of its time is left")
	}
	if got := serial([]string{"10.0.0.1"}, now.Add(-3*24*time.Hour)); got == first {
		t.Error("made by a clock that was days ahead, and not made anew when that was set right")
	}
	first = serial([]string{"audit.example.net"}, now)
	if got := serial([]string{"other.example.net"}, now); got == first {
		t.Error("the certificate lacks a name")
	}
	foreign, err := newAuthority(now)
	if err != nil {
		t.Fatal(err)
	}
	other, err := foreign.server([]string{"other.example.net"}, now)
	if err == nil {
		err = savePair(filepath.Join(dir, serverFile), other)
	}
	if err != nil {
		t.Fatal(err)
	}
	if got := serial([]string{"other.example.net"}, now); got == serialOf(other.cert) {
		t.Error("the certificate is of another authority, as after half a backup")
	}
	second := serial([]string{"other.example.net"}, now)
	if got := serial([]string{"other.example.net"}, now.Add(300*24*time.Hour)); got == second {
		t.Error("the certificate is not renewed before it ends")
	}
}

// TestNobodyElseReadsTheFolders: modes, and no secret of a token on the disk.
func TestNobodyElseReadsTheFolders(t *testing.T) {
	dir := t.TempDir()
	s := startIn(t, dir, hq)
	c := s.enrolled(t, "alpha", hq)
	unused, err := parseToken(s.token(t, "beta", hq))
	if err != nil {
		t.Fatal(err)
	}
	for _, root := range []string{filepath.Join(dir, "enroll"), c.dir} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			if info.Mode().Perm()&0o077 != 0 {
				t.Errorf("%s has mode %s", path, info.Mode())
			}
			if d.IsDir() {
				return nil
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			if bytes.Contains(text, unused.secret) || strings.Contains(string(text), tokenText(unused.secret, unused.fingerprint, unused.servers)) {
				t.Errorf("%s holds the secret of a token", path)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
}

func TestLoadRefuses(t *testing.T) {
	s := start(t, hq)
	for i, tt := range []struct {
		name, want string
		spoil      func(c *Credential) error
	}{
		{"no agent.json", "dormant agent enroll", func(c *Credential) error { return os.Remove(filepath.Join(c.dir, agentFile)) }},
		{"half an agent.json", "agent.json", func(c *Credential) error {
			return os.WriteFile(filepath.Join(c.dir, agentFile), []byte(`{"agent":`), 0o600)
		}},
		{"a path for a name", "want a to z", func(c *Credential) error {
			c.Agent = "../x"
			return c.save()
		}},
		{"a key that others read", "chmod 600", func(c *Credential) error { return os.Chmod(filepath.Join(c.dir, credentialFile), 0o644) }},
		{"a key that is none", "PEM", func(c *Credential) error {
			return os.WriteFile(filepath.Join(c.dir, credentialFile), []byte("x"), 0o600)
		}},
		{"a certificate of another key", "of another key", func(c *Credential) error {
			key, err := newKey()
			c.self = &pair{key, c.self.cert}
			return errors.Join(err, c.save())
		}},
		{"no authority", trustFile, func(c *Credential) error { return os.Remove(filepath.Join(c.dir, trustFile)) }},
	} {
		c := s.enrolled(t, fmt.Sprintf("agent-%d", i), hq)
		if err := tt.spoil(c); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(c.dir); err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: Load = %v; want one line with %q", tt.name, err, tt.want)
		}
	}
}

// TestDamagedAuthority: a server does not start with another authority.
func TestDamagedAuthority(t *testing.T) {
	dir := t.TempDir()
	if _, err := Open(dir); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, authorityFile)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text[:len(text)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), authorityFile) {
		t.Errorf("Open = %v; want the file's name", err)
	}
}

func TestNewTokenRefuses(t *testing.T) {
	s := start(t, hq)
	s.enrolled(t, "alpha", hq)
	ok := TokenFor{Agent: "beta", Site: "hq", Vantages: []string{"lan"}}
	for _, tt := range []struct {
		name   string
		change func(*TokenFor)
	}{
		{"enrolled", func(t *TokenFor) { t.Agent = "alpha" }},
		{"reserved", func(t *TokenFor) { t.Agent = "enroll" }},
		{"no vantage", func(t *TokenFor) { t.Vantages = nil }},
		{"twice", func(t *TokenFor) { t.Vantages = []string{"lan", "lan"} }},
		{"wildcard", func(t *TokenFor) { t.Vantages = []string{"*"} }},
		{"a year", func(t *TokenFor) { t.Expiry = 365 * 24 * time.Hour }},
		{"the past", func(t *TokenFor) { t.Expiry = -1 }},
		{"no port", func(t *TokenFor) { t.Servers = []string{"audit"} }},
		{"a port by name", func(t *TokenFor) { t.Servers = []string{"audit:nats"} }},
		{"a port beyond", func(t *TokenFor) { t.Servers = []string{"audit:65536"} }},
		{"no host", func(t *TokenFor) { t.Servers = []string{":4222"} }},
		{"two in one", func(t *TokenFor) { t.Servers = []string{"a:1,b:2"} }},
	} {
		x := ok
		x.Vantages = slices.Clone(ok.Vantages)
		tt.change(&x)
		if text, _, err := s.NewToken(x); err == nil || text != "" {
			t.Errorf("%s: NewToken = %q, %v; want an error", tt.name, text, err)
		}
	}
	replace := TokenFor{Agent: "alpha", Site: "branch", Vantages: []string{"lan"}, Servers: []string{s.addr}, Replace: true}
	text, _, err := s.NewToken(replace)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Enroll(bounded(t), Request{Token: text, Dir: filepath.Join(t.TempDir(), "c"), Log: logTo(t)}); err != nil {
		t.Fatal(err)
	}
	all, err := s.Agents()
	if err != nil || len(all) != 1 || all[0].Site != "branch" {
		t.Errorf("agents = %+v, %v; want one, at its new site", all, err)
	}
}

// FuzzParseToken: what is taken is written the same; nothing panics.
func FuzzParseToken(f *testing.F) {
	f.Add(tokenText(make([]byte, 32), make([]byte, 32), []string{"audit.example.net:4222", "[::1]:1"}))
	f.Add(tokenStart)
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parseToken(text)
		if err != nil {
			return
		}
		if again := tokenText(p.secret, p.fingerprint, p.servers); again != strings.TrimSpace(text) {
			t.Errorf("parseToken(%q) is written %q", text, again)
		}
	})
}

// FuzzRequestedKey: a hostile request is an error, and no more.
func FuzzRequestedKey(f *testing.F) {
	key, err := newKey()
	if err != nil {
		f.Fatal(err)
	}
	der, err := request(key)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(der)
	f.Fuzz(func(t *testing.T, der []byte) {
		if public, err := requestedKey(der); (public == nil) != (err != nil) {
			t.Errorf("requestedKey = %v, %v", public, err)
		}
	})
}
