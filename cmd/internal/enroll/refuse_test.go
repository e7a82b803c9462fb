package enroll

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"dormant/cmd/internal/broker"
	"dormant/cmd/internal/disk"
	"dormant/cmd/internal/fleet"
)

// try connects with a pair as an agent would, and returns why it is refused.
func (s *site) try(t *testing.T, trust *x509.Certificate, p *pair) error {
	t.Helper()
	c := &Credential{About: About{Agent: "alpha", Site: "hq", Vantages: []string{"lan"}, Servers: []string{s.addr}}, trust: trust, self: p}
	o := c.Options()
	o.Log = logTo(t)
	conn, err := broker.Dial(bounded(t), o)
	if err == nil {
		conn.Close()
	}
	return err
}

// TestWorthlessCertificates: only the one that the record names is let in.
func TestWorthlessCertificates(t *testing.T) {
	s, now := start(t, hq), time.Now()
	mine := s.enrolled(t, "alpha", hq)
	agent := &Agent{ID: "alpha", Site: "hq", Vantages: []string{"lan"}}
	key, err := newKey()
	if err != nil {
		t.Fatal(err)
	}
	make := func(by *pair, id string, now time.Time) *pair {
		t.Helper()
		c, err := by.agent(key.Public(), &Agent{ID: id, Site: agent.Site, Vantages: agent.Vantages}, now)
		if err != nil {
			t.Fatal(err)
		}
		return &pair{key, c}
	}
	foreign, err := newAuthority(now)
	if err != nil {
		t.Fatal(err)
	}
	self, err := sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: "alpha"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, key.Public(), nil, key)
	if err != nil {
		t.Fatal(err)
	}
	server, err := s.self.server(nil, now)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		p    *pair
	}{
		{"of a foreign authority", make(foreign, "alpha", now)},
		{"signed by itself", &pair{key, self}},
		{"that has ended", make(s.self, "alpha", now.Add(-agentOf-time.Hour))},
		{"that the record does not name", make(s.self, "alpha", now.Add(-time.Hour))},
		{"that is newer than the record", make(s.self, "alpha", now.Add(time.Hour))},
		{"of nobody", make(s.self, "ghost", now)},
		{"of a path", make(s.self, "../authority", now)},
		{"of the server", server},
	} {
		if err := s.try(t, s.self.cert, tt.p); !broker.Refused(err) || strings.Contains(err.Error(), "\n") {
			t.Errorf("a certificate %s: %v; want a refusal in one line", tt.name, err)
		}
	}
	if err := s.try(t, s.self.cert, mine.self); err != nil {
		t.Errorf("the agent itself: %v", err)
	}
	if err := s.try(t, foreign.cert, mine.self); !broker.Refused(err) {
		t.Errorf("a server of another authority: %v; the agent must not go on", err)
	}
	if err := s.Revoke("alpha"); err != nil {
		t.Fatal(err)
	}
	if err := s.try(t, s.self.cert, mine.self); !broker.Refused(err) {
		t.Errorf("a revoked agent: %v; want a refusal", err)
	}
}

// TestRevokeCutsAtOnce: another process writes the record, and the live
// connection ends.
func TestRevokeCutsAtOnce(t *testing.T) {
	dir := t.TempDir()
	s := startIn(t, dir, hq)
	c := s.enrolled(t, "alpha", hq)
	closed := make(chan error, 1)
	o := c.Options()
	o.Log, o.Closed = logTo(t), func(err error) { closed <- err }
	conn, err := broker.Dial(bounded(t), o)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	beside, err := Open(filepath.Join(dir, "enroll"))
	if err != nil {
		t.Fatal(err)
	}
	if err := beside.Revoke("alpha"); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-closed:
		if !broker.Refused(err) {
			t.Errorf("closed with %v; want a refusal", err)
		}
	case <-time.After(30 * time.Second):
		t.Error("the connection stays")
	}
}

