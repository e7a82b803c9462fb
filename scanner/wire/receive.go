//go:build linux

package wire

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"dormant/registry"
	"dormant/scanner"
)

// Receive implements scanner.Backend. Each link is read by a goroutine of its
// own; they and the one that passes on faults take turns, so that emit is never
// called twice at the same time.
func (b *Backend) Receive(ctx context.Context, emit func(scanner.Observation)) error {
	var turn sync.Mutex
	inTurn := func(o scanner.Observation) {
		turn.Lock()
		defer turn.Unlock()
		emit(o)
	}
	group, inner := errgroup.WithContext(ctx)
	for _, f := range b.all() {
		group.Go(func() error { // ends with inner
			r := receiver{backend: b, iface: f, emit: inTurn}
			if err := f.link.ReadFrames(inner, r.frame); err != nil {
				return fmt.Errorf("wire: receive on %s: %w", f.name, err)
			}
			return nil
		})
	}
	group.Go(func() error { // ends with inner
		for {
			select {
			case o := <-b.faults:
				inTurn(o)
			case <-inner.Done():
				return nil
			}
		}
	})
	err := group.Wait()
	for {
		select {
		case o := <-b.faults:
			emit(o)
		default:
			return err
		}
	}
}

// receiver turns the frames of one interface into observations.
type receiver struct {
	backend *Backend
	iface   *iface
	emit    func(scanner.Observation)
	p       packet
}

// frame takes one frame as the link hands it over.
func (r *receiver) frame(frame []byte, at time.Time) {
	r.iface.received.Add(1)
	if !decode(frame, r.iface.medium, &r.p) || !r.packet(at) {
		r.iface.invalid.Add(1)
	}
}

// packet reports whether the decoded packet answers something that was asked,
// or could: neighbours answer the kernel, too.
func (r *receiver) packet(at time.Time) bool {
	p := &r.p
	switch p.kind {
	case neighbour:
		r.backend.heard(r.iface, r.iface.withZone(p.src), [6]byte(p.mac), at)
		return true
	case synAck:
		return r.answer(scanner.SynAck, registry.TCP, at)
	case reset:
		return r.answer(scanner.Rst, registry.TCP, at)
	case datagram:
		return r.answer(scanner.UDPReply, registry.UDP, at)
	case icmpError:
		return r.refusal(at)
	default: // the zero value
		return false
	}
}

// answer takes a segment or a datagram from the target itself.
func (r *receiver) answer(reason scanner.Reason, proto registry.Proto, at time.Time) bool {
	p, b := &r.p, r.backend
	port := registry.Port{Number: p.srcPort, Proto: proto}
	s := b.cookies.of(p.dst, p.src, port)
	low, ok := b.cookies.attemptOf(s, p.dstPort)
	if !ok || proto == registry.TCP && p.ack-1 != s.sequence(low) {
		return false
	}
	o := r.observation(scanner.Target{Addr: r.iface.withZone(p.src), Port: port}, reason, s, low, at)
	o.Window = p.window
	if p.hasEcho { // exact however long ago it was sent
		if rtt := roundTrip(b.clock + uint32(at.UnixMicro()) - p.echo); rtt > 0 {
			o.RTT = rtt
		}
	}
	if proto == registry.UDP {
		o.Payload = bytes.Clone(p.payload[:min(len(p.payload), scanner.MaxPayload)])
	}
	o.MAC = r.neighbourOf(o.Addr)
	r.emit(o)
	return true
}

// refusal takes an ICMP error about a probe, from whomever.
func (r *receiver) refusal(at time.Time) bool {
	p, b := &r.p, r.backend
	port := registry.Port{Number: p.about.dstPort, Proto: p.about.proto}
	s := b.cookies.of(p.about.src, p.about.dst, port)
	low, ok := b.cookies.attemptOf(s, p.about.srcPort)
	if !ok || port.Proto == registry.TCP && p.about.sequence != s.sequence(low) {
		return false
	}
	o := r.observation(scanner.Target{Addr: r.iface.withZone(p.about.dst), Port: port}, p.reason, s, low, at)
	if o.From == o.Addr {
		o.MAC = r.neighbourOf(o.Addr)
	}
	r.emit(o)
	return true
}

// observation fills in what all answers share.
func (r *receiver) observation(t scanner.Target, reason scanner.Reason, s secret, low uint8, at time.Time) scanner.Observation {
	from := r.iface.withZone(r.p.src)
	o := scanner.Observation{
		Target: t, State: scanner.StateOf(reason, from == t.Addr), Reason: reason,
		From: from, TTL: r.p.ttl, At: at,
	}
	o.Attempt, o.RTT = r.backend.times.get(s, low, at.UnixMicro())
	return o
}

// neighbourOf returns the link-layer address that the frame came from, when it
// is the target's own.
func (r *receiver) neighbourOf(addr netip.Addr) []byte {
	if way := r.backend.routes.of(addr); r.p.mac == nil || way == nil || !way.onLink() || way.iface != r.iface {
		return nil
	}
	if known := r.backend.known.Load().of(addr); bytes.Equal(known, r.p.mac) {
		return known // shared: no new memory for an answer
	}
	return bytes.Clone(r.p.mac)
}
