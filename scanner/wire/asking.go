package wire

import (
	"net/netip"
	"sync"
	"time"
)

// question is one neighbour that is asked for its link-layer address.
type question struct {
	key    questionKey
	src    netip.Addr // that it is asked from
	sent   time.Time  // when it was last asked
	asked  int        // how often
	mac    [6]byte    // the answer
	closed bool       // it was answered
}

// questionKey is where an answer comes in and for whom it speaks. Behind two
// interfaces there can be two neighbours with one address.
type questionKey struct {
	addr  netip.Addr // link-local ones with their zone
	index int        // of the interface
}

// asking is the questions that are open at the moment. Resolve asks, the
// receivers answer; it is safe for use by both.
type asking struct {
	mu      sync.Mutex
	open    map[questionKey]*question
	left    int           // not answered
	late    int           // answered only when asked again, since the last call of progress
	slowest time.Duration // answer so far
	done    chan struct{} // closed when left comes to 0
}

// First and last words about how long an answer is waited for: before the first
// answer shows how fast the link is, and as bounds of four times the slowest.
const (
	unknownWait  = 200 * time.Millisecond
	shortestWait = 100 * time.Millisecond
	longestWait  = time.Second
)

// begin opens questions, of which there is at least one. The caller leaves them
// alone until end, but for reading them under mu.
func (a *asking) begin(questions []question) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.late = 0
	a.open, a.left, a.done = make(map[questionKey]*question, len(questions)), len(questions), make(chan struct{})
	for i := range questions {
		a.open[questions[i].key] = &questions[i]
	}
}

// end closes all questions; answers that come later are nobody's.
func (a *asking) end() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.open = nil
}

// answer takes the answer of a neighbour. Only the first one counts, and only to a
// question that was asked.
func (a *asking) answer(key questionKey, mac [6]byte, at time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	q := a.open[key]
	if q == nil || q.asked == 0 || q.closed {
		return
	}
	q.mac, q.closed = mac, true
	if q.asked == 1 { // else it is not clear which request was answered
		a.slowest = max(a.slowest, at.Sub(q.sent))
	} else {
		a.late++
	}
	if a.left--; a.left == 0 {
		close(a.done)
	}
}

// wait returns how long an answer may take on what is known so far.
func (a *asking) wait() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.slowest == 0 {
		return unknownWait
	}
	return min(max(4*a.slowest, shortestWait), longestWait)
}

// progress returns how many questions are open, and how many were answered since
// the last call only because they were asked again.
func (a *asking) progress() (left, late int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	left, late, a.late = a.left, a.late, 0
	return left, late
}

// take marks up to n open questions of one interface, from place i on, as asked
// now. It returns them and the place to go on from.
func (a *asking) take(questions []question, i, n int, into []*question) (taken []*question, next int) {
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	for ; i < len(questions) && len(into) < n; i++ {
		q := &questions[i]
		if q.closed {
			continue
		}
		if len(into) > 0 && into[0].key.index != q.key.index {
			break
		}
		q.sent = now
		q.asked++
		into = append(into, q)
	}
	return into, i
}
