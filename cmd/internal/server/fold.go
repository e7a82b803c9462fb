package server

import (
	"fmt"
	"hash/fnv"
	"net/netip"
	"slices"
	"sort"
	"time"

	"dormant/cmd/internal/fleet"
	"dormant/cmd/internal/pipeline"
	"dormant/fingerprint"
	"dormant/scanner"
)

// fold is what the messages of a run add up to. Their order and repetition make
// no difference. It is for one goroutine.
type fold struct {
	run *Run
	// No answer is older than since or newer than until: its start, and the last
	// time that was seen, by whatever clock.
	since, until time.Time
	shards       []*shard
	left         int // shards that are neither done nor dead

	open    uint64            // targets that are, as far as is known
	refused map[string]uint64 // messages, by agent
	newer   map[string]bool   // agents that gave reasons which this version does not know
}

// shard is a part of the run and what became of it.
type shard struct {
	number   int
	prefixes []netip.Prefix
	starts   []uint64 // of each prefix, counted in addresses
	size     uint64   // addresses
	attempts map[string]*attempt
	// best is the rank of the best answer of each target that has one, by the
	// target's place in the shard.
	best   map[uint64]uint64
	dead   string // why nobody does it, "" for not dead
	died   time.Time
	given  int // how often it was given out, as the broker counts
	tries  int // attempts that failed
	missed int // 1: it left the queue, and nothing came of it
	// renew asks for a new work item: somebody wants the shard done again.
	renew bool
	over  bool // nothing more is awaited of it: counted
}

// attempt is one carrying out of a shard by an agent.
type attempt struct {
	agent  string
	parts  map[int]struct{}
	done   *fleet.Done
	broken string // why its end is not believed
	failed bool   // counted
	// forgiven is set when somebody wants the shard tried again.
	forgiven bool
}

// maxAttempts bounds what one shard may cost this process, whatever agents send.
const maxAttempts = 64

func newFold(r *Run) *fold {
	f := &fold{run: r, since: r.Started, until: r.Started, refused: map[string]uint64{}, newer: map[string]bool{}}
	for i, prefixes := range cut(r.Prefixes, r.ShardSize) {
		s := &shard{number: i + 1, prefixes: prefixes, attempts: map[string]*attempt{}, best: map[uint64]uint64{}}
		for _, p := range prefixes {
			s.starts = append(s.starts, s.size)
			s.size += addresses([]netip.Prefix{p})
		}
		f.shards = append(f.shards, s)
	}
	f.left = len(f.shards)
	return f
}

// sees takes t for a time of the run: by the clock of then or of now, the broker's
// or this one's. It may have been set since, and agents learn that minutes later.
func (f *fold) sees(t time.Time) {
	if t.Before(f.since) {
		f.since = t
	}
	if t.After(f.until) {
		f.until = t
	}
}

// take adds a message of the agent, one that fleet.Decode returned, and returns
// the results that say more of their target than what was there. An error is why
// the message is refused: nothing of it is taken.
func (f *fold) take(agent string, m fleet.Message, now time.Time) ([]pipeline.Result, error) {
	better, err := f.add(agent, m, now)
	if err != nil {
		f.refused[agent]++
	}
	return better, err
}

func (f *fold) add(agent string, m fleet.Message, now time.Time) ([]pipeline.Result, error) {
	if m.Part != nil {
		s, a, err := f.attempt(agent, m.Part.Run, m.Part.Shard, m.Part.Attempt)
		if err != nil {
			return nil, err
		}
		if err := f.checkPart(s, m.Part, now); err != nil {
			a.broken = err.Error()
			f.count(s, a)
			return nil, err
		}
		a.parts[m.Part.Number] = struct{}{}
		better := f.better(s, m.Part)
		if slices.ContainsFunc(m.Part.Results, func(r pipeline.Result) bool { return r.Reason == scanner.OtherReason }) {
			f.newer[agent] = true
		}
		f.count(s, a)
		return better, nil
	}
	s, a, err := f.attempt(agent, m.Done.Run, m.Done.Shard, m.Done.Attempt)
	if err != nil {
		return nil, err
	}
	if err := f.checkDone(s, agent, m.Done, now); err != nil {
		a.broken = err.Error()
		f.count(s, a)
		return nil, err
	}
	if a.done == nil {
		a.done = m.Done
	}
	f.count(s, a)
	return nil, nil
}

