package scanner_test

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/time/rate"

	"dormant/registry"
	"dormant/scanner"
	"dormant/scanner/fakenet"
)

type states = map[scanner.Target]scanner.State

func target(addr, port string) scanner.Target {
	p, err := registry.ParsePort(port)
	if err != nil {
		panic(err) // a test's own literal
	}
	return scanner.Target{Addr: netip.MustParseAddr(addr), Port: p}
}

func dozen() []registry.Port {
	var all []registry.Port
	for _, n := range []uint16{475, 1947, 3047, 3588, 3712, 5093} {
		all = append(all, registry.Port{Number: n, Proto: registry.TCP}, registry.Port{Number: n, Proto: registry.UDP})
	}
	return all
}

func plan(t testing.TB, ports []registry.Port, prefixes ...string) *scanner.Plan {
	t.Helper()
	var all []netip.Prefix
	for _, p := range prefixes {
		all = append(all, netip.MustParsePrefix(p))
	}
	made, err := scanner.NewPlan(all, ports, 1)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// run runs the engine and returns the emitted observations in order.
func run(t testing.TB, ctx context.Context, b scanner.Backend, cfg scanner.Config, p *scanner.Plan) ([]scanner.Observation, scanner.Summary, error) {
	t.Helper()
	engine, err := scanner.New(b, cfg)
	if err != nil {
		t.Fatal(err)
	}
	var got []scanner.Observation
	s, err := engine.Run(ctx, p, func(o scanner.Observation) { got = append(got, o) })
	return got, s, err
}

// sums reports a complete summary whose targets do not add up.
func sums(t *testing.T, s scanner.Summary) {
	t.Helper()
	if n := s.Open + s.Closed + s.Filtered + s.OpenFiltered + s.Unreachable + s.Unknown; n != s.Targets {
		t.Errorf("states sum to %d, want %d targets", n, s.Targets)
	}
}

func TestEveryStateOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		open, closed, filtered := target("10.0.0.1", "1947/tcp"), target("10.0.0.1", "475/tcp"), target("10.0.0.2", "1947/tcp")
		reply, refused := target("10.0.0.1", "5093/udp"), target("10.0.0.1", "1947/udp")
		n := fakenet.New(states{open: scanner.Open, closed: scanner.Closed, filtered: scanner.Filtered,
			reply: scanner.Open, refused: scanner.Closed, target("10.0.0.2", "5093/udp"): scanner.Unreachable}, 10*time.Millisecond)
		ports := []registry.Port{open.Port, closed.Port, reply.Port, refused.Port}
		got, s, err := run(t, t.Context(), n, scanner.Config{
			Rate: 1000, Retries: 1, Silent: true,
			Payload: func(p registry.Port) []byte { return []byte(p.String()) },
		}, plan(t, ports, "10.0.0.1/32", "10.0.0.2/32"))
		if err != nil {
			t.Fatal(err)
		}
		slices.SortFunc(got, func(a, b scanner.Observation) int { return a.Target.Compare(b.Target) })
		a1, a2, rtt := open.Addr, filtered.Addr, 10*time.Millisecond
		want := []scanner.Observation{
			{Target: closed, State: scanner.Closed, Reason: scanner.Rst, From: a1, TTL: 64, RTT: rtt, Sent: 1},
			{Target: open, State: scanner.Open, Reason: scanner.SynAck, From: a1, TTL: 64, RTT: rtt, Sent: 1},
			{Target: refused, State: scanner.Closed, Reason: scanner.ICMPPortUnreachable, From: a1, TTL: 64, RTT: rtt, Sent: 1},
			{Target: reply, State: scanner.Open, Reason: scanner.UDPReply, From: a1, TTL: 64, RTT: rtt, Sent: 1, Payload: []byte("re:5093/udp")},
			{Target: target("10.0.0.2", "475/tcp"), State: scanner.Filtered, Reason: scanner.NoResponse, Sent: 2},
			{Target: filtered, State: scanner.Filtered, Reason: scanner.ICMPAdminProhibited, From: fakenet.Router(), TTL: 255, RTT: rtt, Sent: 1},
			{Target: target("10.0.0.2", "1947/udp"), State: scanner.OpenFiltered, Reason: scanner.NoResponse, Sent: 2},
			{Target: target("10.0.0.2", "5093/udp"), State: scanner.Unreachable, Reason: scanner.ICMPHostUnreachable, From: fakenet.Router(), TTL: 255, RTT: rtt, Sent: 1},
		}
		opts := cmp.Options{cmpopts.EquateComparable(netip.Addr{}), cmpopts.IgnoreFields(scanner.Observation{}, "At")}
		if d := cmp.Diff(want, got, opts); d != "" {
			t.Errorf("observations of %v, %v (-want +got):\n%s", a1, a2, d)
		}
		sums(t, s)
		wantSum := scanner.Summary{
			Targets: 8, Addresses: 2, Probes: 10, Retries: 2, Open: 2, Closed: 2, Filtered: 2, OpenFiltered: 1, Unreachable: 1,
			HostsAlive: 1, MaxHalfOpen: 4, MostToHost: 6, MostBytesToHost: 288, Loss: &scanner.Loss{Answers: 3, Recall: 1}, Parts: 1, Cooldown: 200 * time.Millisecond, Complete: true, Counters: scanner.Counters{Frames: 6},
		}
		if d := cmp.Diff(wantSum, s, cmpopts.IgnoreFields(scanner.Summary{}, "Started", "Finished", "Rate")); d != "" {
			t.Errorf("summary (-want +got):\n%s", d)
		}
	})
}

