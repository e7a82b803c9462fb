package backendtest

import (
	"bytes"
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"dormant/registry"
	"dormant/scanner"
)

// World is a network in which a test knows the truth. A target without an
// address is not asked: loopback, for example, has no silent TCP port.
type World struct {
	Open, Closed, Silent          scanner.Target // TCP
	OpenUDP, ClosedUDP, SilentUDP scanner.Target
	// Payload is sent to the UDP targets; Reply is what OpenUDP must answer to
	// it, nil for whatever it likes.
	Payload, Reply []byte
	// Wait is the longest time that an answer may take. Required.
	Wait time.Duration
}

// seen is what the suite compares of an observation.
type seen struct {
	State  scanner.State
	Reason scanner.Reason
	From   netip.Addr
}

// Run checks that b keeps the contract of scanner.Backend in w. b must be
// fresh and is used up.
func Run(t *testing.T, b scanner.Backend, w World) {
	t.Helper()
	batch, want := w.questions()
	if len(batch) == 0 || w.Wait <= 0 {
		t.Fatal("backendtest: World has no target or no Wait")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 4*w.Wait+10*time.Second)
	defer cancel()
	got := map[scanner.Target]seen{}
	received := make(chan error, 1)
	go func() { // ends with ctx; got is read after that
		received <- b.Receive(ctx, func(o scanner.Observation) {
			got[o.Target] = seen{o.State, o.Reason, o.From}
			checkObservation(t, w, o)
		})
	}()
	start := time.Now()
	resolve(ctx, t, b, batch)
	send(ctx, t, b, batch)
	clear(batch) // Send must not retain it
	b.Counters() // allowed while Receive runs; the race detector watches

	time.Sleep(w.Wait) // nothing else may come
	stopped := time.Now()
	cancel()
	if err := <-received; err != nil {
		t.Errorf("Receive after cancel = %v, want nil", err)
	}
	if d := time.Since(stopped); d > w.Wait+time.Second {
		t.Errorf("Receive ended %v after cancel, want at once", d)
	}
	if d := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); d != "" {
		t.Errorf("observations %v after the start (-want +got):\n%s", stopped.Sub(start), d)
	}
	if c := b.Counters(); c.SendErrors != 0 || c.RingDrops != 0 {
		t.Errorf("counters = %+v, want no send errors and no drops", c)
	}
	sendAfterCancel(t, b, w)
}

// questions returns one probe for each target of w, and what they must bring.
func (w World) questions() ([]scanner.Probe, map[scanner.Target]seen) {
	var batch []scanner.Probe
	want := map[scanner.Target]seen{}
	ask := func(t scanner.Target, payload []byte, state scanner.State, reason scanner.Reason) {
		if !t.Addr.IsValid() {
			return
		}
		batch = append(batch, scanner.Probe{Target: t, Payload: payload})
		if state != 0 {
			want[t] = seen{state, reason, t.Addr}
		}
	}
	ask(w.Open, nil, scanner.Open, scanner.SynAck)
	ask(w.Closed, nil, scanner.Closed, scanner.Rst)
	ask(w.Silent, nil, 0, 0)
	ask(w.OpenUDP, w.Payload, scanner.Open, scanner.UDPReply)
	ask(w.ClosedUDP, w.Payload, scanner.Closed, scanner.ICMPPortUnreachable)
	ask(w.SilentUDP, w.Payload, 0, 0)
	return batch, want
}

// checkObservation checks the fields that hold for every observation.
func checkObservation(t *testing.T, w World, o scanner.Observation) {
	if o.At.IsZero() {
		t.Errorf("%v: observation has no time", o.Target)
	}
	if d := time.Since(o.At); d > w.Wait+time.Second || d < -time.Second {
		t.Errorf("%v: observation is %v old when emitted", o.Target, d)
	}
	if o.RTT < 0 || o.RTT > w.Wait {
		t.Errorf("%v: RTT = %v, want 0 to %v", o.Target, o.RTT, w.Wait)
	}
	if o.Target == w.OpenUDP && w.Reply != nil && !bytes.Equal(o.Payload, w.Reply) {
		t.Errorf("%v: payload = %q, want %q", o.Target, o.Payload, w.Reply)
	}
	if o.Port.Proto == registry.TCP && len(o.Payload) != 0 {
		t.Errorf("%v: TCP observation has a payload of %d bytes", o.Target, len(o.Payload))
	}
}

// resolve does for a Resolver what the engine does before the first probe.
func resolve(ctx context.Context, t *testing.T, b scanner.Backend, batch []scanner.Probe) {
	t.Helper()
	r, ok := b.(scanner.Resolver)
	if !ok {
		return
	}
	addrs := func(yield func(netip.Addr) bool) {
		for _, p := range batch {
			if !yield(p.Addr) {
				return
			}
		}
	}
	frames := 0
	pace := func(ctx context.Context, n int) error {
		frames += n
		return ctx.Err()
	}
	if err := r.Resolve(ctx, addrs, pace); err != nil {
		t.Errorf("Resolve = %v, want nil", err)
	}
	if asked := b.Counters().ARPSent; asked > uint64(frames) {
		t.Errorf("Resolve sent %d requests but paced only %d", asked, frames)
	}
	for _, p := range batch {
		if state, reason, ok := r.Reachable(p.Addr); !ok {
			t.Errorf("Reachable(%v) = %v, %v, false; want true", p.Addr, state, reason)
		}
	}
}

// send hands over the whole batch, as often as b takes a part of it.
func send(ctx context.Context, t *testing.T, b scanner.Backend, batch []scanner.Probe) {
	t.Helper()
	for rest := batch; len(rest) > 0; {
		n, err := b.Send(ctx, rest)
		if err != nil || n <= 0 || n > len(rest) {
			t.Fatalf("Send of %d probes = %d, %v; want 1 to %d, nil", len(rest), n, err, len(rest))
		}
		rest = rest[n:]
	}
	if n, err := b.Send(ctx, nil); n != 0 || err != nil {
		t.Errorf("Send of nothing = %d, %v; want 0, nil", n, err)
	}
}

// sendAfterCancel checks that Send does not block on an ended context.
func sendAfterCancel(t *testing.T, b scanner.Backend, w World) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	batch, _ := w.questions()
	done := make(chan struct{})
	go func() { // ends when Send returns
		defer close(done)
		_, _ = b.Send(ctx, batch) // whether it sent or refused, it returned
	}()
	select {
	case <-done:
	case <-time.After(w.Wait + time.Second):
		t.Error("Send with an ended context blocks")
	}
}