// attempt finds, or begins, the attempt that a message belongs to.
func (f *fold) attempt(agent, run string, number int, id string) (*shard, *attempt, error) {
	if run != f.run.ID {
		return nil, nil, fmt.Errorf("server: a message of run %q among those of %s", run, f.run.ID)
	}
	if number < 1 || number > len(f.shards) {
		return nil, nil, fmt.Errorf("server: shard %d: the run has 1 to %d", number, len(f.shards))
	}
	s := f.shards[number-1]
	key := agent + "/" + id // one agent cannot end the attempt of another
	a := s.attempts[key]
	if a == nil {
		if len(s.attempts) == maxAttempts {
			return nil, nil, fmt.Errorf("server: shard %d: more than %d attempts", number, maxAttempts)
		}
		a = &attempt{agent: agent, parts: map[int]struct{}{}}
		s.attempts[key] = a
	}
	return s, a, nil
}

// whole reports whether the attempt carried the shard out, and everything that
// it found has come.
func (a *attempt) whole() bool {
	return a.done != nil && a.done.Fault == "" && a.broken == "" && len(a.parts) == a.done.Parts
}

// count brings the numbers of the shard up to date with the attempt.
func (f *fold) count(s *shard, a *attempt) {
	failed := a.done != nil && !a.whole() || a.broken != ""
	switch {
	case failed && !a.failed:
		s.tries++
	case !failed && a.failed: // what was missing came after all
		s.tries--
	}
	a.failed = failed
	f.settle(s)
}

// settle counts the shard as one that is left, or not.
func (f *fold) settle(s *shard) {
	over := s.dead != "" || s.done() != nil
	switch {
	case over && !s.over:
		f.left--
	case !over && s.over:
		f.left++
	}
	s.over = over
}

// bury takes the shard for dead, unless it is done.
func (f *fold) bury(s *shard, why string, now time.Time) {
	if s.done() == nil && s.dead == "" {
		s.dead, s.died = why, now
		f.settle(s)
	}
}

// revive lets a dead shard be given out again.
func (f *fold) revive(s *shard) {
	if s.dead == "" {
		return
	}
	s.dead, s.given, s.missed, s.renew = "", 0, 0, true
	for _, a := range s.attempts {
		a.forgiven = true
	}
	f.settle(s)
}

// lost counts the attempts that the agent took for done and that are not
// believed, or not known: the broker will not give the shard out again.
func (s *shard) lost() int {
	n := s.missed
	for _, a := range s.attempts {
		if !a.forgiven && !a.whole() && (a.broken != "" || a.done != nil && a.done.Fault == "") {
			n++
		}
	}
	return n
}

// done returns the attempt that carried the shard out: of several one that was
// complete, the first to finish. It is nil while there is none.
func (s *shard) done() *attempt {
	var best *attempt
	bestKey := ""
	for key, a := range s.attempts {
		if a.whole() && (best == nil || before(a, best, key, bestKey)) {
			best, bestKey = a, key
		}
	}
	return best
}

func before(a, b *attempt, keyA, keyB string) bool {
	if x, y := a.done.Outcome.Scan.Complete, b.done.Outcome.Scan.Complete; x != y {
		return x
	}
	if c := a.done.Finished.Compare(b.done.Finished); c != 0 {
		return c < 0
	}
	return keyA < keyB
}

