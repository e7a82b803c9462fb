//go:build linux

package wire_test

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"dormant/registry"
	"dormant/scanner"
	"dormant/scanner/netlab"
	"dormant/scanner/wire"
)

// fakeLink takes frames as say tells it to, and has nothing to read.
type fakeLink struct {
	mu   sync.Mutex
	sent [][]byte
	say  func(frames [][]byte) (n int, err error)

	lost   uint64 // what Drops says
	failed error
}

func (l *fakeLink) WriteFrames(frames [][]byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, err := len(frames), error(nil)
	if l.say != nil {
		n, err = l.say(frames)
	}
	for _, f := range frames[:n] {
		l.sent = append(l.sent, slices.Clone(f))
	}
	return n, err
}

func (l *fakeLink) ReadFrames(ctx context.Context, _ func([]byte, time.Time)) error {
	<-ctx.Done()
	return nil
}

func (l *fakeLink) Drops() (uint64, error) { return l.lost, l.failed }
func (l *fakeLink) Close() error           { return nil }

// ports returns the destination port of every frame that was taken: TCP over
// IPv4 behind an IP header alone.
func (l *fakeLink) ports() (all []uint16) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range l.sent {
		all = append(all, uint16(f[22])<<8|uint16(f[23]))
	}
	return all
}

// overFake returns a backend whose only link is a fake one, loopback in a
// namespace, and a batch of n probes to ports 1 to n.
func overFake(t testing.TB, n int) (*wire.Backend, *fakeLink, []scanner.Probe) {
	t.Helper()
	link := &fakeLink{}
	b, batch := overLanes(t, link, n)
	return b, link, batch
}

// upTo returns 1 to n, without some.
func upTo(n int, without ...uint16) (all []uint16) {
	for i := range uint16(n) {
		if !slices.Contains(without, i+1) {
			all = append(all, i+1)
		}
	}
	return all
}

func TestSendFaults(t *testing.T) {
	refused := errors.New("operation not permitted")
	for _, tt := range []struct {
		name string
		// say answers the k-th call of WriteFrames.
		say    func(k int, frames [][]byte) (int, error)
		want   int      // what Send returns
		err    error    // and its error
		lost   []uint16 // ports that become Unknown, LocalError
		busy   uint64   // SendRetry
		frames []uint16 // ports that were sent
	}{
		{name: "all taken", want: 150, frames: upTo(150)},
		{
			name: "full for a while",
			say: func(k int, frames [][]byte) (int, error) {
				if k%2 == 0 {
					return len(frames) / 2, wire.ErrBusy
				}
				return len(frames), nil
			},
			want: 150, busy: 3, frames: upTo(150),
		},
		{
			name: "one frame refused",
			say: func(_ int, frames [][]byte) (int, error) {
				for i, f := range frames {
					if f[23] == 100 {
						return i, refused
					}
				}
				return len(frames), nil
			},
			want: 150, lost: []uint16{100}, frames: upTo(150, 100),
		},
		{
			name: "interface goes down",
			say: func(k int, frames [][]byte) (int, error) {
				if k == 1 {
					return 10, wire.ErrLinkDown
				}
				return len(frames), nil
			},
			want: 74, err: wire.ErrLinkDown, frames: upTo(74),
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b, link, batch := overFake(t, 150)
			calls := 0
			if tt.say != nil {
				link.say = func(frames [][]byte) (int, error) { calls++; return tt.say(calls-1, frames) }
			}
			ctx, cancel := context.WithCancel(t.Context())
			var lost []uint16
			var receiving sync.WaitGroup
			receiving.Go(func() { // ends with ctx
				_ = b.Receive(ctx, func(o scanner.Observation) {
					if o.State != scanner.Unknown || o.Reason != scanner.LocalError || o.At.IsZero() {
						t.Errorf("observation %+v, want unknown, local-error", o)
					}
					lost = append(lost, o.Port.Number)
				})
			})
			n, err := b.Send(ctx, batch)
			cancel()
			receiving.Wait()
			if n != tt.want || !errors.Is(err, tt.err) || (err == nil) != (tt.err == nil) {
				t.Errorf("Send = %d, %v; want %d, %v", n, err, tt.want, tt.err)
			}
			if d := cmp.Diff(tt.frames, link.ports()); d != "" {
				t.Errorf("ports sent to (-want +got):\n%s", d)
			}
			if d := cmp.Diff(tt.lost, lost, cmpopts.EquateEmpty()); d != "" {
				t.Errorf("faults (-want +got):\n%s", d)
			}
			if c := b.Counters(); c.SendErrors != uint64(len(tt.lost)) || c.SendRetry != tt.busy {
				t.Errorf("counters %+v, want %d send errors and %d retries", c, len(tt.lost), tt.busy)
			}
		})
	}
}

