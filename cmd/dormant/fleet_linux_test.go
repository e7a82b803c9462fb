package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"dormant/cmd/internal/fleet"
	"dormant/reports"
	"dormant/reports/history"
)

// finished waits for the end of a run and holds everything that is told of it
// against what is there: the state, the report, and the history, in which
// nothing may be missing and nothing may stand twice.
func (r *fleetRig) finished(job string, s *rigSite, run, subnet string) fleet.RunStatus {
	r.t.Helper()
	var st fleet.RunStatus
	r.until("the end of run "+run+" of "+s.place.Site, func() bool {
		st, _ = r.find(run)
		return st.State == fleet.RunComplete || st.State == fleet.RunIncomplete
	})
	want := s.inside(subnet)
	got := map[string]string{}
	csv := filepath.Join(r.dir, fmt.Sprintf("%s-%s-%s.csv", job, s.place.Site, run))
	for addr, cells := range rows(r.t, csv) {
		got[addr] = strings.Fields(cells)[2]
	}
	if d := cmp.Diff(want, got); d != "" {
		r.t.Errorf("%s, what %s reports (-want +got):\n%s", run, filepath.Base(csv), d)
	}
	if d := cmp.Diff(want, r.stored(run)); d != "" {
		r.t.Errorf("%s, what the history has (-want +got):\n%s", run, d)
	}
	if st.Open != uint64(len(want)) {
		r.t.Errorf("%s: %d open ports are counted; want %d", run, st.Open, len(want))
	}
	return st
}

