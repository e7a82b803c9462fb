package agent

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/time/rate"

	"dormant/cmd/internal/fleet"
	"dormant/cmd/internal/schedule"
	"dormant/scanner"
)

// TestShardsAreDone: everything that was found is in the stream, dated by the
// server's clock, which is three hours behind this one.
func TestShardsAreDone(t *testing.T) {
	w := newWorld(t)
	w.offset = -3 * time.Hour
	began := time.Now()
	f := &fake{}
	a := w.run("a1", spoolDir(t), f, func(c *Config) { c.Rate = 300 })
	w.put(shard(1))
	w.put(shard(2))
	ends, found := w.done(2)
	once(t, found, 2*shardTargets)
	near := cmpopts.EquateApproxTime(time.Minute)
	for _, m := range w.results() {
		if m.Part == nil {
			continue
		}
		for _, r := range m.Part.Results {
			if d := cmp.Diff(began.Add(w.offset), r.At, near); d != "" {
				t.Errorf("time of a result (-want +got):\n%s", d)
			}
		}
	}
	for i, e := range ends {
		want := &fleet.Done{
			Run: "s_run", Shard: i + 1, Attempt: e.Attempt, Agent: "a1", Parts: e.Parts, Outcome: e.Outcome,
			Started: began.Add(w.offset), Finished: began.Add(w.offset), Rate: 300, Backend: "fake",
		}
		if d := cmp.Diff(want, e, near, cmpopts.EquateEmpty()); d != "" {
			t.Errorf("Done (-want +got):\n%s", d)
		}
		if !e.Outcome.Scan.Complete || e.Outcome.Scan.Open != shardTargets {
			t.Errorf("outcome = %+v", e.Outcome.Scan)
		}
	}
	w.beat("tells the skew", func(b fleet.Beat) bool { return (b.Skew - 3*time.Hour).Abs() < time.Minute })
	if err := a.end(t); err != nil {
		t.Errorf("Run = %v, want nil", err)
	}
	w.beat("is the last", func(b fleet.Beat) bool { return b.Leaves && b.Waits == 0 && b.Fault == "" })
}

// TestClockSet: results are dated by the server's clock, also when this one is set
// before a shard, long before the next hello, and a shard in which it is set is
// done again.
func TestClockSet(t *testing.T) {
	w := newWorld(t)
	var by atomic.Int64
	clock := func() time.Duration { return time.Duration(by.Load()) }
	f := &fake{half: make(chan struct{}), now: func() time.Time { return time.Now().Add(clock()) }}
	a := w.run("a1", spoolDir(t), f, func(c *Config) { c.pace.greet, c.pace.set = time.Hour, clock })
	w.until("terms", func() bool { return a.vantages[0].terms.err() == nil })
	by.Store(int64(5 * time.Hour))
	w.put(shard(1))
	w.until("a shard in work", func() bool { return f.sweeps() == 1 })
	by.Store(-int64(5 * time.Hour))
	close(f.half)
	ends, found := w.done(2)
	if ends[0].Fault != errClock.Error() || ends[1].Fault != "" || len(found) != shardTargets {
		t.Errorf("faults %q, then %q, %d targets found", ends[0].Fault, ends[1].Fault, len(found))
	}
	dated := func(what string, at time.Time) {
		if time.Since(at).Abs() > time.Minute {
			t.Errorf("%s at %v; want now", what, at)
		}
	}
	dated("begun", ends[1].Started)
	dated("ended", ends[1].Finished)
	for _, m := range w.results() {
		if m.Part != nil && m.Part.Attempt == ends[1].Attempt {
			dated("answered", m.Part.Results[0].At)
		}
	}
	if err := a.end(t); err != nil {
		t.Errorf("Run = %v, want nil", err)
	}
}

