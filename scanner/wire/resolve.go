//go:build linux

package wire

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net"
	"net/netip"
	"time"

	"dormant/scanner"
)

const (
	// tries is how often a silent neighbour is asked at most.
	tries = 3
	// enough answers of which none needed a second request show that requests do
	// not get lost here: with 95 % confidence, fewer than three in a hundred do,
	// and two of them in a row are lost less than once in a thousand times.
	enough = 100
	// fewestSamples is how many second answers, of which none is missing, show that
	// one request is enough: where one in 25 gets lost, as with 2 % of the frames
	// each way, they all come once in 3,500 times. Where they come, 2 in 1,000
	// neighbours are missed on average at the worst (1/e/(n+1)); of many neighbours
	// more second answers are asked for. They must be of a few machines at least.
	fewestSamples, mostSamples, fewestNeighbours = 200, 1000, 10
	// askBatch is how many requests go out at once, and askChunk how many
	// questions are open at once: what is kept in memory while resolving.
	askBatch = 32
	askChunk = 1 << 16
)

// pacer blocks until n more frames may be sent.
type pacer = func(ctx context.Context, n int) error

// Resolve implements scanner.Resolver. It looks for the gateways too.
func (b *Backend) Resolve(ctx context.Context, addrs iter.Seq[netip.Addr], pace func(ctx context.Context, n int) error) error {
	if err := b.resolveGateways(ctx, pace); err != nil {
		return err
	}
	known, fresh := b.known.Load().all(), map[*iface]map[netip.Addr][6]byte{}
	var chunk []question
	queued := map[netip.Addr]bool{}
	ask := func() error {
		err := b.ask(ctx, chunk, pace)
		for _, q := range chunk {
			if q.closed {
				known[q.key.addr] = q.mac
			}
			if q.closed && q.asked > 0 {
				b.answered.Add(1)
			}
		}
		chunk = chunk[:0]
		clear(queued)
		return err
	}
	defer func() { b.learn(ctx, known) }()
	for addr := range addrs {
		r := b.routes.of(addr)
		if r == nil || !r.onLink() {
			continue
		}
		if _, ok := known[addr]; ok || queued[addr] {
			continue
		}
		if fresh[r.iface] == nil {
			var err error
			if fresh[r.iface], err = b.cached(r.iface, true); err != nil {
				return err
			}
		}
		q := r.question(addr)
		q.mac, q.closed = fresh[r.iface][addr] // then it is only asked whether answers get lost
		queued[addr] = true
		chunk = append(chunk, q)
		if len(chunk) == askChunk {
			if err := ask(); err != nil {
				return err
			}
		}
	}
	return ask()
}

// learn makes known what is known of the neighbours, and says when most of them
// are one machine.
func (b *Backend) learn(ctx context.Context, known map[netip.Addr][6]byte) {
	t := newNeighbours(known)
	b.known.Store(t)
	if b.Counters().OneMAC() != "" {
		b.log.WarnContext(ctx, "one MAC answers for most neighbours: proxy ARP, or one machine with all their addresses; an address that is there may be nobody's",
			"mac", net.HardwareAddr(t.mac[:]).String(), "addresses", t.most, "neighbours", t.count)
	}
}

// question returns the question for a neighbour on the route.
func (r *route) question(addr netip.Addr) question {
	return question{key: questionKey{addr, r.iface.index}, src: r.iface.asker(r.way.Source, addr.Is6())}
}

// cached returns the kernel's neighbours on an interface, of both families.
func (b *Backend) cached(f *iface, fresh bool) (map[netip.Addr][6]byte, error) {
	all := map[netip.Addr][6]byte{}
	for _, v6 := range []bool{false, true} {
		some, err := b.kernel.neighbours(f.index, v6, fresh)
		if err != nil {
			return nil, err
		}
		for addr, mac := range some {
			all[f.withZone(addr)] = mac
		}
	}
	return all, nil
}

// ask asks everybody, on each interface and in each family by itself: that nothing
// gets lost in one says nothing of another.
func (b *Backend) ask(ctx context.Context, questions []question, pace pacer) error {
	for _, f := range b.ifaces {
		for _, v6 := range []bool{false, true} {
			var some []*question
			for i := range questions {
				if q := &questions[i]; q.key.index == f.index && q.key.addr.Is6() == v6 {
					some = append(some, q)
				}
			}
			if len(some) == 0 {
				continue
			}
			if err := b.askOn(ctx, f, some, pace); err != nil {
				return err
			}
		}
	}
	return nil
}

// askOn asks until everybody has answered or been given up. Where those who have
// answered show that nothing gets lost, the silent are asked once. Else they are
// asked twice, and once more if asking twice helped somebody, since then requests
// do get lost here, or if too few have answered to say that they do not.
func (b *Backend) askOn(ctx context.Context, f *iface, questions []*question, pace pacer) error {
	a := &b.asking
	a.begin(questions)
	defer a.end()
	if left, _ := a.progress(); left == 0 {
		return nil
	}
	for try := 1; ; try++ {
		if err := b.askOnce(ctx, f, questions, pace); err != nil {
			return err
		}
		if err := a.pause(ctx); err != nil {
			return err
		}
		left, late := a.progress()
		answered := len(questions) - left
		switch {
		case left == 0 || try == tries:
			return nil
		case try > 1 && late == 0 && answered >= enough:
			return nil
		case try == 1:
			if sure, err := b.lossless(ctx, f, questions, answered, pace); sure || err != nil {
				return err
			}
		}
	}
}

