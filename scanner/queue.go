package scanner

import "golang.org/x/time/rate"

// deferred is a probe whose host has no token yet.
type deferred struct {
	due    int64  // nanoseconds since the start of the run
	target uint64 // natural index
	place  uint64 // in scan order
}

// queue is a binary heap of deferred probes, the earliest on top. Its room is bounded: the
// sender takes nothing new from the plan while it is full.
type queue struct {
	items []deferred
	room  int
}

const (
	minQueue = 1 << 12
	maxQueue = 1 << 17
)

// newQueue returns a queue with room for one second of limit.
func newQueue(limit rate.Limit) *queue {
	room := maxQueue
	if limit < maxQueue {
		room = max(minQueue, int(limit))
	}
	return &queue{room: room}
}

func (q *queue) full() bool { return len(q.items) >= q.room }

// next returns the moment of the earliest probe, and false when there is none.
func (q *queue) next() (int64, bool) {
	if len(q.items) == 0 {
		return 0, false
	}
	return q.items[0].due, true
}

func (q *queue) push(d deferred) {
	i := len(q.items)
	q.items = append(q.items, d)
	for parent := (i - 1) / 2; i > 0 && d.due < q.items[parent].due; parent = (i - 1) / 2 {
		q.items[i], i = q.items[parent], parent
	}
	q.items[i] = d
}

// delay moves all moments, which keeps their order.
func (q *queue) delay(by int64) {
	for i := range q.items {
		q.items[i].due += by
	}
}

// pop takes the earliest probe. There must be one.
func (q *queue) pop() deferred {
	last := len(q.items) - 1
	top, d := q.items[0], q.items[last]
	q.items = q.items[:last]
	i := 0
	for child := 1; child < last; child = 2*i + 1 {
		if child+1 < last && q.items[child+1].due < q.items[child].due {
			child++
		}
		if d.due <= q.items[child].due {
			break
		}
		q.items[i], i = q.items[child], child
	}
	if last > 0 {
		q.items[i] = d
	}
	return top
}
