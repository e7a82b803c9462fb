package scanner

import (
	"sync/atomic"
	"time"
)

// StateTimeout is how long a path may hold a half-open connection: the time
// that Linux connection tracking keeps one whose SYN was not answered
// (nf_conntrack_tcp_timeout_syn_sent, 120 s), the longest of those in wide use.
const StateTimeout = 120 * time.Second

const (
	// windowSeconds can touch one StateTimeout.
	windowSeconds = int64(StateTimeout/time.Second) + 1
	// windowSlots is above windowSeconds, so that an answer that is credited
	// while its second leaves the window does not fall into a new one.
	windowSlots = 256
)

// synWindow counts the SYNs of one StateTimeout that were not answered, by the
// second in which they were sent. The sender adds, the receiver credits.
type synWindow struct {
	sent    [windowSlots]uint64
	credit  [windowSlots]atomic.Uint64 // of sent: answered
	newest  int64                      // the second that was counted last
	largest uint64
}

// add counts n SYNs sent at a moment of the run, which never goes back, and
// returns what is held then.
func (w *synWindow) add(moment int64, n uint64) (held uint64) {
	w.advance(moment)
	w.sent[w.newest%windowSlots] += n
	held = w.held(moment)
	w.largest = max(w.largest, held)
	return held
}

// advance empties the seconds that are new.
func (w *synWindow) advance(moment int64) {
	second := moment / int64(time.Second)
	for w.newest < second {
		w.newest++
		w.sent[w.newest%windowSlots] = 0
		w.credit[w.newest%windowSlots].Store(0)
	}
}

// answered credits one SYN that was sent at a moment of the run. The receiver
// calls it.
func (w *synWindow) answered(sent int64) {
	if sent >= 0 {
		w.credit[sent/int64(time.Second)%windowSlots].Add(1)
	}
}

// held returns how many half-open connections any path can hold at a moment of
// the run.
func (w *synWindow) held(moment int64) (sum uint64) {
	w.advance(moment)
	for second := max(0, w.newest-windowSeconds+1); second <= w.newest; second++ {
		n := w.sent[second%windowSlots]
		sum += n - min(n, w.credit[second%windowSlots].Load())
	}
	return sum
}
