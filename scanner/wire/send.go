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

// Send implements scanner.Backend. A batch that is long enough is sent by
// several senders at the same time, each a part of it. Where several fail, the
// error is that of the first. The error is ErrLinkDown when an interface takes
// no more frames.
func (b *Backend) Send(ctx context.Context, batch []scanner.Probe) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	share := max(maxBatch, (len(batch)+len(b.senders)-1)/len(b.senders))
	of := func(i int) part { return part{ctx, batch[min(len(batch), i*share):min(len(batch), (i+1)*share)]} }
	used := 1
	for ; used*share < len(batch); used++ {
		b.senders[used].begin(of(used))
	}
	all := b.senders[0].send(of(0))
	for _, s := range b.senders[1:used] {
		if next := <-s.done; all.err == nil {
			all = outcome{all.n + next.n, next.err}
		}
	}
	return all.n, all.err
}

// Lanes implements scanner.Parallel.
func (b *Backend) Lanes() int { return len(b.senders) }

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
	if r.way.Gateway.IsValid() {
		return mac, false
	}
	if found := known.of(p.Addr); found != nil {
		return [6]byte(found), true
	}
	return mac, false
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
