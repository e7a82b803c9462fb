package scanner

import (
	"log/slog"
	"testing"
	"time"

	"golang.org/x/time/rate"
)

// TestNoLimitComesBack: what drops once in a run without a limit lowers the rate,
// and after some clean seconds there is none again.
func TestNoLimitComesBack(t *testing.T) {
	for _, tt := range []struct {
		name string
		loss Counters
		want string // note
	}{
		{"probes", Counters{SendErrors: 5000}, "backed off once because the local queue dropped, to 200000 probes a second at the lowest"},
		{"frames, by the interface", Counters{LinkDrops: 5000}, "backed off once because the local queue dropped, to 200000 probes a second at the lowest"},
		{"answers", Counters{RingDrops: 5000}, "backed off once because answers came in faster than they were read, to 200000 probes a second at the lowest"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := rate.NewLimiter(rate.Inf, 512)
			g := newGovernor(l, 256, slog.New(slog.DiscardHandler))
			const carries = 400_000 // a second
			var seen Counters
			probes, now := uint64(0), int64(0)
			look := func() {
				now += lookEvery
				probes += uint64(min(carries, l.Limit()) * rate.Limit(time.Duration(lookEvery).Seconds()))
				g.lookOut(t.Context(), now, probes, seen)
				g.looked = now
			}
			look()
			if l.Limit() != rate.Inf {
				t.Fatalf("limit %v before anything was lost", l.Limit())
			}
			seen = tt.loss
			look()
			if l.Limit() != carries/2 {
				t.Fatalf("limit %v after a loss, want half of what was sent", l.Limit())
			}
			looks := 0
			for ; l.Limit() != rate.Inf && looks < 100; looks++ {
				look()
			}
			if looks < 4 || looks > 20 {
				t.Errorf("without a limit after %d looks, want some seconds", looks)
			}
			if notes := g.notes(); len(notes) != 1 || notes[0] != tt.want {
				t.Errorf("notes %q, want %q", notes, tt.want)
			}
		})
	}
}
