//go:build linux

package wire_test

import (
	"context"
	"errors"
	"log/slog"
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

// twoLanes is a fake link with a second way out.
type twoLanes struct {
	fakeLink
	second fakeLink
}

func (l *twoLanes) Lanes() []wire.Writer { return []wire.Writer{&l.second} }

// overLanes returns a backend over link, and a batch of n probes to ports 1 to n.
func overLanes(t testing.TB, link wire.Link, n int) (*wire.Backend, []scanner.Probe) {
	t.Helper()
	ns := netlab.New(t)
	var b *wire.Backend
	var err error
	ns.Do(func() {
		b, err = wire.Open(wire.Config{
			Prefixes: prefixes("127.0.0.1/32"), Log: slog.New(slog.DiscardHandler),
			OpenLink: func(wire.LinkSpec) (wire.Link, error) { return link, nil },
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	batch := make([]scanner.Probe, n)
	for i := range batch {
		batch[i].Target = target("127.0.0.1", uint16(i+1), registry.TCP)
	}
	return b, batch
}

// between returns first to last.
func between(first, last uint16) []uint16 { return upTo(int(last))[first-1:] }

// TestLanes sends 300 probes by two lanes, half by each: the shares are disjoint
// and together complete, and a fault of one ends the call, with a number of sent
// probes before which nothing is missing.
func TestLanes(t *testing.T) {
	refused := errors.New("operation not permitted")
	// on returns what a lane says to its k-th call, and "all taken" to others.
	on := func(k, n int, err error) func([][]byte) (int, error) {
		calls := 0
		return func(frames [][]byte) (int, error) {
			if calls++; calls == k {
				return n, err
			}
			return len(frames), nil
		}
	}
	for _, tt := range []struct {
		name          string
		first, second func([][]byte) (int, error)
		want          int
		err           error
		lost          []uint16
		sent          [2][]uint16 // by lane
	}{
		{
			name: "all taken", want: 300,
			sent: [2][]uint16{between(1, 150), between(151, 300)},
		},
		{
			name: "the second is full for a while", second: on(2, 5, wire.ErrBusy), want: 300,
			sent: [2][]uint16{between(1, 150), between(151, 300)},
		},
		{
			name: "the second refuses a frame", second: on(1, 10, refused), want: 300, lost: []uint16{161},
			sent: [2][]uint16{between(1, 150), append(between(151, 160), between(162, 300)...)},
		},
		{
			name: "the second goes down", second: on(2, 10, wire.ErrLinkDown), want: 224, err: wire.ErrLinkDown,
			sent: [2][]uint16{between(1, 150), between(151, 224)},
		},
		{
			name: "the first goes down", first: on(2, 10, wire.ErrLinkDown), want: 74, err: wire.ErrLinkDown,
			sent: [2][]uint16{between(1, 74), between(151, 300)},
		},
		{
			name: "both go down", first: on(1, 3, wire.ErrLinkDown), second: on(1, 4, wire.ErrLinkDown), want: 3, err: wire.ErrLinkDown,
			sent: [2][]uint16{between(1, 3), between(151, 154)},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			link := &twoLanes{}
			link.say, link.second.say = tt.first, tt.second
			b, batch := overLanes(t, link, 300)
			ctx, cancel := context.WithCancel(t.Context())
			var lost []uint16
			var receiving sync.WaitGroup
			receiving.Go(func() { // ends with ctx
				_ = b.Receive(ctx, func(o scanner.Observation) { lost = append(lost, o.Port.Number) })
			})
			n, err := b.Send(ctx, batch)
			cancel()
			receiving.Wait()
			if n != tt.want || !errors.Is(err, tt.err) || (err == nil) != (tt.err == nil) {
				t.Errorf("Send = %d, %v; want %d, %v", n, err, tt.want, tt.err)
			}
			if d := cmp.Diff(tt.sent, [2][]uint16{link.ports(), link.second.ports()}); d != "" {
				t.Errorf("ports sent to, by lane (-want +got):\n%s", d)
			}
			if d := cmp.Diff(tt.lost, lost, cmpopts.EquateEmpty()); d != "" {
				t.Errorf("faults (-want +got):\n%s", d)
			}
		})
	}
}

// TestLanesTogether: a lane that waits does not keep the other from sending.
func TestLanesTogether(t *testing.T) {
	link := &twoLanes{}
	first, second := make(chan struct{}), make(chan struct{})
	meet := func(mine, other chan struct{}) func([][]byte) (int, error) {
		return func(frames [][]byte) (int, error) {
			close(mine)
			select {
			case <-other:
			case <-time.After(10 * time.Second):
				t.Error("the other lane does not send while this one does")
			}
			return len(frames), nil
		}
	}
	link.say, link.second.say = meet(first, second), meet(second, first)
	b, batch := overLanes(t, link, 128)
	if n, err := b.Send(t.Context(), batch); n != 128 || err != nil {
		t.Errorf("Send = %d, %v; want 128, nil", n, err)
	}
}

// TestLanesGiveUp: the end of the context reaches both.
func TestLanesGiveUp(t *testing.T) {
	link := &twoLanes{}
	full := func([][]byte) (int, error) { return 0, wire.ErrBusy }
	link.say, link.second.say = full, full
	b, batch := overLanes(t, link, 128)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if n, err := b.Send(ctx, batch); n != 0 || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Send = %d, %v; want 0 and the context's error", n, err)
	}
	link.say, link.second.say = nil, nil
	if n, err := b.Send(t.Context(), batch); n != 128 || err != nil || len(link.ports()) != 64 || len(link.second.ports()) != 64 {
		t.Errorf("Send afterwards = %d, %v with %d and %d frames, want 64 each", n, err, len(link.ports()), len(link.second.ports()))
	}
}

// twoSinks takes everything on two ways out.
type twoSinks struct{ sink }

func (*twoSinks) Lanes() []wire.Writer { return []wire.Writer{&sink{}} }

func TestLanesAllocateNothing(t *testing.T) {
	b, batch := overLanes(t, &twoSinks{}, 256)
	ctx := t.Context()
	if n := testing.AllocsPerRun(100, func() { _, _ = b.Send(ctx, batch) }); n != 0 {
		t.Errorf("Send of 256 probes by two lanes allocates %v times, want never", n)
	}
}
