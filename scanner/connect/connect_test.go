package connect

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"

	"dormant/registry"
	"dormant/scanner"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// hear sends probes through b and returns what came back within wait after the
// last one was taken, ordered by target.
func hear(t testing.TB, b *Backend, wait time.Duration, probes ...scanner.Probe) []scanner.Observation {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var got []scanner.Observation
	var answered atomic.Int64
	received := make(chan error, 1)
	go func() { // ends with ctx; got is read after that
		received <- b.Receive(ctx, func(o scanner.Observation) {
			got = append(got, o)
			answered.Add(1)
		})
	}()
	if n, err := b.Send(ctx, probes); n != len(probes) || err != nil {
		t.Fatalf("Send = %d, %v; want %d, nil", n, err, len(probes))
	}
	for end := time.Now().Add(wait); time.Now().Before(end) && answered.Load() < int64(len(probes)); {
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-received; err != nil {
		t.Errorf("Receive = %v, want nil", err)
	}
	if n, err := b.Send(t.Context(), probes); n != 0 || !errors.Is(err, ErrEnded) {
		t.Errorf("Send after the end = %d, %v; want 0, %v", n, err, ErrEnded)
	}
	slices.SortFunc(got, func(a, b scanner.Observation) int { return a.Target.Compare(b.Target) })
	return got
}

func fresh(t testing.TB, cfg Config) *Backend {
	t.Helper()
	b, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// peers are listeners on one loopback address, closed with the test.
type peers struct{ openTCP, closedTCP, replyUDP, closedUDP, silentUDP scanner.Target }

func listen(t testing.TB, addr string) peers {
	t.Helper()
	tcp := func() (net.Listener, scanner.Target) {
		l, err := net.Listen("tcp", net.JoinHostPort(addr, "0"))
		if err != nil {
			t.Skipf("no %s here: %v", addr, err)
		}
		return l, target(registry.TCP, l.Addr())
	}
	udp := func() (net.PacketConn, scanner.Target) {
		c, err := net.ListenPacket("udp", net.JoinHostPort(addr, "0"))
		if err != nil {
			t.Fatal(err)
		}
		return c, target(registry.UDP, c.LocalAddr())
	}
	open, openTarget := tcp()
	closed, closedTarget := tcp()
	reply, replyTarget := udp()
	silent, silentTarget := udp()
	closedPacket, closedUDPTarget := udp()
	closed.Close()
	closedPacket.Close()
	t.Cleanup(func() { open.Close(); reply.Close(); silent.Close() })
	go func() { // ends when reply is closed: says back what it hears, in capitals
		buf := make([]byte, 512)
		for {
			n, from, err := reply.ReadFrom(buf)
			if err != nil {
				return
			}
			reply.WriteTo(append([]byte("HEARD "), buf[:n]...), from)
		}
	}()
	return peers{openTarget, closedTarget, replyTarget, closedUDPTarget, silentTarget}
}

func target(proto registry.Proto, a net.Addr) scanner.Target {
	ap := netip.MustParseAddrPort(a.String())
	return scanner.Target{Addr: ap.Addr(), Port: registry.Port{Number: ap.Port(), Proto: proto}}
}

// askers are both ways to ask on this system; one file tests them alike.
func askers(t testing.TB) map[string]asker {
	native, err := newAsker(Config{})
	if err != nil {
		t.Fatal(err)
	}
	return map[string]asker{"native": native, "dialer": newDialer(netip.Addr{})}
}

func TestLoopback(t *testing.T) {
	for name, asker := range askers(t) {
		for _, addr := range []string{"127.0.0.1", "127.7.7.7", "::1"} {
			t.Run(name+"/"+addr, func(t *testing.T) {
				p := listen(t, addr)
				b := fresh(t, Config{})
				b.asker = asker
				got := hear(t, b, 300*time.Millisecond,
					scanner.Probe{Target: p.openTCP},
					scanner.Probe{Target: p.closedTCP, Attempt: 2},
					scanner.Probe{Target: p.replyUDP, Payload: []byte("you")},
					scanner.Probe{Target: p.closedUDP},
					scanner.Probe{Target: p.silentUDP},
				)
				from := netip.MustParseAddr(addr)
				want := []scanner.Observation{
					{Target: p.openTCP, State: scanner.Open, Reason: scanner.SynAck, From: from},
					{Target: p.closedTCP, State: scanner.Closed, Reason: scanner.Rst, From: from, Attempt: 2},
					{Target: p.replyUDP, State: scanner.Open, Reason: scanner.UDPReply, From: from, Payload: []byte("HEARD you")},
					{Target: p.closedUDP, State: scanner.Closed, Reason: scanner.ICMPPortUnreachable, From: from},
				}
				slices.SortFunc(want, func(a, b scanner.Observation) int { return a.Target.Compare(b.Target) })
				ignore := cmpopts.IgnoreFields(scanner.Observation{}, "RTT", "At", "TTL", "Window")
				if d := cmp.Diff(want, got, ignore, cmpopts.EquateComparable(netip.Addr{})); d != "" {
					t.Errorf("observations (-want +got):\n%s", d)
				}
				for _, o := range got {
					if o.RTT <= 0 || o.RTT > time.Second || time.Since(o.At) > time.Minute {
						t.Errorf("%v: RTT %v, At %v; want a measured one", o.Target, o.RTT, o.At)
					}
				}
				if c := b.Counters(); c.Frames != 4 || c.SendErrors != 0 {
					t.Errorf("counters = %+v, want 4 answers and no error", c)
				}
			})
		}
	}
}

// A server that speaks first must see our FIN and no reset.
func TestOrderlyClose(t *testing.T) {
	for name, asker := range askers(t) {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			served := make(chan error, 1)
			go func() { // ends with the first connection
				c, err := l.Accept()
				if err != nil {
					served <- err
					return
				}
				defer c.Close()
				fmt.Fprint(c, "220 speaks first\r\n")
				n, err := c.Read(make([]byte, 1))
				if n != 0 || err == nil {
					err = fmt.Errorf("read %d bytes, %v", n, err)
				}
				served <- err
			}()
			b := fresh(t, Config{})
			b.asker = asker
			hear(t, b, time.Second, scanner.Probe{Target: target(registry.TCP, l.Addr())})
			if err := <-served; err == nil || err.Error() != "EOF" {
				t.Errorf("the server saw %v, want EOF", err)
			}
		})
	}
}