func TestSameShardIsDoneOnce(t *testing.T) {
	w := newWorld(t)
	dir, f := spoolDir(t), &fake{}
	a := w.run("a1", dir, f, nil)
	w.put(shard(1))
	w.done(1)
	w.put(shard(1)) // as when the acknowledgement was lost
	w.done(1)
	if err := a.end(t); err != nil {
		t.Fatal(err)
	}
	b := w.run("a1", dir, f, nil) // and after a restart
	w.put(shard(1))
	_, found := w.done(1)
	once(t, found, shardTargets)
	if err := b.end(t); err != nil {
		t.Fatal(err)
	}
	if f.sweeps() != 1 {
		t.Errorf("%d sweeps, want 1", f.sweeps())
	}
}

// TestShardAskedAnew: a server that knows of the first time and gives a shard out
// by another work item wants it done again.
func TestShardAskedAnew(t *testing.T) {
	w := newWorld(t)
	f := &fake{}
	a := w.run("a1", spoolDir(t), f, nil)
	data, err := fleet.EncodeShard(shard(1))
	if err != nil {
		t.Fatal(err)
	}
	for n, id := range []string{"s_run/1@1", "s_run/1@1+x"} {
		if _, err := w.js.Publish(t.Context(), here.WorkSubject(), data, jetstream.WithMsgID(id)); err != nil {
			t.Fatal(err)
		}
		w.done(n + 1)
	}
	if err := a.end(t); err != nil || f.sweeps() != 2 {
		t.Errorf("Run = %v after %d sweeps, want nil after 2", err, f.sweeps())
	}
}

// TestServerAway: the server goes in mid-shard, the agent ends the shard, and
// the server gets everything when it comes back.
func TestServerAway(t *testing.T) {
	w := newWorld(t)
	f := &fake{half: make(chan struct{})}
	a := w.run("a1", spoolDir(t), f, nil)
	w.put(shard(1))
	w.beat("is at the shard", func(b fleet.Beat) bool { return b.Shard == 1 && b.Run == "s_run" && b.Sent == 5 })
	w.stop()
	close(f.half)
	w.until("the whole shard in the spool", func() bool {
		_, ok := a.vantages[0].spool.done(finish{shard: "s_run/1"})
		return ok
	})
	if n := a.vantages[0].spool.results(); n < shardTargets/2 {
		t.Errorf("%d results wait, want at least %d", n, shardTargets/2)
	}
	time.Sleep(1500 * time.Millisecond) // longer than AckWait: the item counts as lost
	w.start()
	_, found := w.done(1)
	once(t, found, shardTargets)
	if err := a.end(t); err != nil || f.sweeps() != 1 {
		t.Errorf("Run = %v after %d sweeps, want nil after 1", err, f.sweeps())
	}
}

// TestEndedAtOnce: the process ends in mid-shard while the server is away. The
// next one publishes what was found, and does the shard again.
func TestEndedAtOnce(t *testing.T) {
	w := newWorld(t)
	dir, f := spoolDir(t), &fake{half: make(chan struct{})}
	a := w.run("a1", dir, f, nil)
	w.put(shard(1))
	w.until("a shard in work", func() bool { return f.sweeps() == 1 })
	w.stop()
	w.until("half of it in the spool", func() bool { return a.vantages[0].spool.results() > 0 })
	a.kill()
	if err := a.wait(t); err == nil {
		t.Error("Run = nil after a kill")
	}
	w.start()
	close(f.half)
	b := w.run("a2", dir, f, func(c *Config) { c.Agent = "a1"; c.Conn = w.dial("a1") })
	ends, found := w.done(1)
	if len(found) != shardTargets || f.sweeps() != 2 || ends[0].Fault != "" {
		t.Errorf("%d targets by %d sweeps, fault %q; want %d by 2", len(found), f.sweeps(), ends[0].Fault, shardTargets)
	}
	attempts := map[string]bool{}
	for _, m := range w.results() {
		if m.Part != nil {
			attempts[m.Part.Attempt] = true
		}
	}
	if len(attempts) != 2 {
		t.Errorf("parts of %d attempts, want 2: also what was found before the kill", len(attempts))
	}
	if err := b.end(t); err != nil {
		t.Error(err)
	}
}

