package server

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dormant/cmd/internal/fleet"
	"dormant/cmd/internal/schedule"
	"dormant/reports"
	"dormant/scanner"
)

const oneSite = `version: 1
sites: {hq: {vantages: [lan]}}
jobs:
	- {name: j, targets: {hq: 10.0.0.0/23}, ports: 1947/tcp, shard_size: 256, deadline: 1h}
`

func hq() fleet.Place { return fleet.Place{Site: "hq", Vantage: "lan"} }

// TestDeadShardAndRequeue: a shard whose every try is a fault is given up after
// as many tries as the broker allows; the run says which subnet is missing, what
// was found in it counts, and it can be done again.
func TestDeadShardAndRequeue(t *testing.T) {
	jobs := jobsOf(t, oneSite)
	conn := startBroker(t, jobs.Places()...)
	desk := newShelf(t)
	s, _ := startServer(t, Config{Jobs: jobs, Conn: conn, Desk: desk})
	var broken atomic.Bool
	broken.Store(true)
	a := &fakeAgent{t: t, conn: conn, place: hq(), id: "a1", do: func(a *fakeAgent, s fleet.Shard) bool {
		fault := broken.Load() && s.Prefixes[0].Addr() == target("10.0.1.0", 1).Addr
		a.carryOut(s, []scanner.Target{target("10.0.0.9", 1947), target("10.0.1.9", 1947)}, func(_ *fleet.Part, d *fleet.Done) {
			if fault {
				d.Fault = "no raw sockets here"
			}
		})
		return !fault
	}}
	a.start()
	if err := s.Start(t.Context(), "j"); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context(), "j"); err == nil || !strings.Contains(err.Error(), "not over") {
		t.Errorf("a second start while the first runs = %v", err)
	}
	until(t, "the run over", func() bool { return s.running() == 0 })
	st := s.Status()
	r := st.Runs[0]
	open, facts := desk.open(r.ScanID)
	if r.State != fleet.RunIncomplete || r.Failed != 1 || r.Done != 1 || len(r.Missing) != 1 || r.Missing[0].String() != "10.0.1.0/24" || len(open) != 2 {
		t.Errorf("state %s, %d dead, %d done, missing %v, open %v", r.State, r.Failed, r.Done, r.Missing, open)
	}
	want := "1 shard was not done: 10.0.1.0/24; given out 5 times in vain, at last: a1: no raw sockets here"
	if got := strings.Join(facts.Reasons(), "; "); got != want || strings.Join(r.Why, "; ") != want {
		t.Errorf("why = %q, %q; want %q", got, r.Why, want)
	}
	if len(st.Dead) != 1 || st.Dead[0].Tries != fleet.MaxDeliver || st.Dead[0].Shard.Number != 2 {
		t.Fatalf("dead %+v", st.Dead)
	}
	broken.Store(false)
	if n, err := (Operator{conn}).Requeue(t.Context(), r.ScanID); n != 1 || err != nil {
		t.Fatalf("Requeue = %d, %v", n, err)
	}
	until(t, "the made-up run over", func() bool { return s.running() == 0 && len(s.Status().Runs) == 2 })
	again, err := (Operator{conn}).Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	open, facts = desk.open(again.Runs[0].ScanID)
	if len(again.Dead) != 0 || again.Runs[0].State != fleet.RunComplete || facts.Scan.Targets != 256 || strings.Join(open, " ") != "10.0.1.9:1947/tcp" {
		t.Errorf("again: dead %v, state %s, %d targets, open %v", again.Dead, again.Runs[0].State, facts.Scan.Targets, open)
	}
	if want := []string{"out.d/j.changes.csv", "out.d/j-" + again.Runs[0].ScanID + ".changes.csv"}; !slices.Equal(desk.files, want) {
		t.Errorf("reported in %q, want %q: the whole run's stays", desk.files, want)
	}
	if _, err := s.Requeue(t.Context(), ""); err == nil {
		t.Error("a requeue of nothing is no error")
	}
}

