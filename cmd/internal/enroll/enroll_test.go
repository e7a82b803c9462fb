package enroll

import (
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"dormant/cmd/internal/broker"
	"dormant/cmd/internal/fleet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// site is a whole server on loopback: authority, broker, enrollment.
type site struct {
	*Authority
	broker *broker.Server
	own    *nats.Conn
	js     jetstream.JetStream
	addr   string
}

func bounded(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func logTo(t *testing.T) *slog.Logger { return slog.New(slog.NewTextHandler(t.Output(), nil)) }

// start runs a server with the places; the test's end stops it.
func start(t *testing.T, places ...fleet.Place) *site {
	t.Helper()
	return startIn(t, t.TempDir(), places...)
}

func startIn(t *testing.T, dir string, places ...fleet.Place) *site {
	t.Helper()
	a, err := Open(filepath.Join(dir, "enroll"))
	if err != nil {
		t.Fatal(err)
	}
	config, err := a.ServerTLS([]string{"127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	b, err := broker.New(broker.Config{Dir: filepath.Join(dir, "store"), Listen: "127.0.0.1:0", TLS: config, Gate: a, Log: logTo(t)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended, served := make(chan struct{}), make(chan error, 1), make(chan error, 1)
	go func() { ended <- b.Run(ctx, func() { close(ready) }) }() // ends with the test
	select {
	case <-ready:
	case err := <-ended:
		cancel()
		t.Fatal(err)
	}
	s := &site{Authority: a, broker: b, addr: b.Addr().String()}
	serving, stop := context.WithCancel(ctx)
	t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
		if s.own != nil {
			s.own.Close()
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	if s.own, err = b.Dial(ctx, broker.Options{Log: logTo(t)}); err != nil {
		served <- nil
		t.Fatal(err)
	}
	go func() { served <- a.Serve(serving, s.own, logTo(t)) }() // ends with the test
	if s.js, err = broker.Prepare(ctx, s.own, broker.Streams{Places: places, ResultBytes: 64 << 20}); err != nil {
		t.Fatal(err)
	}
	return s
}

// token makes one for an agent at a place.
func (s *site) token(t *testing.T, agent string, p fleet.Place) string {
	t.Helper()
	text, _, err := s.NewToken(TokenFor{Agent: agent, Site: p.Site, Vantages: []string{p.Vantage}, Servers: []string{s.addr}})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// enrolled makes an agent with its credential.
func (s *site) enrolled(t *testing.T, agent string, p fleet.Place) *Credential {
	t.Helper()
	c, err := Enroll(bounded(t), Request{Token: s.token(t, agent, p), Dir: filepath.Join(t.TempDir(), agent), Log: logTo(t)})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// dial connects as the agent.
func dial(t *testing.T, c *Credential) *nats.Conn {
	t.Helper()
	o := c.Options()
	o.Log = logTo(t)
	conn, err := broker.Dial(bounded(t), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return conn
}

var ( // the places of the tests; never changed
	hq     = fleet.Place{Site: "hq", Vantage: "lan"}
	branch = fleet.Place{Site: "branch", Vantage: "lan"}
)

// TestFromTokenToWork goes the whole way of an agent.
func TestFromTokenToWork(t *testing.T) {
	ctx, s := bounded(t), start(t, hq)
	c := s.enrolled(t, "alpha", hq)
	again, err := Load(c.dir)
	if err != nil {
		t.Fatal(err)
	}
	want := About{Agent: "alpha", Site: "hq", Vantages: []string{"lan"}, Servers: []string{s.addr}}
	if d := cmp.Diff(want, again.About); d != "" {
		t.Errorf("credential (-want +got):\n%s", d)
	}
	conn := dial(t, again)
	if _, err := s.js.Publish(ctx, hq.WorkSubject(), []byte("a shard")); err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	consumer, err := js.Consumer(ctx, fleet.WorkStream, hq.Consumer())
	if err != nil {
		t.Fatal(err)
	}
	m, err := consumer.Next(jetstream.FetchMaxWait(10 * time.Second))
	if err != nil {
		t.Fatal(err)
	}
	if string(m.Data()) != "a shard" {
		t.Errorf("work %q", m.Data())
	}
	if err := m.InProgress(); err != nil {
		t.Error(err)
	}
	for range 2 {
		ack, err := js.Publish(ctx, hq.ResultSubject("alpha", "run-1"), []byte("found"), jetstream.WithMsgID("1"))
		if err != nil || ack.Sequence != 1 {
			t.Errorf("publish = %+v, %v; want the first message of the stream", ack, err)
		}
	}
	if err := m.DoubleAck(ctx); err != nil {
		t.Error(err)
	}
	if info, err := consumer.Info(ctx); err != nil || info.NumPending != 0 || info.NumAckPending != 0 {
		t.Errorf("consumer after the ack: %+v, %v; want it empty", info, err)
	}
}

func TestTokenWorksOnce(t *testing.T) {
	s := start(t, hq)
	token := s.token(t, "alpha", hq)
	results := make(chan error)
	for range 4 {
		dir := filepath.Join(t.TempDir(), "c")
		go func() { // ends with its result
			_, err := Enroll(bounded(t), Request{Token: token, Dir: dir, Log: logTo(t)})
			results <- err
		}()
	}
	won := 0
	for range 4 {
		if err := <-results; err == nil {
			won++
		} else if !strings.Contains(err.Error(), "it was used") || strings.Contains(err.Error(), "\n") {
			t.Errorf("error %q: want one line that says that it was used", err)
		}
	}
	if won != 1 {
		t.Errorf("%d were enrolled with one token: want 1", won)
	}
}