func TestExactDurations(t *testing.T) {
	one := []registry.Port{{Number: 1947, Proto: registry.TCP}}
	for _, tt := range []struct {
		name     string
		cfg      scanner.Config
		prefix   string
		rtt      time.Duration
		answer   bool
		want     time.Duration
		wantSent int
	}{
		{"one answer ends the run", scanner.Config{Rate: 1}, "10.0.0.1/32", time.Second, true, time.Second, 1},
		{"an answer later than the blind wait is lost", scanner.Config{Rate: 1}, "10.0.0.1/32", 2 * time.Second, true, time.Second, 1},
		{"silence, no retry", scanner.Config{Rate: 1000}, "10.0.0.1/32", 0, false, time.Second, 1},
		{"silence, two retries half a second apart", scanner.Config{Rate: 1000, Retries: 2}, "10.0.0.1/32", 0, false, 2 * time.Second, 3},
		{"256 at 32 a second with a burst of 2, then 8 s", scanner.Config{Rate: 32, Cooldown: 8 * time.Second}, "10.0.0.0/24", 0, false,
			254*time.Second/32 + 8*time.Second, 256},
		{"256 at 1000 a second with a burst of 20", scanner.Config{Rate: 1000, Cooldown: time.Second}, "10.0.0.0/24", 0, false,
			236*time.Millisecond + time.Second, 256},
		{"as fast as the backend", scanner.Config{Rate: rate.Inf, Cooldown: time.Second}, "10.0.0.0/24", 0, false, time.Second, 256},
		{"longest cooldown bounds the blind wait", scanner.Config{Rate: rate.Inf, MaxCooldown: time.Second / 4}, "10.0.0.0/24", 0, false, time.Second / 4, 256},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				answers := states{}
				if tt.answer {
					answers[target("10.0.0.1", "1947/tcp")] = scanner.Open
				}
				n := fakenet.New(answers, tt.rtt)
				_, s, err := run(t, t.Context(), n, tt.cfg, plan(t, one, tt.prefix))
				if err != nil || !s.Complete {
					t.Fatalf("Run = %+v, %v; want complete", s, err)
				}
				sums(t, s)
				if d := s.Finished.Sub(s.Started); d != tt.want || n.Total() != tt.wantSent {
					t.Errorf("%d probes in %v, want %d in %v", n.Total(), d, tt.wantSent, tt.want)
				}
			})
		})
	}
}

// lossy is a routed /20 with 512 live hosts of which each has four open ports.
func lossy() states {
	truth := states{}
	for i := range 512 {
		addr := netip.AddrFrom4([4]byte{10, 0, byte(i / 32), byte(i%32*8 + 1)})
		for n, port := range dozen() {
			truth[scanner.Target{Addr: addr, Port: port}] = []scanner.State{scanner.Closed, scanner.Closed, scanner.Open}[n%3]
		}
	}
	return truth
}