// TestFullSpool: with the server away a sweep of more than the spool holds waits,
// and goes on when there is room.
func TestFullSpool(t *testing.T) {
	w := newWorld(t)
	big := shard(1)
	big.Prefixes = []netip.Prefix{netip.MustParsePrefix("10.9.0.0/17")}
	half := &fake{half: make(chan struct{})}
	a := w.run("a1", spoolDir(t), half, nil)
	w.put(big)
	w.until("a shard in work", func() bool { return half.sweeps() == 1 })
	v := a.vantages[0]
	w.until("the first half published", func() bool { return v.spool.results() == 0 })
	v.spool.mu.Lock()
	v.spool.limit = 48 << 10
	v.spool.mu.Unlock()
	w.stop()
	close(half.half)
	w.until("a spool that is full", func() bool { return !v.spool.roomy() })
	time.Sleep(200 * time.Millisecond)
	v.spool.mu.Lock()
	size := v.spool.size
	v.spool.mu.Unlock()
	if size > 48<<10 {
		t.Errorf("the spool holds %d bytes, want at most %d", size, 48<<10)
	}
	if _, done := v.spool.done(finish{shard: big.ID()}); done {
		t.Error("the sweep did not wait")
	}
	w.start()
	_, found := w.done(1)
	once(t, found, 1<<15)
	if err := a.end(t); err != nil {
		t.Error(err)
	}
}

// TestBrokenDisk: a shard whose results find no disk is given back, with the
// reason, and nothing is claimed to be done.
func TestBrokenDisk(t *testing.T) {
	w := newWorld(t)
	dir, f := spoolDir(t), &fake{half: make(chan struct{})}
	a := w.run("a1", dir, f, nil)
	w.put(shard(1))
	w.until("a shard in work, its first results published", func() bool {
		return f.sweeps() == 1 && a.vantages[0].spool.last() > 0 && a.vantages[0].spool.results() == 0
	})
	if err := os.Rename(filepath.Join(dir, "lan"), filepath.Join(dir, "away")); err != nil {
		t.Fatal(err)
	}
	close(f.half)
	w.beat("tells the fault", func(b fleet.Beat) bool { return strings.Contains(b.Fault, "spool") })
	if w.work() != 1 {
		t.Error("the shard is gone")
	}
	if err := os.Rename(filepath.Join(dir, "away"), filepath.Join(dir, "lan")); err != nil {
		t.Fatal(err)
	}
	w.until("the shard done", func() bool { return w.work() == 0 })
	_, found := w.read()
	if len(found) != shardTargets {
		t.Errorf("%d targets found, want %d", len(found), shardTargets)
	}
	if err := a.end(t); err != nil {
		t.Error(err)
	}
}

func TestHostileShards(t *testing.T) {
	change := func(f func(*fleet.Shard)) []byte {
		s := shard(1)
		f(&s)
		data, err := fleet.EncodeShard(s)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	prefix := func(p string) func(*fleet.Shard) {
		return func(s *fleet.Shard) { s.Prefixes = []netip.Prefix{netip.MustParsePrefix(p)} }
	}
	for _, tt := range []struct {
		name  string
		data  []byte
		fault string // in the beat
		done  bool   // and in a Done
	}{
		{"bytes", []byte("s\xff\xff\xff\xff\x0f"), "cannot be read", false},
		{"another place", change(func(s *fleet.Shard) { s.Site = "branch" }), "cannot be read", false},
		{"public addresses", change(prefix("198.51.100.0/24")), "public address space", true},
		{"more than a /12", change(prefix("10.0.0.0/11")), "more than a /12", true},
		{"multicast", change(prefix("239.0.0.0/24")), "no addresses of hosts", true},
		{"all of IPv6", change(prefix("fd00::/16")), "more than a /12", true},
		{"twenty retries", change(func(s *fleet.Shard) { s.Retries = 20 }), "retries 20", true},
		{"without end", change(func(s *fleet.Shard) { s.Rate = 1e-9 }), "rate 1e-09", true},
		{"one port twice", change(func(s *fleet.Shard) { s.Ports = append(s.Ports, s.Ports[0]) }), "stands twice", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			f := &fake{}
			a := w.run("a1", spoolDir(t), f, nil)
			w.putBytes(here, tt.data)
			w.beat("tells "+tt.fault, func(b fleet.Beat) bool { return strings.Contains(b.Fault, tt.fault) })
			if err := a.end(t); err != nil {
				t.Error(err)
			}
			ends, found := w.read()
			if len(found) > 0 || f.sweeps() > 0 || w.work() != 1 {
				t.Errorf("%d found by %d sweeps, %d items left; want 0, 0, 1", len(found), f.sweeps(), w.work())
			}
			if tt.done != (len(ends) > 0) {
				t.Errorf("%d ends, want some: %t", len(ends), tt.done)
			}
			for _, e := range ends {
				if !strings.Contains(e.Fault, tt.fault) {
					t.Errorf("Fault = %q, want %q", e.Fault, tt.fault)
				}
			}
			if len(ends) > 5 {
				t.Errorf("%d attempts: more than the deliveries there are", len(ends))
			}
		})
	}
}