// TestDeadWhileNoServerRan: what the broker gave up while the server was away is
// known to the next one, and so are dead shards of runs that are over.
func TestDeadWhileNoServerRan(t *testing.T) {
	jobs := jobsOf(t, oneSite)
	conn := startBroker(t, jobs.Places()...)
	s, stop := startServer(t, Config{Jobs: jobs, Conn: conn, Desk: newShelf(t)})
	if err := s.Start(t.Context(), "j"); err != nil {
		t.Fatal(err)
	}
	until(t, "shards given out", func() bool {
		info, err := s.work.Info(t.Context())
		return err == nil && info.State.Msgs == 2
	})
	stop()
	var given atomic.Int32
	a := &fakeAgent{t: t, conn: conn, place: hq(), id: "a1", do: func(_ *fakeAgent, _ fleet.Shard) bool {
		given.Add(1)
		return false
	}}
	halt := a.start()
	until(t, "every try used up", func() bool { return given.Load() == 2*fleet.MaxDeliver })
	time.Sleep(300 * time.Millisecond) // the broker says so at the next pull
	halt()
	s, stop = startServer(t, Config{Jobs: jobs, Conn: conn, Desk: newShelf(t)})
	until(t, "the run over", func() bool { return s.running() == 0 && len(s.Status().Runs) > 0 })
	if st := s.Status(); len(st.Dead) != 2 || st.Runs[0].State != fleet.RunIncomplete || strings.Join(st.Runs[0].Why, "; ") !=
		"2 shards were not done: 10.0.0.0/23; given out 5 times and never done" {
		t.Errorf("dead %v, why %q", st.Dead, st.Runs[0].Why)
	}
	stop()
	s, _ = startServer(t, Config{Jobs: jobs, Conn: conn, Desk: newShelf(t)})
	until(t, "dead shards remembered", func() bool { return len(s.Status().Dead) == 2 })
}

// TestNobodyThere: at the deadline the run is closed, incomplete.
func TestNobodyThere(t *testing.T) {
	jobs := jobsOf(t, oneSite)
	jobs.Jobs[0].Deadline = 300 * time.Millisecond
	conn := startBroker(t, jobs.Places()...)
	desk := newShelf(t)
	s, _ := startServer(t, Config{Jobs: jobs, Conn: conn, Desk: desk})
	if err := s.Start(t.Context(), "j"); err != nil {
		t.Fatal(err)
	}
	until(t, "the run over", func() bool { return s.running() == 0 })
	r := s.Status().Runs[0]
	want := "2 shards were not done: 10.0.0.0/23; the deadline was reached, and no agent of hq/lan was there"
	if got := strings.Join(r.Why, "; "); r.State != fleet.RunIncomplete || got != want {
		t.Errorf("%s: %q; want %q", r.State, got, want)
	}
	_, facts := desk.open(r.ScanID)
	if facts.Complete() || facts.Scan.Targets != 512 || facts.Coverage() == "" {
		t.Errorf("facts %+v", facts)
	}
	if info, err := s.work.Info(t.Context()); err != nil || info.State.Msgs != 0 {
		t.Errorf("%d work items are left, %v", info.State.Msgs, err)
	}
}

// TestLiarIsNotBelieved: an agent that answers for others' addresses gets
// nothing stored; its shard is given out again, and the run says so.
func TestLiarIsNotBelieved(t *testing.T) {
	jobs := jobsOf(t, oneSite)
	conn := startBroker(t, jobs.Places()...)
	desk := newShelf(t)
	s, _ := startServer(t, Config{Jobs: jobs, Conn: conn, Desk: desk})
	var lies atomic.Int32
	a := &fakeAgent{t: t, conn: conn, place: hq(), id: "a1", do: func(a *fakeAgent, s fleet.Shard) bool {
		a.carryOut(s, []scanner.Target{target("10.0.0.9", 1947)}, func(p *fleet.Part, _ *fleet.Done) {
			if len(p.Results) > 0 && lies.Add(1) <= 2 {
				p.Results = append(p.Results, answer1(target("192.168.7.7", 1947), scanner.Open, time.Now()))
			}
		})
		return true
	}}
	a.start()
	if err := s.Start(t.Context(), "j"); err != nil {
		t.Fatal(err)
	}
	until(t, "the run over", func() bool { return s.running() == 0 })
	r := s.Status().Runs[0]
	open, facts := desk.open(r.ScanID)
	if r.State != fleet.RunComplete || r.Refused != 2 || strings.Join(open, " ") != "10.0.0.9:1947/tcp" ||
		!strings.Contains(fmt.Sprint(facts.Scan.Notes), "2 messages of agent a1 were refused") {
		t.Errorf("state %s, refused %d, open %v, notes %v", r.State, r.Refused, open, facts.Scan.Notes)
	}
}

