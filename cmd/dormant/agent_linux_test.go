package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"dormant/cmd/internal/broker"
	"dormant/cmd/internal/enroll"
	"dormant/cmd/internal/fleet"
	"dormant/registry"
	"dormant/scanner"
	"dormant/scanner/netlab"
)

// headquarters is what an agent needs of a server: authority, broker, streams,
// and one who answers hellos. It is outside the agent's network namespace, into
// which only its port is carried.
type headquarters struct {
	*enroll.Authority
	t    *testing.T
	js   jetstream.JetStream
	addr string // inside the namespace
}

func newHeadquarters(t *testing.T, ns *netlab.NS, place fleet.Place) *headquarters {
	t.Helper()
	dir, log := t.TempDir(), slog.New(slog.NewTextHandler(t.Output(), nil))
	a, err := enroll.Open(filepath.Join(dir, "enroll"))
	if err != nil {
		t.Fatal(err)
	}
	config, err := a.ServerTLS([]string{"127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	b, err := broker.New(broker.Config{Dir: filepath.Join(dir, "store"), Listen: "127.0.0.1:0", TLS: config, Gate: a, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- b.Run(ctx, func() { close(ready) }) }() // ends with ctx
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	select {
	case <-ready:
	case err := <-ended:
		ended <- err
		t.Fatal("the broker does not start")
	}
	boss, err := b.Dial(ctx, broker.Options{Log: log})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	serving, stop := context.WithCancel(ctx)
	go func() { served <- a.Serve(serving, boss, log) }() // ends with serving
	t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
		boss.Close()
	})
	h := &headquarters{Authority: a, t: t}
	if h.js, err = broker.Prepare(ctx, boss, broker.Streams{Places: []fleet.Place{place}, ResultBytes: 64 << 20}); err != nil {
		t.Fatal(err)
	}
	consumer := fleet.ConsumerConfig(place)
	consumer.AckWait = 12 * time.Second // longer than between two signs of life of an agent
	if _, err := h.js.CreateOrUpdateConsumer(ctx, fleet.WorkStream, consumer); err != nil {
		t.Fatal(err)
	}
	_, err = boss.Subscribe("dormant.hello.>", func(m *nats.Msg) {
		data, err := fleet.EncodeSmall(fleet.Welcome{Version: fleet.Version, Program: "test", Now: time.Now()})
		if err == nil {
			err = m.Respond(data)
		}
		if err != nil {
			t.Logf("welcome: %v", err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	h.addr = carry(t, ns, b.Addr().String())
	return h
}

// carry opens a port on the namespace's loopback that leads to addr outside.
func carry(t *testing.T, ns *netlab.NS, addr string) string {
	t.Helper()
	return serve(t, ns, "127.0.0.1:0", func(in net.Conn) {
		out, err := net.Dial("tcp", addr)
		if err != nil {
			return
		}
		done := make(chan struct{})
		go func() { // ends when either side hangs up
			defer close(done)
			_, _ = io.Copy(out, in)
			_ = out.Close()
		}()
		_, _ = io.Copy(in, out)
		_ = in.Close()
		<-done
	})
}

// serve listens inside the namespace until the test ends.
func serve(t *testing.T, ns *netlab.NS, addr string, handle func(net.Conn)) string {
	t.Helper()
	var l net.Listener
	var err error
	ns.Do(func() { l, err = net.Listen("tcp", addr) })
	if err != nil {
		t.Fatal(err)
	}
	go func() { // ends when the listener is closed, below
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { // ends with the connection
				defer c.Close()
				handle(c)
			}()
		}
	}()
	t.Cleanup(func() { _ = l.Close() })
	return l.Addr().String()
}

// put gives a shard out.
func (h *headquarters) put(s fleet.Shard) {
	h.t.Helper()
	data, err := fleet.EncodeShard(s)
	if err == nil {
		_, err = h.js.Publish(h.t.Context(), s.WorkSubject(), data)
	}
	if err != nil {
		h.t.Fatal(err)
	}
}

// read returns what is in the result stream for a shard.
// parts counts those with any answer.
func (h *headquarters) read(number int) (ends []*fleet.Done, open []string, banners string, parts int) {
	h.t.Helper()
	s, err := h.js.Stream(h.t.Context(), fleet.ResultStream)
	if err != nil {
		h.t.Fatal(err)
	}
	for seq := uint64(1); seq <= s.CachedInfo().State.LastSeq; seq++ {
		raw, err := s.GetMsg(h.t.Context(), seq)
		if err != nil {
			h.t.Fatal(err)
		}
		m, err := fleet.Decode(raw.Data)
		if err == nil {
			err = fleet.CheckOrigin(raw.Subject, m)
		}
		if err != nil {
			h.t.Fatal(err)
		}
		switch {
		case m.Done != nil && m.Done.Shard == number:
			ends = append(ends, m.Done)
		case m.Part != nil && m.Part.Shard == number:
			parts++
			for _, r := range m.Part.Results {
				if r.State != scanner.Open {
					continue
				}
				open = append(open, r.Target.String())
				if r.Evidence != nil {
					for _, x := range r.Evidence.Exchanges {
						banners += string(x.Received)
					}
				}
			}
		}
	}
	slices.Sort(open)
	return ends, slices.Compact(open), banners, parts
}

// await waits for something about the results of a shard.
func (h *headquarters) await(what string, number int, ok func(ends []*fleet.Done, parts int) bool) {
	h.t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		ends, open, _, parts := h.read(number)
		if ok(ends, parts) {
			return
		}
		if time.Now().After(end) {
			h.t.Fatalf("within a minute there was not: %s; ends %d, open %v", what, len(ends), open)
		}
	}
}

// TestAgentEndToEnd enrolls a real agent in a namespace of its own, lets it scan
// with the real engine over TLS, kills it in mid-shard, ends it in order, and
// revokes it.
func TestAgentEndToEnd(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	t.Parallel() // it waits, most of the time
	here, there := netlab.Pair(t, "scan0", "net0")
	here.Addr("scan0", "10.66.1.1/24")
	there.Addr("net0", "10.66.1.2/24", "10.66.1.10/24", "10.66.1.11/24", "10.66.1.13/24")
	greet := func(c net.Conn) { _, _ = io.WriteString(c, "SSH-2.0-OpenSSH_9.6\r\n"); _, _ = io.Copy(io.Discard, c) }
	serve(t, there, "10.66.1.10:3588", greet)
	there.Listen(netip.MustParseAddrPort("10.66.1.11:1947"), netip.MustParseAddrPort("10.66.1.13:1947"))
	want := []string{"10.66.1.10:3588/tcp", "10.66.1.11:1947/tcp"}
	heard := there.Capture("net0")

	place := fleet.Place{Site: "hq", Vantage: "lan"}
	h := newHeadquarters(t, here, place)
	token, _, err := h.NewToken(enroll.TokenFor{Agent: "hq-1", Site: place.Site, Vantages: []string{place.Vantage}, Servers: []string{h.addr}})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	never := filepath.Join(dir, "never.txt")
	if err := os.WriteFile(never, []byte("10.66.1.13 # fragile\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	start := func(args ...string) (*exec.Cmd, *bytes.Buffer) {
		t.Helper()
		cmd := exec.Command("dormant", append([]string{"agent"}, args...)...)
		cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_STATE_HOME="+dir, "XDG_CONFIG_HOME="+dir)
		said := &bytes.Buffer{}
		cmd.Stderr = said
		var err error
		here.Do(func() { err = cmd.Start() })
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait(); t.Logf("agent %v:\n%s", args, said) })
		return cmd, said
	}
	enrolled, said := start("enroll", token)
	if c := code(t, enrolled); c != 0 {
		t.Fatalf("enroll: exit %d\n%s", c, said)
	}
	s := fleet.Shard{
		Version: fleet.Version, Run: "s_e2e", Job: "test", Number: 1, Of: 9, Place: place, Prefixes: []netip.Prefix{netip.MustParsePrefix("10.66.1.0/27")},
		Ports: []registry.Port{{Number: 1947, Proto: registry.TCP}, {Number: 3588, Proto: registry.TCP}, {Number: 1947, Proto: registry.UDP}}, Seed: 1, Rate: 5000, HostRate: 1000, Retries: 1,
	}
	first, _ := start("--never-scan", never)
	h.put(s)
	h.await("the end of the shard", 1, func(ends []*fleet.Done, _ int) bool { return len(ends) > 0 })
	ends, open, banners, _ := h.read(1)
	if d := cmp.Diff(want, open); d != "" {
		t.Errorf("open ports (-want +got):\n%s", d)
	}
	if !strings.Contains(banners, "OpenSSH_9.6") {
		t.Errorf("the dialogues brought %q, want the banner of the SSH server", banners)
	}
	if e := ends[0]; e.Fault != "" || !e.Outcome.Scan.Complete || e.Agent != "hq-1" || e.Backend == "" || len(e.Spared) != 1 || e.Outcome.Scan.Targets != 31*3 {
		t.Errorf("Done = %+v, want it complete, without the one that is spared", e)
	}

	s.Number, s.Rate, s.Retries = 2, 15, 0 // six seconds
	h.put(s)
	h.await("a first result", 2, func(_ []*fleet.Done, parts int) bool { return parts > 0 })
	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = code(t, first)
	if ends, _, _, _ := h.read(2); len(ends) != 0 {
		t.Error("the agent was killed after the end of the shard, not in the middle")
	}
	second, _ := start("--never-scan", never, "--rate", "100000")
	h.await("the end of the shard after a kill", 2, func(ends []*fleet.Done, _ int) bool { return len(ends) == 1 && ends[0].Fault == "" })
	if _, open, _, _ = h.read(2); !slices.Equal(open, want) {
		t.Errorf("after a kill %v are open, want %v", open, want)
	}
	s.Number = 3 // and one in which the agent is told to end
	h.put(s)
	h.await("a first result", 3, func(_ []*fleet.Done, parts int) bool { return parts > 0 })
	_ = second.Process.Signal(syscall.SIGTERM)
	if c := code(t, second); c != 0 {
		t.Errorf("SIGTERM: exit %d, want 0", c)
	}
	if ends, open, _, _ := h.read(3); len(ends) != 1 || ends[0].Fault != "" || !slices.Equal(open, want) {
		t.Errorf("%d ends, %v open: want the shard finished within the grace", len(ends), open)
	}

	twice, said := start("--never-scan", never, "--rate", "10") // also the questions for neighbours keep to it
	s.Number = 4
	h.put(s)
	h.await("a first result", 4, func(_ []*fleet.Done, parts int) bool { return parts > 0 })
	_ = twice.Process.Signal(syscall.SIGTERM)
	time.Sleep(300 * time.Millisecond) // two at the same moment may be one
	_ = twice.Process.Signal(syscall.SIGTERM)
	if c := code(t, twice); c != exitInterrupted || !strings.Contains(said.String(), "told twice to end") {
		t.Errorf("SIGTERM twice: exit %d, want %d\n%s", c, exitInterrupted, said)
	}

	third, said := start("--never-scan", never)
	time.Sleep(time.Second)
	if err := h.Revoke("hq-1"); err != nil {
		t.Fatal(err)
	}
	if c := code(t, third); c != exitPrivilege || !strings.Contains(said.String(), "refuses the credential") {
		t.Errorf("revoked: exit %d, want %d and a line that says so:\n%s", c, exitPrivilege, said)
	}
	fourth, said := start("--never-scan", never)
	if c := code(t, fourth); c != exitPrivilege || !strings.Contains(said.String(), "refuses the credential") {
		t.Errorf("started with a revoked credential: exit %d, want %d and a line that says so:\n%s", c, exitPrivilege, said)
	}
	for _, frame := range heard.Frames() {
		p := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.NoCopy)
		if ip, ok := p.NetworkLayer().(*layers.IPv4); ok && ip.DstIP.String() == "10.66.1.13" {
			t.Error("a packet went to the address of the never-scan list")
		}
	}
}
