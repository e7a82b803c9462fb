package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"dormant/cmd/internal/broker"
	"dormant/cmd/internal/fleet"
	"dormant/cmd/internal/pipeline"
	"dormant/registry"
	"dormant/scanner"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a NATS server with the streams of a fleet and one that answers as a
// server's conductor does. Agents have just the permissions of their places.
type world struct {
	t       *testing.T
	dir     string
	port    int
	nats    *server.Server
	options server.Options
	boss    *nats.Conn
	js      jetstream.JetStream
	offset  time.Duration // of the server's clock from this one

	mu      sync.Mutex
	beats   []fleet.Beat
	refused string // what a welcome says
}

var here = fleet.Place{Site: "hq", Vantage: "lan"} // the place of most tests; never changed

func newWorld(t *testing.T, places ...fleet.Place) *world {
	t.Helper()
	if len(places) == 0 {
		places = []fleet.Place{here}
	}
	w := &world{t: t, dir: t.TempDir(), port: server.RANDOM_PORT}
	boss := &server.User{Username: "boss", Password: "boss"}
	users := []*server.User{boss}
	for _, name := range []string{"a1", "a2"} {
		allowed := fleet.AgentPermissions(name, places)
		users = append(users, &server.User{Username: name, Password: name, Permissions: &server.Permissions{
			Publish:   &server.SubjectPermission{Allow: allowed.Publish},
			Subscribe: &server.SubjectPermission{Allow: allowed.Subscribe},
		}})
	}
	w.options = server.Options{
		Host: "127.0.0.1", NoLog: true, NoSigs: true, JetStream: true, StoreDir: w.dir, MaxPayload: fleet.MaxPayload,
		DisableJetStreamBanner: true, Users: users,
	}
	w.start()
	t.Cleanup(func() { w.stop() })
	w.boss = w.dial("boss")
	var err error
	if w.js, err = broker.Prepare(t.Context(), w.boss, broker.Streams{Places: places, ResultBytes: 64 << 20}); err != nil {
		t.Fatal(err)
	}
	for _, p := range places {
		c := fleet.ConsumerConfig(p)
		c.AckWait = time.Second // a test does not wait for half a minute
		if _, err := w.js.CreateOrUpdateConsumer(t.Context(), fleet.WorkStream, c); err != nil {
			t.Fatal(err)
		}
	}
	w.listen()
	return w
}

func (w *world) start() {
	w.t.Helper()
	o := w.options
	o.Port = w.port
	n, err := server.NewServer(&o)
	if err != nil {
		w.t.Fatal(err)
	}
	n.Start()
	if !n.ReadyForConnections(20 * time.Second) {
		w.t.Fatal("the NATS server does not start")
	}
	w.nats, w.port = n, o.Port
}

func (w *world) stop() {
	w.nats.Shutdown()
	w.nats.WaitForShutdown()
}

func (w *world) dial(user string) *nats.Conn {
	w.t.Helper()
	conn, err := nats.Connect("nats://127.0.0.1:"+strconv.Itoa(w.port), nats.UserInfo(user, user), nats.CustomInboxPrefix(fleet.Inbox(user)),
		nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond), nats.ReconnectJitter(0, 0), nats.ReconnectBufSize(-1),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			if errors.Is(err, nats.ErrPermissionViolation) {
				w.t.Errorf("%s: %v", user, err)
			}
		}))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(conn.Close)
	return conn
}

// listen answers hellos and keeps beats.
func (w *world) listen() {
	w.t.Helper()
	_, err := w.boss.Subscribe("dormant.hello.>", func(m *nats.Msg) {
		w.mu.Lock()
		refused := w.refused
		w.mu.Unlock()
		data, err := fleet.EncodeSmall(fleet.Welcome{Version: fleet.Version, Program: "test", Now: time.Now().Add(w.offset), Refused: refused})
		if err == nil {
			err = m.Respond(data)
		}
		if err != nil {
			w.t.Logf("welcome: %v", err)
		}
	})
	if err == nil {
		_, err = w.boss.Subscribe("dormant.beat.>", func(m *nats.Msg) {
			b, err := fleet.DecodeSmall[fleet.Beat](m.Data)
			if err != nil {
				w.t.Errorf("beat: %v", err)
			}
			w.mu.Lock()
			defer w.mu.Unlock()
			w.beats = append(w.beats, b)
		})
	}
	if err == nil {
		err = w.boss.Flush()
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// until waits for a condition.
func (w *world) until(what string, ok func() bool) {
	w.t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			w.t.Fatalf("within 30 s there was not: %s", what)
		}
	}
}

