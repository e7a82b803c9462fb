package fakenet

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"

	"dormant/registry"
	"dormant/scanner"
)

// ErrBroken is what Send returns once Network.BreakAfter probes were taken.
var ErrBroken = errors.New("fakenet: link is gone")

// Network answers for the targets that it was given; every other target is
// silent. The exported fields are set before the first Send and not changed
// afterwards; their zero values mean a network without faults.
type Network struct {
	// RTTOf gives the round-trip time of one address, nil for the same everywhere.
	RTTOf func(netip.Addr) time.Duration
	// Loss is the chance from 0 to 1 that a packet is lost, in each direction.
	Loss float64
	// Duplicate is the chance from 0 to 1 that an answer arrives a second time,
	// one RTT later.
	Duplicate float64
	// ICMPBurst and ICMPEvery limit the port-unreachable errors of each address:
	// a bucket of ICMPBurst that gains one every ICMPEvery, as Linux keeps one
	// per destination (6 and 1 s). ICMPBurst 0 is no limit.
	ICMPBurst int
	ICMPEvery time.Duration
	// LocalErrors is how often each target fails on this side, reported as
	// Unknown and LocalError, before it is sent.
	LocalErrors int
	// HideRTT leaves Observation.RTT 0, as a backend without a clock does.
	HideRTT bool
	// BreakAfter makes Send fail with ErrBroken after that many probes; 0 never.
	BreakAfter int
	// Truth gives the state of every target in place of the map of New, for worlds
	// that are too large for one. It is called with the network's lock held.
	Truth func(scanner.Target) scanner.State
	// Forget keeps no memory of what was sent: Sent returns nothing, and
	// LocalErrors has no effect.
	Forget bool
	// Storm reports whether this side can send nothing at a moment, as when a
	// driver is out of buffers: every probe is then an Unknown, LocalError.
	Storm func(now time.Time) bool
	// Strays are delivered once, right after the first probe.
	Strays []scanner.Observation

	rtt    time.Duration
	states map[scanner.Target]scanner.State

	mu      sync.Mutex // guards all below: Send, Receive and the test read and write
	rnd     *rand.Rand
	queue   answers
	wake    chan struct{} // holds a token when queue has a new first answer
	sent    map[scanner.Target][]time.Time
	total   int
	icmp    map[netip.Addr]bucket
	failed  map[scanner.Target]int
	counter scanner.Counters
}

var _ scanner.Backend = (*Network)(nil)

// bucket is a token bucket at one moment.
type bucket struct {
	tokens float64
	at     time.Time
}

// New returns a network in which the targets of states answer after rtt. Open,
// Closed, Filtered (an ICMP error of 10.255.255.254) and Unreachable answer,
// any other state is silence. The map is not changed and must not be. The seed
// is 1; SetSeed gives another one.
func New(states map[scanner.Target]scanner.State, rtt time.Duration) *Network {
	n := &Network{
		rtt: rtt, states: states, wake: make(chan struct{}, 1),
		sent: map[scanner.Target][]time.Time{}, icmp: map[netip.Addr]bucket{}, failed: map[scanner.Target]int{},
	}
	n.SetSeed(1)
	return n
}

// SetSeed chooses which packets are lost and doubled.
func (n *Network) SetSeed(seed uint64) { n.rnd = rand.New(rand.NewPCG(seed, 0)) }

// Router is who sends the ICMP errors of filtered and unreachable targets.
func Router() netip.Addr { return netip.AddrFrom4([4]byte{10, 255, 255, 254}) }

// Sent returns when t was probed, in order. It may be called at any time.
func (n *Network) Sent(t scanner.Target) []time.Time {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]time.Time(nil), n.sent[t]...)
}

// Total returns how many probes were taken.
func (n *Network) Total() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.total
}

// Counters implements scanner.Backend.
func (n *Network) Counters() scanner.Counters {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.counter
}

// Send implements scanner.Backend.
func (n *Network) Send(ctx context.Context, batch []scanner.Probe) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := time.Now()
	for i, p := range batch {
		if ctx.Err() != nil {
			return i, fmt.Errorf("fakenet: send: %w", context.Cause(ctx))
		}
		if n.BreakAfter > 0 && n.total >= n.BreakAfter {
			return i, ErrBroken
		}
		n.take(p, now)
	}
	return len(batch), nil
}

// take sends one probe. The caller holds mu.
func (n *Network) take(p scanner.Probe, now time.Time) {
	if n.total++; n.total == 1 {
		for _, o := range n.Strays {
			n.push(now, o)
		}
	}
	if n.fails(p.Target, now) {
		n.counter.SendErrors++
		n.push(now, scanner.Observation{Target: p.Target, State: scanner.Unknown, Reason: scanner.LocalError})
		return
	}
	o, ok := n.answer(p)
	if !ok || n.lost() || !n.allowed(o, now) || n.lost() {
		return
	}
	rtt := n.rtt
	if n.RTTOf != nil {
		rtt = n.RTTOf(p.Addr)
	}
	if !n.HideRTT {
		o.RTT = rtt
	}
	n.push(now.Add(rtt), o)
	if n.Duplicate > 0 && n.rnd.Float64() < n.Duplicate {
		n.push(now.Add(2*rtt), o)
	}
}

