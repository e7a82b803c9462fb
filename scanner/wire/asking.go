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
	closed bool       // it was answered, or the kernel has had the answer lately
	again  int        // second answers that are due
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
	left    int           // not closed
	late    int           // answered only when asked again, since the last call of progress
	samples int           // second answers that are due, while they are asked for
	slowest time.Duration // answer so far
	done    chan struct{} // closed when left or samples comes to 0
}

// First and last words about how long an answer is waited for: before the first
// answer shows how fast the link is, and as bounds of four times the slowest.
const (
	unknownWait  = 200 * time.Millisecond
	shortestWait = 100 * time.Millisecond
	longestWait  = time.Second
)

// begin opens questions. The caller leaves them
// alone until end, but for reading them under mu.
func (a *asking) begin(questions []*question) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.late, a.samples = 0, 0
	a.open, a.left, a.done = make(map[questionKey]*question, len(questions)), 0, make(chan struct{})
	for _, q := range questions {
		a.open[q.key] = q
		if !q.closed {
			a.left++
		}
	}
}

// end closes all questions; answers that come later are nobody's.
func (a *asking) end() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.open = nil
}

// answer takes the answer of a neighbour. Only the first one counts, and only to a
// question that was asked, but for the number of those that are due to samples.
func (a *asking) answer(key questionKey, mac [6]byte, at time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	q := a.open[key]
	switch {
	case q == nil:
	case q.closed:
		if q.again == 0 || a.samples == 0 {
			return
		}
		q.again--
		if a.samples--; a.samples == 0 {
			a.settle()
		}
	case q.asked > 0:
		q.mac, q.closed = mac, true
		if q.asked == 1 { // else it is not clear which request was answered
			a.slowest = max(a.slowest, at.Sub(q.sent))
		} else {
			a.late++
		}
		if a.left--; a.left == 0 {
			a.settle()
		}
	}
}

// settle closes done, if it is not closed.
func (a *asking) settle() {
	select {
	case <-a.done:
	default:
		close(a.done)
	}
}

// sample begins to wait for n second answers.
func (a *asking) sample(n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.samples = n
}

// takeAgain fills some with closed questions, from place i on and round and round,
// and marks them as asked again. It returns the place to go on from. One at least
// is closed.
func (a *asking) takeAgain(questions []*question, i int, some []*question) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	for n := 0; n < len(some); i = (i + 1) % len(questions) {
		if q := questions[i]; q.closed {
			q.again++
			some[n] = q
			n++
		}
	}
	return i
}

// sampled ends the wait for second answers, and reports whether all have come.
func (a *asking) sampled() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	missing := a.samples
	a.samples = 0
	return missing == 0
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

// take marks up to n open questions, from place i on, as asked now. It returns them
// and the place to go on from.
func (a *asking) take(questions []*question, i, n int, into []*question) (taken []*question, next int) {
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	for ; i < len(questions) && len(into) < n; i++ {
		if q := questions[i]; !q.closed {
			q.sent = now
			q.asked++
			into = append(into, q)
		}
	}
	return into, i
}
