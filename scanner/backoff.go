package scanner

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"dormant/registry"
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

	// The hit rate is the share of the sweep's SYNs that are answered. The order
	// is shuffled, so it is the same all along unless the path changes. Below a
	// quarter of its usual value it has collapsed, from half of it on it is back.
	hitSeconds = int64(time.Second)
	// hitLeast is how many answers must be due before the rate is judged: of 24,
	// fewer than six come by chance in 3 of a million looks. Once it has collapsed
	// hitAgain are enough, so that a slower rate is not tried for too long.
	hitLeast    = 24
	hitAgain    = 8
	hitPatience = 5 // looks without improvement, two of them at the slowest: it is not the rate
	hitSlowest  = 1.0 / 16
)

// Yield is what a run knows of the share of its sweep's SYNs that is answered.
type Yield struct {
	Hits  uint64 `json:"hits"` // answers to Shots SYNs while all was well: the usual share
	Shots uint64 `json:"shots"`
	Fell  bool   `json:"fell,omitempty"` // below a quarter of the usual share, for a time
	Upto  uint64 `json:"upto"`           // the place in scan order that the sweep had come to
}

// usual returns the share of SYNs that is answered while all is well.
func (y Yield) usual() float64 { return float64(y.Hits) / float64(max(1, y.Shots)) }

// governor lowers the rate while the way out drops, or while far fewer targets
// answer than before, and raises it again. It belongs to the sender, except
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

	answers         atomic.Uint64 // TCP targets that answered
	aimed           uint64        // SYNs of the sweep
	yield           Yield         // without Upto
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
		g.forget(now) // what is lost here says nothing of the path
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

// heard counts the first answer of a target. The receiver calls it. ICMP errors
// do not count, for hosts and routers limit them.
func (g *governor) heard(r Reason) {
	if r == SynAck || r == Rst {
		g.answers.Add(1)
	}
}

// lookAtHits judges the path to the targets.
func (g *governor) lookAtHits(ctx context.Context, now int64) {
	hits := g.answers.Load()
	n, a := g.aimed-g.lastN, hits-g.lastHits
	usual, least := g.yield.usual(), float64(hitLeast)
	if g.collapsed > 0 {
		least = hitAgain
	}
	if known := g.yield.Hits >= hitLeast; g.blind || known && usual*float64(n) < least {
		return
	} else if !known {
		usual = 0 // every share is a good one
	}
	g.seconds, g.lastN, g.lastHits = now, g.aimed, hits
	switch share := float64(a) / float64(max(1, n)); {
	case share < usual/4:
		if g.collapsed++; g.collapsed == 1 {
			g.collapses, g.yield.Fell = g.collapses+1, true
			g.log.WarnContext(ctx, "far fewer targets answer than before: backing off", "asked", n, "answered", a, "usual share", usual)
		}
		if g.collapsed > hitPatience {
			g.blind, g.path = true, 1
			g.log.WarnContext(ctx, "a lower rate did not bring the answers back: going on as asked")
		} else {
			g.bind()
			g.path = max(hitSlowest, g.path*lower)
		}
		g.apply()
	case share < usual/2: // it could be better, but must not become the usual share
	case g.path < 1: // answers to what was sent faster may still come: not the usual share either
		g.collapsed, g.path = 0, min(1, g.path/lower)
		g.apply()
	default:
		g.collapsed, g.yield.Hits, g.yield.Shots = 0, g.yield.Hits+a, g.yield.Shots+n
	}
}

// missing returns how many answers the run lacks because far fewer targets
// answered for a time: 0 when they never did, when retries made it good, and when
// it may be chance, within four standard deviations of what was due. The run has
// come to its end.
func (r *run) missing() float64 {
	y, aimed, answered := r.yield(), r.governor.aimed, r.governor.answers.Load()
	if upto := r.cfg.From.Spent.Yield.Upto; upto > 0 {
		before, heardBefore := r.sweptTCP(0, upto)
		later, heardLater := r.sweptTCP(upto, r.plan.Len())
		aimed, answered = before+later, heardBefore+heardLater
		least := y.usual() * float64(later)
		y.Fell = y.Fell || least >= hitLeast && float64(heardLater) < least/4
	}
	due := y.usual() * float64(aimed)
	chance := 4 * math.Sqrt(due+due*due/float64(max(1, y.Hits)))
	if n := due - float64(answered); y.Fell && n > max(hitLeast, chance) {
		return n
	}
	return 0
}

// yield is what all parts of the run know: the first one that knows the usual share
// is believed, for a later one may have been blocked from its start.
func (r *run) yield() Yield {
	y, before := r.governor.yield, r.cfg.From.Spent.Yield
	if before.Hits >= hitLeast {
		y.Hits, y.Shots = before.Hits, before.Shots
	}
	y.Fell = y.Fell || before.Fell
	return y
}

// sweptTCP counts the TCP targets of this shard in a stretch of the scan order, but
// for those that nobody has, and how many of them answered themselves.
func (r *run) sweptTCP(from, to uint64) (aimed, answered uint64) {
	for place := from; place < to; place++ {
		j := r.plan.position(place)
		k, port := r.plan.width.split(j)
		if r.plan.ports[port].Proto != registry.TCP || !r.inShard(j) || r.skip != nil && r.skip.get(k) {
			continue
		}
		aimed++
		if state := State(r.states.get(j)); state == Open || state == Closed {
			answered++
		}
	}
	return aimed, answered
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
	for _, episode := range []struct {
		n   int
		why string
	}{
		{g.drops, "the local queue dropped"},
		{g.misses, "answers came in faster than they were read"},
		{g.collapses, "far fewer targets answered than before"},
	} {
		if episode.n > 0 {
			notes = append(notes, fmt.Sprintf("backed off %s because %s, to %.0f probes a second at the lowest", times(episode.n), episode.why, float64(g.lowest)))
		}
	}
	if g.blind {
		notes = append(notes, "a lower rate did not bring the answers back")
	}
	return notes
}

// times says how often in words.
func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}