// fault is why the last attempt failed, in words.
func (s *shard) fault() string {
	why, last := "", time.Time{}
	for _, a := range s.attempts {
		switch {
		case !a.failed:
		case a.broken != "" && why == "":
			why = a.agent + ": " + a.broken
		case a.done != nil && a.done.Fault != "" && !a.done.Finished.Before(last):
			why, last = a.agent+": "+a.done.Fault, a.done.Finished
		case a.done != nil && why == "":
			why = fmt.Sprintf("%s: %d of its %d parts came", a.agent, len(a.parts), a.done.Parts)
		}
	}
	return why
}

// better keeps the best answer of each target and returns those that are new.
func (f *fold) better(s *shard, p *fleet.Part) []pipeline.Result {
	var all []pipeline.Result
	for i := range p.Results {
		r := &p.Results[i]
		at, ok := s.index(f.run, r.Target)
		if !ok {
			continue // cannot be: the part was checked
		}
		h := fnv.New64a()
		fmt.Fprintf(h, "%s/%d/%d", p.Attempt, p.Number, i)
		rank, old := rankOf(r, h.Sum64()), s.best[at]
		if rank <= old {
			continue
		}
		s.best[at] = rank
		all = append(all, *r)
		if r.State == scanner.Open && (old == 0 || stateOf(old) != scanner.Open) {
			f.open++
		}
	}
	return all
}

// index is the place of a target in the shard, and false when the shard does not
// ask it.
func (s *shard) index(r *Run, t scanner.Target) (uint64, bool) {
	port, ok := r.portIndex(t.Port)
	if !ok || t.Addr.Zone() != "" {
		return 0, false
	}
	i := sort.Search(len(s.prefixes), func(i int) bool { return s.prefixes[i].Addr().Compare(t.Addr) > 0 }) - 1
	if i < 0 || !s.prefixes[i].Contains(t.Addr) {
		return 0, false
	}
	return (s.starts[i]+offset(s.prefixes[i].Addr(), t.Addr))*uint64(len(r.Ports)) + uint64(port), true
}

// offset is how far b is behind a, which are of one prefix with fewer than 2^32
// addresses.
func offset(a, b netip.Addr) uint64 {
	low := func(x netip.Addr) uint64 {
		all := x.AsSlice()
		n := uint64(0)
		for _, o := range all[len(all)-4:] {
			n = n<<8 | uint64(o)
		}
		return n
	}
	return (low(b) - low(a)) & (1<<32 - 1)
}

// The parts of a rank, from the highest bit: 4 the state, 4 the dialogue, 40 the
// milliseconds since 2000, 16 to tell apart what is equal in all of that.
const (
	rankState = 60
	rankTalk  = 56
	rankTime  = 16
)

// rankOf orders the answers of one target by how much they say; of equals the
// later one counts. It is never 0.
func rankOf(r *pipeline.Result, tie uint64) uint64 {
	ms := max(r.At.Sub(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)).Milliseconds(), 0)
	return uint64(stateWeight(r.State)+1)<<rankState | uint64(talkWeight(r))<<rankTalk | uint64(ms)&(1<<40-1)<<rankTime | tie&(1<<16-1)
}

// stateOf is the state of the answer with that rank.
func stateOf(rank uint64) scanner.State { return weights()[rank>>rankState-1] }

// weights are the states, those that say least first.
func weights() []scanner.State {
	return []scanner.State{scanner.Unknown, scanner.OpenFiltered, scanner.Unreachable, scanner.Filtered, scanner.Closed, scanner.Open}
}

func stateWeight(s scanner.State) int { return max(slices.Index(weights(), s), 0) }

// talkWeight orders dialogues by how far they got.
func talkWeight(r *pipeline.Result) int {
	if r.Evidence == nil {
		return 0
	}
	order := []fingerprint.Status{fingerprint.StatusCancelled, fingerprint.StatusLocalError, fingerprint.StatusNoConnect,
		fingerprint.StatusRefused, fingerprint.StatusBudget, fingerprint.StatusDone}
	return 1 + max(slices.Index(order, r.Evidence.Status), 0)
}
