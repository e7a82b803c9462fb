package pipeline

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"dormant/fingerprint"
	"dormant/registry"
	"dormant/reports"
	"dormant/scanner"
	"dormant/scanner/fakenet"
)

// keep is a sink that remembers what it is given, and fails once, the n-th time.
type keep struct {
	got    []reports.Finding
	fails  int // 0: never
	closed bool
}

func (k *keep) Write(_ context.Context, f reports.Finding) error {
	if k.fails--; k.fails == 0 {
		return errors.New("disk full")
	}
	k.got = append(k.got, f)
	return nil
}

func (k *keep) Close() error { k.closed = true; return nil }

// says is a crew whose peers all give the same answer to GET / HTTP/1.0.
type says string

func (s says) Run(_ context.Context, in <-chan scanner.Observation, _ int, emit func(fingerprint.Result)) {
	for o := range in {
		emit(fingerprint.Result{Observation: o, Evidence: fingerprint.Evidence{
			Target: o.Target, Started: o.At, Status: fingerprint.StatusDone, Connections: 1,
			Exchanges: []fingerprint.Exchange{{
				Conn: 1, Probe: fingerprint.ProbeGet10, Sent: []byte("GET / HTTP/1.0\r\n\r\n"),
				Received: []byte(s), End: fingerprint.EndFin,
			}},
		}})
	}
}

// stuck is a crew that never finishes a dialogue before ctx ends.
type stuck struct{}

func (stuck) Run(ctx context.Context, in <-chan scanner.Observation, _ int, emit func(fingerprint.Result)) {
	for o := range in {
		<-ctx.Done()
		emit(fingerprint.Result{Observation: o, Evidence: fingerprint.Evidence{Target: o.Target, Status: fingerprint.StatusCancelled}})
	}
}

// slow is a crew whose dialogues take so long, one after the other.
type slow time.Duration

func (s slow) Run(_ context.Context, in <-chan scanner.Observation, _ int, emit func(fingerprint.Result)) {
	for o := range in {
		time.Sleep(time.Duration(s))
		emit(fingerprint.Result{Observation: o, Evidence: fingerprint.Evidence{Target: o.Target, Status: fingerprint.StatusDone}})
	}
}

func newPipeline(t *testing.T, network scanner.Backend, crew Crew, sink reports.Sink) *Pipeline {
	t.Helper()
	reg, err := registry.Default()
	if err != nil {
		t.Fatal(err)
	}
	rules, err := fingerprint.Default()
	if err != nil {
		t.Fatal(err)
	}
	engine, err := scanner.New(network, scanner.Config{Rate: 1000})
	if err != nil {
		t.Fatal(err)
	}
	return &Pipeline{
		Source:   &Local{Engine: engine, Crew: crew, Log: slog.New(slog.DiscardHandler)},
		Judge:    rules,
		Registry: reg,
		Sink:     sink,
	}
}

func plan(t *testing.T, prefix string, ports ...registry.Port) *scanner.Plan {
	t.Helper()
	p, err := scanner.NewPlan([]netip.Prefix{netip.MustParsePrefix(prefix)}, ports, 1)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestOneProbeBecomesOneFinding(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // starts at 2000-01-01T00:00:00Z, never waits in real time
		lm := scanner.Target{Addr: netip.MustParseAddr("10.0.0.9"), Port: registry.Port{Number: 1947, Proto: registry.TCP}}
		network := fakenet.New(map[scanner.Target]scanner.State{lm: scanner.Open}, time.Second)
		var got keep
		p := newPipeline(t, network, says("HTTP/1.0 403 Forbidden\r\nServer: HASP LM/25.02\r\n\r\n"), &got)
		out, err := p.Run(t.Context(), plan(t, "10.0.0.9/32", lm.Port))
		if err != nil || !out.Scan.Complete {
			t.Fatalf("Run = %+v, %v; want a complete run", out, err)
		}
		if len(got.got) != 1 {
			t.Fatalf("%d findings, want 1: %+v", len(got.got), got.got)
		}
		f := got.got[0]
		type row struct {
			At                         time.Time
			IP                         string
			State                      scanner.State
			IANA, Service, Product     string
			Version, Rule, Confirmed   string
			Verdict                    fingerprint.Class
			Connections, Dialogues, Op uint64
		}
		want := row{
			At: time.Date(2000, 1, 1, 0, 0, 1, 0, time.UTC), // one RTT after the start
			IP: "10.0.0.9", State: scanner.Open,
			IANA:    "sentinelsrm", // the registry's claim, beside what was proved:
			Service: "hasp-acc", Product: "Sentinel LDK License Manager", Version: "25.02",
			Rule: f.RuleID, Confirmed: "yes", Verdict: fingerprint.LicenseManager,
			Connections: 1, Dialogues: 1, Op: 1,
		}
		have := row{f.ObservedAt, f.IP.String(), f.State, f.IANAName, f.Service, f.Product, f.Version, f.RuleID, f.Confirmed,
			f.Verdict, out.Identify.Connections, out.Identify.Done, out.Scan.Open}
		if d := cmp.Diff(want, have); d != "" {
			t.Errorf("finding (-want +got):\n%s", d)
		}
		if got.closed {
			t.Error("the pipeline closed a sink that is not its own")
		}
	})
}