// A server that keeps the connection is left after a round trip and farewell.
func TestFarewellEnds(t *testing.T) {
	for name, asker := range askers(t) {
		t.Run(name, func(t *testing.T) {
			p := listen(t, "127.0.0.1") // accepts in the kernel, never closes
			a, err := asker.ask(t.Context(), scanner.Probe{Target: p.openTCP}, time.Second)
			if took := time.Since(a.at); err != nil || a.reason != scanner.SynAck || took < farewell || took > farewell+time.Second {
				t.Errorf("ask = %v, %v after %v; want syn-ack after %v", a.reason, err, took, farewell)
			}
		})
	}
}

// A server that closes without a word, and one that never stops talking, do not hold
// the try either.
func TestFarewellIsBounded(t *testing.T) {
	for name, asker := range askers(t) {
		for what, serve := range map[string]func(c net.Conn){
			"silent": func(net.Conn) {},
			"endless": func(c net.Conn) {
				for words := make([]byte, 1<<16); ; {
					if _, err := c.Write(words); err != nil {
						return
					}
				}
			},
		} {
			t.Run(name+"/"+what, func(t *testing.T) {
				l, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				defer l.Close()
				go func() { // ends with the first connection
					if c, err := l.Accept(); err == nil {
						serve(c)
						c.Close()
					}
				}()
				ended := make(chan error, 1)
				go func() { // ends when the try does
					_, err := asker.ask(t.Context(), scanner.Probe{Target: target(registry.TCP, l.Addr())}, time.Second)
					ended <- err
				}()
				select {
				case err := <-ended:
					if err != nil {
						t.Errorf("ask = %v", err)
					}
				case <-time.After(20 * time.Second):
					t.Error("the try did not end")
				}
			})
		}
	}
}

// fake answers as a func says; its errors are faults of this side.
type fake func(ctx context.Context, p scanner.Probe, wait time.Duration) (answer, error)

func (f fake) ask(ctx context.Context, p scanner.Probe, wait time.Duration) (answer, error) {
	return f(ctx, p, wait)
}

func (f fake) awaits(netip.Addr) bool { return true }

// A far host is heard among near ones, also by a run whose probes are soon sent.
func TestFarAmongNear(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far := netip.MustParseAddr("10.0.0.7")
		b := fresh(t, Config{})
		b.asker = fake(func(ctx context.Context, p scanner.Probe, wait time.Duration) (answer, error) {
			rtt := time.Millisecond
			if p.Addr == far {
				rtt = 1500 * time.Millisecond // more than the first try's patience
			}
			if scanner.Sleep(ctx, min(rtt, wait)) != nil || rtt > wait {
				return answer{}, nil
			}
			return answer{reason: scanner.Rst, from: p.Addr, rtt: rtt, at: time.Now()}, nil
		})
		engine, err := scanner.New(b, scanner.Config{Rate: 1000, Retries: 2})
		if err != nil {
			t.Fatal(err)
		}
		plan, err := scanner.NewPlan([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/28")}, []registry.Port{probe().Port}, 1)
		if err != nil {
			t.Fatal(err)
		}
		if s, err := engine.Run(t.Context(), plan, func(scanner.Observation) {}); err != nil || s.Closed != 16 || s.Loss.Late != 0 {
			t.Errorf("Run = %+v, %v; want 16 closed, and nothing lost", s, err)
		}
	})
}

