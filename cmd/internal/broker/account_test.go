package broker

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"dormant/cmd/internal/fleet"
)

// users lets in by name, each with what it may.
type users struct{ may map[string]*server.User }

func (u users) Check(c server.ClientAuthentication) bool {
	user := u.may[c.GetOpts().Username]
	if user == nil {
		return false
	}
	c.RegisterUser(user)
	return true
}

// plain starts a NATS server without a port.
func plain(t *testing.T, o *server.Options) *server.Server {
	t.Helper()
	o.NoSigs, o.JetStream, o.StoreDir = true, len(o.TrustedOperators) == 0, t.TempDir() // of operators it wants more
	n, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	n.Start()
	t.Cleanup(func() {
		n.Shutdown()
		n.WaitForShutdown()
	})
	if !n.ReadyForConnections(30 * time.Second) {
		t.Fatal("the server does not start")
	}
	return n
}

func connect(t *testing.T, n *server.Server, user, password, inbox string) *nats.Conn {
	t.Helper()
	conn, err := nats.Connect("", nats.InProcessServer(n), nats.UserInfo(user, password), nats.CustomInboxPrefix(inbox),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return conn
}

// TestOneAccountIsNotEnough is why agents have accounts: with the very same
// permissions in the server's account, an agent has the results deleted. Should
// this fail one day, NATS has become stricter.
func TestOneAccountIsNotEnough(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	place := fleet.Place{Site: "hq", Vantage: "lan"}
	may := fleet.AgentPermissions("alpha", []fleet.Place{place})
	n := plain(t, &server.Options{DontListen: true, CustomClientAuthentication: users{map[string]*server.User{
		"server": {Username: "server"},
		"alpha": {Username: "alpha", Permissions: &server.Permissions{
			Publish:   &server.SubjectPermission{Allow: may.Publish},
			Subscribe: &server.SubjectPermission{Allow: may.Subscribe},
		}},
	}}})
	own := connect(t, n, "server", "", "_INBOX")
	js, err := Prepare(ctx, own, Streams{Places: []fleet.Place{place}, ResultBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	thief := connect(t, n, "alpha", "", fleet.Inbox("alpha"))
	err = thief.PublishRequest("$JS.API.CONSUMER.MSG.NEXT."+fleet.WorkStream+"."+place.Consumer(),
		"$JS.API.STREAM.DELETE."+fleet.ResultStream, []byte(`{"batch":1,"no_wait":true}`))
	if err != nil {
		t.Fatal(err)
	}
	for {
		_, err := js.Stream(ctx, fleet.ResultStream)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			return // deleted, by a peer that may only pull
		}
		if err != nil {
			t.Fatalf("the stream is still there: %v", err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// TestAccountsConfig gives a real nats-server what AccountsConfig prints, with
// users added as its comments say, and has an agent work there.
func TestAccountsConfig(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	hq, branch := fleet.Place{Site: "hq", Vantage: "lan"}, fleet.Place{Site: "branch", Vantage: "lan"}
	text, err := AccountsConfig("DORMANT", "alpha", []fleet.Place{hq})
	if err != nil {
		t.Fatal(err)
	}
	for account, user := range map[string]string{
		"  DORMANT: {\n":       "    users: [ { user: server, password: s } ]\n",
		"  DORMANT_alpha: {\n": "    users: [ { user: alpha, password: a } ]\n",
	} {
		if strings.Count(text, account) != 1 {
			t.Fatalf("no account %q in\n%s", account, text)
		}
		text = strings.Replace(text, account, account+user, 1)
	}
	path := filepath.Join(t.TempDir(), "nats.conf")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	o, err := server.ProcessConfigFile(path)
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	o.DontListen = true
	n := plain(t, o)
	own := connect(t, n, "server", "s", "_INBOX")
	js, err := Prepare(ctx, own, Streams{Places: []fleet.Place{hq, branch}, ResultBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []fleet.Place{hq, branch} {
		if _, err := js.Publish(ctx, p.WorkSubject(), []byte(p.String())); err != nil {
			t.Fatal(err)
		}
	}
	agent := connect(t, n, "alpha", "a", fleet.Inbox("alpha"))
	theirs, err := jetstream.New(agent)
	if err != nil {
		t.Fatal(err)
	}
	consumer, err := theirs.Consumer(ctx, fleet.WorkStream, hq.Consumer())
	if err != nil {
		t.Fatal(err)
	}
	m, err := consumer.Next(jetstream.FetchMaxWait(10 * time.Second))
	if err != nil || string(m.Data()) != "hq/lan" {
		t.Fatalf("next = %v, %v", m, err)
	}
	if _, err := theirs.Publish(ctx, hq.ResultSubject("alpha", "run"), []byte("found")); err != nil {
		t.Error(err)
	}
	if err := m.DoubleAck(ctx); err != nil {
		t.Error(err)
	}
	short, stop := context.WithTimeout(ctx, 500*time.Millisecond) // to prove an absence
	defer stop()
	if _, err := theirs.Consumer(short, fleet.WorkStream, branch.Consumer()); err == nil {
		t.Error("the agent sees the work of another site")
	}
	short, stop = context.WithTimeout(ctx, 500*time.Millisecond)
	defer stop()
	if _, err := theirs.Publish(short, branch.ResultSubject("alpha", "run"), []byte("found"), jetstream.WithRetryAttempts(0)); err == nil {
		t.Error("the agent publishes for another site")
	}
	err = agent.PublishRequest("$JS.API.CONSUMER.MSG.NEXT."+fleet.WorkStream+"."+hq.Consumer(),
		"$JS.API.STREAM.DELETE."+fleet.ResultStream, []byte(`{"batch":1,"no_wait":true}`))
	if err == nil {
		err = agent.Flush()
	}
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(200 * time.Millisecond) // to prove an absence
	if _, err := js.Stream(ctx, fleet.ResultStream); err != nil {
		t.Errorf("after the reply trick: %v", err)
	}
}

func TestAccountsConfigRefuses(t *testing.T) {
	ok := []fleet.Place{{Site: "hq", Vantage: "lan"}}
	for _, tt := range []struct {
		account, agent string
		places         []fleet.Place
	}{
		{"", "alpha", ok}, {"A } B", "alpha", ok}, {"DORMANT", "a\"", ok}, {"DORMANT", "alpha", nil},
		{"DORMANT", "alpha", []fleet.Place{{Site: "*", Vantage: "lan"}}}, {"DORMANT", "alpha", []fleet.Place{{Site: "hq", Vantage: ">"}}},
	} {
		if text, err := AccountsConfig(tt.account, tt.agent, tt.places); err == nil || text != "" {
			t.Errorf("AccountsConfig(%q, %q, %v) = %q, %v; want an error alone", tt.account, tt.agent, tt.places, text, err)
		}
	}
}
