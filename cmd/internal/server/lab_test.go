package server

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"dormant/cmd/internal/broker"
	"dormant/cmd/internal/fleet"
	"dormant/cmd/internal/pipeline"
	"dormant/fingerprint"
	"dormant/registry"
	"dormant/reports"
	"dormant/scanner"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// quick is the pace of tests.
func quick() pace {
	return pace{tick: 20 * time.Millisecond, retry: 20 * time.Millisecond, patience: 100 * time.Millisecond, reporting: time.Second,
		grace: 100 * time.Millisecond, again: 50 * time.Millisecond, away: 500 * time.Millisecond, tidy: time.Hour}
}

// startBroker runs an embedded broker, in process only, and returns a
// connection.
func startBroker(t *testing.T, places ...fleet.Place) *nats.Conn {
	t.Helper()
	_, conn := brokerAnd(t, places...)
	return conn
}

func brokerAnd(t *testing.T, places ...fleet.Place) (*broker.Server, *nats.Conn) {
	t.Helper()
	b, err := broker.New(broker.Config{Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- b.Run(ctx, func() { close(ready) }) }() // ends with the test
	select {
	case <-ready:
	case err := <-ended:
		cancel()
		t.Fatal(err)
	}
	conn, err := b.Dial(ctx, broker.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Close()
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	if _, err := broker.Prepare(ctx, conn, broker.Streams{Places: places, ResultBytes: 1 << 30}); err != nil {
		t.Fatal(err)
	}
	return b, conn
}

// shelf is a desk that remembers. It is safe for concurrent use.
type shelf struct {
	mu     sync.Mutex
	books  map[string]map[scanner.Target]reports.Finding // by run
	facts  map[string]reports.Run                        // of books that are closed
	told   []string                                      // runs that were reported
	files  []string                                      // that they were reported in, of the day
	broken error                                         // of every write, while set
	jam    error                                         // of every report, while set
	rules  *fingerprint.Rules
	known  *registry.Registry
}

func newShelf(t *testing.T) *shelf {
	t.Helper()
	rules, err := fingerprint.Default()
	if err != nil {
		t.Fatal(err)
	}
	reg, err := registry.Default()
	if err != nil {
		t.Fatal(err)
	}
	return &shelf{books: map[string]map[scanner.Target]reports.Finding{}, facts: map[string]reports.Run{}, rules: rules, known: reg}
}

func (d *shelf) Open(_ context.Context, r *Run, _ *Job, facts func() reports.Run) (*Book, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if f, ok := d.facts[r.ID]; ok && f.Complete() {
		return &Book{Stored: &f}, nil
	}
	if d.books[r.ID] == nil {
		d.books[r.ID] = map[scanner.Target]reports.Finding{}
	}
	return &Book{Judge: d.rules, Registry: d.known, Sink: &shelfBook{d, r.ID, facts}, Leave: func() {}}, nil
}

func (d *shelf) Report(_ context.Context, r *Run, _ *Job) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.jam != nil {
		return d.jam
	}
	d.told, d.files = append(d.told, r.ID), append(d.files, Output("out.d/{job}.changes.csv", r))
	return nil
}

// set changes what fails.
func (d *shelf) set(broken, jam error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.broken, d.jam = broken, jam
}

// open returns the open targets of a run, sorted, and its facts once it is over.
func (d *shelf) open(run string) ([]string, reports.Run) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var all []scanner.Target
	for target, f := range d.books[run] {
		if f.State == scanner.Open {
			all = append(all, target)
		}
	}
	slices.SortFunc(all, scanner.Target.Compare)
	var words []string
	for _, target := range all {
		words = append(words, target.String())
	}
	return words, d.facts[run]
}

func (d *shelf) runs() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Sorted(maps.Keys(d.books))
}

type shelfBook struct {
	d     *shelf
	run   string
	facts func() reports.Run
}

func (b *shelfBook) Write(_ context.Context, f reports.Finding) error {
	b.d.mu.Lock()
	defer b.d.mu.Unlock()
	if b.d.broken != nil {
		return b.d.broken
	}
	b.d.books[b.run][scanner.Target{Addr: f.IP, Port: registry.Port{Number: f.Port, Proto: f.Transport}}] = f
	return nil
}

func (b *shelfBook) Close() error {
	b.d.mu.Lock()
	defer b.d.mu.Unlock()
	b.d.facts[b.run] = b.facts()
	return b.d.broken
}

// startServer runs a server until the returned function is called, which is safe
// to call twice.
func startServer(t *testing.T, cfg Config) (*Server, func()) {
	t.Helper()
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	ahead, foreign := cfg.pace.ahead, cfg.pace.foreign
	cfg.Program, cfg.Seed, cfg.pace = "test", func() uint64 { return 7 }, quick()
	cfg.pace.ahead, cfg.pace.foreign = ahead, foreign
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }() // ends with stop
	var once sync.Once
	stop := func() {
		once.Do(func() {
			cancel()
			if err := <-ended; err != nil {
				t.Errorf("Run = %v", err)
			}
		})
	}
	t.Cleanup(stop)
	return s, stop
}

// fakeAgent takes shards of a place and answers each by do, until stop.
type fakeAgent struct {
	t     *testing.T
	conn  *nats.Conn
	js    jetstream.JetStream
	place fleet.Place
	id    string
	// do carries a shard out. It returns whether the item is acknowledged; else it
	// is given back at once.
	do func(a *fakeAgent, s fleet.Shard) bool
}