// TestDialoguesAreWithinTheRun: no report dates evidence after the end of its run.
func TestDialoguesAreWithinTheRun(t *testing.T) {
	for crew, want := range map[Crew]time.Duration{slow(time.Minute): time.Minute, nil: time.Second} {
		synctest.Test(t, func(t *testing.T) {
			lm := scanner.Target{Addr: netip.MustParseAddr("10.0.0.9"), Port: registry.Port{Number: 1947, Proto: registry.TCP}}
			network := fakenet.New(map[scanner.Target]scanner.State{lm: scanner.Open}, time.Second)
			out, err := newPipeline(t, network, crew, &keep{}).Run(t.Context(), plan(t, "10.0.0.9/32", lm.Port))
			if took := out.Scan.Finished.Sub(out.Scan.Started); err != nil || took < want || took > want+5*time.Second {
				t.Errorf("crew %v: Run took %v, %v; want %v and a little", crew, took, err, want)
			}
		})
	}
}

func TestClosedPortsAreFindingsWithoutAVerdict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		closed := scanner.Target{Addr: netip.MustParseAddr("10.0.0.9"), Port: registry.Port{Number: 3712, Proto: registry.TCP}}
		network := fakenet.New(map[scanner.Target]scanner.State{closed: scanner.Closed}, time.Millisecond)
		var got keep
		if _, err := newPipeline(t, network, says("x"), &got).Run(t.Context(), plan(t, "10.0.0.9/32", closed.Port)); err != nil {
			t.Fatal(err)
		}
		if len(got.got) != 1 || got.got[0].State != scanner.Closed || got.got[0].Verdict != 0 || got.got[0].Full != nil {
			t.Errorf("findings = %+v, want one closed port that nobody judged", got.got)
		}
	})
}

func TestCancelledKeepsWhatWasFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		port := registry.Port{Number: 3588, Proto: registry.TCP}
		states := map[scanner.Target]scanner.State{}
		for a := netip.MustParseAddr("10.0.0.0"); netip.MustParsePrefix("10.0.0.0/24").Contains(a); a = a.Next() {
			states[scanner.Target{Addr: a, Port: port}] = scanner.Open
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		var got keep
		out, err := newPipeline(t, fakenet.New(states, time.Millisecond), stuck{}, &got).Run(ctx, plan(t, "10.0.0.0/24", port))
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Run = %v, want the end of the context", err)
		}
		if len(got.got) != 256 {
			t.Errorf("%d findings written, want all 256 that were found", len(got.got))
		}
		for _, f := range got.got {
			if f.Verdict != 0 || f.Note == "" {
				t.Fatalf("%v has verdict %q and note %q; want none, and why", f.IP, f.Verdict, f.Note)
			}
		}
		if out.Identify.Cancelled != 256 {
			t.Errorf("%d dialogues counted as cut short, want 256", out.Identify.Cancelled)
		}
	})
}