func TestLossIsMadeGood(t *testing.T) {
	for _, tt := range []struct {
		retries  int
		min, max float64
	}{
		{0, 0.94, 0.98},  // 0.98² arrive: the loss is there
		{2, 0.999, 1.00}, // (1-0.98²)³ is 6e-5
	} {
		t.Run(fmt.Sprint(tt.retries, " retries"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				truth := lossy()
				n := fakenet.New(truth, 30*time.Millisecond)
				n.Loss, n.Duplicate = 0.02, 0.01
				got, s, err := run(t, t.Context(), n, scanner.Config{Rate: 5000, Retries: tt.retries}, plan(t, dozen(), "10.0.0.0/20"))
				if err != nil || !s.Complete {
					t.Fatalf("Run = %+v, %v; want complete", s, err)
				}
				sums(t, s)
				found, wrong := 0, 0
				for _, o := range got {
					if o.State != truth[o.Target] {
						wrong++
					}
					if o.State == scanner.Open {
						found++
					}
				}
				recall := float64(found) / (512 * 4)
				if recall < tt.min || recall > tt.max || wrong > 0 || s.Counters.Duplicate == 0 {
					t.Errorf("recall %.5f, %d wrong, %d duplicates; want %v to %v, 0, some", recall, wrong, s.Counters.Duplicate, tt.min, tt.max)
				}
			})
		})
	}
}

// TestOnLinkSweep is the job of every day: a /24 with twelve ports and 20 live
// hosts, one of whose UDP services keeps silent, at the default rates.
func TestOnLinkSweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		truth := states{}
		var neighbours []netip.Addr
		for i := range 20 {
			addr := netip.AddrFrom4([4]byte{10, 0, 0, byte(i*12 + 3)})
			neighbours = append(neighbours, addr)
			for n, port := range dozen() {
				truth[scanner.Target{Addr: addr, Port: port}] = []scanner.State{scanner.Closed, scanner.Closed, scanner.Open}[n%3]
			}
		}
		truth[target("10.0.0.3", "5093/udp")] = scanner.OpenFiltered
		network := fakenet.New(truth, time.Millisecond)
		network.ICMPBurst, network.ICMPEvery = 6, time.Second
		link := fakenet.NewLink(network, neighbours...)
		got, s, err := run(t, t.Context(), link, scanner.Config{Rate: 1000, Retries: 2, Silent: true}, plan(t, dozen(), "10.0.0.0/24"))
		if err != nil || !s.Complete {
			t.Fatalf("Run = %+v, %v; want complete", s, err)
		}
		sums(t, s)
		for _, o := range got {
			want, known := truth[o.Target]
			if !known {
				want = scanner.Unreachable
			}
			if o.State != want || o.Reason == scanner.ARPNoReply == known {
				t.Errorf("%v = %v, %v; want %v", o.Target, o.State, o.Reason, want)
			}
		}
		if uint64(len(got)) != s.Targets || s.Skipped != 236*12 || s.Probes != 240+2 {
			t.Errorf("%d emitted, summary %+v; want 3072, 2832 skipped, 242 probes", len(got), s)
		}
		if d := s.Finished.Sub(s.Started); d > 1600*time.Millisecond {
			t.Errorf("sweep took %v, want at most 1.6s", d)
		} else {
			t.Logf("sweep took %v, %d requests, %d probes", d, s.Counters.ARPSent, s.Probes)
		}
		hostRateKept(t, network, neighbours, 20)
	})
}

// hostRateKept checks every second in the life of every host.
func hostRateKept(t *testing.T, n *fakenet.Network, hosts []netip.Addr, perSecond int) {
	t.Helper()
	burst := max(1, perSecond/4)
	for _, host := range hosts {
		var all []time.Time
		for _, port := range dozen() {
			all = append(all, n.Sent(scanner.Target{Addr: host, Port: port})...)
		}
		slices.SortFunc(all, time.Time.Compare)
		for i := range all {
			for j := i; j < len(all); j++ {
				d := all[j].Sub(all[i])
				// 10 ms: the probes of one batch wait for the total rate together
				if allowed := burst + int((d+10*time.Millisecond)*time.Duration(perSecond)/time.Second); j-i+1 > allowed {
					t.Fatalf("%v got %d probes within %v, want at most %d", host, j-i+1, d, allowed)
				}
			}
		}
	}
}

