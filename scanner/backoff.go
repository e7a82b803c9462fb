package scanner

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

const (
	lookEvery = int64(250 * time.Millisecond)
	// dropShare and dropLeast are how many of the probes of one look may be lost
	// on this side before the rate is lowered.
	dropShare = 0.01
	dropLeast = 8
	// fullShare is how many may find the local queue full: that loses nothing,
	// but asks for more than the way out can carry.
	fullShare = 0.5
	lower     = 0.5
	higher    = 1.25
	// slowest is the smallest part of the asked rate.
	slowest = 1.0 / 64
	// freeAgain is how many times what is sent a limit must be to be none.
	freeAgain = 4

	// The hit rate is that of hosts known to be alive. It is judged by the
	// second, when enough of them were asked; below a quarter of its usual value
	// it has collapsed, from half of it on it is back.
	hitSeconds  = int64(time.Second)
	hitLeast    = 20  // probes in one look
	hitUsual    = 100 // probes before there is a usual value
	hitUseful   = 0.2 // a usual value below that tells nothing
	hitPatience = 8   // looks without improvement: it is not the rate
	hitSlowest  = 1.0 / 16
)

// governor lowers the rate while the way out drops, or while hosts that are
// alive stop answering, and raises it again. It belongs to the sender, except
// answers.
type governor struct {
	limiter *rate.Limiter
	asked   rate.Limit // without a limit of its own, what was sent when first there was something to lower
	free    bool       // there is no limit: asked grows until it is none again
	batch   int
	log     *slog.Logger

	looked int64
	last   Counters
	probes uint64
	pace   rate.Limit // what was sent between the last two looks
	local  float64    // part of the asked rate that the way out carries

	answers         atomic.Uint64 // first answers of hosts already known to be alive
	aimed           uint64        // probes to such hosts
	hits, shots     uint64        // usual: answers and probes
	seconds         int64
	lastHits, lastN uint64
	path            float64 // part of the asked rate that the path carries
	collapsed       int     // looks in a row
	blind           bool    // lowering the rate did not help: leave it

	drops, misses, collapses int // episodes: of sending, of receiving, of the path
	lowest                   rate.Limit
}

func newGovernor(l *rate.Limiter, batch int, log *slog.Logger) governor {
	return governor{limiter: l, asked: l.Limit(), free: l.Limit() == rate.Inf, batch: batch, log: log, local: 1, path: 1, lowest: l.Limit()}
}

// look takes what happened since the last one into account. attempt is the
// round: retries are meant for what is silent, so they say nothing of hits.
func (g *governor) look(ctx context.Context, now int64, probes uint64, count func() Counters, attempt uint8) {
	if now < g.looked+lookEvery {
		return
	}
	g.lookOut(ctx, now, probes, count())
	if attempt == 0 && now >= g.seconds+hitSeconds {
		g.lookAtHits(ctx, now)
	}
	g.looked = now
}

// lookOut judges the way out of this host.
func (g *governor) lookOut(ctx context.Context, now int64, probes uint64, c Counters) {
	sent := float64(probes - g.probes)
	missed := float64(c.RingDrops - g.last.RingDrops)
	lost := missed + float64(c.SendErrors-g.last.SendErrors+c.LinkDrops-g.last.LinkDrops)
	full := float64(c.SendRetry - g.last.SendRetry)
	g.last, g.probes, g.pace = c, probes, rate.Limit(sent/time.Duration(now-g.looked).Seconds())
	if g.asked == rate.Inf {
		full = 0 // a full queue is how the highest rate is found
	}
	switch {
	case lost >= dropLeast && lost > dropShare*sent || full >= dropLeast && full > fullShare*sent:
		if g.local == 1 {
			g.say(ctx, missed > lost/2, "lost", uint64(lost), "found full", uint64(full), "sent", uint64(sent))
		}
		g.bind()
		g.local = max(slowest, g.local*lower)
		g.apply()
	case g.local < 1:
		g.local = min(1, g.local*higher)
		g.apply()
	case g.free && g.asked != rate.Inf && g.path == 1:
		if g.asked *= higher; g.asked > freeAgain*g.pace { // it holds nobody back any more
			g.asked = rate.Inf
		}
		g.apply()
	}
}

// say tells of a new episode of drops.
func (g *governor) say(ctx context.Context, receiving bool, args ...any) {
	if receiving {
		g.misses++
		g.log.WarnContext(ctx, "answers come in faster than they are read: backing off", args...)
		return
	}
	g.drops++
	g.log.WarnContext(ctx, "the local queue drops: backing off", args...)
}

// bind gives a run without a limit one that can be lowered.
func (g *governor) bind() {
	if g.asked == rate.Inf && g.pace > 0 {
		g.asked = g.pace
	}
}

// lookAtHits judges the path to hosts that have answered before.
func (g *governor) lookAtHits(ctx context.Context, now int64) {
	hits := g.answers.Load()
	n, a := g.aimed-g.lastN, hits-g.lastHits
	if n < hitLeast || g.blind {
		return
	}
	g.seconds, g.lastN, g.lastHits = now, g.aimed, hits
	usual := float64(g.hits) / float64(max(1, g.shots))
	if g.shots < hitUsual || usual < hitUseful {
		g.hits, g.shots = g.hits+a, g.shots+n
		return
	}
	switch share := float64(a) / float64(n); {
	case share < usual/4:
		if g.collapsed++; g.collapsed == 1 {
			g.collapses++
			g.log.WarnContext(ctx, "hosts that answered before have stopped: backing off", "asked", n, "answered", a, "usual share", usual)
		}
		if g.collapsed > hitPatience {
			g.blind, g.path = true, 1
			g.log.WarnContext(ctx, "a lower rate did not bring them back: going on as asked")
		} else {
			g.bind()
			g.path = max(hitSlowest, g.path*lower)
		}
		g.apply()
	case share >= usual/2 && g.path < 1:
		g.collapsed, g.path = 0, min(1, g.path/lower)
		g.apply()
	default:
		g.hits, g.shots = g.hits+a, g.shots+n
	}
}

// forget begins a new look after a time in which nothing was sent.
func (g *governor) forget(now int64) {
	g.seconds, g.lastN, g.lastHits = now, g.aimed, g.answers.Load()
}

// apply sets the limiter, whose bucket must be large enough for its rate.
func (g *governor) apply() {
	limit := max(rate.Limit(float64(g.asked)*g.local*g.path), min(g.asked, 1))
	g.lowest = min(g.lowest, limit)
	g.limiter.SetLimit(limit)
	g.limiter.SetBurst(burst(limit, g.batch))
}

// notes says in words what was done.
func (g *governor) notes() (notes []string) {
	if g.drops > 0 {
		notes = append(notes, fmt.Sprintf("backed off %d times because the local queue dropped, to %.0f probes a second at the lowest", g.drops, float64(g.lowest)))
	}
	if g.misses > 0 {
		notes = append(notes, fmt.Sprintf("backed off %d times because answers came in faster than they were read, to %.0f probes a second at the lowest", g.misses, float64(g.lowest)))
	}
	if g.collapses > 0 {
		notes = append(notes, fmt.Sprintf("backed off %d times because hosts that had answered stopped, to %.0f probes a second at the lowest", g.collapses, float64(g.lowest)))
	}
	if g.blind {
		notes = append(notes, "hosts that had answered stopped, and a lower rate did not bring them back")
	}
	return notes
}