func TestFailedSinkStopsTheSearch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		port := registry.Port{Number: 3588, Proto: registry.TCP}
		states := map[scanner.Target]scanner.State{}
		for a := netip.MustParseAddr("10.0.0.0"); netip.MustParsePrefix("10.0.0.0/16").Contains(a); a = a.Next() {
			states[scanner.Target{Addr: a, Port: port}] = scanner.Open
		}
		got := keep{fails: 3}
		p := newPipeline(t, fakenet.New(states, time.Millisecond), says("x"), &got)
		out, err := p.Run(t.Context(), plan(t, "10.0.0.0/16", port))
		if _, ok := errors.AsType[*SinkError](err); !ok {
			t.Fatalf("Run = %v, want a SinkError", err)
		}
		if out.Scan.Probes > 1000 {
			t.Errorf("%d probes were sent after the output failed at the third finding", out.Scan.Probes)
		}
		if len(got.got) != 2 {
			t.Errorf("%d findings are written, want none behind the one that failed", len(got.got))
		}
	})
}

// unplugged is a network that nothing can be sent to.
type unplugged struct{ scanner.Backend }

func (unplugged) Send(context.Context, []scanner.Probe) (int, error) { return 0, errUnplugged }

var errUnplugged = errors.New("no such device")

// A sweep that failed is no run that ended well, with dialogues or without.
func TestFailedSweepIsSaid(t *testing.T) {
	for _, crew := range []Crew{nil, says("x")} {
		synctest.Test(t, func(t *testing.T) {
			p := newPipeline(t, unplugged{fakenet.New(nil, time.Millisecond)}, crew, &keep{})
			if _, err := p.Run(t.Context(), plan(t, "10.0.0.0/30", registry.Port{Number: 3588, Proto: registry.TCP})); !errors.Is(err, errUnplugged) {
				t.Errorf("Run = %v, want %v", err, errUnplugged)
			}
		})
	}
}

// TestFragileHostIsNotTalkedTo: its open port is reported, without a verdict,
// and the crew never hears of it.
func TestFragileHostIsNotTalkedTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		open := map[scanner.Target]scanner.State{}
		for _, addr := range []string{"10.0.0.1", "10.0.0.2"} {
			open[scanner.Target{Addr: netip.MustParseAddr(addr), Port: registry.Port{Number: 1947, Proto: registry.TCP}}] = scanner.Open
		}
		var got keep
		p := newPipeline(t, fakenet.New(open, time.Millisecond), says("HTTP/1.0 403 Forbidden\r\nServer: HASP LM/25.02\r\n\r\n"), &got)
		p.Source.(*Local).Fragile = func(addr netip.Addr) bool { return addr == netip.MustParseAddr("10.0.0.1") }
		out, err := p.Run(t.Context(), plan(t, "10.0.0.0/30", registry.Port{Number: 1947, Proto: registry.TCP}))
		if err != nil {
			t.Fatal(err)
		}
		if over, due := p.Source.(*Local).Held(); over != 1 || due != 1 {
			t.Errorf("%d of %d dialogues are over, want 1 of 1", over, due)
		}
		if len(got.got) != 2 || out.Identify.Fragile != 1 || out.Identify.Ports != 1 || out.Identify.MostConnections != 1 {
			t.Errorf("identification %+v, want one fragile port and one dialogue", out.Identify)
		}
		for _, f := range got.got {
			if f.State != scanner.Open {
				continue
			}
			fragile := f.IP == netip.MustParseAddr("10.0.0.1")
			if (f.Verdict == 0) != fragile || strings.Contains(f.Note, "fragile") != fragile || (f.Dialogue == nil) != fragile {
				t.Errorf("%v: verdict %v, note %q", f.IP, f.Verdict, f.Note)
			}
		}
	})
}

