package server

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"dormant/cmd/internal/fleet"
	"dormant/reports"
	"dormant/scanner"
)

const twoSites = `version: 1
sites:
	hq: {vantages: [lan]}
	plant: {vantages: [floor]}
jobs:
	- name: nightly
		targets: {hq: 10.0.0.0/22, plant: 10.0.0.0/24}
		ports: 1947/tcp, 3588/tcp
		shard_size: 256
		deadline: 1h
`

// TestRunsOfTwoSites: the same private addresses at two sites are two networks,
// and what is found at one is never said of the other.
func TestRunsOfTwoSites(t *testing.T) {
	jobs := jobsOf(t, twoSites)
	conn := startBroker(t, jobs.Places()...)
	desk := newShelf(t)
	s, _ := startServer(t, Config{Jobs: jobs, Conn: conn, Desk: desk})
	hq := []scanner.Target{target("10.0.0.9", 1947), target("10.0.3.1", 3588)}
	plant := []scanner.Target{target("10.0.0.9", 3588)}
	for place, open := range map[fleet.Place][]scanner.Target{{Site: "hq", Vantage: "lan"}: hq, {Site: "plant", Vantage: "floor"}: plant} {
		a := &fakeAgent{t: t, conn: conn, place: place, id: "a-" + place.Site, do: func(a *fakeAgent, s fleet.Shard) bool {
			a.carryOut(s, open, nil)
			return true
		}}
		a.start()
	}
	if err := s.Start(t.Context(), "nightly"); err != nil {
		t.Fatal(err)
	}
	until(t, "both runs over", func() bool { return s.running() == 0 })
	st := s.Status()
	if len(st.Runs) != 2 || st.Runs[0].State != fleet.RunComplete || st.Runs[1].State != fleet.RunComplete {
		t.Fatalf("runs %+v", st.Runs)
	}
	for _, r := range st.Runs {
		open, facts := desk.open(r.ScanID)
		want, shards, targets := "10.0.0.9:1947/tcp 10.0.3.1:3588/tcp", 4, uint64(2048)
		if r.Site == "plant" {
			want, shards, targets = "10.0.0.9:3588/tcp", 1, 512
		}
		if got := strings.Join(open, " "); got != want || r.Shards != shards || r.Done != shards || facts.Scan.Targets != targets || !facts.Complete() ||
			facts.Site != r.Site || facts.Vantage != r.Vantage || facts.Backend != "fake" || facts.Scan.Open != uint64(len(open)) {
			t.Errorf("%s: open %q, status %+v, facts %+v; want %q of %d targets in %d shards", r.Site, got, r, facts, want, targets, shards)
		}
	}
	if keys, err := s.keys(t.Context(), "run."); err != nil || len(keys) > 0 {
		t.Errorf("runs that are kept: %v, %v", keys, err)
	}
	info, err := s.results.Info(t.Context())
	if err != nil || info.State.Msgs != 0 {
		t.Errorf("the result stream holds %d messages, %v", info.State.Msgs, err)
	}
}

// TestServerRestored: the broker's folder is from a backup, and goes on with a
// run that the history has complete by now. It stays so, and is told once more.
func TestServerRestored(t *testing.T) {
	jobs := jobsOf(t, oneSite)
	conn := startBroker(t, jobs.Places()...)
	desk := newShelf(t)
	s, stop := startServer(t, Config{Jobs: jobs, Conn: conn, Desk: desk})
	until(t, "a run begins", func() bool { return s.Start(t.Context(), "j") == nil })
	until(t, "its book", func() bool { return len(desk.runs()) == 1 })
	stop()
	run := desk.runs()[0]
	facts := reports.Run{ScanID: run}
	facts.Scan = scanner.Summary{Complete: true, Targets: 2, Open: 2, Finished: time.Now()}
	desk.facts[run] = facts
	s, _ = startServer(t, Config{Jobs: jobs, Conn: conn, Desk: desk})
	until(t, "the run over", func() bool { st := s.Status(); return len(st.Runs) == 1 && st.Runs[0].Over() && s.running() == 0 })
	if r := s.Status().Runs[0]; r.State != fleet.RunComplete || r.Open != 2 || len(desk.told) != 1 || desk.facts[run].Scan.Targets != 2 {
		t.Errorf("%+v, told %v; want it complete with its two open ports", r, desk.told)
	}
}

