package scanner

import (
	"context"
	"fmt"
	"math/bits"
	"time"

	"golang.org/x/time/rate"
)

const (
	// batchTime is the longest burst that a batch may be at a low rate: at 1000
	// probes per second a batch has ten.
	batchTime = 10 * time.Millisecond
	// burstTime is how late the sender may wake up without falling behind the rate
	// for good: some 0.5 ms on an idle machine, more than 10 ms where other
	// programs want the processors, too.
	burstTime = 20 * time.Millisecond
	// hostBurstTime is how much of a host's rate may come at once, so that in
	// no second a host gets more than 1.25 times its rate.
	hostBurstTime = 250 * time.Millisecond

	minHostSlots = 1 << 16
	maxHostSlots = 1 << 20 // 16 MiB
)

// Sleep waits for d, or until ctx ends: then it returns its error.
func Sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 || ctx.Err() != nil {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// batchSize returns how many probes are sent at once at limit: at most most,
// and at most what batchTime holds.
func batchSize(limit rate.Limit, most int) int {
	if limit == rate.Inf {
		return most
	}
	return max(1, int(min(float64(most), float64(limit)*batchTime.Seconds())))
}

// newLimiter returns the limiter of the whole run.
func newLimiter(limit rate.Limit, batch int) *rate.Limiter {
	size := burst(limit, batch)
	l := rate.NewLimiter(limit, size)
	l.AllowN(time.Now(), size-2*batch) // the rest is for making up, not for the start
	return l
}

// burst is the size of the limiter's bucket, in probes.
func burst(limit rate.Limit, batch int) int {
	if limit == rate.Inf {
		return 2 * batch
	}
	return max(2*batch, int(float64(limit)*burstTime.Seconds()))
}

// waitFor takes n tokens of l, also when n is above its burst.
func waitFor(ctx context.Context, l *rate.Limiter, n int) error {
	for n > 0 {
		part := n
		if l.Limit() != rate.Inf {
			part = min(n, l.Burst())
		}
		if err := l.WaitN(ctx, part); err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			// The limiter sees that the deadline comes before the tokens.
			return fmt.Errorf("%w: %w", context.DeadlineExceeded, err)
		}
		n -= part
	}
	return nil
}

// hostPacer gives every host its own rate. It keeps two moments per slot, not
// per host: where there are more hosts than slots several share one, which can
// only make it stricter. The zero value does not limit.
//
// All moments are nanoseconds since the start of the run.
type hostPacer struct {
	slots  []hostSlot
	mask   uint64
	period int64 // between two probes
	slack  int64 // how far a reservation may run ahead: the burst
}

// hostSlot is when the slot's bucket is full again. What is sent can be later
// than it was to be, and then it must not be followed by what is on time.
type hostSlot struct {
	reserved int64 // by what was reserved
	sent     int64 // by what was sent
}

// newHostPacer returns a pacer for n hosts at perHost probes per second while
// total per second are sent to all together.
func newHostPacer(n uint64, perHost, total rate.Limit) hostPacer {
	if perHost == rate.Inf {
		return hostPacer{}
	}
	// Enough slots that sharing leaves eight times the room that total needs.
	want := uint64(minHostSlots)
	if need := 8 * total / perHost; need >= maxHostSlots {
		want = maxHostSlots
	} else {
		want = max(want, uint64(need))
	}
	slots := uint64(1) << bits.Len64(min(n, want)-1)
	burst := max(1, int64(float64(perHost)*hostBurstTime.Seconds()))
	period := int64(float64(time.Second) / float64(perHost))
	return hostPacer{slots: make([]hostSlot, slots), mask: slots - 1, period: period, slack: (burst - 1) * period}
}

// reserve takes the next free moment of host k and returns it: now when the
// host's bucket has a token.
func (h *hostPacer) reserve(k uint64, now int64) int64 {
	return h.reserveEvery(k, now, h.period)
}

// reserveEvery is reserve with another period for this probe.
func (h *hostPacer) reserveEvery(k uint64, now, period int64) int64 {
	if h.slots == nil {
		return now
	}
	slot := &h.slots[k&h.mask]
	at := max(slot.reserved, slot.sent, now)
	slot.reserved = at + period
	return max(at-h.slack, now)
}

// free reports whether host k may get a probe now. When it may not, what reserve
// returns is later.
func (h *hostPacer) free(k uint64, now int64) bool {
	return h.slots == nil || h.slots[k&h.mask].sent < now+int64(hostBurstTime)
}

// send takes a token of host k for a probe that is sent now.
func (h *hostPacer) send(k uint64, now int64) {
	if h.slots != nil {
		slot := &h.slots[k&h.mask]
		slot.sent = max(slot.sent, now) + h.period
	}
}

// look returns a moment of host k's slot, to have it in the cache.
func (h *hostPacer) look(k uint64) int64 {
	if h.slots == nil {
		return 0
	}
	return h.slots[k&h.mask].sent
}

// delay moves all moments that are reserved: what was to be sent in a time in
// which nothing could be sent is sent after it.
func (h *hostPacer) delay(by int64) {
	for i := range h.slots {
		h.slots[i].reserved += by
	}
}