// TestFindingOfADialogue: the user's name for a host stands in for one that it does
// not tell, and a dialogue that was cut short has a verdict only where it named
// something.
func TestFindingOfADialogue(t *testing.T) {
	p := newPipeline(t, fakenet.New(nil, 0), nil, nil)
	addr := netip.MustParseAddr("10.0.0.9")
	p.Names = map[netip.Addr][]string{addr: {"lic1.example", "lic2.example"}}
	o := scanner.Observation{Target: scanner.Target{Addr: addr, Port: registry.Port{Number: 1947, Proto: registry.TCP}}, From: addr, State: scanner.Open, Reason: scanner.SynAck}
	const hasp = "HTTP/1.0 403 Forbidden\r\nServer: HASP LM/25.02\r\n\r\n"
	for _, tt := range []struct {
		name, answer string
		status       fingerprint.Status
		want         fingerprint.Class
		cut          bool
	}{
		{"whole and named", hasp, fingerprint.StatusDone, fingerprint.LicenseManager, false},
		{"whole and nothing known", "?\r\n", fingerprint.StatusDone, fingerprint.Unidentified, false},
		{"cut and named", hasp, fingerprint.StatusCancelled, fingerprint.LicenseManager, false},
		{"cut before anything was known", "?\r\n", fingerprint.StatusCancelled, 0, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ev := fingerprint.Evidence{Target: o.Target, Status: tt.status, Connections: 1, Exchanges: []fingerprint.Exchange{
				{Conn: 1, Probe: fingerprint.ProbeGet10, Sent: []byte("GET / HTTP/1.0\r\n\r\n"), Received: []byte(tt.answer), End: fingerprint.EndFin},
			}}
			f := p.finding(Result{Observation: o, Evidence: &ev})
			if f.Verdict != tt.want || strings.Contains(f.Note, "cut short") != tt.cut || f.Hostname != "lic1.example" || time.Since(f.ObservedAt) > time.Minute {
				t.Errorf("verdict %v, note %q, host %q at %v; want %v, cut short %t, lic1.example, now", f.Verdict, f.Note, f.Hostname, f.ObservedAt, tt.want, tt.cut)
			}
		})
	}
}

// A finding is of the time of its answer, however long its dialogue took.
func TestFindingKeepsItsTime(t *testing.T) {
	p, at := newPipeline(t, fakenet.New(nil, 0), nil, nil), time.Date(2026, 5, 1, 8, 0, 0, 0, time.UTC)
	f := p.finding(Result{Observation: scanner.Observation{Target: scanner.Target{Addr: netip.MustParseAddr("10.0.0.9")}, State: scanner.Open, At: at}})
	if !f.ObservedAt.Equal(at) {
		t.Errorf("observed at %v, want %v", f.ObservedAt, at)
	}
}

// TestTally: the books of dialogues say what hosts got, each host's canaries once.
func TestTally(t *testing.T) {
	sum := &tally{hosts: map[netip.Addr]cost{}}
	port := func(host byte, n uint16) scanner.Target {
		return scanner.Target{Addr: netip.AddrFrom4([4]byte{10, 0, 0, host}), Port: registry.Port{Number: n, Proto: registry.TCP}}
	}
	for _, d := range []struct {
		target scanner.Target
		status fingerprint.Status
		asked  int
		err    error
	}{
		{port(1, 1947), fingerprint.StatusDone, 2, nil},
		{port(1, 475), fingerprint.StatusRefused, 2, nil},
		{port(1, 3588), fingerprint.StatusNoConnect, 2, nil},
		{port(2, 1947), fingerprint.StatusBudget, 0, nil},
		{port(2, 475), fingerprint.StatusCancelled, 0, nil},
		{port(2, 3588), fingerprint.StatusLocalError, 0, nil},
		{port(3, 1947), fingerprint.StatusDone, 0, errors.New("no descriptor")},
		{port(3, 475), fingerprint.StatusLocalError, 0, errors.New("no buffer")},
	} {
		sum.add(fingerprint.Evidence{
			Target: d.target, Status: d.status, Connections: 2, BytesSent: 10, BytesReceived: 100, Elapsed: time.Second,
			Host: fingerprint.HostContext{CanariesAsked: d.asked},
		}, d.err)
	}
	sum.unheld()
	sum.spared()
	want := reports.Identification{
		Ports: 9, Done: 1, Refused: 1, NoConnect: 1, Budget: 1, Cancelled: 2, LocalErrors: 3, Fault: "10.0.0.3:1947/tcp: no descriptor",
		Connections: 16, Canaries: 2, BytesSent: 80, BytesReceived: 800, Fragile: 1,
		MostConnections: 3*2 + 2, MostBytesSent: 30, Talked: 8 * time.Second,
	}
	if d := cmp.Diff(want, sum.count); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}
