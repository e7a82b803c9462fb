package scanner

import (
	"sync"
	"time"
)

const (
	// retryFloor and finalFloor are the shortest waits after the last probe of
	// a round and of the run. A retry that comes too early costs one packet, an
	// end that comes too early costs an answer.
	retryFloor = 100 * time.Millisecond
	finalFloor = 200 * time.Millisecond
	// retryBlind and finalBlind are the waits while nothing has answered at all.
	// RFC 6298 section 2.1 starts with one second.
	retryBlind = 500 * time.Millisecond
	finalBlind = time.Second

	sampleSlots = 1 << 12
)

// roundTrips estimates how long answers take. Sender and receiver share it.
type roundTrips struct {
	mu             sync.Mutex
	smooth, spread time.Duration // SRTT and RTTVAR of RFC 6298
	longest        time.Duration
	count          uint64
	// sent remembers when some targets got their first probe, for answers whose
	// backend cannot tell the round trip: the last one of each slot.
	sent [sampleSlots]sample
}

type sample struct {
	target uint64 // natural index + 1, so that zero is none
	at     int64  // nanoseconds since the start of the run
}

// record remembers that the targets got their first probe at a moment of the run.
func (r *roundTrips) record(targets []uint64, at int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, j := range targets {
		r.sent[j%sampleSlots] = sample{j + 1, at}
	}
}

// since returns how long before the moment at the target got its first probe, and 0 when
// that was not remembered.
func (r *roundTrips) since(target uint64, at int64) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.sent[target%sampleSlots]; s.target == target+1 {
		return time.Duration(max(0, at-s.at))
	}
	return 0
}

// observe takes one measured round trip into account: RFC 6298 section 2, with
// the gains 1/8 and 1/4.
func (r *roundTrips) observe(d time.Duration) {
	if d <= 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.count++; r.count == 1 {
		r.smooth, r.spread, r.longest = d, d/2, d
		return
	}
	r.spread += ((r.smooth - d).Abs() - r.spread) / 4
	r.smooth += (d - r.smooth) / 8
	r.longest = max(r.longest, d)
}

// timeout returns how long an answer may still take: the retransmission timeout
// of RFC 6298, but at least twice the longest round trip of the run, because
// one estimate stands for near and far hosts. It is blind before the first
// answer, and otherwise from floor to most.
func (r *roundTrips) timeout(floor, blind, most time.Duration) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.count == 0 {
		return min(blind, most)
	}
	return min(max(r.smooth+4*r.spread, 2*r.longest, floor), most)
}