func TestBoundsOfTheSite(t *testing.T) {
	w := newWorld(t)
	f := &fake{}
	a := w.run("a1", spoolDir(t), f, func(c *Config) { c.Rate, c.HostRate, c.Yes = 50, 5, true })
	s := shard(1)
	s.Rate, s.HostRate, s.Prefixes = 0, 100, []netip.Prefix{netip.MustParsePrefix("198.51.100.0/30")}
	w.put(s)
	w.done(1)
	s = shard(2)
	s.Rate, s.HostRate, s.NoIdentify, s.Deep = 20, 2, true, true
	w.put(s)
	w.done(2)
	if err := a.end(t); err != nil {
		t.Error(err)
	}
	type bounds struct {
		Rate, HostRate rate.Limit
		Identify, Deep bool
		Targets        uint64
	}
	var got []bounds
	for _, o := range f.orders {
		got = append(got, bounds{o.Rate, o.HostRate, o.Identify, o.Deep, o.Plan.Len()})
	}
	if d := cmp.Diff([]bounds{{50, 5, true, false, 4}, {20, 2, false, true, shardTargets}}, got); d != "" {
		t.Errorf("orders (-want +got):\n%s", d)
	}
}

func TestNeverScan(t *testing.T) {
	w := newWorld(t)
	list, standing := filepath.Join(t.TempDir(), "never.txt"), filepath.Join(t.TempDir(), "standing.txt") // is not there at first
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(list, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("10.0.1.3 # a printer\n")
	f := &fake{}
	a := w.run("a1", spoolDir(t), f, func(c *Config) {
		c.Standing, c.NeverScan = standing, []string{list}
	})
	w.put(shard(1))
	ends, found := w.done(1)
	once(t, found, shardTargets-1)
	same := cmpopts.EquateComparable(netip.Prefix{})
	if d := cmp.Diff([]netip.Prefix{netip.MustParsePrefix("10.0.1.3/32")}, ends[0].Spared, same); d != "" {
		t.Errorf("spared (-want +got):\n%s", d)
	}
	write("10.0.2.0/24\n") // counts at once
	w.put(shard(2))
	ends, found = w.done(2)
	once(t, found, shardTargets-1)
	if d := cmp.Diff(shard(2).Prefixes, ends[1].Spared, same); d != "" || ends[1].Fault != "" || !ends[1].Outcome.Scan.Complete {
		t.Errorf("fault %q, spared (-want +got):\n%s", ends[1].Fault, d)
	}
	write("10.0.3.0/24\nnot an address!\n")
	w.beat("says the list is faulty", func(b fleet.Beat) bool { return strings.Contains(b.Fault, "never.txt:2") })
	w.put(shard(3))
	time.Sleep(700 * time.Millisecond)
	if f.sweeps() != 1 || w.work() != 1 {
		t.Errorf("a shard was taken without the list: %d sweeps, %d items", f.sweeps(), w.work())
	}
	if err := os.WriteFile(standing, []byte("10.0.3.1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	write("")
	_, found = w.done(3)
	once(t, found, 2*shardTargets-2)
	if err := a.end(t); err != nil {
		t.Error(err)
	}
}

// TestWindows: a shard whose window is over is not begun, one whose window ends
// is given back with what was found, and outside its own window an agent takes
// nothing.
func TestWindows(t *testing.T) {
	w := newWorld(t)
	w.offset = 2 * time.Hour // the window is one by the server's clock
	f := &fake{half: make(chan struct{})}
	a := w.run("a1", spoolDir(t), f, nil)
	s := shard(1)
	s.Until = time.Now().Add(w.offset + 600*time.Millisecond)
	w.put(s)
	w.until("the end of an attempt", func() bool { ends, _ := w.read(); return len(ends) > 0 })
	ends, found := w.read()
	if !strings.Contains(ends[0].Fault, "window") || f.sweeps() != 1 || len(found) != shardTargets/2 {
		t.Errorf("fault %q after %d sweeps, %d found; want one that ends with the window, %d found", ends[0].Fault, f.sweeps(), len(found), shardTargets/2)
	}
	w.until("a second attempt, not begun", func() bool { ends, _ := w.read(); return len(ends) > 1 })
	if f.sweeps() != 1 || w.work() != 1 {
		t.Errorf("%d sweeps, %d items; want 1, 1", f.sweeps(), w.work())
	}
	if err := a.end(t); err != nil {
		t.Error(err)
	}
	now := time.Now()
	closed, err := schedule.ParseWindow(now.Add(6*time.Hour).Format("15:04") + "-" + now.Add(7*time.Hour).Format("15:04"))
	if err != nil {
		t.Fatal(err)
	}
	b := w.run("a2", spoolDir(t), f, func(c *Config) { c.Window = closed })
	w.put(shard(2))
	time.Sleep(500 * time.Millisecond)
	if f.sweeps() != 1 {
		t.Error("a shard was taken outside the agent's window")
	}
	if err := b.end(t); err != nil {
		t.Error(err)
	}
}

// TestUntil: of the job's window and the agent's own, the one that closes first
// ends a shard.
func TestUntil(t *testing.T) {
	noon := time.Date(2026, 11, 22, 12, 0, 0, 0, time.Local)
	own, err := schedule.ParseWindow("10:00-14:00")
	if err != nil {
		t.Fatal(err)
	}
	const ahead = time.Hour // this clock's before the server's, by which the job's is
	for _, tt := range []struct {
		name        string
		own         schedule.Window
		asked, want time.Time
	}{
		{"none", schedule.Window{}, time.Time{}, time.Time{}},
		{"the job's", schedule.Window{}, noon, noon.Add(ahead)},
		{"its own", own, time.Time{}, noon.Add(2 * time.Hour)},
		{"the job's first", own, noon, noon.Add(ahead)},
		{"its own first", own, noon.Add(2 * time.Hour), noon.Add(2 * time.Hour)},
	} {
		v := &vantage{agent: &Agent{cfg: Config{Window: tt.own}}}
		at := &attempt{v: v, shard: fleet.Shard{Until: tt.asked}, ahead: ahead, started: noon}
		if got := at.until(); !got.Equal(tt.want) {
			t.Errorf("%s: until %v; want %v", tt.name, got, tt.want)
		}
	}
}

// TestDialogueTooLong: one that fits into no message that the server takes is
// counted as lost, so that the run does not call itself complete.
func TestDialogueTooLong(t *testing.T) {
	w := newWorld(t)
	w.stop()
	w.options.MaxPayload = 32 << 10
	w.start()
	w.until("the connection", w.boss.IsConnected)
	a := w.run("a1", spoolDir(t), &fake{talk: 64 << 10}, nil)
	w.put(shard(1))
	ends, found := w.done(1)
	once(t, found, shardTargets)
	if ends[0].Outcome.Lost != 1 {
		t.Errorf("%d lost; want 1", ends[0].Outcome.Lost)
	}
	if err := a.end(t); err != nil {
		t.Error(err)
	}
}

// TestLeaving: an agent that is told to leave ends its shard if that is soon,
// else it gives the shard back at once, with what was found.
func TestLeaving(t *testing.T) {
	w := newWorld(t)
	f := &fake{half: make(chan struct{})}
	a := w.run("a1", spoolDir(t), f, nil)
	w.put(shard(1))
	w.until("a shard in work", func() bool { return f.sweeps() == 1 })
	a.leave()
	close(f.half)
	if err := a.wait(t); err != nil {
		t.Error(err)
	}
	_, found := w.done(1)
	once(t, found, shardTargets)

	stuck, other := &fake{half: make(chan struct{})}, &fake{}
	b := w.run("a1", spoolDir(t), stuck, func(c *Config) { c.Grace = 50 * time.Millisecond })
	w.put(shard(2))
	w.until("a shard in work", func() bool { return stuck.sweeps() == 1 })
	if err := b.end(t); err != nil {
		t.Error(err)
	}
	ends, found := w.read()
	if len(ends) != 2 || !strings.Contains(ends[1].Fault, "leave") || len(found) != shardTargets+shardTargets/2 {
		t.Errorf("%d ends, %d found; want the half of the second shard and a fault", len(ends), len(found))
	}
	c := w.run("a2", spoolDir(t), other, nil)
	_, found = w.done(3)
	if len(found) != 2*shardTargets {
		t.Errorf("%d found, want %d", len(found), 2*shardTargets)
	}
	if err := c.end(t); err != nil {
		t.Error(err)
	}
}

// TestFaultOfThisSide: the shard goes to an agent that can, and this one does
// not spin.
func TestFaultOfThisSide(t *testing.T) {
	w := newWorld(t)
	bad, good := &fake{fail: errors.New("no privilege")}, &fake{}
	a := w.run("a1", spoolDir(t), bad, func(c *Config) { c.pace.first, c.pace.max = time.Second, time.Minute })
	w.put(shard(1))
	w.beat("tells the fault", func(b fleet.Beat) bool { return strings.Contains(b.Fault, "no privilege") })
	b := w.run("a2", spoolDir(t), good, nil)
	ends, found := w.done(2)
	once(t, found, shardTargets)
	if ends[0].Fault != "no privilege" || ends[1].Fault != "" || ends[1].Agent != "a2" {
		t.Errorf("faults %q and %q by %s", ends[0].Fault, ends[1].Fault, ends[1].Agent)
	}
	if err := errors.Join(a.end(t), b.end(t)); err != nil {
		t.Error(err)
	}
}

// TestRefused: a credential that is revoked ends the agent; what it had found is
// kept.
func TestRefused(t *testing.T) {
	w := newWorld(t)
	a := w.run("a1", spoolDir(t), &fake{}, nil)
	w.beat("is there", func(fleet.Beat) bool { return true })
	o := w.options
	o.Port = w.port
	o.Users = []*server.User{w.options.Users[0]}
	if err := w.nats.ReloadOptions(&o); err != nil {
		t.Fatal(err)
	}
	if err := a.wait(t); !errors.Is(err, ErrRefused) || !strings.Contains(strings.ToLower(err.Error()), "authorization") {
		t.Errorf("Run = %v, want that the credential is refused", err)
	}
}

// TestNoWork: an agent that the server does not want takes nothing, and asks again.
func TestNoWork(t *testing.T) {
	w := newWorld(t)
	w.refused = "update this agent\x1b[2J"
	f := &fake{}
	a := w.run("a1", spoolDir(t), f, nil)
	w.put(shard(1))
	w.beat("tells why", func(b fleet.Beat) bool { return strings.Contains(b.Fault, "update this agent\\x1b") })
	time.Sleep(300 * time.Millisecond)
	if f.sweeps() != 0 {
		t.Error("a shard was taken all the same")
	}
	w.mu.Lock()
	w.refused = ""
	w.mu.Unlock()
	w.done(1)
	if err := a.end(t); err != nil {
		t.Error(err)
	}
}

// TestNothingToTake: what keeps an agent from asking for work is its fault until
// it can ask, and not until the next shard comes.
func TestNothingToTake(t *testing.T) {
	w := newWorld(t)
	if err := w.js.DeleteConsumer(t.Context(), fleet.WorkStream, here.Consumer()); err != nil {
		t.Fatal(err)
	}
	a := w.run("a1", spoolDir(t), &fake{}, nil)
	w.beat("tells why", func(b fleet.Beat) bool { return b.Fault != "" })
	if _, err := w.js.CreateOrUpdateConsumer(t.Context(), fleet.WorkStream, fleet.ConsumerConfig(here)); err != nil {
		t.Fatal(err)
	}
	w.until("a beat without a fault", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.beats[len(w.beats)-1].Fault == ""
	})
	if err := a.end(t); err != nil {
		t.Error(err)
	}
}

// TestExpired: the server is away, and the certificate runs out meanwhile.
func TestExpired(t *testing.T) {
	w := newWorld(t)
	ends := time.Now().Add(300 * time.Millisecond)
	a := w.run("a1", spoolDir(t), &fake{}, func(c *Config) {
		c.Ends, c.pace.expiry = func() time.Time { return ends }, 20*time.Millisecond
	})
	w.beat("is there", func(fleet.Beat) bool { return true })
	w.stop()
	if err := a.wait(t); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "ended on") {
		t.Errorf("Run = %v, want that the certificate has ended", err)
	}
}

func TestTwoVantages(t *testing.T) {
	there := fleet.Place{Site: "hq", Vantage: "dmz"}
	w := newWorld(t, here, there)
	lan, dmz := &fake{half: make(chan struct{})}, &fake{}
	a := w.run("a1", spoolDir(t), lan, func(c *Config) {
		c.Vantages = append(c.Vantages, Vantage{Name: "dmz", Sweeper: dmz})
		c.Rate = 100
	})
	w.put(shard(1))
	s := shard(1) // the same private addresses, at the other place
	s.Place, s.Run = there, "s_other"
	data, err := fleet.EncodeShard(s)
	if err != nil {
		t.Fatal(err)
	}
	w.putBytes(there, data)
	w.until("the other place done", func() bool { ends, _ := w.read(); return len(ends) == 1 && ends[0].Run == "s_other" })
	close(lan.half)
	w.done(2)
	if err := a.end(t); err != nil || lan.sweeps() != 1 || dmz.sweeps() != 1 {
		t.Errorf("Run = %v, sweeps %d and %d", err, lan.sweeps(), dmz.sweeps())
	}
	if x, y := lan.orders[0].Rate, dmz.orders[0].Rate; x != 50 || y != 50 {
		t.Errorf("rates %v and %v: want the 100 of the agent shared", x, y)
	}
	if n := lan.orders[0].HostRate; n != scanner.DefaultHostRate {
		t.Errorf("rate to a host %v, and none was asked: want %v", n, scanner.DefaultHostRate)
	}
}

func TestNewRefuses(t *testing.T) {
	w := newWorld(t)
	conn := w.dial("a1")
	for _, tt := range []struct {
		name, want string
		change     func(*Config)
	}{
		{"name", "agent", func(c *Config) { c.Agent = "A.b" }},
		{"site", "site", func(c *Config) { c.Site = "*" }},
		{"no vantage", "no vantage", func(c *Config) { c.Vantages = nil }},
		{"twice", "twice", func(c *Config) { c.Vantages = append(c.Vantages, c.Vantages[0]) }},
		{"small spool", "at least", func(c *Config) { c.SpoolSize = 1000 }},
		{"rate", "rate", func(c *Config) { c.Rate = -1 }},
	} {
		cfg := Config{Agent: "a1", Site: "hq", Vantages: []Vantage{{Name: "lan", Sweeper: &fake{}}}, Conn: conn, Spool: t.TempDir(), Log: w.log()}
		tt.change(&cfg)
		if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: New = %v, want %q", tt.name, err, tt.want)
		}
	}
}

func TestSpoolOfAnotherAgent(t *testing.T) {
	w := newWorld(t)
	dir := spoolDir(t)
	a := w.run("a1", dir, &fake{}, nil)
	w.beat("is there", func(fleet.Beat) bool { return true })
	b := w.run("a2", dir, &fake{}, nil)
	if err := b.wait(t); err == nil || !strings.Contains(err.Error(), "another agent") {
		t.Errorf("Run = %v, want that the spool is taken", err)
	}
	if err := a.end(t); err != nil {
		t.Error(err)
	}
}
