package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"dormant/cmd/internal/enroll"
	"dormant/cmd/internal/fleet"
	"dormant/cmd/internal/pipeline"
	"dormant/cmd/internal/server"
	"dormant/registry"
	"dormant/scanner"
)

// deadlyShard: every agent that takes the shard is killed in it. The run ends
// all the same, says which subnet is missing, and keeps what was found; when it
// is done again nothing is missing.
func deadlyShard(r *fleetRig) {
	run := r.start("single")["hq"]
	for range fleet.MaxDeliver {
		attempts := len(r.attempts(run))
		r.until("another attempt", func() bool { return len(r.attempts(run)) > attempts })
		r.hq.agent.kill()
		r.startAgent(r.hq)
	}
	found := map[string]string{}
	for _, open := range r.attempts(run) {
		maps.Copy(found, open)
	}
	var st fleet.RunStatus
	r.until("the end of the run", func() bool { st, _ = r.find(run); return st.State == fleet.RunIncomplete })
	why := "1 shard was not done: 10.66.1.0/28; given out 5 times and never done"
	if got := strings.Join(st.Why, "; "); got != why || len(st.Missing) != 1 || st.Missing[0].String() != "10.66.1.0/28" || st.Failed != 1 {
		r.t.Errorf("why %q, missing %v, %d failed; want %q", got, st.Missing, st.Failed, why)
	}
	stored := r.stored(run)
	for addr := range found {
		if stored[addr] == "" {
			r.t.Errorf("%s was found before an agent was killed, and is not in the history", addr)
		}
	}
	for addr, service := range stored {
		if r.hq.want[addr] != service {
			r.t.Errorf("%s %s is in the history, and was not there", addr, service)
		}
	}
	r.with(func(conn *nats.Conn, _ jetstream.JetStream) {
		if n, err := (server.Operator{Conn: conn}).Requeue(r.t.Context(), run); n != 1 || err != nil {
			r.t.Errorf("requeue: %d, %v; want the dead shard", n, err)
		}
	})
	again := ""
	r.until("a run that makes up for it", func() bool {
		st, err := r.status()
		again = ""
		if err == nil && st.Runs[0].Job == "single" {
			again = st.Runs[0].ScanID
		}
		return again != "" && again != run
	})
	r.complete("single", r.hq, again, "10.66.1.0/28")
}

// attempts returns what the attempts at a run found, as far as it is in the
// result stream.
func (r *fleetRig) attempts(run string) map[string]map[string]string {
	all := map[string]map[string]string{}
	for _, m := range r.parts(r.hq, run) {
		part, err := fleet.Decode(m.Data)
		if err != nil {
			r.t.Fatal(err)
		}
		open := all[part.Part.Attempt]
		if open == nil {
			open = map[string]string{}
			all[part.Part.Attempt] = open
		}
		for i := range part.Part.Results {
			if x := &part.Part.Results[i]; x.State == scanner.Open {
				open[fmt.Sprintf("%v:%d", x.Addr, x.Port.Number)] = x.State.String()
			}
		}
	}
	return all
}

// credentialStolen: the folder of one site's agent in the network of the other.
// It can say what it likes about its own site until it is revoked. It can read
// nothing of the other site, say nothing about it, and not break the server.
func credentialStolen(r *fleetRig) {
	if c := r.plant.agent.end(); c != exitOK {
		r.t.Errorf("plant's agent: exit %d\n%s", c, r.plant.agent.said())
	}
	stolen := filepath.Join(r.dir, "stolen")
	if err := os.CopyFS(stolen, os.DirFS(filepath.Join(r.plant.dir, "credential"))); err != nil {
		r.t.Fatal(err)
	}
	private(r.t, stolen)
	posing := r.run(r.hq.here, "", "agent", "--credential", stolen, "--state", stolen, "--site", "hq")
	if c := posing.code(); c != exitUsage || !strings.Contains(posing.said(), "the credential is for plant") {
		r.t.Errorf("as an agent of the other site: exit %d, want %d\n%s", c, exitUsage, posing.said())
	}
	thief := r.breakIn(stolen)
	run := r.start("slow")["hq"]
	r.midShard(r.hq, run)
	thief.try(r, run)
	r.complete("slow", r.hq, run, "10.66.1.0/27")
	thief.conn.Close()
	if n := thief.read.Load(); n != 0 {
		r.t.Errorf("the thief read %d messages of the other site", n)
	}

	agent := r.run(r.hq.here, "", "agent", "--credential", stolen, "--state", filepath.Join(r.dir, "thief"), "--server", "10.90.1.1:4222")
	runs := r.start("audit")
	r.complete("audit", r.hq, runs["hq"], "10.66.1.0/26")
	r.until("the end of the other run", func() bool { st, _ := r.find(runs["plant"]); return st.State == fleet.RunComplete })
	if d := cmp.Diff(r.hq.want, r.stored(runs["plant"])); d != "" {
		r.t.Errorf("what the thief says of plant is what it sees where it is (-want +got):\n%s", d)
	}
	if out, err := exec.Command("dormant", "server", "agents", "revoke", "plant-1", "--state", r.state, "--quiet").CombinedOutput(); err != nil {
		r.t.Fatalf("revoke: %v\n%s", err, out)
	}
	if c := agent.code(); c != exitPrivilege || !strings.Contains(agent.said(), "refuses the credential") {
		r.t.Errorf("the thief's agent after its revocation: exit %d, want %d\n%s", c, exitPrivilege, agent.said())
	}
}

