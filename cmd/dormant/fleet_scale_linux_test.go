package main

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"dormant/cmd/internal/broker"
	"dormant/cmd/internal/enroll"
	"dormant/cmd/internal/fleet"
	"dormant/cmd/internal/pipeline"
	"dormant/cmd/internal/server"
	"dormant/fingerprint"
	"dormant/reports/history"
	"dormant/reports/history/pgtest"
	"dormant/scanner"
)

// benchFleet is the environment variable that asks for what takes minutes:
// `make bench-fleet` sets it, and DORMANT_BIN to the program as it is shipped.
const benchFleet = "DORMANT_BENCH_FLEET"

// scalePrefix is the length of the prefix that each site asks, 16 for a million
// findings: DORMANT_BENCH_PREFIX makes it longer for a shorter trial.
func scalePrefix() int {
	bits, err := strconv.Atoi(os.Getenv("DORMANT_BENCH_PREFIX"))
	if err != nil || bits < 16 || bits > 24 {
		return 16
	}
	return bits
}

// The size of the simulation: each site asks for two ports, of which openShare in
// openOf are open.
const (
	scaleSites, scaleAgents = 10, 10 // agents of each site
	openShare, openOf       = 100, 131
	scaleParts              = 500 // results in a message
)

// TestFleetScale has 100 agents give a million findings to one server, through
// its broker with TLS, each with its own credential. Agents and findings are
// invented; the server, the broker and the databases are real.
func TestFleetScale(t *testing.T) {
	if os.Getenv(benchFleet) == "" {
		t.Skip("takes minutes: make bench-fleet")
	}
	t.Run("sqlite", func(t *testing.T) { scale(t, "") })
	t.Run("postgresql", func(t *testing.T) { scale(t, pgtest.Start(t, true).Fresh(t)) })
}

// scaleRig is a server on loopback with its agents.
type scaleRig struct {
	t       *testing.T
	dir     string
	db      string
	agents  []*inventor
	results atomic.Int64 // published
}

