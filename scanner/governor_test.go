package scanner

import (
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"dormant/registry"
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

// TestWhatLowersTheRate: a few frames, or a small share of them, are no reason; a
// full queue is one only where it is not how the highest rate is found.
func TestWhatLowersTheRate(t *testing.T) {
	for _, tt := range []struct {
		name  string
		limit rate.Limit
		sent  uint64 // since the last look
		seen  Counters
		want  string // the beginning of the note
	}{
		{"eight are lost", 1000, 250, Counters{SendErrors: 8}, "backed off once because the local queue dropped"},
		{"seven are lost", 1000, 250, Counters{SendErrors: 7}, ""},
		{"one in a hundred is lost", 40_000, 10_000, Counters{LinkDrops: 100}, ""},
		{"more than one in a hundred is lost", 40_000, 10_000, Counters{LinkDrops: 101}, "backed off once because the local queue dropped"},
		{"on the way in as many as on the way out", 1000, 250, Counters{SendErrors: 8, RingDrops: 8}, "backed off once because the local queue dropped"},
		{"most on the way in", 1000, 250, Counters{SendErrors: 8, RingDrops: 9}, "backed off once because answers came in faster"},
		{"the queue is full for more than half", 1000, 250, Counters{SendRetry: 126}, "backed off once because the local queue dropped"},
		{"the queue is full for half", 1000, 250, Counters{SendRetry: 125}, ""},
		{"the queue is full for a few", 40, 10, Counters{SendRetry: 7}, ""},
		{"the queue is full for eight", 40, 10, Counters{SendRetry: 8}, "backed off once because the local queue dropped"},
		{"the queue is full at the highest rate", rate.Inf, 250, Counters{SendRetry: 250}, ""},
	} {
		l := rate.NewLimiter(tt.limit, 512)
		g := newGovernor(l, 256, slog.New(slog.DiscardHandler))
		g.look(t.Context(), lookEvery-1, tt.sent, func() Counters { t.Errorf("%s: looked too early", tt.name); return Counters{} }, 1)
		g.look(t.Context(), lookEvery, tt.sent, func() Counters { return tt.seen }, 1)
		g.look(t.Context(), 2*lookEvery-1, tt.sent, func() Counters { t.Errorf("%s: looked again too early", tt.name); return Counters{} }, 1)
		if note := strings.Join(g.notes(), ";"); !strings.HasPrefix(note, tt.want) || (note == "") != (tt.want == "") || (l.Limit() == tt.limit) != (tt.want == "") {
			t.Errorf("%s: limit %v, note %q; want %q", tt.name, l.Limit(), note, tt.want)
		}
	}
}

// TestMissingOfAResumedRun: what an earlier part knew is held against the TCP targets
// of this shard that somebody has, and against those that were not yet asked then.
func TestMissingOfAResumedRun(t *testing.T) {
	p := mustPlan(t, 1, twelve(), "10.0.0.0/22") // 6144 TCP targets
	half := p.Len() / 2
	for _, tt := range []struct {
		name          string
		upto          uint64
		before, later uint64 // one in so many answers, 0 for none
		fell          bool
		shards        uint64
		nobody        bool // at the addresses that do not answer
		want          float64
	}{
		{"as before", half, 4, 4, false, 1, false, 0},
		{"nobody later", half, 4, 0, false, 1, false, 768},
		{"nobody later, in a shard", half, 4, 0, false, 2, false, 384},
		{"fewer later, but more than a quarter", half, 4, 12, false, 1, false, 0},
		{"nobody later, where few were left", p.Len() - 180, 4, 0, false, 1, false, 0},
		{"it fell, and the retries made it good", half, 4, 4, true, 1, false, 0},
		{"it fell, for good", half, 4, 12, true, 1, false, 512},
		{"it fell by what may be chance", half, 4, 5, true, 1, false, 0},
		{"nobody was there", half, 4, 0, false, 1, true, 0},
	} {
		from := Position{Next: tt.upto, Spent: Spent{Parts: 1, Yield: Yield{Hits: 250, Shots: 1000, Fell: tt.fell, Upto: tt.upto}}}
		r := newRun(&sink{}, Config{Rate: rate.Inf, Shards: tt.shards, From: from}, p, func(Observation) {})
		if tt.nobody {
			r.skip = newBitset(p.NumAddrs())
		}
		tcp := [2]uint64{}
		for place := range p.Len() {
			j, part, every := p.position(place), 0, tt.before
			if place >= tt.upto {
				part, every = 1, tt.later
			}
			switch {
			case p.natural(j).Port.Proto == registry.UDP || !r.inShard(j):
				r.states.set(j, uint8(Closed)) // tells nothing
			case tt.nobody && part == 1:
				r.skip.set(r.addr(j))
			default:
				if tcp[part]++; every > 0 && tcp[part]%every == 0 {
					r.states.set(j, uint8(Open))
				}
			}
		}
		if got := r.missing(); math.Abs(got-tt.want) > 0.1*tt.want {
			t.Errorf("%s: %.0f are missing, want %.0f", tt.name, got, tt.want)
		}
	}
}