// TestLossyLinkInIPv6 loses requests and probes of an on-link IPv6 network.
func TestLossyLinkInIPv6(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		truth := states{}
		p := plan(t, dozen(), "fd00:1::/120")
		var neighbours []netip.Addr
		for addr := range p.Addresses() {
			if last := addr.As16()[15]; last%4 == 1 {
				neighbours = append(neighbours, addr)
				truth[scanner.Target{Addr: addr, Port: dozen()[last%12]}] = scanner.Open
			}
		}
		n := fakenet.New(truth, time.Millisecond)
		n.Loss = 0.02
		_, s, err := run(t, t.Context(), fakenet.NewLink(n, neighbours...), scanner.Config{Rate: 5000, Retries: 2}, p)
		if err != nil || s.Open != 64 || s.Skipped != 192*12 {
			t.Errorf("Run = %+v, %v; want 64 open and 2304 skipped", s, err)
		}
		sums(t, s)
	})
}

func TestHostRateDefersAndDoesNotBlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := fakenet.New(nil, 0)
		p := plan(t, dozen(), "10.0.0.0/29")
		_, s, err := run(t, t.Context(), n, scanner.Config{Rate: 1000, HostRate: 4, Retries: 1, Cooldown: time.Second}, p)
		if err != nil || s.Probes != 2*8*12 {
			t.Fatalf("Run = %+v, %v; want %d probes", s, err, 2*8*12)
		}
		hostRateKept(t, n, slices.Collect(p.Addresses()), 4)
		// The hosts wait side by side: 24 probes each, the first at once.
		if d := s.Finished.Sub(s.Started); d < 23*time.Second/4 || d > 23*time.Second/4+2*time.Second {
			t.Errorf("took %v, want 5.75s for the probes of a host and the waits", d)
		}
	})
}

func TestICMPLimitIsWaitedFor(t *testing.T) {
	for _, tt := range []struct {
		name    string
		ports   int
		burst   int
		every   time.Duration
		least   uint64 // closed ports found of each host
		longest time.Duration
	}{
		{"six closed ports are within the burst of Linux", 6, 6, time.Second, 6, 300 * time.Millisecond},
		{"twelve closed ports need one second for each of six", 12, 6, time.Second, 12, 9 * time.Second},
		{"a router that sends two a second has one second and a half", 6, 1, time.Second / 2, 4, 2500 * time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				truth := states{}
				var ports []registry.Port
				for i := range tt.ports {
					port := registry.Port{Number: uint16(4000 + i), Proto: registry.UDP}
					ports = append(ports, port)
					for host := range 4 {
						truth[scanner.Target{Addr: netip.AddrFrom4([4]byte{10, 0, 0, byte(host)}), Port: port}] = scanner.Closed
					}
				}
				n := fakenet.New(truth, time.Millisecond)
				n.ICMPBurst, n.ICMPEvery = tt.burst, tt.every
				_, s, err := run(t, t.Context(), n, scanner.Config{Rate: 1000, Retries: 2}, plan(t, ports, "10.0.0.0/30"))
				if err != nil || s.Closed < 4*tt.least {
					t.Errorf("Run = %+v, %v; want at least %d closed", s, err, 4*tt.least)
				}
				if d := s.Finished.Sub(s.Started); d > tt.longest {
					t.Errorf("took %v, want at most %v", d, tt.longest)
				}
			})
		})
	}
}

func TestRetriesAskTheLivingFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		alive, quiet := target("10.0.0.77", "475/tcp"), target("10.0.0.77", "1947/tcp")
		n := fakenet.New(states{alive: scanner.Closed}, time.Millisecond)
		_, s, err := run(t, t.Context(), n, scanner.Config{Rate: 100, Retries: 1}, plan(t, []registry.Port{alive.Port, quiet.Port}, "10.0.0.0/24"))
		if err != nil || s.Retries != 511 {
			t.Fatalf("Run = %+v, %v; want 511 retries", s, err)
		}
		first := n.Sent(quiet)[1]
		for i := range 256 {
			dark := scanner.Target{Addr: netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), Port: alive.Port}
			if i != 77 && n.Sent(dark)[1].Before(first) {
				t.Errorf("%v was asked again before %v", dark, quiet)
			}
		}
		if len(n.Sent(alive)) != 1 {
			t.Errorf("%v answered and was asked %d times", alive, len(n.Sent(alive)))
		}
	})
}