func probe() scanner.Probe {
	return scanner.Probe{Target: scanner.Target{Addr: netip.MustParseAddr("10.0.0.1"), Port: registry.Port{Number: 1947, Proto: registry.TCP}}}
}

func TestLocalFaults(t *testing.T) {
	synAck := answer{reason: scanner.SynAck}
	for _, tt := range []struct {
		name   string
		err    error
		times  int // that err comes before synAck
		want   scanner.Reason
		errors uint64
		took   time.Duration // at most
	}{
		{"a descriptor comes free", syscall.EMFILE, 4, scanner.SynAck, 0, 15 * time.Millisecond},
		{"a buffer comes free", fmt.Errorf("connect: send: %w", syscall.ENOBUFS), 1, scanner.SynAck, 0, time.Millisecond},
		{"connected to itself", errSelf, 1, scanner.SynAck, 0, time.Millisecond},
		{"no descriptor ever", syscall.EMFILE, 1 << 20, scanner.LocalError, 1, localPatience + 100*time.Millisecond},
		{"no route", syscall.ENETUNREACH, 1 << 20, scanner.LocalError, 1, 0},
		{"forbidden", syscall.EPERM, 1 << 20, scanner.LocalError, 1, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := fresh(t, Config{})
				tries := 0
				b.asker = fake(func(context.Context, scanner.Probe, time.Duration) (answer, error) {
					if tries++; tries <= tt.times {
						return answer{}, tt.err
					}
					return synAck, nil
				})
				started := time.Now()
				r := b.try(t.Context(), probe())
				if took := time.Since(started); r.observation.Reason != tt.want || took > tt.took {
					t.Errorf("try = %v after %v; want %v within %v", r.observation.Reason, took, tt.want, tt.took)
				}
				if r.observation.Reason == scanner.LocalError && r.observation.State != scanner.Unknown {
					t.Errorf("state = %v, want unknown", r.observation.State)
				}
				c := b.Counters()
				if c.SendErrors != tt.errors || c.SendRetry == 0 && tt.took > 0 {
					t.Errorf("counters = %+v, want %d errors", c, tt.errors)
				}
			})
		})
	}
}

func TestInFlightBoundsSend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := fresh(t, Config{InFlight: 3})
		var now, most atomic.Int64
		b.asker = fake(func(ctx context.Context, _ scanner.Probe, _ time.Duration) (answer, error) {
			most.Store(max(most.Load(), now.Add(1)))
			defer now.Add(-1)
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
			}
			return answer{}, nil
		})
		ctx, cancel := context.WithCancel(t.Context())
		received := make(chan error, 1)
		go func() { received <- b.Receive(ctx, func(scanner.Observation) {}) }() // ends with ctx
		started := time.Now()
		if n, err := b.Send(ctx, slices.Repeat([]scanner.Probe{probe()}, 10)); n != 10 || err != nil {
			t.Errorf("Send = %d, %v; want 10, nil", n, err)
		}
		if took := time.Since(started); took != 3*time.Second || most.Load() != 3 {
			t.Errorf("10 probes of 1 s with 3 in flight took %v, %d at once; want 3s, 3", took, most.Load())
		}

		short, stop := context.WithTimeout(ctx, 100*time.Millisecond)
		defer stop()
		if n, err := b.Send(short, slices.Repeat([]scanner.Probe{probe()}, 10)); n != 2 || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Send without room = %d, %v; want 2, deadline exceeded", n, err)
		}
		cancel()
		if err := <-received; err != nil || now.Load() != 0 {
			t.Errorf("Receive = %v with %d tries left; want nil, 0", err, now.Load())
		}
	})
}

// What was heard when the context ends is still told; what was not is not.
func TestEndOfReceive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := fresh(t, Config{})
		b.asker = fake(func(ctx context.Context, p scanner.Probe, _ time.Duration) (answer, error) {
			<-ctx.Done()
			if p.Attempt == 1 {
				return answer{reason: scanner.SynAck}, nil
			}
			return answer{}, errors.New("cut short")
		})
		ctx, cancel := context.WithCancel(t.Context())
		var got []scanner.Observation
		received := make(chan error, 1)
		go func() { // ends with ctx
			received <- b.Receive(ctx, func(o scanner.Observation) { got = append(got, o) })
		}()
		heard := probe()
		heard.Attempt = 1
		if _, err := b.Send(ctx, []scanner.Probe{probe(), heard, probe()}); err != nil {
			t.Fatal(err)
		}
		cancel()
		if err := <-received; err != nil || len(got) != 1 || got[0].State != scanner.Open {
			t.Errorf("Receive = %v, emitted %v; want nil and the open one", err, got)
		}
	})
}