// private lets nobody else read a folder.
func private(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		mode := os.FileMode(0o600)
		if err == nil && d.IsDir() {
			mode = 0o700
		}
		return errors.Join(err, os.Chmod(path, mode))
	})
	if err != nil {
		t.Fatal(err)
	}
}

// thief is a connection with the credential of plant's agent.
type thief struct {
	conn   *nats.Conn
	read   atomic.Int64 // messages that were not for it
	denied atomic.Int64
}

// breakIn connects from the network of hq.
func (r *fleetRig) breakIn(dir string) *thief {
	r.t.Helper()
	c, err := enroll.Load(dir)
	if err != nil {
		r.t.Fatal(err)
	}
	th, o := &thief{}, c.Options()
	th.conn, err = nats.Connect("tls://10.90.1.1:4222", nats.Secure(o.TLS), nats.TLSHandshakeFirst(), nats.CustomInboxPrefix(o.Inbox),
		nats.SetCustomDialer(insideOf{r.hq.here}), nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			if errors.Is(err, nats.ErrPermissionViolation) {
				th.denied.Add(1)
			}
		}))
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(th.conn.Close)
	return th
}

// try does what the thief must not be able to, while a run of hq is in work.
func (th *thief) try(r *fleetRig, run string) {
	r.t.Helper()
	for _, subject := range []string{">", "dormant.>", "dormant.result.hq.>", "dormant.work.hq.lan", "_INBOX_hq-1.>", "$JS.>", "dormant.result.plant.>"} {
		if _, err := th.conn.Subscribe(subject, func(*nats.Msg) { th.read.Add(1) }); err != nil {
			r.t.Fatal(err)
		}
	}
	forged := forgery(r, run)
	subjects := []string{
		r.hq.place.ResultSubject("hq-1", run), r.hq.place.ResultSubject("plant-1", run), r.plant.place.ResultSubject("hq-1", run),
		r.hq.place.BeatSubject("hq-1"), r.hq.place.HelloSubject("hq-1"), r.hq.place.WorkSubject(), "dormant.operator.start",
	}
	for _, subject := range subjects {
		if err := th.conn.Publish(subject, forged); err != nil {
			r.t.Fatal(err)
		}
	}
	for _, api := range []string{
		"CONSUMER.MSG.NEXT.DORMANT_WORK.hq_lan", "CONSUMER.INFO.DORMANT_WORK.hq_lan", "STREAM.MSG.GET.DORMANT_RESULT", "STREAM.PURGE.DORMANT_RESULT",
		"STREAM.DELETE.DORMANT_RESULT", "STREAM.INFO.DORMANT_WORK", "CONSUMER.CREATE.DORMANT_RESULT", "STREAM.NAMES",
	} {
		if m, err := th.conn.Request("$JS.API."+api, []byte(`{"last_by_subj":"dormant.result.hq.lan.hq-1.`+run+`"}`), 200*time.Millisecond); err == nil {
			r.t.Errorf("the thief asks %s and is answered: %.200q", api, m.Data)
		}
	}
	// With its own name it may publish: about its own site.
	own := r.plant.place.ResultSubject("plant-1", run)
	for _, to := range []string{own, r.plant.place.ResultSubject("plant-1", "s_invented")} {
		for range 20 {
			if err := th.conn.Publish(to, forged); err != nil {
				r.t.Fatal(err)
			}
		}
	}
	if err := th.conn.Flush(); err != nil {
		r.t.Fatal(err)
	}
	if got := th.denied.Load(); got < int64(len(subjects)) {
		r.t.Errorf("%d refusals; want at least %d", got, len(subjects))
	}
	r.with(func(_ *nats.Conn, js jetstream.JetStream) {
		s, err := js.Stream(r.t.Context(), fleet.ResultStream)
		if err != nil {
			r.t.Fatal(err)
		}
		there := func(filter string) (subjects []string) {
			info, err := s.Info(r.t.Context(), jetstream.WithSubjectFilter(filter))
			if err != nil {
				r.t.Fatal(err)
			}
			return slices.Sorted(maps.Keys(info.State.Subjects))
		}
		for _, subject := range there("dormant.result.hq.>") {
			if o, err := fleet.ParseSubject(subject); err != nil || o.Agent != "hq-1" {
				r.t.Errorf("results of hq come by %s, %v; want its own agent's alone", subject, err)
			}
		}
		r.until("what belongs to no run of plant cleared away", func() bool { return len(there("dormant.result.plant.>")) == 0 })
	})
}

