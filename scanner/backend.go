package scanner

import (
	"context"
	"fmt"
	"iter"
	"net/netip"
)

// Backend puts probes on the network and hears the answers. Every
// implementation passes backendtest.Run.
type Backend interface {
	// Send takes the probes of batch in order and returns how many it took. It
	// may block while the backend has no room. What it cannot send for a fault
	// of this side it takes all the same and reports as Unknown, LocalError
	// through Receive; err is not nil only when no further probe can be sent.
	// Send must not retain batch. One goroutine calls it.
	Send(ctx context.Context, batch []Probe) (sent int, err error)
	// Receive calls emit for every answer, from one goroutine, until ctx ends,
	// and then returns nil. It starts before the first Send. emit does not
	// block for long; a silent target is not an answer and is never emitted.
	Receive(ctx context.Context, emit func(Observation)) error
	// Counters returns what happened below the observations so far. It may be
	// called at any time, also while Send and Receive run.
	Counters() Counters
}

// Resolver is a Backend that must know a neighbour before it can send to it.
type Resolver interface {
	// Resolve asks for the link-layer address of each address that is on-link
	// and not yet known, with retries to the unanswered, and returns when all
	// have answered or been given up. Addresses behind a gateway or on a link
	// without addresses are passed over. pace blocks until n more frames may be
	// sent. Receive runs meanwhile.
	Resolve(ctx context.Context, addrs iter.Seq[netip.Addr], pace func(ctx context.Context, n int) error) error
	// Reachable reports whether a probe to addr can be sent at all: false for
	// an on-link address without a neighbour and one without a route, with the
	// state and reason to report for it. It is called from Send's goroutine.
	Reachable(addr netip.Addr) (State, Reason, bool)
}

// Parallel is a Backend that can send the parts of a batch at the same time.
type Parallel interface {
	// Lanes returns into how many parts a batch is divided at most, 1 or more.
	Lanes() int
}

// Witness is a Backend that can tell what has happened to its ways since it was
// opened.
type Witness interface {
	// Faults returns, in words for the user, what makes answers missing that has
	// nothing to do with the targets: an interface that lost its carrier, a route
	// or an address that is gone. Nil when all is as it was. It is called when Send
	// and Receive have returned.
	Faults() []string
}

// Checker is a Backend that can ask whether its ways still lead anywhere. It is
// optional.
type Checker interface {
	// Check asks those to whom probes are handed, a packet or two each, and remembers
	// for Faults who is silent. It is called by Send's goroutine after every round of
	// which answers are missing, while Receive runs. pace blocks until n more frames
	// may be sent.
	Check(ctx context.Context, pace func(ctx context.Context, n int) error) error
}

// Counters are the facts below the observations: every packet that was not
// turned into one, and why. The zero value is "nothing happened".
type Counters struct {
	Frames     uint64 `json:"frames_received"`     // frames or datagrams read from the kernel
	Invalid    uint64 `json:"invalid"`             // undecodable, or the cookie did not match: not ours
	Duplicate  uint64 `json:"duplicate"`           // a second answer of the same kind to the same target
	Foreign    uint64 `json:"foreign"`             // valid, but from an address outside the plan
	RingDrops  uint64 `json:"ring_drops"`          // the kernel dropped them before we read: makes a run incomplete
	SendErrors uint64 `json:"send_errors"`         // probes that could not be sent: makes a run incomplete
	LinkDrops  uint64 `json:"link_drops"`          // frames that an interface threw away instead of sending, of this or another program: makes a run incomplete
	SendRetry  uint64 `json:"send_retries"`        // the local queue was full and the frame was offered again
	ARPSent    uint64 `json:"neighbour_requests"`  // ARP requests and neighbour solicitations
	ARPAnswer  uint64 `json:"neighbour_answers"`   // distinct neighbours that answered
	SharedMAC  uint64 `json:"neighbours_same_mac"` // on-link addresses answered for by the most frequent MAC
	Neighbours uint64 `json:"neighbours"`          // on-link addresses with a MAC
}

// OneMAC says in words that one machine seems to answer for most neighbours,
// "" when none does: a few addresses on one are usual.
func (c Counters) OneMAC() string {
	if c.SharedMAC <= 8 || 2*c.SharedMAC <= c.Neighbours {
		return ""
	}
	return fmt.Sprintf("one MAC answers for %d of %d neighbours: proxy ARP, or one machine with all their addresses; an address that is there may be nobody's",
		c.SharedMAC, c.Neighbours)
}
