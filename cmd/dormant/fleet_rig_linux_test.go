package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"dormant/cmd/internal/broker"
	"dormant/cmd/internal/fleet"
	"dormant/cmd/internal/server"
	"dormant/scanner/netlab"
)

// fleetRig is a server and two agents as processes of their own. The server is
// in one namespace, each agent in another, and behind each is the network of its
// site, with the same addresses and other services. None of them has a way out,
// and the sites have none to each other.
type fleetRig struct {
	t    *testing.T // of the scenario
	all  *testing.T // of all scenarios: what is started lives as long
	dir  string     // a short name: the path of a socket has at most 103 bytes
	jobs string
	hub  *netlab.NS
	// server is the process that runs now, state its folder as this process sees it.
	server    *process
	state     string
	hq, plant *rigSite
	// nats is where the cluster is; empty with the broker of the server.
	nats string
}

// rigSite is a site with its agent.
type rigSite struct {
	place fleet.Place
	name  string     // of the agent
	here  *netlab.NS // of the agent: up0 leads to the server, lan0 to the site
	net   *netlab.NS
	dir   string // credential and state of the agent
	flags []string
	agent *process
	want  map[string]string // what an audit of the site must find: address and service
}

// rigJobs are the jobs of a rig: audit takes a second, slow takes four in two
// shards, single has one shard of two and a half.
const rigJobs = `version: 1
sites:
  hq: {vantages: [lan]}
  plant: {vantages: [lan]}
jobs:
  - name: audit
    targets: {hq: 10.66.1.0/26, plant: 10.66.1.0/26}
    ports: [1947/tcp, 3588/tcp, 5093/tcp]
    rate: 2000
    host_rate: 100
    retries: 1
    shard_size: 16
    outputs: "%[1]s/{job}-{site}-{run}.csv"
  - name: slow
    targets: {hq: 10.66.1.0/27}
    ports: [1947/tcp, 3588/tcp, 5093/tcp]
    rate: 24
    retries: 0
    shard_size: 16
    outputs: "%[1]s/{job}-{site}-{run}.csv"
  - name: single
    targets: {hq: 10.66.1.0/28}
    ports: [1947/tcp, 3588/tcp, 5093/tcp]
    rate: 20
    retries: 0
    shard_size: 16
    outputs: "%[1]s/{job}-{site}-{run}.csv"
`

// rigAckWait is after how long of silence a shard is given to another agent in
// these tests, in place of fleet.AckWait.
const rigAckWait = 2 * time.Second

func newFleetRig(t *testing.T) *fleetRig {
	t.Helper()
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	t.Parallel() // it waits, most of the time
	dir, err := os.MkdirTemp("", "fleet")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	r := &fleetRig{t: t, all: t, dir: dir, hub: netlab.New(t), state: filepath.Join(dir, "srv"), jobs: filepath.Join(dir, "jobs.yaml")}
	if err := os.WriteFile(r.jobs, fmt.Appendf(nil, rigJobs, dir), 0o600); err != nil {
		t.Fatal(err)
	}
	r.hq = r.site("hq", 1, map[string]string{"10.66.1.3:3588": "ssh", "10.66.1.11:1947": "hasp-acc", "10.66.1.20:3588": "ssh", "10.66.1.28:1947": "hasp-acc"})
	r.plant = r.site("plant", 2, map[string]string{"10.66.1.3:3588": "ftp", "10.66.1.12:1947": "hasp-acc"})
	return r
}

// site makes a site with what it serves.
func (r *fleetRig) site(name string, number int, want map[string]string) *rigSite {
	r.t.Helper()
	s := &rigSite{place: fleet.Place{Site: name, Vantage: "lan"}, name: name + "-1", here: netlab.New(r.t), net: netlab.New(r.t), dir: filepath.Join(r.dir, name), want: want}
	netlab.Join(r.hub, "to-"+name, s.here, "up0")
	r.hub.Addr("to-"+name, fmt.Sprintf("10.90.%d.1/24", number))
	s.here.Addr("up0", fmt.Sprintf("10.90.%d.2/24", number))
	netlab.Join(s.here, "lan0", s.net, "net0")
	s.here.Addr("lan0", "10.66.0.1/24")
	s.net.Addr("net0", "10.66.0.2/24")
	s.net.Local("10.66.1.0/26") // all of them are there, and closed
	s.here.Route(netlab.Route{Dst: "10.66.1.0/26", Via: "10.66.0.2", Dev: "lan0"})
	for addr, service := range want {
		serve(r.t, s.net, addr, speaker(service))
	}
	s.flags = []string{"agent", "--credential", filepath.Join(s.dir, "credential"), "--state", s.dir}
	return s
}