// forgery is a part that calls something open at hq.
func forgery(r *fleetRig, run string) []byte {
	r.t.Helper()
	target := scanner.Target{Port: registry.Port{Number: 5093, Proto: registry.TCP}}
	if err := target.Addr.UnmarshalText([]byte("10.66.1.5")); err != nil {
		r.t.Fatal(err)
	}
	data, err := fleet.Encode(fleet.Message{Version: fleet.Version, Part: &fleet.Part{Run: run, Shard: 1, Attempt: uuid.NewString(), Number: 1,
		Results: []pipeline.Result{{Observation: scanner.Observation{Target: target, State: scanner.Open, Reason: scanner.SynAck, From: target.Addr, At: time.Now()}}}}})
	if err != nil {
		r.t.Fatal(err)
	}
	return data
}

// small mounts a disk of its own on a folder, with what was in the folder.
func small(dir, size string) string {
	return fmt.Sprintf("mkdir -p %[1]s %[1]s.before; cp -a %[1]s/. %[1]s.before; mount -t tmpfs -o size=%[2]s none %[1]s; cp -a %[1]s.before/. %[1]s", dir, size)
}

// fill takes all the room on a disk, and returns what gives it back.
func (r *fleetRig) fill(dir string) (free func()) {
	r.t.Helper()
	path := filepath.Join(dir, "ballast")
	f, err := os.Create(path)
	if err != nil {
		r.t.Fatal(err)
	}
	defer f.Close()
	for _, size := range []int{1 << 20, 1 << 12, 1} {
		for err == nil {
			_, err = f.Write(make([]byte, size))
		}
		if !errors.Is(err, syscall.ENOSPC) {
			r.t.Fatal(err)
		}
		err = nil
	}
	return func() {
		if err := os.Remove(path); err != nil {
			r.t.Error(err)
		}
	}
}

// agentDiskFull: the shard is given back, with what was found until then, and
// done when there is room again.
func agentDiskFull(r *fleetRig) {
	if c := r.hq.agent.end(); c != exitOK {
		r.t.Errorf("exit %d\n%s", c, r.hq.agent.said())
	}
	spool := filepath.Join(r.hq.dir, "spool")
	r.hq.agent = r.run(r.hq.here, small(spool, "20m"), append(r.hq.flags, "--spool-size", "16MB")...)
	run := r.start("slow")["hq"]
	r.midShard(r.hq, run)
	free := r.fill(fmt.Sprintf("/proc/%d/root%s", r.hq.agent.Process.Pid, spool))
	r.until("a word of the agent about its disk", func() bool { return strings.Contains(r.hq.agent.said(), "no space left on device") })
	free()
	r.complete("slow", r.hq, run, "10.66.1.0/27")
}

// serverDiskFull: the server says so, the agent keeps what it finds, and all of
// it is there when there is room again.
func serverDiskFull(r *fleetRig) {
	if c := r.server.end(); c != exitOK {
		r.t.Errorf("exit %d\n%s", c, r.server.said())
	}
	r.startServer(small(filepath.Join(r.dir, "srv"), "64m"))
	run := r.start("slow")["hq"]
	r.midShard(r.hq, run)
	free := r.fill(r.state)
	r.until("a fault in the server's status", func() bool {
		st, err := r.status()
		return err == nil && len(st.Faults) > 0
	})
	free()
	r.complete("slow", r.hq, run, "10.66.1.0/27")
}