// beat waits for a beat with a property.
func (w *world) beat(what string, ok func(fleet.Beat) bool) {
	w.t.Helper()
	w.until("a beat that "+what, func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return slices.ContainsFunc(w.beats, ok)
	})
}

// shard is a work item of 14 targets.
func shard(number int) fleet.Shard {
	return fleet.Shard{
		Version: fleet.Version, Run: "s_run", Job: "nightly", Number: number, Of: 9, Place: here,
		Prefixes: []netip.Prefix{netip.MustParsePrefix(fmt.Sprintf("10.0.%d.0/29", number)), netip.MustParsePrefix(fmt.Sprintf("10.0.%d.8/30", number)), netip.MustParsePrefix(fmt.Sprintf("10.0.%d.12/31", number))},
		Ports:    []registry.Port{{Number: 1947, Proto: registry.TCP}}, Seed: 7, Rate: 1000, Retries: 1,
	}
}

const shardTargets = 14

// put gives a shard out.
func (w *world) put(s fleet.Shard) {
	w.t.Helper()
	data, err := fleet.EncodeShard(s)
	if err != nil {
		w.t.Fatal(err)
	}
	w.putBytes(here, data)
}

func (w *world) putBytes(p fleet.Place, data []byte) {
	w.t.Helper()
	if _, err := w.js.Publish(w.t.Context(), p.WorkSubject(), data); err != nil {
		w.t.Fatal(err)
	}
}

// work counts the items that are not acknowledged.
func (w *world) work() uint64 {
	w.t.Helper()
	s, err := w.js.Stream(w.t.Context(), fleet.WorkStream)
	if err != nil {
		return 99 // the server is only just back
	}
	return s.CachedInfo().State.Msgs
}

// results reads the whole result stream.
func (w *world) results() (all []fleet.Message) {
	w.t.Helper()
	s, err := w.js.Stream(w.t.Context(), fleet.ResultStream)
	if err != nil {
		return nil
	}
	state := s.CachedInfo().State
	for seq := max(state.FirstSeq, 1); seq <= state.LastSeq; seq++ {
		raw, err := s.GetMsg(w.t.Context(), seq)
		if err != nil {
			w.t.Fatal(err)
		}
		m, err := fleet.Decode(raw.Data)
		if err != nil {
			w.t.Fatal(err)
		}
		if err := fleet.CheckOrigin(raw.Subject, m); err != nil {
			w.t.Fatal(err)
		}
		all = append(all, m)
	}
	return all
}

// read returns the ends of attempts, and the targets by how often they were found.
func (w *world) read() (ends []*fleet.Done, found map[scanner.Target]int) {
	w.t.Helper()
	found = map[scanner.Target]int{}
	parts := map[string]int{}
	for _, m := range w.results() {
		switch {
		case m.Done != nil:
			if m.Done.Parts != parts[m.Done.Attempt] {
				w.t.Errorf("Done of %d parts after %d", m.Done.Parts, parts[m.Done.Attempt])
			}
			ends = append(ends, m.Done)
		default:
			parts[m.Part.Attempt]++
			for _, r := range m.Part.Results {
				found[r.Target]++
			}
		}
	}
	return ends, found
}

// done waits for n ends of attempts and an empty work queue.
func (w *world) done(n int) (ends []*fleet.Done, found map[scanner.Target]int) {
	w.t.Helper()
	w.until(fmt.Sprintf("%d ends and an empty work queue", n), func() bool {
		if w.work() > 0 {
			return false
		}
		ends, found = w.read()
		return len(ends) >= n
	})
	if len(ends) != n {
		w.t.Errorf("%d attempts ended, want %d", len(ends), n)
	}
	return ends, found
}