// stored returns the open ports of a run from the history.
func (r *fleetRig) stored(run string) map[string]string {
	r.t.Helper()
	db := filepath.Join(r.state, "history.db")
	if r.nats != "" {
		db = filepath.Join(r.dir, "history.db")
	}
	if strings.HasPrefix(db, "/proc/") { // SQLite resolves that to a path of this process
		copied := filepath.Join(r.t.TempDir(), "history.db")
		for _, suffix := range []string{"", "-wal"} {
			b, err := os.ReadFile(db + suffix)
			if err == nil {
				err = os.WriteFile(copied+suffix, b, 0o600)
			}
			if err != nil {
				r.t.Fatal(err)
			}
		}
		db = copied
	}
	store, err := history.Open(r.t.Context(), db)
	if err != nil {
		r.t.Fatal(err)
	}
	defer store.Close()
	stored, err := store.Find(r.t.Context(), run)
	if err != nil {
		r.t.Fatal(err)
	}
	got := map[string]string{}
	err = store.Findings(r.t.Context(), stored, func(f reports.Finding) error {
		key := fmt.Sprintf("%s:%d", f.IP, f.Port)
		if _, twice := got[key]; twice {
			r.t.Errorf("%s: %s stands twice in the history", run, key)
		}
		if f.State.String() == "open" {
			got[key] = f.Service
		}
		return nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return got
}

// complete is finished, of a run that nothing is missing of.
func (r *fleetRig) complete(job string, s *rigSite, run, subnet string) fleet.RunStatus {
	r.t.Helper()
	st := r.finished(job, s, run, subnet)
	if st.State != fleet.RunComplete || len(st.Missing) > 0 || st.Failed > 0 || st.Done != st.Shards || st.Refused > 0 {
		r.t.Errorf("%s: %s, %d of %d shards, %d refused, missing %v, why %v; want it complete", run, st.State, st.Done, st.Shards, st.Refused, st.Missing, st.Why)
	}
	return st
}

// scenario is something that happens to a fleet.
type scenario struct {
	name string
	run  func(*fleetRig)
}

// TestFleet has one server and two sites, over TLS and with enrolled agents, go
// through what happens to networks and processes: each scenario ends with every
// finding once, and with the truth about what was covered.
func TestFleet(t *testing.T) {
	newFleetRig(t).goThrough(
		scenario{"overlapping addresses", overlapping},
		scenario{"agent killed", agentKilled},
		scenario{"server killed", serverKilled},
		scenario{"network cut", networkCut},
		scenario{"delivered twice", deliveredTwice},
	)
}

// TestFleetHostile is another, which goes through what is worse.
func TestFleetHostile(t *testing.T) {
	newFleetRig(t).goThrough(
		scenario{"shard that kills its agents", deadlyShard},
		scenario{"credential stolen", credentialStolen},
	)
}

// TestFleetDisksFull is a third, beside the others.
func TestFleetDisksFull(t *testing.T) {
	newFleetRig(t).goThrough(
		scenario{"disk of the agent full", agentDiskFull},
		scenario{"disk of the server full", serverDiskFull},
	)
}

// goThrough starts the fleet and has the scenarios follow each other.
func (r *fleetRig) goThrough(all ...scenario) {
	r.t.Helper()
	r.startServer("")
	for _, s := range []*rigSite{r.hq, r.plant} {
		r.enroll(s)
		r.startAgent(s)
	}
	for _, one := range all {
		r.all.Run(one.name, func(t *testing.T) {
			began := time.Now()
			r.t = t // its failures are those of this scenario
			one.run(r)
			t.Logf("%v", time.Since(began).Round(100*time.Millisecond))
		})
		r.t = r.all
	}
}

// overlapping: the same addresses at two sites are two networks, in reports, in
// the history and in what changed.
func overlapping(r *fleetRig) {
	runs := r.start("audit")
	for _, s := range []*rigSite{r.hq, r.plant} {
		r.complete("audit", s, runs[s.place.Site], "10.66.1.0/26")
	}
	first := runs["hq"]
	const added = "10.66.1.40:3588" // at hq, and not at plant
	serve(r.t, r.hq.net, added, speaker("ssh"))
	r.hq.want[added] = "ssh"
	defer delete(r.hq.want, added)
	runs = r.start("audit")
	for _, s := range []*rigSite{r.hq, r.plant} {
		r.complete("audit", s, runs[s.place.Site], "10.66.1.0/26")
	}
	store, err := history.Open(r.t.Context(), filepath.Join(r.state, "history.db"))
	if err != nil {
		r.t.Fatal(err)
	}
	defer store.Close()
	for site, want := range map[string]string{"hq": first + " map[new:1]", "plant": " map[]"} {
		run, err := store.Find(r.t.Context(), runs[site])
		if err != nil {
			r.t.Fatal(err)
		}
		base, changes, err := store.Changes(r.t.Context(), run)
		if got := fmt.Sprint(base, " ", changes); err != nil || !strings.HasSuffix(got, want) {
			r.t.Errorf("what changed at %s: %s, %v; want %s", site, got, err, want)
		}
	}
}

// agentKilled: SIGKILL in mid-shard. What was found before counts, the shard is
// done again.
func agentKilled(r *fleetRig) {
	run := r.start("slow")["hq"]
	r.midShard(r.hq, run)
	r.hq.agent.kill()
	if st, ok := r.find(run); !ok || st.Done == st.Shards {
		r.t.Fatalf("the agent was killed at the end of the run, not in the middle: %+v", st)
	}
	r.startAgent(r.hq)
	r.complete("slow", r.hq, run, "10.66.1.0/27")
}

// serverKilled: SIGKILL in mid-run. The agent goes on meanwhile, and so does the
// next server.
func serverKilled(r *fleetRig) {
	run := r.start("slow")["hq"]
	r.midShard(r.hq, run)
	r.server.kill()
	r.spooled(r.hq)
	r.startServer("")
	st := r.complete("slow", r.hq, run, "10.66.1.0/27")
	if st.Started.After(time.Now().Add(-2 * time.Second)) {
		r.t.Errorf("the run started at %v: that is another one", st.Started)
	}
}

// spooled waits until the agent keeps results that it could not give.
func (r *fleetRig) spooled(s *rigSite) {
	r.t.Helper()
	var before int64 = -1
	r.until("results on the agent's disk", func() bool {
		size := int64(0)
		all, _ := filepath.Glob(filepath.Join(s.dir, "spool", "*", "*", "*"))
		for _, path := range all {
			if info, err := os.Stat(path); err == nil && filepath.Base(path) != "finished" {
				size += info.Size()
			}
		}
		grown := before >= 0 && size > before
		if before < 0 {
			before = size
		}
		return grown
	})
}

// networkCut: for longer than the broker waits for an agent. The sweep goes on,
// the results come afterwards.
func networkCut(r *fleetRig) {
	run := r.start("slow")["hq"]
	r.midShard(r.hq, run)
	r.hub.Down("to-hq")
	r.spooled(r.hq)
	time.Sleep(2 * rigAckWait) // the shard is given out again, to nobody
	if st, ok := r.find(run); !ok || st.Done > 1 {
		r.t.Errorf("%d shards are done while nothing came", st.Done)
	}
	r.hub.Up("to-hq")
	r.complete("slow", r.hq, run, "10.66.1.0/27")
}

// deliveredTwice: work items and results that come again under other message
// ids, as after the time for which the broker remembers them.
func deliveredTwice(r *fleetRig) {
	run := r.start("slow")["hq"]
	again := func(js jetstream.JetStream, m *jetstream.RawStreamMsg, id string) {
		r.t.Helper()
		if _, err := js.PublishMsg(r.t.Context(), &nats.Msg{Subject: m.Subject, Data: m.Data}, jetstream.WithMsgID(id)); err != nil {
			r.t.Fatal(err)
		}
	}
	r.until("work in the queue", func() bool { return r.queued() > 0 })
	items := 0
	r.with(func(_ *nats.Conn, js jetstream.JetStream) {
		work, err := js.Stream(r.t.Context(), fleet.WorkStream)
		if err != nil {
			r.t.Fatal(err)
		}
		for seq := uint64(1); items < 2; seq++ {
			m, err := work.GetMsg(r.t.Context(), seq, jetstream.WithGetMsgSubject(r.hq.place.WorkSubject()))
			if err != nil {
				break
			}
			seq = m.Sequence
			again(js, m, fmt.Sprintf("again-%s-%d", run, seq))
			items++
		}
	})
	if items == 0 {
		r.t.Fatal("no work item was in the queue")
	}
	r.midShard(r.hq, run)
	parts := r.parts(r.hq, run)
	r.with(func(_ *nats.Conn, js jetstream.JetStream) {
		for _, m := range parts {
			again(js, m, fmt.Sprintf("again-%s-part-%d", run, m.Sequence))
		}
	})
	r.complete("slow", r.hq, run, "10.66.1.0/27")
	r.until("an empty work queue", func() bool { return r.queued() == 0 })
}

// queued returns how many work items the broker holds, -1 when it does not say.
func (r *fleetRig) queued() (items int) {
	items = -1
	r.with(func(_ *nats.Conn, js jetstream.JetStream) {
		ctx, cancel := context.WithTimeout(r.t.Context(), 5*time.Second)
		defer cancel()
		if s, err := js.Stream(ctx, fleet.WorkStream); err == nil {
			items = int(s.CachedInfo().State.Msgs)
		}
	})
	return items
}