// TestLiarForEver: a shard whose end is never believed, and of which the broker
// knows nothing, is given up after as many tries as one that fails.
func TestLiarForEver(t *testing.T) {
	jobs := jobsOf(t, oneSite)
	conn := startBroker(t, jobs.Places()...)
	s, _ := startServer(t, Config{Jobs: jobs, Conn: conn, Desk: newShelf(t)})
	a := &fakeAgent{t: t, conn: conn, place: hq(), id: "a1", do: func(a *fakeAgent, s fleet.Shard) bool {
		a.carryOut(s, []scanner.Target{target("10.0.0.9", 1947)}, func(_ *fleet.Part, d *fleet.Done) {
			if d.Shard == 2 {
				d.Outcome.Scan.Targets = 3
			}
		})
		return true
	}}
	a.start()
	if err := s.Start(t.Context(), "j"); err != nil {
		t.Fatal(err)
	}
	until(t, "the run over", func() bool { return s.running() == 0 })
	r := s.Status().Runs[0]
	if why := strings.Join(r.Why, "; "); r.State != fleet.RunIncomplete || r.Done != 1 || r.Failed != 1 || !strings.Contains(why, "given out 5 times in vain, at last: a1: ") {
		t.Errorf("state %s, %d done, %d dead, why %q", r.State, r.Done, r.Failed, why)
	}
}

// TestHello: an agent gets the time; one of another version, or of a place that
// nobody knows, is refused; an answer that would go elsewhere is not given.
func TestHello(t *testing.T) {
	jobs := jobsOf(t, oneSite)
	conn := startBroker(t, jobs.Places()...)
	s, _ := startServer(t, Config{Jobs: jobs, Conn: conn, Desk: newShelf(t)})
	until(t, "the server listens", func() bool { _, err := (Operator{conn}).Status(t.Context()); return err == nil })
	ask := func(place fleet.Place, version int, reply string) (fleet.Welcome, bool) {
		sub, err := conn.SubscribeSync(reply)
		if err != nil {
			t.Fatal(err)
		}
		defer sub.Unsubscribe() //nolint:errcheck // the test is over
		data, err := fleet.EncodeSmall(fleet.Hello{Version: version, Program: "p"})
		if err == nil {
			err = conn.PublishRequest(place.HelloSubject("a1"), reply, data)
		}
		if err != nil {
			t.Fatal(err)
		}
		m, err := sub.NextMsg(500 * time.Millisecond)
		if err != nil {
			return fleet.Welcome{}, false
		}
		w, err := fleet.DecodeSmall[fleet.Welcome](m.Data)
		if err != nil {
			t.Fatal(err)
		}
		return w, true
	}
	inbox := fleet.Inbox("a1") + ".x"
	if w, ok := ask(hq(), fleet.Version, inbox); !ok || w.Refused != "" || time.Since(w.Now).Abs() > 10*time.Second {
		t.Errorf("welcome %+v, %t", w, ok)
	}
	if w, ok := ask(hq(), fleet.Version+1, inbox); !ok || !strings.Contains(w.Refused, "speaks version 1") {
		t.Errorf("another version: %+v, %t", w, ok)
	}
	if w, ok := ask(fleet.Place{Site: "mars", Vantage: "lan"}, fleet.Version, inbox); !ok || !strings.Contains(w.Refused, "not in the server's jobs file") {
		t.Errorf("another place: %+v, %t", w, ok)
	}
	if _, ok := ask(hq(), fleet.Version, "dormant.work.plant.floor"); ok {
		t.Error("an answer was published where an agent must not publish")
	}
	a := &fakeAgent{t: t, conn: conn, place: hq(), id: "a1"}
	a.beat(fleet.Beat{Host: "h\x1b[31m"})
	until(t, "the agent is online", func() bool { st := s.Status(); return len(st.Agents) == 1 && st.Agents[0].Online })
	if host := s.Status().Agents[0].Last.Host; strings.Contains(host, "\x1b") {
		t.Errorf("host %q", host)
	}
	a.beat(fleet.Beat{Leaves: true})
	until(t, "the agent is away", func() bool { return !s.Status().Agents[0].Online })
	if err := (Operator{conn}).Start(t.Context(), "none"); err == nil || !strings.Contains(err.Error(), `job "none"`) {
		t.Errorf("Start of no job = %v", err)
	}
}