// TestConnectionsOfOneAgent: what it left behind does not lock an agent out; its
// oldest connection makes room. One whose record is another's by now is cut, too.
func TestConnectionsOfOneAgent(t *testing.T) {
	s := start(t, hq)
	c := s.enrolled(t, "alpha", hq)
	first := dial(t, c)
	for range 7 {
		dial(t, c)
	}
	time.Sleep(time.Second) // to prove an absence
	if !first.IsConnected() || first.Reconnects != 0 {
		t.Fatal("the first of eight connections was cut")
	}
	cut := first.StatusChanged(nats.RECONNECTING)
	last := dial(t, c)
	wait := func(what string, cut <-chan nats.Status) {
		t.Helper()
		select {
		case <-cut:
		case <-time.After(30 * time.Second):
			t.Errorf("%s stays", what)
		}
	}
	wait("the oldest of nine connections", cut)
	cut = last.StatusChanged(nats.RECONNECTING)
	if err := s.changeAgent("alpha", func(r *record) error { r.Site = "branch"; return nil }); err != nil {
		t.Fatal(err)
	}
	wait("a connection with what the agent might do before", cut)
}

// TestConnectionsWithoutCertificate: plain bytes, no name, another's name.
func TestConnectionsWithoutCertificate(t *testing.T) {
	s := start(t, hq)
	raw, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close() //nolint:errcheck // the test is over
	if err := raw.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := raw.Write([]byte("CONNECT {\"user\":\"server\"}\r\nPING\r\n")); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 512)
	if n, _ := raw.Read(answer); strings.Contains(string(answer[:n]), "INFO") {
		t.Errorf("the broker talks in the clear: %q", answer[:n])
	}
	for _, user := range []string{"", "server", "operator", "alpha", "enroll", "*", strings.Repeat("0", 31) + ">"} {
		o := broker.Options{URLs: []string{"tls://" + s.addr}, User: user, TLSFirst: true, Log: logTo(t), TLS: (&Credential{trust: s.self.cert, self: s.self}).Options().TLS}
		o.TLS.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &tls.Certificate{}, nil }
		if conn, err := broker.Dial(bounded(t), o); !broker.Refused(err) {
			t.Errorf("user %q: %v, %v; want a refusal", user, conn, err)
		}
	}
}

// ask publishes a request to be enrolled over a connection that may do that.
func (s *site) ask(t *testing.T, q enrollRequest) (enrollReply, error) {
	t.Helper()
	nonce := strings.Repeat("0a", 16)
	o := broker.Options{
		URLs: []string{"tls://" + s.addr}, User: nonce, Inbox: fleet.EnrollInbox(nonce), TLSFirst: true, Log: logTo(t),
		TLS: &tls.Config{RootCAs: x509.NewCertPool(), ServerName: ServerName, MinVersion: tls.VersionTLS13},
	}
	o.TLS.RootCAs.AddCert(s.self.cert)
	conn, err := broker.Dial(bounded(t), o)
	if err != nil {
		return enrollReply{}, err
	}
	defer conn.Close()
	data, err := json.Marshal(q)
	if err != nil {
		t.Fatal(err)
	}
	m, err := conn.Request(fleet.EnrollSubject, data, 10*time.Second)
	if err != nil {
		return enrollReply{}, err
	}
	var reply enrollReply
	return reply, json.Unmarshal(m.Data, &reply)
}

