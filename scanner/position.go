package scanner

import (
	"sync"
	"time"
)

// Position is how far a run has come: together with the answers until then it
// is all that a later run of the same plan needs to go on. The zero value is the
// beginning.
type Position struct {
	// Round is 0 in the sweep and n in the n-th retry. Next is the first place
	// in scan order that may still have to be asked in it; in a retry only of
	// the addresses that had not answered anything, and only with Dark. A round
	// that is over has the plan's length as Next.
	Round int    `json:"round"`
	Dark  bool   `json:"dark,omitempty"`
	Next  uint64 `json:"next"`
	// Spent is what was done until then. It counts what was sent after the
	// position, too.
	Spent Spent `json:"spent"`
}

// Spent is what the earlier parts of a run did.
type Spent struct {
	Started     time.Time     `json:"started"` // the zero Time: nothing was done
	Elapsed     time.Duration `json:"elapsed_ns"`
	Probes      uint64        `json:"probes"`
	Retries     uint64        `json:"retries"`
	MaxHalfOpen uint64        `json:"max_half_open"`
	MostToHost  uint64        `json:"most_probes_to_host"`
	MostBytes   uint64        `json:"most_bytes_to_host"`
	Parts       int           `json:"parts"` // how often the run was begun or resumed
	Counters    Counters      `json:"counters"`
	Yield       Yield         `json:"yield,omitzero"`
	// Uncounted is for Summary.Uncounted.
	Uncounted bool `json:"uncounted,omitempty"`
	// HalfOpen is what paths may still hold of it. It is all that a run takes from
	// a Spent without Parts: from a run of another plan right before it.
	HalfOpen HalfOpen `json:"half_open,omitzero"`
}

// HalfOpen is how many half-open connections any path could hold at a moment.
type HalfOpen struct {
	Number uint64    `json:"number"`
	At     time.Time `json:"at"`
}

// Add returns the sum of both.
func (c Counters) Add(d Counters) Counters {
	c.Frames += d.Frames
	c.Invalid += d.Invalid
	c.Duplicate += d.Duplicate
	c.Foreign += d.Foreign
	c.RingDrops += d.RingDrops
	c.SendErrors += d.SendErrors
	c.LinkDrops += d.LinkDrops
	c.SendRetry += d.SendRetry
	c.ARPSent += d.ARPSent
	c.ARPAnswer += d.ARPAnswer
	c.SharedMAC = max(c.SharedMAC, d.SharedMAC)
	c.Neighbours = max(c.Neighbours, d.Neighbours)
	return c
}

// markEvery is how often the sender notes where it is.
const markEvery = 100 * time.Millisecond

// marks are the sender's recent places. The answers to what was sent before the
// newest of them may still be on their way, which is why older ones are kept.
type marks struct {
	mu     sync.Mutex
	recent []mark // the oldest first
}

// mark is a position, and the books at that moment in what it has Spent.
type mark struct {
	at int64
	Position
}

// push adds m and forgets all but one of those older than keep.
func (ms *marks) push(m mark, keep time.Duration) {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	old := 0
	for old+1 < len(ms.recent) && ms.recent[old+1].at < m.at-int64(keep) {
		old++
	}
	if old > 0 {
		ms.recent = append(ms.recent[:0], ms.recent[old:]...)
	}
	ms.recent = append(ms.recent, m)
}

// before returns the last mark that is at least that old at a moment of the
// run, and the newest one. The first mark is older than any moment.
func (ms *marks) before(moment int64) (m, newest mark) {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	for _, x := range ms.recent {
		if x.at > moment {
			break
		}
		m = x
	}
	return m, ms.recent[len(ms.recent)-1]
}

// Position returns how far the run is, for Config.From of a later run: every
// target before it has answered or had the time to, and its answer has been
// given to Config.Journal. It may be called at any time, from any goroutine,
// also after the run.
func (e *Engine) Position() Position {
	r := e.current.Load()
	if r == nil {
		return e.cfg.From
	}
	return r.position()
}