// TestStoredRunIsReadBack: a run that is packed and read back asks the same.
func TestStoredRunIsReadBack(t *testing.T) {
	jobs := jobsOf(t, twoSites)
	r := newRun(jobs.Jobs[0], &jobs.Jobs[0].Asks[0], time.Now(), 7)
	b, err := r.pack()
	if err != nil {
		t.Fatal(err)
	}
	got, err := unpackRun(b)
	if err != nil {
		t.Fatal(err)
	}
	want, have := mustJSON(t, r), mustJSON(t, got)
	if d := cmp.Diff(want, have); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	for _, bad := range [][]byte{nil, []byte("x"), b[:len(b)/2]} {
		if _, err := unpackRun(bad); err == nil {
			t.Errorf("%d bytes were taken for a run", len(bad))
		}
	}
}

func mustJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return reports.Line(string(b))
}

// TestNoWindowBeforeTheDeadline: a run that cannot begin in time says so at once,
// and does not blame agents that nobody would have asked.
func TestNoWindowBeforeTheDeadline(t *testing.T) {
	jobs := jobsOf(t, oneSite)
	at := time.Now().UTC().Add(12 * time.Hour)
	window, err := schedule.ParseWindow(at.Format("15:04") + "-" + at.Add(time.Hour).Format("15:04"))
	if err != nil {
		t.Fatal(err)
	}
	jobs.Jobs[0].Windows, jobs.Jobs[0].Location = []schedule.Window{window}, time.UTC
	jobs.Jobs[0].Deadline = time.Hour
	s, _ := startServer(t, Config{Jobs: jobs, Conn: startBroker(t, jobs.Places()...), Desk: newShelf(t)})
	if err := s.Start(t.Context(), "j"); err != nil {
		t.Fatal(err)
	}
	until(t, "the run over", func() bool { return s.running() == 0 && len(s.Status().Runs) > 0 })
	want := "2 shards were not done: 10.0.0.0/23; no window of the job opens before the deadline"
	if r := s.Status().Runs[0]; r.State != fleet.RunIncomplete || strings.Join(r.Why, "; ") != want {
		t.Errorf("%s: %q; want %q", r.State, r.Why, want)
	}
}

// TestAnybody: an agent that was there when a run began was there, also if its
// next beat had not come; one that had left or gone silent was not.
func TestAnybody(t *testing.T) {
	start := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name string
		at   time.Time
		left bool
		want bool
	}{
		{"a beat before the start", start.Add(-5 * time.Second), false, true},
		{"a beat after it", start.Add(time.Second), false, true},
		{"took its leave", start.Add(-5 * time.Second), true, false},
		{"silent for long", start.Add(-time.Hour), false, false},
	} {
		p := newPresence(time.Minute)
		p.take(fleet.Origin{Place: hq(), Agent: "a1"}, fleet.Beat{Leaves: tt.left}, tt.at)
		if got := p.anybody(hq(), start); got != tt.want {
			t.Errorf("%s: anybody = %t; want %t", tt.name, got, tt.want)
		}
	}
}
