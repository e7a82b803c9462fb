//go:build linux

package wire

import (
	"context"
	"errors"
	"fmt"
	"time"

	"dormant/registry"
	"dormant/scanner"
)

// maxBatch is how many frames are handed to a link at once.
const maxBatch = 64

// sender builds the frames of a part of Send's batch and sends them. The first
// one works in Send's goroutine; each other has its own, and its own lane of
// every interface that has so many.
type sender struct {
	b     *Backend
	ahead [maxBatch]ahead
	boxes []outbox // for each of b.ifaces

	work chan part    // what the sender's own goroutine is to do; nil before there is one
	done chan outcome // how that went; closed when it has ended
}

// part is a part of a batch that one call of Send waits for.
type part struct {
	ctx    context.Context
	probes []scanner.Probe
}

// outcome is how many probes of a part come before the first that was not sent,
// and why that was not.
type outcome struct {
	n   int
	err error
}

// outbox holds frames that leave by one lane.
type outbox struct {
	iface *iface
	lane  *lane

	frames  [maxBatch][]byte
	buffers [maxBatch][maxFrame]byte
	which   [maxBatch]int // which probe of the part a frame is
	n       int
}

// newSenders returns as many senders as the interface with the most lanes has.
func newSenders(b *Backend) []*sender {
	most := 1
	for _, f := range b.ifaces {
		most = max(most, len(f.lanes))
	}
	all := make([]*sender, most)
	for i := range all {
		s := &sender{b: b, boxes: make([]outbox, len(b.ifaces))}
		for x, f := range b.ifaces {
			s.boxes[x].iface, s.boxes[x].lane = f, f.lanes[i%len(f.lanes)]
		}
		all[i] = s
	}
	return all
}

// begin gives a part to the sender's own goroutine. The outcome comes from done.
func (s *sender) begin(p part) {
	if s.work == nil {
		s.work, s.done = make(chan part), make(chan outcome)
		go s.serve() // ends when stop closes work
	}
	s.work <- p
}

func (s *sender) serve() {
	defer close(s.done)
	for p := range s.work {
		s.done <- s.send(p)
	}
}

// stop ends the sender's own goroutine, if there is one, and waits for that.
func (s *sender) stop() {
	if s.work != nil {
		close(s.work)
		<-s.done
	}
}

// send sends a part.
func (s *sender) send(p part) outcome {
	micros := time.Now().UnixMicro()
	known := s.b.known.Load()
	for i := range p.probes {
		if i%maxBatch == 0 {
			s.lookAhead(p.probes[i:min(len(p.probes), i+maxBatch)])
		}
		probe, a := &p.probes[i], &s.ahead[i%maxBatch]
		r := a.route
		var mac [6]byte
		ok := r != nil && r.iface != nil && sendable(probe)
		if ok {
			mac, ok = r.nextHop(known, probe)
		}
		if !ok {
			if err := s.b.fault(p.ctx, probe.Target); err != nil {
				return s.unsent(i, err)
			}
			continue
		}
		box := &s.boxes[r.iface.number]
		if box.n == maxBatch {
			if err := s.drain(box, p); err != nil {
				return s.unsent(i, err)
			}
		}
		box.put(s.b, a, probe, mac, micros)
		box.which[box.n-1] = i
	}
	for x := range s.boxes {
		if err := s.drain(&s.boxes[x], p); err != nil {
			return s.unsent(len(p.probes), err)
		}
	}
	return outcome{n: len(p.probes)}
}

// ahead is what send finds out about a probe before it builds the frame.
type ahead struct {
	route  *route // nil: none
	secret secret
}

// lookAhead fills ahead for at most maxBatch probes. The places in the table
// of send times are all over memory: together they come into the cache in the
// time of one.
func (s *sender) lookAhead(probes []scanner.Probe) {
	for i := range probes {
		p, a := &probes[i], &s.ahead[i]
		if a.route = s.b.routes.of(p.Addr); a.route != nil && a.route.iface != nil {
			a.secret = s.b.cookies.of(a.route.way.Source, p.Addr, p.Port)
		}
	}
	sum := uint64(0)
	for i := range probes {
		slot, _ := s.b.times.place(s.ahead[i].secret)
		sum |= slot.Load()
	}
	_ = sum
}

// unsent empties all outboxes and returns how many probes before end come before
// the first that was not sent.
func (s *sender) unsent(end int, err error) outcome {
	for x := range s.boxes {
		if box := &s.boxes[x]; box.n > 0 {
			end = min(end, box.which[0])
			box.n = 0
		}
	}
	return outcome{end, err}
}

// drain sends what is in an outbox. What only one frame is refused for becomes
// a fault of its probe.
func (s *sender) drain(box *outbox, p part) error {
	wait, full := firstWait, time.Time{} // since when: a wait can take far longer than asked for on a busy machine
	for done := 0; done < box.n; {
		n, err := box.lane.write(box.frames[done:box.n])
		if done += n; n > 0 {
			wait, full = firstWait, time.Time{}
		}
		switch {
		case err == nil:
			continue
		case errors.Is(err, ErrLinkDown):
			box.keep(done)
			return fmt.Errorf("wire: send on %s: %w", box.iface.name, err)
		case errors.Is(err, ErrBusy) && (full.IsZero() || time.Since(full) < patience):
			if full.IsZero() {
				full = time.Now()
			}
			s.b.sendRetries.Add(1)
			if err := scanner.Sleep(p.ctx, wait); err != nil {
				box.keep(done)
				return err
			}
			wait = min(2*wait, longWait)
			continue
		}
		target := p.probes[box.which[done]].Target
		s.b.warn(box.iface, target, err)
		if err := s.b.fault(p.ctx, target); err != nil {
			box.keep(done)
			return err
		}
		done, wait, full = done+1, firstWait, time.Time{}
	}
	box.n = 0
	return nil
}

// put appends the frame of p.
func (box *outbox) put(b *Backend, a *ahead, p *scanner.Probe, mac [6]byte, micros int64) {
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
	buf := &box.buffers[box.n]
	box.frames[box.n] = buf[:t.patch(buf[:], &v)]
	box.n++
}

// keep drops the first done frames, which are sent.
func (box *outbox) keep(done int) { box.n = copy(box.which[:], box.which[done:box.n]) }