func TestPatience(t *testing.T) {
	b := fresh(t, Config{Timeout: 100 * time.Millisecond})
	var got []time.Duration
	b.asker = fake(func(_ context.Context, _ scanner.Probe, wait time.Duration) (answer, error) {
		got = append(got, wait)
		return answer{}, nil
	})
	for attempt := range uint8(6) {
		p := probe()
		p.Attempt = attempt
		b.try(t.Context(), p)
	}
	const ms = time.Millisecond
	if d := cmp.Diff([]time.Duration{100 * ms, 200 * ms, 300 * ms, 400 * ms, 400 * ms, 400 * ms}, got); d != "" {
		t.Errorf("wait by attempt (-want +got):\n%s", d)
	}
}

func TestRefusedProbes(t *testing.T) {
	for name, asker := range askers(t) {
		for _, tt := range []struct {
			name  string
			probe scanner.Probe
		}{
			{"long payload", scanner.Probe{Target: target(registry.UDP, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9}), Payload: make([]byte, 257)}},
			{"no transport", scanner.Probe{Target: target(0, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9})}},
			{"link-local without zone", scanner.Probe{Target: target(registry.TCP, &net.UDPAddr{IP: net.ParseIP("fe80::1"), Port: 9})}},
		} {
			t.Run(name+"/"+tt.name, func(t *testing.T) {
				b := fresh(t, Config{})
				b.asker = asker
				got := hear(t, b, time.Second, tt.probe)
				if len(got) != 1 || got[0].State != scanner.Unknown || got[0].Reason != scanner.LocalError || b.Counters().SendErrors != 1 {
					t.Errorf("observations = %v, counters %+v; want one local-error", got, b.Counters())
				}
			})
		}
	}
}

func TestSource(t *testing.T) {
	source := netip.MustParseAddr("127.0.0.9")
	b := fresh(t, Config{Source: source})
	for name, asker := range map[string]asker{"native": b.asker, "dialer": newDialer(source)} {
		t.Run(name, func(t *testing.T) {
			datagrams, err := net.ListenPacket("udp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer datagrams.Close()
			connections, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer connections.Close()
			b := fresh(t, Config{})
			b.asker = asker
			tcp := target(registry.TCP, connections.Addr())
			v6 := scanner.Target{Addr: netip.IPv6Loopback(), Port: tcp.Port}
			got := hear(t, b, 500*time.Millisecond, scanner.Probe{Target: target(registry.UDP, datagrams.LocalAddr())}, scanner.Probe{Target: tcp}, scanner.Probe{Target: v6})
			if len(got) != 2 || got[0].State != scanner.Open || got[1].Reason != scanner.LocalError {
				t.Errorf("observations = %v, want open, and a local-error for the other family", got)
			}
			datagrams.SetReadDeadline(time.Now().Add(time.Second))
			if _, from, err := datagrams.ReadFrom(make([]byte, 1)); err != nil || netip.MustParseAddrPort(from.String()).Addr() != source {
				t.Errorf("datagram came from %v, %v; want %v", from, err, source)
			}
			c, err := connections.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if from := netip.MustParseAddrPort(c.RemoteAddr().String()).Addr(); from != source {
				t.Errorf("connection came from %v, want %v", from, source)
			}
		})
	}
}

func TestNewRefuses(t *testing.T) {
	for _, tt := range []struct {
		name string
		cfg  Config
	}{
		{"negative timeout", Config{Timeout: -1}},
		{"negative in flight", Config{InFlight: -1}},
		{"somebody else's source", Config{Source: netip.MustParseAddr("192.0.2.1")}},
		{"no such interface", Config{Interface: "nosuch0"}},
	} {
		if b, err := New(tt.cfg); err == nil {
			t.Errorf("%s: New = %+v, want an error", tt.name, b)
		} else {
			t.Log(err)
		}
	}
}

func TestInFlight(t *testing.T) {
	for _, tt := range []struct {
		want  int
		limit uint64
		out   int
	}{
		{0, 1024, 768}, {0, 1 << 20, maxInFlight}, {0, ^uint64(0), maxInFlight}, {100, 1024, 100}, {5000, 1024, 768}, {0, 1, 1}, {0, 0, 1},
	} {
		if got := inFlight(tt.want, tt.limit); got != tt.out {
			t.Errorf("inFlight(%d, %d) = %d, want %d", tt.want, tt.limit, got, tt.out)
		}
	}
}