// start takes shards until the test is over, or stop is called.
func (a *fakeAgent) start() (stop func()) {
	js, err := jetstream.New(a.conn)
	if err != nil {
		a.t.Fatal(err)
	}
	a.js = js
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { // ends with stop
		defer close(done)
		for ctx.Err() == nil {
			a.one(ctx)
		}
	}()
	var once sync.Once
	stop = func() { once.Do(func() { cancel(); <-done }) }
	a.t.Cleanup(stop)
	return stop
}

func (a *fakeAgent) one(ctx context.Context) {
	c, err := a.js.Consumer(ctx, fleet.WorkStream, a.place.Consumer())
	if err != nil {
		return
	}
	batch, err := c.Fetch(1, jetstream.FetchMaxWait(100*time.Millisecond))
	if err != nil {
		return
	}
	for m := range batch.Messages() {
		s, err := fleet.DecodeShard(m.Data())
		if err != nil {
			a.t.Errorf("the agent got no shard: %v", err)
			continue
		}
		a.beat(fleet.Beat{Run: s.Run, Shard: s.Number, Sent: 1, Total: 2})
		if a.do(a, s) {
			_ = m.DoubleAck(ctx)
		} else {
			_ = m.Nak()
		}
	}
}

func (a *fakeAgent) beat(b fleet.Beat) {
	b.Version, b.Now = fleet.Version, time.Now()
	data, err := fleet.EncodeSmall(b)
	if err == nil {
		err = a.conn.Publish(a.place.BeatSubject(a.id), data)
	}
	if err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
		a.t.Error(err)
	}
}

// send publishes a message of the run.
func (a *fakeAgent) send(m fleet.Message, run, id string) {
	m.Version = fleet.Version
	data, err := fleet.Encode(m)
	if err == nil {
		_, err = a.js.Publish(context.Background(), a.place.ResultSubject(a.id, run), data, jetstream.WithMsgID(id))
	}
	if err != nil && !strings.Contains(err.Error(), "closed") {
		a.t.Errorf("publish: %v", err)
	}
}

// carryOut answers a shard as an honest agent does: those of open that it asks
// are open.
func (a *fakeAgent) carryOut(s fleet.Shard, open []scanner.Target, change func(*fleet.Part, *fleet.Done)) {
	part, done := outcomeOf(s, a.id, open)
	if change != nil {
		change(&part, &done)
	}
	if len(part.Results) > 0 {
		a.send(fleet.Message{Part: &part}, s.Run, part.ID())
	}
	a.send(fleet.Message{Done: &done}, s.Run, done.ID())
}

// outcomeOf is what an honest agent says of a shard.
func outcomeOf(s fleet.Shard, agent string, open []scanner.Target) (fleet.Part, fleet.Done) {
	now := time.Now()
	id := uuid.NewString()
	part := fleet.Part{Run: s.Run, Shard: s.Number, Attempt: id, Number: 1}
	hosts := map[netip.Addr]bool{}
	for _, target := range open {
		if !slices.Contains(s.Ports, target.Port) || !slices.ContainsFunc(s.Prefixes, func(p netip.Prefix) bool { return p.Contains(target.Addr) }) {
			continue
		}
		hosts[target.Addr] = true
		part.Results = append(part.Results, answer1(target, scanner.Open, now))
	}
	n := addresses(s.Prefixes)
	done := fleet.Done{Run: s.Run, Shard: s.Number, Attempt: id, Agent: agent, Started: now, Finished: now, Backend: "fake", Rate: s.Rate}
	if len(part.Results) > 0 {
		done.Parts = 1
	}
	targets, found := n*uint64(len(s.Ports)), uint64(len(part.Results))
	done.Outcome.Scan = scanner.Summary{Started: now, Finished: now, Targets: targets, Addresses: n, Probes: targets, Open: found,
		Filtered: targets - found, HostsAlive: uint64(len(hosts)), Complete: true, Parts: 1, MaxHalfOpen: 3}
	done.Outcome.Identify = reports.Identification{Ports: found, Done: found}
	return part, done
}

func answer1(target scanner.Target, state scanner.State, at time.Time) pipeline.Result {
	r := pipeline.Result{Observation: scanner.Observation{Target: target, State: state, Reason: scanner.SynAck, From: target.Addr, TTL: 64, At: at.UTC().Round(0), Sent: 1}}
	if state != scanner.Open {
		r.Reason = scanner.Rst
		return r
	}
	r.Evidence = &fingerprint.Evidence{Target: target, Started: at.UTC().Round(0), Status: fingerprint.StatusDone, Connections: 1,
		Exchanges: []fingerprint.Exchange{{Conn: 1, Probe: fingerprint.ProbeGet10, Received: []byte("HTTP/1.0 403 Forbidden\r\nServer: HASP LM/25.02\r\n\r\n"), End: fingerprint.EndFin}}}
	return r
}

func target(addr string, port uint16) scanner.Target {
	return scanner.Target{Addr: netip.MustParseAddr(addr), Port: registry.Port{Number: port, Proto: registry.TCP}}
}

// until waits for a condition and fails the test when it does not come.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// jobsOf reads a jobs file from a test's text.
func jobsOf(t *testing.T, text string) *Jobs {
	t.Helper()
	j, err := Parse("jobs.yaml", []byte(strings.ReplaceAll(text, "\t", "  ")))
	if err != nil {
		t.Fatal(err)
	}
	return j
}