// running is an agent at work.
type running struct {
	*Agent
	conn  *nats.Conn
	leave func()
	kill  context.CancelFunc
	ended chan error
}

// run starts an agent with the fake sweeper; change may alter its configuration.
func (w *world) run(name, spool string, s Sweeper, change func(*Config)) *running {
	w.t.Helper()
	cfg := Config{
		Agent: name, Site: here.Site, Vantages: []Vantage{{Name: here.Vantage, Sweeper: s}}, Conn: w.dial(name),
		Spool: spool, Log: w.log(), Program: "test", Host: "host",
		pace: pace{
			beat: 50 * time.Millisecond, alive: 200 * time.Millisecond, greet: time.Second, pull: 500 * time.Millisecond,
			look: 20 * time.Millisecond, part: 20 * time.Millisecond, request: 2 * time.Second, handover: 5 * time.Second,
			first: 50 * time.Millisecond, max: 400 * time.Millisecond,
		},
	}
	if change != nil {
		change(&cfg)
	}
	a, err := New(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, kill := context.WithCancel(context.Background())
	left := make(chan struct{})
	r := &running{Agent: a, conn: cfg.Conn, leave: sync.OnceFunc(func() { close(left) }), kill: kill, ended: make(chan error, 1)}
	done := make(chan struct{})
	go func() { // ends with the agent
		defer close(done)
		r.ended <- a.Run(ctx, left)
	}()
	w.t.Cleanup(func() { kill(); <-done; cfg.Conn.Close() })
	return r
}

// end tells the agent to leave and returns what it ends with.
func (r *running) end(t *testing.T) error {
	t.Helper()
	r.leave()
	return r.wait(t)
}

func (r *running) wait(t *testing.T) error {
	t.Helper()
	select {
	case err := <-r.ended:
		return err
	case <-time.After(30 * time.Second):
		t.Fatal("the agent does not end")
		return nil
	}
}

// fake is a sweeper to which every target is open.
type fake struct {
	// half, if set, is waited for when half of the targets were found, or ctx.
	half chan struct{}
	fail error            // is returned before anything is found
	talk int              // bytes of a dialogue with the first target, which cannot be packed
	now  func() time.Time // the clock, if it is not this machine's

	mu     sync.Mutex
	orders []Order
}

func (f *fake) Sweep(ctx context.Context, o Order, emit func(pipeline.Result)) (out pipeline.Outcome, err error) {
	f.mu.Lock()
	f.orders = append(f.orders, o)
	f.mu.Unlock()
	now := time.Now
	if f.now != nil {
		now = f.now
	}
	out.Scan.Started, out.Scan.Targets, out.Scan.Parts = now(), o.Plan.Len(), 1
	defer func() { out.Scan.Finished = now() }()
	if f.fail != nil {
		return out, f.fail
	}
	for i := range o.Plan.Len() {
		if i == o.Plan.Len()/2 && f.half != nil {
			select {
			case <-f.half:
			case <-ctx.Done():
				return out, ctx.Err()
			}
		}
		if err := o.Hold(ctx); err != nil {
			return out, err
		}
		r := said(o.Plan, i, 0)
		if i == 0 {
			r = said(o.Plan, i, f.talk)
		}
		r.At = now()
		emit(r)
		out.Scan.Open++
	}
	out.Scan.Complete = true
	return out, nil
}

func (f *fake) Progress() scanner.Progress { return scanner.Progress{Sent: 5, Expected: 14} }
func (f *fake) Backend() string            { return "fake" }

// sweeps counts the orders so far.
func (f *fake) sweeps() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.orders)
}

// once checks that each of n targets was found exactly once.
func once(t *testing.T, found map[scanner.Target]int, n int) {
	t.Helper()
	if len(found) != n {
		t.Errorf("%d targets found, want %d", len(found), n)
	}
	for target, times := range found {
		if times != 1 {
			t.Errorf("%v was found %d times", target, times)
		}
	}
}

func spoolDir(t *testing.T) string { return filepath.Join(t.TempDir(), "spool") }

func (w *world) log() *slog.Logger { return slog.New(slog.NewTextHandler(w.t.Output(), nil)) }