// speaker answers as the service does.
func speaker(service string) func(net.Conn) {
	if first := map[string]string{"ssh": "SSH-2.0-OpenSSH_9.6\r\n", "ftp": "220 (vsFTPd 3.0.5)\r\n"}[service]; first != "" {
		return func(c net.Conn) { _, _ = io.WriteString(c, first); _, _ = io.Copy(io.Discard, c) }
	}
	return func(c net.Conn) {
		buf := make([]byte, 512)
		if n, err := c.Read(buf); err == nil && strings.HasPrefix(string(buf[:n]), "GET ") {
			_, _ = io.WriteString(c, "HTTP/1.0 403 Forbidden\r\nServer: HASP LM/25.02\r\n\r\n")
		}
	}
}

// process is the program at work.
type process struct {
	*exec.Cmd
	t    *testing.T
	log  string // file
	over bool
}

// run starts the program inside a namespace. With a prelude a shell runs that
// before it, in a mount namespace of its own.
func (r *fleetRig) run(in *netlab.NS, prelude string, args ...string) *process {
	r.t.Helper()
	program, err := exec.LookPath("dormant")
	if err != nil {
		r.t.Fatal(err)
	}
	log, err := os.CreateTemp(r.dir, args[0]+"-*.log")
	if err != nil {
		r.t.Fatal(err)
	}
	defer log.Close()
	p := &process{Cmd: exec.Command(program, args...), t: r.all, log: log.Name()}
	if prelude != "" {
		p.Cmd = exec.Command("sh", append([]string{"-ec", prelude + "\nexec \"$0\" \"$@\"", program}, args...)...)
		p.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	}
	p.Env = append(os.Environ(), "HOME="+r.dir, "XDG_STATE_HOME="+r.dir, "XDG_CONFIG_HOME="+r.dir)
	p.Stderr = log
	in.Do(func() { err = p.Start() })
	if err != nil {
		r.t.Fatal(err)
	}
	r.all.Cleanup(func() {
		p.kill()
		if r.all.Failed() {
			r.all.Logf("%v:\n%s", args, p.said())
		}
	})
	return p
}

// kill ends the process as SIGKILL does, if it has not ended.
func (p *process) kill() {
	if !p.over {
		p.over = true
		_ = p.Process.Kill()
		_ = p.Wait()
	}
}

// end tells the process to end and returns its exit code.
func (p *process) end() int {
	p.t.Helper()
	_ = p.Process.Signal(syscall.SIGTERM)
	return p.code()
}

// code waits for the end of the process.
func (p *process) code() int {
	p.t.Helper()
	p.over = true
	timer := time.AfterFunc(time.Minute, func() { _ = p.Process.Kill() }) // it hangs
	defer timer.Stop()
	return code(p.t, p.Cmd)
}

// said is what the process wrote to standard error.
func (p *process) said() string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// startServer starts the server and waits until it answers.
func (r *fleetRig) startServer(prelude string) {
	r.t.Helper()
	args := []string{"server", "--config", r.jobs, "--state", filepath.Join(r.dir, "srv")}
	if r.nats != "" {
		args = append(args, "--nats", r.nats, "--db", filepath.Join(r.dir, "history.db"))
	} else {
		args = append(args, "--listen", "0.0.0.0:4222", "--name", "10.90.1.1", "--name", "10.90.2.1")
	}
	r.server = r.run(r.hub, prelude, args...)
	r.state = filepath.Join(r.dir, "srv")
	if prelude != "" { // its mounts are its own
		r.state = fmt.Sprintf("/proc/%d/root%s", r.server.Process.Pid, r.state)
	}
	r.until("an answer of the server", func() bool {
		_, err := r.status()
		return err == nil
	})
	r.with(func(_ *nats.Conn, js jetstream.JetStream) {
		for _, s := range []*rigSite{r.hq, r.plant} {
			c := fleet.ConsumerConfig(s.place)
			c.AckWait = rigAckWait
			if _, err := js.UpdateConsumer(r.t.Context(), fleet.WorkStream, c); err != nil {
				r.t.Fatal(err)
			}
		}
	})
}

