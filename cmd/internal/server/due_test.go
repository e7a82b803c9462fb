package server

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-co-op/gocron/v2"

	"dormant/cmd/internal/fleet"
	"dormant/cmd/internal/schedule"
	"dormant/scanner"
)

// TestDueTimes: the scheduler starts a job at the times that check and the status
// tell.
func TestDueTimes(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	field := func(low, top int) string {
		switch rng.IntN(4) {
		case 0:
			return "*"
		case 1:
			return "*/" + strconv.Itoa(1+rng.IntN(top))
		case 2:
			return strconv.Itoa(low+rng.IntN(top-low+1)) + "," + strconv.Itoa(low+rng.IntN(top-low+1))
		}
		a := low + rng.IntN(top-low+1)
		return strconv.Itoa(a) + "-" + strconv.Itoa(a+rng.IntN(top-a+1))
	}
	for range 300 {
		text := strings.Join([]string{field(0, 59), field(0, 23), field(1, 28), field(1, 12), field(0, 6)}, " ")
		c, err := schedule.ParseCron(text)
		if err != nil {
			continue // never comes
		}
		synctest.Test(t, func(t *testing.T) {
			cron, err := gocron.NewScheduler(gocron.WithLocation(time.UTC))
			if err != nil {
				t.Fatal(err)
			}
			defer cron.Shutdown() //nolint:errcheck // the test is over
			s := &Server{jobs: map[string]*jobState{"j": {}}, log: slog.New(slog.DiscardHandler)}
			if err := s.plan(cron, &Job{Name: "j", Cron: text, Location: time.UTC}, func(time.Time) {}); err != nil {
				t.Fatal(err)
			}
			cron.Start()
			synctest.Wait()
			next, err := cron.Jobs()[0].NextRun()
			if want := c.Next(time.Now()); err != nil || !next.Equal(want) {
				t.Errorf("%q: %v, %v; want %v", text, next, err, want)
			}
		})
	}
}

// TestPlanRecovers: a text that makes other parsers panic is an error, and so is a
// panic.
func TestPlanRecovers(t *testing.T) {
	cron, err := gocron.NewScheduler()
	if err != nil {
		t.Fatal(err)
	}
	defer cron.Shutdown() //nolint:errcheck // the test is over
	s := &Server{jobs: map[string]*jobState{"j": {}}}
	for _, text := range []string{"TZ=0", "CRON_TZ=", "@every", "* * * * * * *"} {
		if err := s.plan(cron, &Job{Name: "j", Cron: text, Location: time.UTC}, func(time.Time) {}); err == nil {
			t.Errorf("plan(%q): no error", text)
		}
	}
	if err := s.plan(nil, &Job{Name: "j", Cron: "* * * * *", Location: time.UTC}, nil); err == nil {
		t.Error("a panic is no error")
	}
}

