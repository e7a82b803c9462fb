//go:build linux

package wire

import (
	"context"
	"time"

	"dormant/registry"
	"dormant/scanner"
)

// A full local queue is given time: the first wait, the longest, and how long
// one frame is offered before it counts as not sent.
const (
	firstWait = 50 * time.Microsecond
	longWait  = 5 * time.Millisecond
	patience  = 2 * time.Second
)

// Send implements scanner.Backend. The error is ErrLinkDown when an interface
// takes no more frames.
func (b *Backend) Send(ctx context.Context, batch []scanner.Probe) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	micros := time.Now().UnixMicro()
	known := b.known.Load()
	for i := range batch {
		if i%maxBatch == 0 {
			b.lookAhead(batch[i:min(len(batch), i+maxBatch)])
		}
		p, a := &batch[i], &b.ahead[i%maxBatch]
		r := a.route
		var mac [6]byte
		ok := r != nil && r.iface != nil && sendable(p)
		if ok {
			mac, ok = r.nextHop(known, p)
		}
		if !ok {
			if err := b.fault(ctx, p.Target); err != nil {
				return b.unsent(i), err
			}
			continue
		}
		l, err := b.room(ctx, r.iface, batch)
		if err != nil {
			return b.unsent(i), err
		}
		l.put(b, a, p, mac, micros)
		l.which[l.n-1] = i
	}
	for _, f := range b.ifaces {
		if err := b.flush(ctx, f, batch); err != nil {
			return b.unsent(len(batch)), err
		}
	}
	return len(batch), nil
}

// ahead is what Send finds out about a probe before it builds the frame.
type ahead struct {
	route  *route // nil: none
	secret secret
}

// lookAhead fills b.ahead for at most maxBatch probes. The places in the table
// of send times are all over memory: together they come into the cache in the
// time of one.
func (b *Backend) lookAhead(batch []scanner.Probe) {
	for i := range batch {
		p, a := &batch[i], &b.ahead[i]
		if a.route = b.routes.of(p.Addr); a.route != nil && a.route.iface != nil {
			a.secret = b.cookies.of(a.route.hop.src, p.Addr, p.Port)
		}
	}
	sum := uint64(0)
	for i := range batch {
		slot, _ := b.times.place(b.ahead[i].secret)
		sum |= slot.Load()
	}
	_ = sum
}

// sendable reports whether p keeps what scanner.Probe promises.
func sendable(p *scanner.Probe) bool {
	return len(p.Payload) <= maxDatagram && (p.Port.Proto == registry.TCP || p.Port.Proto == registry.UDP)
}

// nextHop returns the link-layer address that a frame to p goes to, and false
// when it is not known.
func (r *route) nextHop(known *neighbours, p *scanner.Probe) (mac [6]byte, ok bool) {
	if r.iface.medium != Ethernet {
		return mac, true
	}
	if via := r.via.Load(); via != nil {
		return *via, true
	}
	if r.hop.gateway.IsValid() {
		return mac, false
	}
	if found := known.of(p.Addr); found != nil {
		return [6]byte(found), true
	}
	return mac, false
}

// put appends the frame of p to the batch of the lane.
func (l *lane) put(b *Backend, a *ahead, p *scanner.Probe, mac [6]byte, micros int64) {
	r, s := a.route, a.secret
	v := variables{
		mac: mac, dst: p.Addr, dstPort: p.Port.Number, srcPort: b.cookies.sourcePort(s, p.Attempt),
		id: uint32(s>>12) + uint32(p.Attempt), payload: p.Payload,
	}
	t := r.udp
	if p.Port.Proto == registry.TCP {
		t = r.tcp
		v.sequence, v.clock = s.sequence(p.Attempt), b.clock+uint32(micros)
	}
	b.times.put(s, p.Attempt, micros)
	buf := &l.buffers[l.n]
	l.frames[l.n] = buf[:t.patch(buf[:], &v)]
	l.n++
}

// warn logs why a probe could not be sent, each reason once.
func (b *Backend) warn(f *iface, target scanner.Target, err error) {
	b.warning.Lock()
	defer b.warning.Unlock()
	if !b.warned[err.Error()] {
		b.warned[err.Error()] = true
		b.log.Warn("a probe could not be sent; further ones like it are only counted",
			"interface", f.name, "target", target, "error", err)
	}
}

// unsent empties all batches and returns how many probes before end come before
// the first that was not sent.
func (b *Backend) unsent(end int) int {
	for _, f := range b.ifaces {
		for _, l := range f.lanes {
			if l.n > 0 {
				end = min(end, l.which[0])
			}
			l.n = 0
		}
	}
	return end
}

// fault tells that a probe was not sent. It blocks while Receive does not keep
// up.
func (b *Backend) fault(ctx context.Context, t scanner.Target) error {
	b.sendErrors.Add(1)
	select {
	case b.faults <- scanner.Observation{Target: t, State: scanner.Unknown, Reason: scanner.LocalError, At: time.Now()}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