// fails remembers that t was probed and reports whether that fails on this side.
func (n *Network) fails(t scanner.Target, now time.Time) bool {
	if n.Storm != nil && n.Storm(now) {
		return true
	}
	if n.Forget {
		return false
	}
	n.sent[t] = append(n.sent[t], now)
	if n.failed[t] < n.LocalErrors {
		n.failed[t]++
		return true
	}
	return false
}

// answer returns what the target of p says, false for silence.
func (n *Network) answer(p scanner.Probe) (scanner.Observation, bool) {
	o := scanner.Observation{Target: p.Target, From: p.Addr, TTL: 64, Attempt: p.Attempt}
	if n.Truth != nil {
		o.State = n.Truth(p.Target)
	} else {
		o.State = n.states[p.Target]
	}
	udp := p.Port.Proto == registry.UDP
	switch o.State {
	case scanner.Open:
		o.Reason = scanner.SynAck
		if udp {
			o.Reason, o.Payload = scanner.UDPReply, append([]byte("re:"), p.Payload...)
		}
	case scanner.Closed:
		o.Reason = scanner.Rst
		if udp {
			o.Reason = scanner.ICMPPortUnreachable
		}
	case scanner.Filtered:
		o.Reason, o.From, o.TTL = scanner.ICMPAdminProhibited, Router(), 255
	case scanner.Unreachable:
		o.Reason, o.From, o.TTL = scanner.ICMPHostUnreachable, Router(), 255
	case scanner.OpenFiltered, scanner.Unknown, 0:
		return o, false
	}
	return o, true
}

func (n *Network) lost() bool { return n.Loss > 0 && n.rnd.Float64() < n.Loss }

// allowed takes a token of the address's ICMP bucket where o needs one.
func (n *Network) allowed(o scanner.Observation, now time.Time) bool {
	if n.ICMPBurst == 0 || o.Reason != scanner.ICMPPortUnreachable {
		return true
	}
	b, known := n.icmp[o.Addr]
	if !known {
		b = bucket{float64(n.ICMPBurst), now}
	}
	b.tokens = min(b.tokens+float64(now.Sub(b.at))/float64(n.ICMPEvery), float64(n.ICMPBurst))
	b.at = now
	ok := b.tokens >= 1
	if ok {
		b.tokens--
	}
	n.icmp[o.Addr] = b
	return ok
}

// push puts an answer on its way. The caller holds mu.
func (n *Network) push(at time.Time, o scanner.Observation) {
	o.At = at
	n.queue.push(o)
	select {
	case n.wake <- struct{}{}:
	default: // a token is there already
	}
}

// Receive implements scanner.Backend.
func (n *Network) Receive(ctx context.Context, emit func(scanner.Observation)) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var due []scanner.Observation
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-n.wake:
		case <-timer.C:
		}
		var next time.Duration
		due, next = n.due(time.Now(), due[:0])
		for _, o := range due {
			emit(o)
		}
		if next > 0 {
			timer.Reset(next)
		}
	}
}

// due appends the answers that have arrived by now to due, and tells in what
// time the next one will, 0 for none on its way.
func (n *Network) due(now time.Time, due []scanner.Observation) (_ []scanner.Observation, next time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for len(n.queue) > 0 && !n.queue[0].At.After(now) {
		due = append(due, n.queue.pop())
		n.counter.Frames++
	}
	if len(n.queue) > 0 {
		next = n.queue[0].At.Sub(now)
	}
	return due, next
}

// answers is a heap of observations on their way, the earliest first. It is
// written out so that none of them is copied to the heap of the program: at
// millions of answers that would be most of the memory.
type answers []scanner.Observation

func (a *answers) push(o scanner.Observation) {
	q := append(*a, o)
	*a = q
	i := len(q) - 1
	for parent := (i - 1) / 2; i > 0 && o.At.Before(q[parent].At); parent = (i - 1) / 2 {
		q[i], i = q[parent], parent
	}
	q[i] = o
}

func (a *answers) pop() scanner.Observation {
	q := *a
	last := len(q) - 1
	top, o := q[0], q[last]
	q[last] = scanner.Observation{} // its payload may go
	q = q[:last]
	*a = q
	i := 0
	for child := 1; child < last; child = 2*i + 1 {
		if child+1 < last && q[child+1].At.Before(q[child].At) {
			child++
		}
		if !q[child].At.Before(o.At) {
			break
		}
		q[i], i = q[child], child
	}
	if last > 0 {
		q[i] = o
	}
	return top
}