func (r *run) position() Position {
	now, from := r.now(), &r.cfg.From.Spent
	m, newest := r.marks.before(now - int64(r.settle()))
	p := m.Position
	p.Spent = newest.Spent
	p.Spent.Started, p.Spent.Elapsed = r.begin(), from.Elapsed+time.Duration(now)
	p.Spent.Probes, p.Spent.Parts = r.probes.Load(), from.Parts+1
	p.Spent.Counters = r.counters()
	p.Spent.HalfOpen = HalfOpen{At: r.started.Add(time.Duration(r.noted.Load())), Number: r.halfOpen.Load()}
	return p
}

// counters returns the facts of all parts so far. It may be called at any time.
func (r *run) counters() Counters {
	return r.cfg.From.Spent.Counters.Add(r.backend.Counters()).Add(Counters{
		Duplicate: r.duplicate.Load(), Foreign: r.foreign.Load(), Invalid: r.invalid.Load(),
	})
}

// settle is how long an answer may still take.
func (r *run) settle() time.Duration {
	return max(r.cfg.Cooldown, r.trips.timeout(finalFloor, finalBlind, r.cfg.MaxCooldown))
}

// begin is when the first part of the run started.
func (r *run) begin() time.Time {
	if r.cfg.From.Spent.Started.IsZero() {
		return r.started
	}
	return r.cfg.From.Spent.Started
}

// mark notes where w is: behind everything that was asked and before everything
// that waits for its host's token.
func (r *run) mark(w *walk) {
	now := r.now()
	if now < r.marked+int64(markEvery) && !w.done {
		return
	}
	r.marked = now
	m := mark{now, Position{Round: int(w.attempt), Dark: w.dark, Next: min(w.i, r.plan.Len()), Spent: r.cfg.From.Spent}}
	m.Spent.Retries, m.Spent.MaxHalfOpen = r.retries, r.window.largest
	m.Spent.MostToHost += r.meter.most
	m.Spent.MostBytes += r.bytesAtMost()
	m.Spent.Yield = r.yield()
	m.Spent.Yield.Upto = r.plan.Len()
	if w.attempt == 0 {
		m.Spent.Yield.Upto = m.Next
	}
	for _, d := range r.queue.items {
		if w.attempt == 0 || !r.live.get(r.addr(d.target)) {
			m.Next = min(m.Next, d.place)
		}
	}
	if w.attempt > 0 && !w.dark { // the first half of a retry is short: it is done again
		m.Next = 0
	}
	r.marks.push(m, max(r.cfg.Cooldown, r.cfg.MaxCooldown))
}

// learn takes an answer of an earlier part of the run. It runs before the
// receiver.
func (r *run) learn(o Observation) {
	j, ok := r.plan.Index(o.Target)
	if !ok || !answers(o.State) {
		return
	}
	first := !answers(State(r.states.get(j)))
	r.meet(j, o)
	r.states.set(j, uint8(o.State))
	if o.State == Open {
		r.open.Add(1)
	}
	if first {
		r.count(o)
		if r.cfg.From.Round > 0 || r.plan.order.invert(j) < r.cfg.From.Next {
			r.answered.Add(1) // those behind the position are not asked again, and not waited for
		}
	}
	r.emit(o)
}

// leftover counts the half-open connections of earlier runs as if all were made
// at the start of this one. Of a run that was killed nobody knows how many it
// made since its last checkpoint, but that it kept to the budget.
func (r *run) leftover(from Spent) {
	n, kept := from.HalfOpen.Number, StateTimeout
	if from.Uncounted {
		n, kept = max(n, r.cfg.StateBudget), 2*StateTimeout
	}
	if time.Since(from.HalfOpen.At) < kept {
		r.window.add(0, n)
		r.halfOpen.Store(n)
	}
}

// resume puts the books where the earlier parts of the run left them.
func (r *run) resume() {
	from := r.cfg.From
	r.probes.Store(from.Spent.Probes)
	r.retries, r.window.largest = from.Spent.Retries, from.Spent.MaxHalfOpen
	r.leftover(from.Spent)
	asked := r.size()
	if from.Round == 0 {
		asked = 0
		if from.Next > r.cfg.Shard {
			asked = min(r.size(), (from.Next-r.cfg.Shard+r.cfg.Shards-1)/r.cfg.Shards)
		}
	}
	r.asked.Store(asked)
	if r.cfg.Known == nil {
		return
	}
	for o := range r.cfg.Known {
		r.learn(o)
	}
}
