package pipeline

import (
	"sync"

	"dormant/scanner"
)

// queue holds the observations of a sweep until somebody takes them. Putting
// never blocks: the receiver does it.
type queue struct {
	limit int // observations

	mu      sync.Mutex
	waiting []scanner.Observation
	closed  bool
	lost    uint64
	wake    chan struct{} // holds at most one token
}

func newQueue(limit int) *queue {
	return &queue{limit: limit, wake: make(chan struct{}, 1)}
}

// put appends o, or counts it as lost when the queue is full.
func (q *queue) put(o scanner.Observation) {
	q.mu.Lock()
	if len(q.waiting) >= q.limit {
		q.lost++
	} else {
		q.waiting = append(q.waiting, o)
	}
	q.mu.Unlock()
	q.signal()
}

// close says that nothing more will be put.
func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.signal()
}

func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default: // a token is there already
	}
}

// take returns everything that waits, and whether more may come.
func (q *queue) take() (all []scanner.Observation, more bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	all, q.waiting = q.waiting, nil
	return all, !q.closed
}

// drain calls fn for every observation, in order, until the queue is closed and
// empty. With ctx over it still does, so that nothing that was seen is lost.
func (q *queue) drain(fn func(scanner.Observation)) {
	for {
		all, more := q.take()
		for _, o := range all {
			fn(o)
		}
		if !more && len(all) == 0 {
			return
		}
		if more {
			<-q.wake
		}
	}
}