// lossless reports whether neither requests nor answers get lost: those who have
// answered are asked again, and all must answer again. It reports false at once
// where they are too few to say so, or where that takes more requests than asking
// the silent twice more.
func (b *Backend) lossless(ctx context.Context, f *iface, questions []*question, answered int, pace pacer) (bool, error) {
	n := min(max(answered, fewestSamples), mostSamples)
	if answered < fewestNeighbours || n > 2*(len(questions)-answered) {
		return false, nil
	}
	var taken [askBatch]*question
	b.asking.sample(n)
	for next := 0; n > 0; {
		some := taken[:min(askBatch, n)]
		if err := pace(ctx, len(some)); err != nil {
			return false, err
		}
		next = b.asking.takeAgain(questions, next, some)
		if err := b.request(ctx, f, some); err != nil {
			return false, err
		}
		n -= len(some)
	}
	err := b.asking.pause(ctx)
	return b.asking.sampled() && err == nil, err
}

// pause waits until what was asked last has had long enough to answer, or all
// have answered.
func (a *asking) pause(ctx context.Context) error {
	asked := time.Now()
	for {
		left := time.Until(asked.Add(a.wait())) // which may grow meanwhile
		if left <= 0 {
			return ctx.Err()
		}
		timer := time.NewTimer(left)
		select {
		case <-timer.C:
		case <-a.done:
			timer.Stop()
			return nil
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}

// askOnce sends one request for every open question.
func (b *Backend) askOnce(ctx context.Context, f *iface, questions []*question, pace pacer) error {
	var taken [askBatch]*question
	for next := 0; next < len(questions); {
		n := min(askBatch, len(questions)-next)
		if err := pace(ctx, n); err != nil {
			return err
		}
		var some []*question
		some, next = b.asking.take(questions, next, n, taken[:0])
		if err := b.request(ctx, f, some); err != nil {
			return err
		}
	}
	return nil
}

// request sends a request for each of at most askBatch questions.
func (b *Backend) request(ctx context.Context, f *iface, some []*question) error {
	var (
		buffers [askBatch][solicitFrame]byte
		frames  [askBatch][]byte
	)
	for i, q := range some {
		if q.key.addr.Is4() {
			frames[i] = putARP(buffers[i][:], f.mac, q.src, q.key.addr)
		} else {
			frames[i] = putSolicitation(buffers[i][:], f.mac, q.src, q.key.addr)
		}
	}
	return b.sendRequests(ctx, f, frames[:len(some)])
}

// sendRequests sends the frames and waits for room where there is none. A
// request that is refused otherwise is left out: it counts as a send error, and
// the next try asks again.
func (b *Backend) sendRequests(ctx context.Context, f *iface, frames [][]byte) error {
	for wait := firstWait; len(frames) > 0; {
		n, err := f.lanes[0].write(frames)
		b.asked.Add(uint64(n))
		frames = frames[n:]
		switch {
		case err == nil:
		case errors.Is(err, ErrLinkDown):
			return fmt.Errorf("wire: ask for neighbours on %s: %w", f.name, err)
		case errors.Is(err, ErrBusy) && wait < patience:
			b.sendRetries.Add(1)
			if err := scanner.Sleep(ctx, wait); err != nil {
				return err
			}
			wait *= 2
		default:
			b.sendErrors.Add(1)
			b.log.WarnContext(ctx, "a neighbour request could not be sent", "interface", f.name, "error", err)
			frames = frames[1:]
		}
	}
	return nil
}

// heard takes an ARP reply or a neighbour advertisement. It is called by the
// receivers, and is shown the answers to the kernel's own requests, too.
func (b *Backend) heard(f *iface, addr netip.Addr, mac [6]byte, at time.Time) {
	if mac == ([6]byte{}) || mac[0]&1 != 0 { // nobody's, or a group's
		return
	}
	b.asking.answer(questionKey{addr, f.index}, mac, at)
}

// Reachable implements scanner.Resolver. A silent gateway is a fault of this
// side: it says nothing about what is behind it.
func (b *Backend) Reachable(addr netip.Addr) (scanner.State, scanner.Reason, bool) {
	r := b.routes.of(addr)
	switch {
	case r == nil || r.iface == nil:
		return scanner.Unknown, scanner.LocalError, false
	case r.iface.medium != Ethernet || r.via.Load() != nil:
		return 0, 0, true
	case r.way.Gateway.IsValid():
		return scanner.Unknown, scanner.LocalError, false
	case b.known.Load().of(addr) == nil:
		return scanner.Unreachable, scanner.ARPNoReply, false
	default:
		return 0, 0, true
	}
}
