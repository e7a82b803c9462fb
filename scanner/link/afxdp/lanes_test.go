//go:build linux

package afxdp_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"dormant/registry"
	"dormant/scanner"
	"dormant/scanner/link/afxdp"
	"dormant/scanner/netlab"
	"dormant/scanner/wire"
)

// openBy opens a link of the interface in ns that sends by several lanes.
func openBy(t testing.TB, ns *netlab.NS, name string, lanes int) *afxdp.Link {
	t.Helper()
	open(t, ns, name).Close() // skips where there is no AF_XDP
	found, err := ns.Netlink.LinkByName(name)
	if err != nil {
		t.Fatal(err)
	}
	var l *afxdp.Link
	ns.Do(func() {
		l, err = afxdp.Open(wire.LinkSpec{Name: name, Index: found.Attrs().Index, Medium: wire.Ethernet, IPv4: true, Ports: ports, Lanes: lanes}, afxdp.Config{})
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func TestLanes(t *testing.T) {
	for _, tt := range []struct {
		name           string
		has, asked     int
		lanesBesideOne int
	}{
		{"one by default", 2, 0, 0},
		{"four of one queue", 1, 4, 3},
		{"four of two queues", 2, 4, 3},
		{"two of four queues", 4, 2, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, _ := netlab.WidePair(t, "a0", "b0", tt.has)
			if got := len(openBy(t, a, "a0", tt.asked).Lanes()); got != tt.lanesBesideOne {
				t.Errorf("%d lanes beside the first, want %d", got, tt.lanesBesideOne)
			}
		})
	}
}

// TestLanesSend writes by two lanes at the same time, to a queue each and to the
// same one, and expects every frame once.
func TestLanesSend(t *testing.T) {
	for _, queues := range []int{1, 2} {
		t.Run(fmt.Sprintf("%d queues", queues), func(t *testing.T) { sendByTwo(t, queues) })
	}
}

func sendByTwo(t *testing.T, queues int) {
	a, b := netlab.WidePair(t, "a0", "b0", queues)
	from, to := openBy(t, a, "a0", 2), open(t, b, "b0")
	const each = 4096
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	seen, done := map[uint32]int{}, make(chan error, 1)
	go func() { // ends with ctx
		done <- to.ReadFrames(ctx, func(frame []byte, _ time.Time) {
			seen[binary.BigEndian.Uint32(frame[14+24:])]++
			if len(seen) == 2*each {
				cancel()
			}
		})
	}()
	var writers sync.WaitGroup
	for q, w := range append([]wire.Writer{from}, from.Lanes()...) {
		writers.Go(func() { // ends when all is written
			for n := 0; n < each; n += 64 {
				batch := make([][]byte, 64)
				for i := range batch {
					batch[i] = numbered(uint32(q*each+n+i), 74)
				}
				for rest := batch; len(rest) > 0; {
					sent, err := w.WriteFrames(rest)
					if rest = rest[sent:]; err != nil && !errors.Is(err, wire.ErrBusy) {
						t.Errorf("lane %d: %v", q, err)
						return
					}
				}
				time.Sleep(200 * time.Microsecond) // below what the receiving kernel queues
			}
		})
	}
	writers.Wait()
	if err := <-done; err != nil || len(seen) != 2*each {
		t.Errorf("ReadFrames = %v after %d frames of %d", err, len(seen), 2*each)
	}
	for n, times := range seen {
		if times != 1 {
			t.Errorf("frame %d arrived %d times", n, times)
		}
	}
}

// overLanes returns a backend that sends by two lanes to so many queues, for
// 10.9.0.0/20 behind the other end, all of which answers.
func overLanes(t *testing.T, queues int) (*wire.Backend, *scanner.Plan, *netlab.NS) {
	t.Helper()
	scan, far := netlab.WidePair(t, "scan0", "net0", queues)
	open(t, scan, "scan0").Close() // skips where there is no AF_XDP
	scan.Addr("scan0", "10.1.0.1/24")
	far.Addr("net0", "10.1.0.2/24")
	far.Sysctl("net.ipv4.tcp_invalid_ratelimit=0")
	far.Local("10.9.0.0/20")
	scan.Route(netlab.Route{Dst: "10.9.0.0/20", Via: "10.1.0.2"})
	block := []netip.Prefix{netip.MustParsePrefix("10.9.0.0/20")}
	plan, err := scanner.NewPlan(block, []registry.Port{{Number: 1947, Proto: registry.TCP}, {Number: 3588, Proto: registry.TCP}}, 1)
	if err != nil {
		t.Fatal(err)
	}
	var b *wire.Backend
	lanes := 0
	scan.Do(func() {
		b, err = wire.Open(wire.Config{
			Prefixes: block, Ports: plan.Ports(), Lanes: 2, Log: slog.New(slog.DiscardHandler),
			OpenLink: func(spec wire.LinkSpec) (wire.Link, error) {
				l, err := afxdp.Open(spec, afxdp.Config{})
				if err == nil {
					lanes = 1 + len(l.Lanes())
				}
				return l, err
			},
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	if lanes != 2 {
		t.Fatalf("%d lanes, want 2", lanes)
	}
	return b, plan, scan
}

// TestLanesSweep: a whole sweep by two lanes finds every target, once.
func TestLanesSweep(t *testing.T) {
	for _, queues := range []int{1, 2} {
		t.Run(fmt.Sprintf("%d queues", queues), func(t *testing.T) { sweepByTwo(t, queues) })
	}
}

func sweepByTwo(t *testing.T, queues int) {
	b, plan, _ := overLanes(t, queues)
	engine, err := scanner.New(b, scanner.Config{Rate: 100_000, HostRate: rate.Inf, Retries: 2})
	if err != nil {
		t.Fatal(err)
	}
	answered := map[scanner.Target]int{}
	s, err := engine.Run(t.Context(), plan, func(o scanner.Observation) { answered[o.Target]++ })
	if err != nil || s.Closed != plan.Len() || uint64(len(answered)) != plan.Len() {
		t.Errorf("Run = %v, %d closed, %d answered of %d: %v", err, s.Closed, len(answered), plan.Len(), s.Why)
	}
	for target, times := range answered {
		if times != 1 {
			t.Errorf("%v answered %d times", target, times)
		}
	}
	if s.Probes < plan.Len() || s.Probes != plan.Len()+s.Retries {
		t.Errorf("%d probes and %d retries for %d targets", s.Probes, s.Retries, plan.Len())
	}
}

// TestLanesDown: when the interface goes down both lanes end, and what was
// found by then is reported.
func TestLanesDown(t *testing.T) {
	b, plan, scan := overLanes(t, 1)
	engine, err := scanner.New(b, scanner.Config{Rate: 10_000, HostRate: rate.Inf})
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	pulled := make(chan struct{})
	s, err := engine.Run(t.Context(), plan, func(scanner.Observation) {
		if count++; count == 500 {
			go func() { // ends when the interface is down
				defer close(pulled)
				scan.Down("scan0")
			}()
		}
	})
	<-pulled
	if !errors.Is(err, wire.ErrLinkDown) || s.Complete || s.Probes >= plan.Len() || s.Closed < 500 || s.Closed != uint64(count) {
		t.Errorf("Run = %v with %d probes of %d, %d closed of %d seen, complete %t; want a part, and %v",
			err, s.Probes, plan.Len(), s.Closed, count, s.Complete, wire.ErrLinkDown)
	}
}

// BenchmarkLanes is what one lane and two carry, to a queue each and to the same
// one, of frames that nobody wants.
func BenchmarkLanes(b *testing.B) {
	for _, tt := range []struct{ lanes, queues int }{{1, 1}, {2, 1}, {2, 2}} {
		b.Run(fmt.Sprintf("lanes=%d/queues=%d", tt.lanes, tt.queues), func(b *testing.B) {
			near, _ := netlab.WidePair(b, "a0", "b0", tt.queues)
			l := openBy(b, near, "a0", tt.lanes)
			batch := make([][]byte, 64)
			for i := range batch {
				batch[i] = numbered(uint32(i), 74)
			}
			b.ReportAllocs()
			frames := 0
			for b.Loop() {
				var writers sync.WaitGroup
				for _, w := range append([]wire.Writer{l}, l.Lanes()...) {
					writers.Go(func() { // ends with its batches
						for range 16 {
							_, _ = w.WriteFrames(batch)
						}
					})
				}
				writers.Wait()
				frames += tt.lanes * 16 * len(batch)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(frames), "ns/frame")
		})
	}
}