// enroll makes the agent of a site, by a token as a person would carry it.
func (r *fleetRig) enroll(s *rigSite) {
	r.t.Helper()
	token, err := exec.Command("dormant", "server", "token", "--state", r.state, "--quiet",
		"--agent", s.name, "--site", s.place.Site, "--vantage", s.place.Vantage).Output()
	if err != nil {
		r.t.Fatal(err)
	}
	p := r.run(s.here, "", "agent", "enroll", "--credential", filepath.Join(s.dir, "credential"), strings.TrimSpace(string(token)))
	if c := p.code(); c != exitOK {
		r.t.Fatalf("enroll: exit %d\n%s", c, p.said())
	}
}

// startAgent starts the agent of a site.
func (r *fleetRig) startAgent(s *rigSite) {
	r.t.Helper()
	s.agent = r.run(s.here, "", s.flags...)
}

// until waits for a condition.
func (r *fleetRig) until(what string, ok func() bool) {
	r.t.Helper()
	for end := time.Now().Add(90 * time.Second); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			r.t.Fatalf("within 90 s there was not: %s", what)
		}
	}
}

// dial connects to the broker with all permissions.
func (r *fleetRig) dial() (*nats.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if r.nats == "" {
		return broker.DialLocal(ctx, r.state, broker.Options{Name: "test", Log: slog.New(slog.DiscardHandler)})
	}
	return nats.Connect(r.nats, nats.SetCustomDialer(insideOf{r.hub}))
}

// insideOf dials inside a namespace.
type insideOf struct{ ns *netlab.NS }

// Dial makes it a nats.CustomDialer.
func (d insideOf) Dial(network, addr string) (c net.Conn, err error) {
	d.ns.Do(func() { c, err = net.DialTimeout(network, addr, 2*time.Second) })
	return c, err
}

// with calls fn with a connection that has all permissions.
func (r *fleetRig) with(fn func(*nats.Conn, jetstream.JetStream)) {
	r.t.Helper()
	conn, err := r.dial()
	if err != nil {
		r.t.Fatal(err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		r.t.Fatal(err)
	}
	fn(conn, js)
}

func (r *fleetRig) status() (fleet.Status, error) {
	conn, err := r.dial()
	if err != nil {
		return fleet.Status{}, err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return server.Operator{Conn: conn}.Status(ctx)
}

// start starts a job and returns its runs, by site.
func (r *fleetRig) start(job string) map[string]string {
	r.t.Helper()
	r.with(func(conn *nats.Conn, _ jetstream.JetStream) {
		if err := (server.Operator{Conn: conn}).Start(r.t.Context(), job); err != nil {
			r.t.Fatal(err)
		}
	})
	st, err := r.status()
	if err != nil {
		r.t.Fatal(err)
	}
	runs := map[string]string{}
	for i := range st.Runs {
		if x := &st.Runs[i]; x.Job == job && runs[x.Site] == "" { // the newest are first
			runs[x.Site] = x.ScanID
		}
	}
	return runs
}

// find returns what the server knows of a run.
func (r *fleetRig) find(run string) (fleet.RunStatus, bool) {
	st, err := r.status()
	if err != nil {
		return fleet.RunStatus{}, false
	}
	for i := range st.Runs {
		if st.Runs[i].ScanID == run {
			return st.Runs[i], true
		}
	}
	return fleet.RunStatus{}, false
}

// parts returns the messages of the result stream that carry results of the run.
func (r *fleetRig) parts(site *rigSite, run string) (all []*jetstream.RawStreamMsg) {
	r.t.Helper()
	r.with(func(_ *nats.Conn, js jetstream.JetStream) {
		s, err := js.Stream(r.t.Context(), fleet.ResultStream)
		if err != nil {
			r.t.Fatal(err)
		}
		for seq := uint64(1); ; seq++ {
			m, err := s.GetMsg(r.t.Context(), seq, jetstream.WithGetMsgSubject(site.place.RunResults(run)))
			if err != nil {
				return
			}
			seq = m.Sequence
			if d, err := fleet.Decode(m.Data); err == nil && d.Part != nil {
				all = append(all, m)
			}
		}
	})
	return all
}

// midShard waits until the first results of a run are with the server, and the
// run is not over.
func (r *fleetRig) midShard(site *rigSite, run string) {
	r.t.Helper()
	r.until("a first result", func() bool { return len(r.parts(site, run)) > 0 })
}

// inside returns what of the site lies in a subnet.
func (s *rigSite) inside(subnet string) map[string]string {
	found, p := map[string]string{}, netip.MustParsePrefix(subnet)
	for addr, service := range s.want {
		if p.Contains(netip.MustParseAddrPort(addr).Addr()) {
			found[addr] = service
		}
	}
	return found
}