// TestRequestsThatAreNotSigned: what the request asks for beyond its key is not
// looked at, and a captured request brings nothing.
func TestRequestsThatAreNotSigned(t *testing.T) {
	s := start(t, hq)
	token, err := parseToken(s.token(t, "alpha", hq))
	if err != nil {
		t.Fatal(err)
	}
	key, err := newKey()
	if err != nil {
		t.Fatal(err)
	}
	greedy, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject:  pkix.Name{CommonName: "beta", Organization: []string{"branch"}},
		DNSNames: []string{ServerName}, IPAddresses: []net.IP{{127, 0, 0, 1}},
	}, key)
	if err != nil {
		t.Fatal(err)
	}
	weak, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	weakCSR, err := request(weak)
	if err != nil {
		t.Fatal(err)
	}
	other, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	otherCSR, err := request(other)
	if err != nil {
		t.Fatal(err)
	}
	forged := append([]byte{}, greedy...)
	forged[len(forged)-1] ^= 1
	for _, tt := range []struct {
		name string
		q    enrollRequest
		want string
	}{
		{"no secret", enrollRequest{Version: fleet.Version, CSR: greedy}, "not known"},
		{"another secret", enrollRequest{Version: fleet.Version, CSR: greedy, Secret: make([]byte, secretLen)}, "not known"},
		{"another version", enrollRequest{Version: 9, CSR: greedy, Secret: token.secret}, "version 9"},
		{"no request to sign", enrollRequest{Version: fleet.Version, Secret: token.secret}, "cannot be read"},
		{"an RSA key", enrollRequest{Version: fleet.Version, CSR: weakCSR, Secret: token.secret}, "P-256"},
		{"P-384", enrollRequest{Version: fleet.Version, CSR: otherCSR, Secret: token.secret}, "P-256"},
		{"not signed by its key", enrollRequest{Version: fleet.Version, CSR: forged, Secret: token.secret}, "not signed"},
	} {
		reply, err := s.ask(t, tt.q)
		if err != nil || !strings.Contains(reply.Fault, tt.want) || reply.Certificate != nil {
			t.Errorf("%s: %+v, %v; want the fault %q alone", tt.name, reply, err, tt.want)
		}
	}
	good := enrollRequest{Version: fleet.Version, CSR: greedy, Secret: token.secret}
	reply, err := s.ask(t, good)
	if err != nil || reply.Fault != "" {
		t.Fatalf("%+v, %v; want a certificate: what was refused cost no token", reply, err)
	}
	c, err := x509.ParseCertificate(reply.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	got := []any{c.Subject.CommonName, c.Subject.Organization, c.Subject.OrganizationalUnit, len(c.DNSNames) + len(c.IPAddresses), c.IsCA, c.ExtKeyUsage}
	want := []any{"alpha", []string{"hq"}, []string{"lan"}, 0, false, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("certificate (-want +got):\n%s", d)
	}
	if reply, err := s.ask(t, good); err != nil || !strings.Contains(reply.Fault, "it was used") || reply.Certificate != nil {
		t.Errorf("the same request again: %+v, %v; want it refused", reply, err)
	}
}

// TestTokensThatRanOut: a day later, the token is worth nothing.
func TestTokensThatRanOut(t *testing.T) {
	s := start(t, hq)
	text := s.token(t, "alpha", hq)
	token, err := parseToken(text)
	if err != nil {
		t.Fatal(err)
	}
	path := s.tokenFile(hash(token.secret))
	kept, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var old map[string]any
	if err := json.Unmarshal(kept, &old); err != nil {
		t.Fatal(err)
	}
	old["expires"] = time.Now().Add(-time.Second)
	if kept, err = json.Marshal(old); err != nil {
		t.Fatal(err)
	}
	if err := disk.Replace(path, kept); err != nil {
		t.Fatal(err)
	}
	_, err = Enroll(bounded(t), Request{Token: text, Dir: filepath.Join(t.TempDir(), "c"), Log: logTo(t)})
	if err == nil || !strings.Contains(err.Error(), "ran out on") || strings.Contains(err.Error(), "\n") {
		t.Errorf("Enroll = %v; want one line that says since when", err)
	}
}

