package fakenet

import (
	"context"
	"iter"
	"net/netip"
	"time"

	"dormant/scanner"
)

// Link is a Network whose addresses are all on-link: they must be resolved
// before a probe can be sent, and only the addresses of Neighbours answer.
type Link struct {
	*Network
	// Neighbours are those that answer when they are asked.
	Neighbours map[netip.Addr]bool

	known map[netip.Addr]bool // of Run's goroutine
}

var _ scanner.Resolver = (*Link)(nil)

// resolveRounds is how often an address is asked for.
const resolveRounds = 3

// NewLink returns the on-link segment of n on which neighbours live.
func NewLink(n *Network, neighbours ...netip.Addr) *Link {
	l := &Link{Network: n, Neighbours: map[netip.Addr]bool{}, known: map[netip.Addr]bool{}}
	for _, addr := range neighbours {
		l.Neighbours[addr] = true
	}
	return l
}

// Resolve implements scanner.Resolver: three rounds over the unanswered, then
// two round-trip times for the last answers. Requests and answers are lost as
// probes are.
func (l *Link) Resolve(ctx context.Context, addrs iter.Seq[netip.Addr], pace func(context.Context, int) error) error {
	for range resolveRounds {
		for addr := range addrs {
			if l.known[addr] {
				continue
			}
			if err := pace(ctx, 1); err != nil {
				return err
			}
			l.ask(addr)
		}
	}
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(2 * l.rtt):
		return nil
	}
}

func (l *Link) ask(addr netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counter.ARPSent++
	if l.Neighbours[addr] && !l.lost() && !l.lost() {
		l.known[addr] = true
		l.counter.ARPAnswer++
	}
}

// Reachable implements scanner.Resolver.
func (l *Link) Reachable(addr netip.Addr) (scanner.State, scanner.Reason, bool) {
	if l.known[addr] {
		return 0, 0, true
	}
	return scanner.Unreachable, scanner.ARPNoReply, false
}
