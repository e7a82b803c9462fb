package main

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// windowLook is the longest sleep outside the window: the clock may be set
// meanwhile.
const windowLook = 30 * time.Second

// hold keeps probes and new dialogues back, while the user has paused the run
// and outside the time window.
type hold struct {
	window windowValue
	log    *slog.Logger

	mu      sync.Mutex    // guards what follows
	paused  chan struct{} // closed by proceed; nil while the run is not paused
	pauses  int
	since   time.Time
	lost    time.Duration // in pauses that are over
	outside bool          // has been said
}

// pause holds everything that is sent from now on.
func (h *hold) pause() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.paused == nil {
		h.paused, h.since = make(chan struct{}), time.Now()
		h.pauses++
		h.log.Warn("paused: nothing is sent until it is told to continue")
	}
}

// proceed ends a pause.
func (h *hold) proceed() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.paused != nil {
		close(h.paused)
		h.paused, h.lost = nil, h.lost+time.Since(h.since)
		h.log.Warn("continued")
	}
}

// wait returns when something may be sent, or with the cause of ctx's end. It
// may be called from several goroutines.
func (h *hold) wait(ctx context.Context) error {
	for {
		gate, left := h.state(ctx)
		if gate == nil && left == 0 {
			return nil
		}
		var timer <-chan time.Time // nil while paused
		if gate == nil {
			timer = time.After(min(left, windowLook))
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-gate:
		case <-timer:
		}
	}
}

// state returns what is waited for: the end of a pause, or the window.
func (h *hold) state(ctx context.Context) (paused chan struct{}, left time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.window != (windowValue{}) {
		left = h.window.until(time.Now())
		switch {
		case left > 0 && !h.outside:
			h.log.WarnContext(ctx, "outside the window: waiting", "window", h.window.String(), "opens in", left.Round(time.Second))
		case left == 0 && h.outside:
			h.log.WarnContext(ctx, "inside the window: continuing")
		}
		h.outside = left > 0
	}
	return h.paused, left
}

// notes says in words how often the run was paused.
func (h *hold) notes() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.pauses == 0 {
		return nil
	}
	lost := h.lost
	if h.paused != nil { // the run ended in a pause
		lost += time.Since(h.since)
	}
	lost = lost.Round(time.Second)
	if h.pauses == 1 {
		return []string{fmt.Sprintf("paused once, for %v", lost)}
	}
	return []string{fmt.Sprintf("paused %d times, for %v together", h.pauses, lost)}
}