// TestServerKilledInMidRun: another server goes on from the streams alone, and
// ends with the same findings.
func TestServerKilledInMidRun(t *testing.T) {
	jobs := jobsOf(t, twoSites)
	conn := startBroker(t, jobs.Places()...)
	desk := newShelf(t)
	s, stop := startServer(t, Config{Jobs: jobs, Conn: conn, Desk: desk})
	open := []scanner.Target{target("10.0.0.9", 1947), target("10.0.1.1", 1947), target("10.0.3.1", 3588)}
	var allowed atomic.Int32
	allowed.Store(2)
	killed := make(chan struct{})
	a := &fakeAgent{t: t, conn: conn, place: fleet.Place{Site: "hq", Vantage: "lan"}, id: "a1"}
	a.do = func(a *fakeAgent, s fleet.Shard) bool {
		if allowed.Add(-1) < 0 {
			<-killed // has the shard in work
			return false
		}
		a.carryOut(s, open, nil)
		return true
	}
	halt := a.start()
	if err := s.Start(t.Context(), "nightly"); err != nil {
		t.Fatal(err)
	}
	until(t, "two shards done", func() bool {
		i := slices.IndexFunc(s.Status().Runs, func(r fleet.RunStatus) bool { return r.Site == "hq" })
		return i >= 0 && s.Status().Runs[i].Done == 2
	})
	stop() // nothing is said to the broker: it is as if it had been killed
	close(killed)
	halt()

	fresh := newShelf(t)
	s2, _ := startServer(t, Config{Jobs: jobs, Conn: conn, Desk: fresh})
	allowed.Store(1000)
	a.start()
	b := &fakeAgent{t: t, conn: conn, place: fleet.Place{Site: "plant", Vantage: "floor"}, id: "b1", do: func(a *fakeAgent, s fleet.Shard) bool {
		a.carryOut(s, nil, nil)
		return true
	}}
	b.start()
	until(t, "the runs restored", func() bool { return len(fresh.runs()) == 2 })
	until(t, "the runs over", func() bool { return s2.running() == 0 })
	for _, r := range s2.Status().Runs {
		open, facts := fresh.open(r.ScanID)
		want := ""
		if r.Site == "hq" {
			want = "10.0.0.9:1947/tcp 10.0.1.1:1947/tcp 10.0.3.1:3588/tcp"
		}
		if got := strings.Join(open, " "); got != want || !facts.Complete() || r.State != fleet.RunComplete {
			t.Errorf("%s: open %q, %+v; want %q, complete", r.Site, got, r, want)
		}
	}
}

// TestStoreAway: while nothing can be stored the run waits and says so, and it
// goes on by itself.
func TestStoreAway(t *testing.T) {
	jobs := jobsOf(t, twoSites)
	conn := startBroker(t, jobs.Places()...)
	desk := newShelf(t)
	desk.set(errors.New("the disk is full"), nil)
	s, _ := startServer(t, Config{Jobs: jobs, Conn: conn, Desk: desk})
	for _, place := range jobs.Places() {
		a := &fakeAgent{t: t, conn: conn, place: place, id: "a-" + place.Site, do: func(a *fakeAgent, s fleet.Shard) bool {
			a.carryOut(s, []scanner.Target{target("10.0.0.9", 1947)}, nil)
			return true
		}}
		a.start()
	}
	if err := s.Start(t.Context(), "nightly"); err != nil {
		t.Fatal(err)
	}
	faults := func() string { return strings.Join(s.Status().Faults, "\n") }
	until(t, "the fault is said", func() bool { return strings.Count(faults(), "the disk is full") == 2 })
	desk.set(nil, errors.New("the folder of the report is gone"))
	until(t, "the next fault is said", func() bool { return strings.Contains(faults(), "the folder of the report is gone") })
	desk.set(nil, nil)
	until(t, "the runs over", func() bool { return s.running() == 0 })
	if st := s.Status(); len(st.Faults) > 0 || st.Runs[0].State != fleet.RunComplete || st.Runs[1].State != fleet.RunComplete {
		t.Errorf("faults %v, runs %+v", st.Faults, st.Runs)
	}
	for _, run := range desk.runs() {
		if open, _ := desk.open(run); len(open) != 1 {
			t.Errorf("run %s: open %v", run, open)
		}
	}
	if err := s.Start(t.Context(), "weekly"); err == nil || !strings.Contains(err.Error(), "nightly") {
		t.Errorf("Start of an unknown job = %v", err)
	}
}

// forgetful is a bucket that fails to forget once, and streams that hold nothing.
type forgetful struct {
	jetstream.KeyValue
	failed bool
}

func (f *forgetful) Purge(context.Context, string, ...jetstream.KVDeleteOpt) error {
	if !f.failed {
		f.failed = true
		return errors.New("no quorum")
	}
	return nil
}

type bare struct{ jetstream.Stream }

func (bare) GetMsg(context.Context, uint64, ...jetstream.GetMsgOpt) (*jetstream.RawStreamMsg, error) {
	return nil, jetstream.ErrMsgNotFound
}

func (bare) Purge(context.Context, ...jetstream.StreamPurgeOpt) error { return nil }

