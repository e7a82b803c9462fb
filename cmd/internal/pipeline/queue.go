package pipeline

import (
	"context"
	"sync"

	"dormant/scanner"
)

// patientLimit is how many observations wait when who can wait must: enough that
// the two sides seldom wake each other, and 2 MB instead of 200.
const patientLimit = 8192

// queue holds the observations of a sweep until somebody takes them. put never
// blocks, for the receiver calls it; putPatiently is for who can wait.
type queue struct {
	limit int // observations

	mu      sync.Mutex
	waiting []scanner.Observation
	closed  bool
	lost    uint64
	wake    chan struct{} // holds at most one token: something waits, or nothing more will
	room    chan struct{} // holds at most one token: what waited was taken
}

func newQueue(limit int) *queue {
	return &queue{limit: limit, wake: make(chan struct{}, 1), room: make(chan struct{}, 1)}
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
	signal(q.wake)
}

// putPatiently waits while much is waiting already, and puts o. When ctx ends it
// waits no longer, and what has no room is lost and counted. One goroutine at a
// time may call it.
func (q *queue) putPatiently(ctx context.Context, o scanner.Observation) {
	for q.crowded() && ctx.Err() == nil {
		select {
		case <-q.room:
		case <-ctx.Done():
		}
	}
	q.put(o)
}

func (q *queue) crowded() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting) >= min(q.limit, patientLimit)
}

// close says that nothing more will be put.
func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	signal(q.wake)
}

// signal puts a token into c.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default: // a token is there already
	}
}

// take returns everything that waits, and whether more may come.
func (q *queue) take() (all []scanner.Observation, more bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	all, q.waiting = q.waiting, nil
	signal(q.room)
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
		if !more {
			return
		}
		<-q.wake
	}
}