func scale(t *testing.T, db string) {
	dir, err := os.MkdirTemp("", "scale")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	r := &scaleRig{t: t, dir: dir, db: cmp.Or(db, filepath.Join(dir, "srv", "history.db"))}
	p := r.start()
	r.hire()
	before, err := peakMemory(p.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	published, watch := r.work(p)
	stored := time.Since(began)
	after, err := peakMemory(p.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	n := r.results.Load()
	t.Logf("%d agents, %d findings: all published after %.1f s, all stored and reported after %.1f s (%.0f findings/s); lag of the fold at most %.1f s, after the last was published %.1f s until the runs were over; server: peak RSS %d MiB (%d MiB before), heap at most %d MiB",
		len(r.agents), n, published.Seconds(), stored.Seconds(), float64(n)/stored.Seconds(), watch.lag.Seconds(), (stored - published).Seconds(), after>>20, before>>20, watch.heap>>20)
	r.count(n)
}

// start starts the server.
func (r *scaleRig) start() *exec.Cmd {
	r.t.Helper()
	var jobs strings.Builder
	jobs.WriteString("version: 1\nsites:\n")
	targets := ""
	for s := range scaleSites {
		fmt.Fprintf(&jobs, "  s%d: {vantages: [lan]}\n", s)
		targets += fmt.Sprintf("s%d: 10.0.0.0/%d, ", s, scalePrefix())
	}
	fmt.Fprintf(&jobs, "jobs:\n  - {name: big, targets: {%s}, ports: [1947/tcp, 3588/tcp], shard_size: 4096, rate: max}\n", strings.TrimSuffix(targets, ", "))
	path := filepath.Join(r.dir, "jobs.yaml")
	if err := os.WriteFile(path, []byte(jobs.String()), 0o600); err != nil {
		r.t.Fatal(err)
	}
	cmd := exec.Command(cmp.Or(os.Getenv("DORMANT_BIN"), "dormant"), "server", "--config", path, "--state", filepath.Join(r.dir, "srv"), "--db", r.db,
		"--listen", "127.0.0.1:4222", "--metrics", "127.0.0.1:9464")
	if strings.HasPrefix(r.db, "/") {
		if err := os.MkdirAll(filepath.Dir(r.db), 0o700); err != nil {
			r.t.Fatal(err)
		}
	}
	cmd.Stderr = r.t.Output()
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if _, err := r.status(); err == nil {
			return cmd
		}
		if time.Now().After(end) {
			r.t.Fatal("the server does not answer")
		}
	}
}

func (r *scaleRig) status() (fleet.Status, error) {
	ctx, cancel := context.WithTimeout(r.t.Context(), 20*time.Second)
	defer cancel()
	conn, err := broker.DialLocal(ctx, filepath.Join(r.dir, "srv"), broker.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return fleet.Status{}, err
	}
	defer conn.Close()
	return server.Operator{Conn: conn}.Status(ctx)
}

// hire enrolls and connects the agents.
func (r *scaleRig) hire() {
	r.t.Helper()
	a, err := enroll.Open(filepath.Join(r.dir, "srv", "enroll"))
	if err != nil {
		r.t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	for s := range scaleSites {
		for n := range scaleAgents {
			place := fleet.Place{Site: fmt.Sprintf("s%d", s), Vantage: "lan"}
			name := fmt.Sprintf("s%d-%d", s, n)
			token, _, err := a.NewToken(enroll.TokenFor{Agent: name, Site: place.Site, Vantages: []string{place.Vantage}, Servers: []string{"127.0.0.1:4222"}})
			if err != nil {
				r.t.Fatal(err)
			}
			time.Sleep(200 * time.Millisecond) // the server lets five in a second be enrolled
			c, err := enroll.Enroll(r.t.Context(), enroll.Request{Token: token, Dir: filepath.Join(r.dir, name), Log: log})
			if err != nil {
				r.t.Fatal(err)
			}
			o := c.Options()
			o.Log = log
			conn, err := broker.Dial(r.t.Context(), o)
			if err != nil {
				r.t.Fatal(err)
			}
			r.t.Cleanup(conn.Close)
			js, err := jetstream.New(conn)
			if err != nil {
				r.t.Fatal(err)
			}
			r.agents = append(r.agents, &inventor{name: name, place: place, js: js, published: &r.results})
		}
	}
}

// observed is what was seen while the server was at work.
type observed struct {
	lag  time.Duration
	heap uint64 // bytes
}

// work has the job done, and returns how long it took to publish everything.
func (r *scaleRig) work(p *exec.Cmd) (published time.Duration, w observed) {
	r.t.Helper()
	began := time.Now()
	conn, err := broker.DialLocal(r.t.Context(), filepath.Join(r.dir, "srv"), broker.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		r.t.Fatal(err)
	}
	defer conn.Close()
	if err := (server.Operator{Conn: conn}).Start(r.t.Context(), "big"); err != nil {
		r.t.Fatal(err)
	}
	ctx, enough := context.WithCancel(r.t.Context())
	defer enough()
	g, gctx := errgroup.WithContext(ctx)
	var last atomic.Int64 // nanoseconds after the beginning
	for _, a := range r.agents {
		g.Go(func() error { return a.work(gctx, func() { last.Store(int64(time.Since(began))) }) }) // ends with ctx
	}
	for over := false; !over; time.Sleep(250 * time.Millisecond) {
		st, err := r.status()
		if err != nil {
			r.t.Fatal(err)
		}
		if gctx.Err() != nil {
			r.t.Fatal(g.Wait())
		}
		over = len(st.Runs) == scaleSites
		for i := range st.Runs {
			x := &st.Runs[i]
			w.lag = max(w.lag, x.Lag)
			over = over && x.State == fleet.RunComplete
			if x.State == fleet.RunIncomplete {
				r.t.Fatalf("%s: %v", x.Place, x.Why)
			}
		}
		w.heap = max(w.heap, metric(r.t, "go_memstats_heap_inuse_bytes"))
	}
	enough()
	if err := g.Wait(); err != nil && ctx.Err() == nil {
		r.t.Fatal(err)
	}
	return time.Duration(last.Load()), w
}

// inventor is an agent that asks nobody.
type inventor struct {
	name      string
	place     fleet.Place
	js        jetstream.JetStream
	published *atomic.Int64
}

// work takes shards until ctx ends; told is called after each.
func (a *inventor) work(ctx context.Context, told func()) error {
	for ctx.Err() == nil {
		c, err := a.js.Consumer(ctx, fleet.WorkStream, a.place.Consumer())
		if err != nil {
			return ended(ctx, err)
		}
		batch, err := c.Fetch(1, jetstream.FetchMaxWait(time.Second))
		if err != nil {
			return ended(ctx, err)
		}
		for m := range batch.Messages() {
			s, err := fleet.DecodeShard(m.Data())
			if err == nil {
				err = a.invent(ctx, &s)
			}
			if err == nil {
				err = m.DoubleAck(ctx)
			}
			if err != nil {
				return ended(ctx, err)
			}
			told()
		}
	}
	return nil
}

// ended is nil when ctx has: that is how work ends.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// invent answers a shard.
func (a *inventor) invent(ctx context.Context, s *fleet.Shard) error {
	plan, err := scanner.NewPlan(s.Prefixes, s.Ports, s.Seed)
	if err != nil {
		return err
	}
	now := time.Now().UTC().Round(0)
	part := fleet.Part{Run: s.Run, Shard: s.Number, Attempt: uuid.NewString()}
	done := fleet.Done{Run: s.Run, Shard: s.Number, Attempt: part.Attempt, Agent: a.name, Started: now, Finished: now, Backend: "none"}
	flush := func() error {
		part.Number++
		done.Parts = part.Number
		a.published.Add(int64(len(part.Results)))
		defer func() { part.Results = part.Results[:0] }()
		return a.publish(ctx, s, fleet.Message{Version: fleet.Version, Part: &part}, part.ID())
	}
	for i := range plan.Len() {
		target := plan.At(i)
		if !isOpen(target) {
			continue
		}
		part.Results = append(part.Results, invented(target, now))
		done.Outcome.Scan.Open++
		if len(part.Results) == scaleParts {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	if len(part.Results) > 0 {
		if err := flush(); err != nil {
			return err
		}
	}
	scan := &done.Outcome.Scan
	scan.Started, scan.Finished, scan.Targets, scan.Addresses, scan.Probes = now, now, plan.Len(), plan.Len()/uint64(len(s.Ports)), plan.Len()
	scan.Filtered, scan.Complete, scan.Parts = plan.Len()-scan.Open, true, 1
	return a.publish(ctx, s, fleet.Message{Version: fleet.Version, Done: &done}, done.ID())
}

func (a *inventor) publish(ctx context.Context, s *fleet.Shard, m fleet.Message, id string) error {
	data, err := fleet.Encode(m)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	_, err = a.js.Publish(ctx, a.place.ResultSubject(a.name, s.Run), data, jetstream.WithMsgID(id))
	return err
}

// isOpen says of each target whether it is, the same at every site.
func isOpen(t scanner.Target) bool {
	b := t.Addr.As4()
	return (uint(b[2])<<9+uint(b[3])<<1+uint(t.Port.Number&1))%openOf < openShare
}

// invented is what an agent says of a license manager.
func invented(t scanner.Target, at time.Time) pipeline.Result {
	banner := fmt.Appendf(nil, "HTTP/1.0 403 Forbidden\r\nServer: HASP LM/25.%02d\r\nDate: %s\r\nContent-Type: text/html\r\nContent-Length: 137\r\n\r\n", t.Addr.As4()[3]%20, at.Format(http.TimeFormat))
	return pipeline.Result{
		Observation: scanner.Observation{Target: t, State: scanner.Open, Reason: scanner.SynAck, From: t.Addr, TTL: 64, RTT: 3 * time.Millisecond, At: at, Sent: 1},
		Evidence: &fingerprint.Evidence{Target: t, Started: at, Status: fingerprint.StatusDone, Connections: 1, BytesSent: 18, BytesReceived: len(banner),
			Exchanges: []fingerprint.Exchange{{Conn: 1, Probe: fingerprint.ProbeGet10, Sent: []byte("GET / HTTP/1.0\r\n\r\n"), Received: banner, End: fingerprint.EndFin}}},
	}
}

// count holds what is stored against what was published.
func (r *scaleRig) count(published int64) {
	r.t.Helper()
	want := 0
	all := netip.PrefixFrom(netip.MustParseAddr("10.0.0.0"), scalePrefix())
	for a := all.Addr(); all.Contains(a); a = a.Next() {
		for _, port := range []uint16{1947, 3588} {
			t := scanner.Target{Addr: a}
			t.Port.Number = port
			if isOpen(t) {
				want += scaleSites
			}
		}
	}
	store, err := history.Open(r.t.Context(), r.db)
	if err != nil {
		r.t.Fatal(err)
	}
	defer store.Close()
	runs, err := store.Runs(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	open := 0
	for _, run := range runs {
		open += int(run.Open)
	}
	if len(runs) != scaleSites || open != want || int(published) != want {
		r.t.Errorf("%d runs with %d open ports are stored, %d were published; want %d with %d", len(runs), open, published, scaleSites, want)
	}
}

// peakMemory returns the most that a process ever held, in bytes.
func peakMemory(pid int) (uint64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("process %d has no VmHWM", pid)
}

// metric reads one number of the server's metrics.
func metric(t *testing.T, name string) uint64 {
	t.Helper()
	reply, err := http.Get("http://127.0.0.1:9464/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer reply.Body.Close()
	for lines := bufio.NewScanner(reply.Body); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			n, err := strconv.ParseFloat(rest, 64)
			if err != nil {
				t.Fatal(err)
			}
			return uint64(n)
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

// median returns the one in the middle.
func median(all []time.Duration) time.Duration {
	slices.Sort(all)
	return all[len(all)/2]
}