// TestUnsendable: what cannot be sent is a fault, and no frame.
func TestUnsendable(t *testing.T) {
	b, link, good := overFake(t, 2)
	long, odd, elsewhere := good[0], good[0], good[0]
	long.Port.Proto, long.Payload = registry.UDP, make([]byte, 257)
	odd.Port.Proto = 0
	elsewhere.Addr = netip.MustParseAddr("10.9.9.9") // in no prefix that the backend was opened for
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var lost []scanner.Target
	var receiving sync.WaitGroup
	receiving.Go(func() { _ = b.Receive(ctx, func(o scanner.Observation) { lost = append(lost, o.Target) }) }) // ends with ctx
	const many = 1000                                                                                          // more than wait for Receive
	for _, batch := range [][]scanner.Probe{{long, good[0], odd, elsewhere, good[1]}, slices.Repeat([]scanner.Probe{odd}, many)} {
		if n, err := b.Send(ctx, batch); n != len(batch) || err != nil {
			t.Errorf("Send = %d, %v; want %d, nil", n, err, len(batch))
		}
	}
	cancel()
	receiving.Wait()
	want := append([]scanner.Target{long.Target, odd.Target, elsewhere.Target}, slices.Repeat([]scanner.Target{odd.Target}, many)...)
	if d := cmp.Diff(want, lost, cmpopts.EquateComparable(netip.Addr{})); d != "" {
		t.Errorf("faults (-want +got):\n%s", d)
	}
	if d := cmp.Diff(upTo(2), link.ports()); d != "" {
		t.Errorf("ports sent to (-want +got):\n%s", d)
	}
}

// TestRingDrops: what a link lost is counted, and what it cannot count is not nothing.
func TestRingDrops(t *testing.T) {
	b, link, _ := overFake(t, 1)
	for _, tt := range []struct {
		lost   uint64
		failed error
		want   uint64
	}{{0, nil, 0}, {7, nil, 7}, {0, errors.New("no counter"), 1}, {7, errors.New("no counter"), 7}} {
		link.lost, link.failed = tt.lost, tt.failed
		if got := b.Counters().RingDrops; got != tt.want {
			t.Errorf("%d drops with a link that says %d, %v; want %d", got, tt.lost, tt.failed, tt.want)
		}
	}
}

// TestSendGivesUp shows that a queue that stays full blocks neither for ever nor
// beyond the end of the context.
func TestSendGivesUp(t *testing.T) {
	b, link, batch := overFake(t, 3)
	link.say = func([][]byte) (int, error) { return 0, wire.ErrBusy }
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if n, err := b.Send(ctx, batch); n != 0 || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Send = %d, %v; want 0 and the context's error", n, err)
	}
	link.say = nil
	if n, err := b.Send(t.Context(), batch[:1]); n != 1 || err != nil || len(link.ports()) != 1 {
		t.Errorf("Send afterwards = %d, %v with %d frames, want one and only one", n, err, len(link.ports()))
	}
}

// TestAttemptsDiffer shows that every attempt is a connection of its own, and
// that no source port is one that is asked.
func TestAttemptsDiffer(t *testing.T) {
	b, link, batch := overFake(t, 1)
	for attempt := range uint8(4) {
		batch[0].Attempt = attempt
		if _, err := b.Send(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
	ports, sequences := map[string]bool{}, map[string]bool{}
	for _, f := range link.sent {
		ports[string(f[20:22])], sequences[string(f[24:28])] = true, true
		if f[20] < 0xf0 {
			t.Errorf("source port %d, want one of the highest block", uint16(f[20])<<8|uint16(f[21]))
		}
	}
	if len(ports) != 4 || len(sequences) != 4 {
		t.Errorf("%d source ports and %d sequence numbers, want 4 each", len(ports), len(sequences))
	}
	again, second, batch := overFake(t, 1)
	if _, err := again.Send(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	if sequences[string(second.sent[0][24:28])] {
		t.Error("another run has the same sequence number: its cookies can be known")
	}
}

// sink takes all frames and keeps none.
type sink struct{ fakeLink }

func (*sink) WriteFrames(frames [][]byte) (int, error) { return len(frames), nil }

// overSink returns a backend with a sink below it, and a batch that has some of
// everything: two families, both transports.
func overSink(t testing.TB) (*wire.Backend, []scanner.Probe) {
	t.Helper()
	ns := netlab.New(t)
	var b *wire.Backend
	var err error
	ns.Do(func() {
		b, err = wire.Open(wire.Config{
			Prefixes: prefixes("127.0.0.0/16", "::1/128"), Log: slog.New(slog.DiscardHandler),
			OpenLink: func(wire.LinkSpec) (wire.Link, error) { return &sink{}, nil },
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	batch := make([]scanner.Probe, 64)
	for i := range batch {
		batch[i].Target = scanner.Target{Addr: netip.AddrFrom4([4]byte{127, 0, 5, byte(i)}), Port: registry.Port{Number: 1947, Proto: registry.TCP}}
		if i%4 == 1 {
			batch[i].Port.Proto, batch[i].Payload = registry.UDP, make([]byte, 40)
		}
		if i%8 == 2 {
			batch[i].Addr = netip.IPv6Loopback()
		}
	}
	return b, batch
}

func TestSendAllocatesNothing(t *testing.T) {
	b, batch := overSink(t)
	ctx := t.Context()
	if n := testing.AllocsPerRun(100, func() { _, _ = b.Send(ctx, batch) }); n != 0 {
		t.Errorf("Send of 64 probes allocates %v times, want never", n)
	}
}

// BenchmarkSend is the whole of Send but for the kernel's part.
func BenchmarkSend(b *testing.B) {
	backend, batch := overSink(b)
	ctx := b.Context()
	b.ReportAllocs()
	probes := 0
	for b.Loop() {
		n, err := backend.Send(ctx, batch)
		if probes += n; err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(probes), "ns/probe")
}