// TestSkippedWhileRunning: a job that is due runs; one that still runs is skipped, and
// that is said.
func TestSkippedWhileRunning(t *testing.T) {
	jobs := jobsOf(t, oneSite)
	conn := startBroker(t, jobs.Places()...)
	s, _ := startServer(t, Config{Jobs: jobs, Conn: conn, Desk: newShelf(t)})
	at := time.Now()
	due := func() {
		t.Helper()
		if err := s.do(t.Context(), func(ctx context.Context) error { s.fall(ctx, fallen{jobs.Jobs[0], at}); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	due()
	if st := s.Status(); len(st.Runs) != 1 || st.Jobs[0].Note != "" || !st.Jobs[0].Running {
		t.Fatalf("%+v", st.Jobs)
	}
	due()
	if st := s.Status(); len(st.Runs) != 1 || !strings.Contains(st.Jobs[0].Note, "not over") {
		t.Errorf("%+v", st.Jobs)
	}
	jobs.Jobs[0].Blackouts = []schedule.Blackout{mustBlackout(t, at)}
	due()
	if st := s.Status(); !strings.Contains(st.Jobs[0].Note, "a blackout day") {
		t.Errorf("%+v", st.Jobs)
	}
}

func mustBlackout(t *testing.T, at time.Time) schedule.Blackout {
	t.Helper()
	b, err := schedule.ParseBlackout(at.Format(time.DateOnly))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestMissedRun: a run that was due while no server was there is said, and made
// up for once where that is wanted.
func TestMissedRun(t *testing.T) {
	for _, tt := range []struct {
		name    string
		catchUp bool
		runs    int
	}{{"said", false, 0}, {"made up", true, 1}} {
		t.Run(tt.name, func(t *testing.T) {
			jobs := jobsOf(t, oneSite)
			jobs.Jobs[0].Cron, jobs.Jobs[0].CatchUp = "0 3 * * *", tt.catchUp
			conn := startBroker(t, jobs.Places()...)
			desk := newShelf(t)
			s, stop := startServer(t, Config{Jobs: jobs, Conn: conn, Desk: desk})
			until(t, "the server runs", func() bool { return !s.due("j").IsZero() })
			err := s.do(t.Context(), func(ctx context.Context) error {
				return s.remember(ctx, "j", func(st *jobState) { st.Due = time.Now().AddDate(0, 0, -3) })
			})
			if err != nil {
				t.Fatal(err)
			}
			stop()
			s, stop = startServer(t, Config{Jobs: jobs, Conn: conn, Desk: desk})
			until(t, "the missed run is said", func() bool { return strings.Contains(s.Status().Jobs[0].Note, "was missed") })
			if got := strings.Contains(s.Status().Jobs[0].Note, "made up for"); got != tt.catchUp {
				t.Errorf("note %q", s.Status().Jobs[0].Note)
			}
			until(t, "the runs are there", func() bool { return len(s.Status().Runs) == tt.runs })
			stop()
			s, _ = startServer(t, Config{Jobs: jobs, Conn: conn, Desk: desk})
			until(t, "the server runs", func() bool { return !s.due("j").IsZero() })
			if st := s.Status(); len(st.Runs) != tt.runs || st.Jobs[0].Note != "" {
				t.Errorf("it was made up for again: %d runs, note %q", len(st.Runs), st.Jobs[0].Note)
			}
		})
	}
}

// due is when the job was due the last time.
func (s *Server) due(name string) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.jobs[name].Due
}

// TestWindowCloses: what is not done when the window closes is taken out of the
// queue, and given out again when it opens, with another end.
func TestWindowCloses(t *testing.T) {
	jobs := jobsOf(t, oneSite)
	conn := startBroker(t, jobs.Places()...)
	desk := newShelf(t)
	s, _ := startServer(t, Config{Jobs: jobs, Conn: conn, Desk: desk})
	r := newRun(jobs.Jobs[0], &jobs.Jobs[0].Asks[0], time.Now(), 1)
	until(t, "the server runs", func() bool { _, err := (Operator{conn}).Status(t.Context()); return err == nil })
	w := &work{c: newConductor(s, r), fold: newFold(r)}
	items := func() (n int, ends time.Time) {
		t.Helper()
		err := s.eachShard(t.Context(), r.Place, func(_ uint64, item *fleet.Shard) error {
			n, ends = n+1, item.Until
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return n, ends
	}
	first, second := time.Now().Add(time.Hour).Truncate(time.Second), time.Now().Add(25*time.Hour).Truncate(time.Second)
	for _, step := range []struct {
		until time.Time
		want  int
	}{{first, 2}, {first, 2}, {time.Time{}, 0}, {second, 2}} {
		if err := w.sync(t.Context(), step.until); err != nil {
			t.Fatal(err)
		}
		if n, ends := items(); n != step.want || n > 0 && !ends.Equal(step.until) {
			t.Errorf("%d items until %v; want %d until %v", n, ends, step.want, step.until)
		}
	}
	part, done := outcomeOf(*r.shard(1, 2, w.fold.shards[0].prefixes, first), "a", []scanner.Target{target("10.0.0.9", 1947)})
	take(t, w.fold, "a", fleet.Message{Part: &part})
	take(t, w.fold, "a", fleet.Message{Done: &done})
	if err := w.sync(t.Context(), second); err != nil {
		t.Fatal(err)
	}
	if n, _ := items(); n != 1 {
		t.Errorf("%d items; want the one that is not done", n)
	}
}

// TestNextPassesOverBlackouts: what is shown as the next time is one at which
// the job will run.
func TestNextPassesOverBlackouts(t *testing.T) {
	for _, tt := range []struct {
		name, cron     string
		every          time.Duration
		blackout, want string
	}{
		{"none", "* * * * *", 0, "2026-12-25", "2026-11-22T12:01:00Z"},
		{"today", "* * * * *", 0, "2026-11-22", "2026-11-23T00:00:00Z"},
		{"until January", "30 2 * * *", 0, "2026-11-01..2027-01-02", "2027-01-03T02:30:00Z"},
		{"its only day", "0 3 * * sun", 0, "sun", "0001-01-01T00:00:00Z"},
		{"an interval, for weeks", "", 7 * time.Minute, "2026-11-01..2027-01-02", "2027-01-03T00:05:00Z"},
	} {
		b, err := schedule.ParseBlackoutIn(tt.blackout, time.UTC)
		if err != nil {
			t.Fatal(err)
		}
		j := &Job{Cron: tt.cron, Every: tt.every, Blackouts: []schedule.Blackout{b}, Location: time.UTC}
		now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
		if got := (&Server{}).next(j, &jobState{Due: now.Add(-time.Minute)}, now).Format(time.RFC3339); got != tt.want {
			t.Errorf("%s: next %s; want %s", tt.name, got, tt.want)
		}
	}
}
