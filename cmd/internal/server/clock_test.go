package server

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"dormant/cmd/internal/fleet"
	"dormant/scanner"
)

// wrongClock is a server's clock that can be set.
type wrongClock struct{ by atomic.Int64 }

func (c *wrongClock) set(by time.Duration) { c.by.Store(int64(by)) }

func (c *wrongClock) pace() pace {
	return pace{foreign: 20 * time.Millisecond, ahead: func() time.Duration { return time.Duration(c.by.Load()) }}
}

// TestClockSetPastARun: what was due in a time that never was, because the clock
// was set or the machine slept, is a run that was missed.
func TestClockSetPastARun(t *testing.T) {
	jobs := jobsOf(t, oneSite)
	jobs.Jobs[0].Cron, jobs.Jobs[0].CatchUp = "0 3 * * *", true
	conn := startBroker(t, jobs.Places()...)
	var clock wrongClock
	s, _ := startServer(t, Config{Jobs: jobs, Conn: conn, Desk: newShelf(t), pace: clock.pace()})
	until(t, "the server runs", func() bool { return !s.due("j").IsZero() })
	clock.set(30 * time.Second) // what NTP may do
	time.Sleep(100 * time.Millisecond)
	if st := s.Status(); st.Jobs[0].Note != "" || len(st.Runs) > 0 {
		t.Errorf("after half a minute: note %q, %d runs", st.Jobs[0].Note, len(st.Runs))
	}
	clock.set(48 * time.Hour)
	until(t, "the missed run is made up for", func() bool { return s.running() == 1 })
	if note := s.Status().Jobs[0].Note; !strings.Contains(note, "was missed: the clock of this machine was set") {
		t.Errorf("note %q", note)
	}
	if _, err := (Operator{conn}).Status(t.Context()); err != nil {
		t.Errorf("the server after that: %v", err)
	}
}

// TestClockSetBackInARun: the answers of a run that began by a clock that was
// ahead count, also when they are folded anew by the next process.
func TestClockSetBackInARun(t *testing.T) {
	jobs := jobsOf(t, oneSite)
	conn := startBroker(t, jobs.Places()...)
	desk := newShelf(t)
	var clock wrongClock
	clock.set(3 * time.Hour)
	s, stop := startServer(t, Config{Jobs: jobs, Conn: conn, Desk: desk, pace: clock.pace()})
	until(t, "a run begins", func() bool { return s.Start(t.Context(), "j") == nil })
	clock.set(0)
	open := []scanner.Target{target("10.0.0.9", 1947), target("10.0.1.9", 1947)}
	a := &fakeAgent{t: t, conn: conn, place: hq(), id: "a1"}
	a.do = func(a *fakeAgent, shard fleet.Shard) bool {
		for shard.Number == 2 && clock.by.Load() == 0 && t.Context().Err() == nil {
			time.Sleep(10 * time.Millisecond)
		}
		a.carryOut(shard, open, nil)
		return true
	}
	a.start()
	until(t, "the first shard", func() bool { return s.Status().Runs[0].Done == 1 })
	stop()
	clock.set(-2 * time.Hour) // and what is in the stream is of the future
	s, _ = startServer(t, Config{Jobs: jobs, Conn: conn, Desk: desk, pace: clock.pace()})
	until(t, "the run over", func() bool {
		_, err := (Operator{conn}).Status(t.Context())
		return err == nil && s.running() == 0
	})
	r := s.Status().Runs[0]
	got, facts := desk.open(r.ScanID)
	if r.State != fleet.RunComplete || r.Refused != 0 || strings.Join(got, " ") != "10.0.0.9:1947/tcp 10.0.1.9:1947/tcp" {
		t.Errorf("%s, %d refused, %v, why %v; want it complete with both ports", r.State, r.Refused, got, r.Why)
	}
	if facts.Scan.Finished.Before(facts.Scan.Started) {
		t.Errorf("it ended at %v, before it began at %v", facts.Scan.Finished, facts.Scan.Started)
	}
}

// TestIntervalAfterAClockThatWasAhead: a job that was due in the future, by a
// clock that was wrong, does not wait for that.
func TestIntervalAfterAClockThatWasAhead(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	j := &Job{Every: 24 * time.Hour, Location: time.UTC}
	for _, tt := range []struct {
		name       string
		last, want time.Time
	}{
		{"never", time.Time{}, now},
		{"an hour ago", now.Add(-time.Hour), now.Add(23 * time.Hour)},
		{"three days and an hour ago", now.Add(-73 * time.Hour), now.Add(23 * time.Hour)},
		{"in four years", now.AddDate(4, 0, 0), now},
	} {
		if got := j.Next(now, tt.last); !got.Equal(tt.want) {
			t.Errorf("%s: %v; want %v", tt.name, got, tt.want)
		}
	}
}

// TestClockSetBackUnderAgents: what agents date by the server's old clock, until
// they have learned that it was set back, counts.
func TestClockSetBackUnderAgents(t *testing.T) {
	run := aRun()
	w := &work{c: &conductor{run: run}, fold: newFold(run)}
	now := time.Now()
	for i, tt := range []struct {
		clock, dated time.Duration // of the server, and by which the agent dates
		taken        bool
	}{
		{3 * time.Hour, 3 * time.Hour, true},
		{0, 3*time.Hour + 4*time.Minute, true}, // set back, and the agent does not know yet
		{0, 4 * time.Minute, true},
		{0, 4 * time.Hour, false},
	} {
		part, _ := outcomeOf(*run.shard(i+1, 4, w.fold.shards[i].prefixes, time.Time{}), "a", []scanner.Target{{Addr: w.fold.shards[i].prefixes[0].Addr(), Port: run.Ports[0]}})
		part.Results[0].At = now.Add(tt.dated).UTC()
		part.Results[0].Evidence = nil
		data, err := fleet.Encode(fleet.Message{Version: fleet.Version, Part: &part})
		if err != nil {
			t.Fatal(err)
		}
		at := now.Add(tt.clock)
		better, err := w.takeIn(arrived{subject: "dormant.result.hq.lan.a.s_1", data: data, at: at}, at)
		if (err == nil && len(better) == 1) != tt.taken {
			t.Errorf("the clock at %v, a result of %v: %d taken, %v; want %t", tt.clock, tt.dated, len(better), err, tt.taken)
		}
	}
}