func TestShardsTogetherAreTheWhole(t *testing.T) {
	seen := map[scanner.Target]int{}
	for shard := range uint64(3) {
		synctest.Test(t, func(t *testing.T) {
			p := plan(t, dozen(), "10.0.0.0/26")
			addrs := slices.Collect(p.Addresses())
			link := fakenet.NewLink(fakenet.New(states{target("10.0.0.5", "1947/tcp"): scanner.Open}, time.Millisecond), addrs[:32]...)
			got, s, err := run(t, t.Context(), link, scanner.Config{Rate: 1000, Silent: true, Shard: shard, Shards: 3}, p)
			if err != nil || uint64(len(got)) != s.Targets || s.Probes+s.Skipped != s.Targets {
				t.Errorf("shard %d: %d emitted, %+v, %v", shard, len(got), s, err)
			}
			sums(t, s)
			for _, o := range got {
				seen[o.Target]++
			}
		})
	}
	for target, n := range seen {
		if n != 1 {
			t.Errorf("%v came %d times", target, n)
		}
	}
	if len(seen) != 64*12 {
		t.Errorf("%d targets, want %d", len(seen), 64*12)
	}
}

func TestBackendWithoutClockIsTimed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := fakenet.New(states{target("10.0.0.1", "475/tcp"): scanner.Open}, 700*time.Millisecond)
		n.HideRTT = true
		got, s, err := run(t, t.Context(), n, scanner.Config{Rate: 10}, plan(t, dozen()[:1], "10.0.0.0/30"))
		if err != nil || len(got) != 1 || got[0].RTT != 700*time.Millisecond {
			t.Fatalf("Run = %+v, %+v, %v; want one answer after 700ms", got, s, err)
		}
		// SRTT + 4 RTTVAR of the one sample: 700 + 4 × 350 ms
		if s.Cooldown != 2100*time.Millisecond {
			t.Errorf("cooldown %v, want 2.1s", s.Cooldown)
		}
	})
}

func TestProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := fakenet.New(states{target("10.0.0.1", "475/tcp"): scanner.Open}, time.Millisecond)
		engine, err := scanner.New(n, scanner.Config{Rate: 100, Retries: 1})
		if err != nil {
			t.Fatal(err)
		}
		if p := engine.Progress(); p.Phase != scanner.PhaseIdle {
			t.Errorf("before: %+v, want idle", p)
		}
		go func() { // ends with the run
			_, _ = engine.Run(t.Context(), plan(t, dozen()[:1], "10.0.0.0/24"), func(scanner.Observation) {})
		}()
		time.Sleep(time.Second)
		p := engine.Progress()
		if p.Phase != scanner.PhaseSweep || p.Sent < 95 || p.Sent > 105 || p.Expected < 500 || p.Expected > 512 || p.Rate < 90 || p.Rate > 110 || p.Elapsed != time.Second {
			t.Errorf("after a second: %+v; want a sweep with about 100 of 510 sent", p)
		}
		time.Sleep(3 * time.Second)
		if p = engine.Progress(); p.Phase != scanner.PhaseRetry || p.Expected != 511 {
			t.Errorf("after four seconds: %+v; want a retry and 511 expected", p)
		}
		time.Sleep(time.Minute)
		if p = engine.Progress(); p.Phase != scanner.PhaseDone || p.Sent != 511 || p.Expected != 511 || p.Open != 1 {
			t.Errorf("at the end: %+v; want all 511 sent", p)
		}
	})
}

func TestConfigErrors(t *testing.T) {
	for _, tt := range []struct {
		name string
		cfg  scanner.Config
		want string
	}{
		{"no rate", scanner.Config{}, "rate 0"},
		{"negative rate", scanner.Config{Rate: -1}, "rate -1"},
		{"negative host rate", scanner.Config{Rate: 1, HostRate: -1}, "host rate -1"},
		{"too many retries", scanner.Config{Rate: 1, Retries: 15}, "want 0 to 14"},
		{"negative cooldown", scanner.Config{Rate: 1, Cooldown: -1}, "cooldown"},
		{"negative batch", scanner.Config{Rate: 1, Batch: -1}, "batch"},
		{"shard beyond the last", scanner.Config{Rate: 1, Shard: 3, Shards: 3}, "below 3"},
	} {
		if _, err := scanner.New(fakenet.New(nil, 0), tt.cfg); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: New = %v, want an error with %q", tt.name, err, tt.want)
		}
	}
	if _, err := scanner.New(nil, scanner.Config{Rate: 1}); err == nil {
		t.Error("New without a backend succeeds")
	}
}