// TestManyRunsAtOnce: a server that runs once still knows at its end how every run
// went, however many there were; one that stays shows the last of them.
func TestManyRunsAtOnce(t *testing.T) {
	jobs := jobsOf(t, oneSite)
	for _, tt := range []struct {
		once []string
		want int
	}{{[]string{"j"}, maxPast + 9}, {nil, maxPast}} {
		s, err := New(Config{Jobs: jobs, Conn: &nats.Conn{}, Desk: newShelf(t), Seed: func() uint64 { return 1 }, Once: tt.once, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		for range maxPast + 9 {
			s.retire(t.Context(), newConductor(s, newRun(jobs.Jobs[0], &jobs.Jobs[0].Asks[0], time.Now(), 1)))
		}
		if got := len(s.Status().Runs); got != tt.want {
			t.Errorf("once %v: %d runs are known, want %d", tt.once, got, tt.want)
		}
	}
}

// TestReportGivenUp: a run whose reports cannot be written for long is over all the
// same, and says so.
func TestReportGivenUp(t *testing.T) {
	jobs := jobsOf(t, oneSite)
	jobs.Jobs[0].Deadline = 50 * time.Millisecond
	desk := newShelf(t)
	desk.set(nil, errors.New("the folder of the report is gone"))
	s, _ := startServer(t, Config{Jobs: jobs, Conn: startBroker(t, jobs.Places()...), Desk: desk})
	if err := s.Start(t.Context(), "j"); err != nil {
		t.Fatal(err)
	}
	until(t, "the run over", func() bool { return s.running() == 0 })
	if why := s.Status().Runs[0].Why; !slices.Contains(why, "not reported: the folder of the report is gone") {
		t.Errorf("why = %q", why)
	}
}

// TestToldOnce: a broker that does not forget a run at once has nobody told of it
// again.
func TestToldOnce(t *testing.T) {
	desk, run := newShelf(t), aRun()
	s, err := New(Config{Jobs: jobsOf(t, oneSite), Conn: &nats.Conn{}, Desk: desk, Seed: func() uint64 { return 1 }, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	s.state, s.work, s.results = &forgetful{}, bare{}, bare{}
	c := newConductor(s, run)
	c.stored = true
	if err := c.once(t.Context()); err == nil {
		t.Error("the run is over, and the broker knows it still")
	}
	if err := c.once(t.Context()); err != nil {
		t.Errorf("once, when the broker forgets: %v", err)
	}
	if d := cmp.Diff([]string{run.ID}, desk.told); d != "" {
		t.Errorf("told (-want +got):\n%s", d)
	}
}

// TestTwoServers: of two with one broker the second does not begin, and the
// first goes on.
func TestTwoServers(t *testing.T) {
	jobs := jobsOf(t, oneSite)
	conn := startBroker(t, jobs.Places()...)
	cfg := Config{Jobs: jobs, Conn: conn, Desk: newShelf(t)}
	first, _ := startServer(t, cfg)
	until(t, "the first runs", func() bool { _, err := (Operator{conn}).Status(t.Context()); return err == nil })
	cfg.Log, cfg.Seed = first.log, first.cfg.Seed
	second, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Run(t.Context()); !errors.Is(err, ErrTwo) || strings.Contains(err.Error(), "\n") {
		t.Errorf("the second: %v; want one line with ErrTwo", err)
	}
	if err := first.Start(t.Context(), "j"); err != nil {
		t.Errorf("the first after that: %v", err)
	}
}

// TestShardsDoneBeforeABackup: an agent takes from a restored queue what it has
// done for the broker of before, and brings nothing. It is given out again.
func TestShardsDoneBeforeABackup(t *testing.T) {
	jobs := jobsOf(t, oneSite)
	conn := startBroker(t, jobs.Places()...)
	desk := newShelf(t)
	s, _ := startServer(t, Config{Jobs: jobs, Conn: conn, Desk: desk})
	known := map[int]bool{}
	a := &fakeAgent{t: t, conn: conn, place: hq(), id: "a1"}
	a.do = func(a *fakeAgent, s fleet.Shard) bool {
		if known[s.Number] {
			a.carryOut(s, []scanner.Target{target("10.0.0.9", 1947)}, nil)
		}
		known[s.Number] = true
		return true
	}
	a.start()
	if err := s.Start(t.Context(), "j"); err != nil {
		t.Fatal(err)
	}
	until(t, "the run over", func() bool { return s.running() == 0 })
	r := s.Status().Runs[0]
	if open, _ := desk.open(r.ScanID); r.State != fleet.RunComplete || strings.Join(open, " ") != "10.0.0.9:1947/tcp" {
		t.Errorf("%s with %v open, why %v; want it complete", r.State, open, r.Why)
	}
}
