package fingerprint

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"dormant/scanner"
)

// turns lets at most one connection at a time go to each host. Those who wait
// for the same host are served in the order in which they came; nobody waits
// for another host.
type turns struct {
	seed  uint64
	gap   time.Duration // least time between the end of a connection and the next
	mu    sync.Mutex
	hosts map[netip.Addr]*host
}

// host is what a run knows of one address. rng and below belong to whoever
// holds the turn.
type host struct {
	turn   chan struct{} // holds the one token while nobody does
	waited atomic.Int64  // nanoseconds for answers to what was said, all ports together
	read   atomic.Int64  // bytes, all ports together

	rng   *rand.Rand // jitter, canary ports
	ended time.Time  // of the last connection; zero before the first
	asked bool       // the canaries have been asked
	known HostContext
}

func newTurns(seed uint64, gap time.Duration) *turns {
	return &turns{seed: seed, gap: gap, hosts: map[netip.Addr]*host{}}
}

// of returns the host's state, the same for every caller.
func (t *turns) of(addr netip.Addr) *host {
	t.mu.Lock()
	defer t.mu.Unlock()
	h, ok := t.hosts[addr]
	if !ok {
		b := addr.As16()
		// a stream of its own for each host: the same run asks the same ports
		// whatever the order in which hosts answered
		stream := t.seed ^ binary.BigEndian.Uint64(b[:8]) ^ binary.BigEndian.Uint64(b[8:])
		h = &host{turn: make(chan struct{}, 1), rng: rand.New(rand.NewPCG(t.seed, stream))}
		h.turn <- struct{}{}
		t.hosts[addr] = h
	}
	return h
}

// take waits for the host's turn and until the gap with its jitter is over. It
// returns ctx's error when that ends first; else the caller must give back.
func (t *turns) take(ctx context.Context, h *host) error {
	select {
	case <-h.turn:
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := t.pause(ctx, h); err != nil {
		h.turn <- struct{}{}
		return err
	}
	return nil
}

// pause waits until the host may be connected to again: the gap and up to half
// of it more. The caller holds the turn.
func (t *turns) pause(ctx context.Context, h *host) error {
	if h.ended.IsZero() {
		return ctx.Err()
	}
	wait := t.gap
	if t.gap > 1 {
		wait += time.Duration(h.rng.Int64N(int64(t.gap / 2)))
	}
	return scanner.Sleep(ctx, wait-time.Since(h.ended))
}

// giveBack ends the turn. The gap counts from now.
func (t *turns) giveBack(h *host) {
	h.ended = time.Now()
	h.turn <- struct{}{}
}