// TestTokenOfAnotherServer: the agent hangs up before it has said anything.
func TestTokenOfAnotherServer(t *testing.T) {
	s, other := start(t, hq), start(t, hq)
	text, _, err := other.NewToken(TokenFor{Agent: "alpha", Site: "hq", Vantages: []string{"lan"}, Servers: []string{s.addr}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = Enroll(bounded(t), Request{Token: text, Dir: filepath.Join(t.TempDir(), "c"), Log: logTo(t)})
	if !broker.Refused(err) || errors.Is(err, ErrAway) || !strings.Contains(err.Error(), "not the server that made the token") || strings.Contains(err.Error(), "\n") {
		t.Errorf("Enroll = %v; want that it is another server", err)
	}
	if token, _ := parseToken(text); token != nil {
		if _, err := other.findToken(token.secret, time.Now()); err != nil {
			t.Errorf("the token was used: %v", err)
		}
	}
}

// TestWrongClock: an agent whose clock is years behind, as one is that has no
// battery, is told so when it enrolls and when it connects.
func TestWrongClock(t *testing.T) {
	dir := t.TempDir()
	ahead, err := newAuthority(time.Now().AddDate(3, 0, 0)) // as such an agent sees it
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "enroll"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := savePair(filepath.Join(dir, "enroll", authorityFile), ahead); err != nil {
		t.Fatal(err)
	}
	s := startIn(t, dir, hq)
	_, enrolling := Enroll(bounded(t), Request{Token: s.token(t, "alpha", hq), Dir: filepath.Join(t.TempDir(), "c"), Log: logTo(t)})
	key, err := newKey()
	if err != nil {
		t.Fatal(err)
	}
	cert, err := s.self.agent(key.Public(), &Agent{ID: "alpha", Site: "hq", Vantages: []string{"lan"}}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{"Enroll": enrolling, "Dial": s.try(t, s.self.cert, &pair{key, cert})} {
		if !broker.Refused(err) || !strings.Contains(err.Error(), "current time "+time.Now().Format("2006-")) || !strings.Contains(err.Error(), "the clocks of this machine") {
			t.Errorf("%s = %v; want it to speak of the clock", what, err)
		}
	}
}

// TestStrangersAreBounded: more of them at once than there is room for.
func TestStrangersAreBounded(t *testing.T) {
	s := start(t, hq)
	agent := s.enrolled(t, "alpha", hq)
	conns, refused := 0, 0
	for range 40 {
		nonce := make([]byte, 16)
		rand.Read(nonce) //nolint:errcheck // it never fails, as documented
		o := broker.Options{URLs: []string{"tls://" + s.addr}, User: hex.EncodeToString(nonce), TLSFirst: true, Log: logTo(t), TLS: (&Credential{trust: s.self.cert, self: s.self}).Options().TLS}
		o.TLS.GetClientCertificate = nil
		conn, err := broker.Dial(bounded(t), o)
		switch {
		case err == nil:
			conns++
			defer conn.Close()
		case errors.Is(err, nats.ErrAuthorization):
			refused++
		default:
			t.Error(err)
		}
	}
	if conns > 16 || refused == 0 {
		t.Errorf("%d strangers are connected, %d refused: want at most 16", conns, refused)
	}
	if err := s.try(t, s.self.cert, agent.self); err != nil {
		t.Errorf("an agent finds no room: %v", err)
	}
}

// TestManyAreEnrolledAtOnce: who installs the agents of a whole company by a
// program has all of them enrolled, though there is room for a few at a time.
func TestManyAreEnrolledAtOnce(t *testing.T) {
	s := start(t, hq)
	var group sync.WaitGroup
	for i := range 24 {
		name := fmt.Sprintf("agent-%d", i)
		r := Request{Token: s.token(t, name, hq), Dir: filepath.Join(t.TempDir(), name), Log: logTo(t)}
		group.Go(func() {
			if _, err := Enroll(t.Context(), r); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	group.Wait()
}

// TestWaitingAgent: one that starts before its server comes in when that is
// there; one that is refused is told so once, and does not try again.
func TestWaitingAgent(t *testing.T) {
	dir := t.TempDir()
	var c *Credential
	t.Run("first server", func(t *testing.T) { c = startIn(t, dir, hq).enrolled(t, "alpha", hq) })
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c.Servers = []string{free.Addr().String()}
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	closed := make(chan error, 4)
	o := c.Options()
	o.Log, o.Wait, o.Closed = logTo(t), true, func(err error) { closed <- err }
	conn, err := broker.Dial(bounded(t), o)
	if err != nil {
		t.Fatalf("Dial = %v; want to wait", err)
	}
	defer conn.Close()
	a, err := Open(filepath.Join(dir, "enroll"))
	if err != nil {
		t.Fatal(err)
	}
	config, err := a.ServerTLS(nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := broker.New(broker.Config{Dir: filepath.Join(dir, "store"), Listen: c.Servers[0], TLS: config, Gate: a, Log: logTo(t)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx, func() {}) }() // ends with ctx
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	for until := time.Now().Add(30 * time.Second); !conn.IsConnected(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatal("the agent does not come in")
		}
	}
	if err := a.Revoke("alpha"); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-closed:
		if !broker.Refused(err) {
			t.Errorf("closed with %v; want a refusal", err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("the connection stays")
	}
	if again, err := broker.Dial(bounded(t), o); err == nil {
		defer again.Close()
		select {
		case err = <-closed:
		case <-time.After(30 * time.Second):
		}
		if !broker.Refused(err) {
			t.Errorf("a revoked agent that starts: %v; want a refusal", err)
		}
	} else if !broker.Refused(err) {
		t.Errorf("a revoked agent that starts: %v; want a refusal", err)
	}
}
