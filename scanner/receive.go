package scanner

import "dormant/registry"

// answers reports whether s settles a target, so that it is not asked again.
func answers(s State) bool { return rank(s) > 0 }

// rank orders the states by how much they tell: a later answer replaces an
// earlier one of lower rank.
func rank(s State) int {
	switch s {
	case Open:
		return 4
	case Closed:
		return 3
	case Filtered:
		return 2
	case Unreachable:
		return 1
	case Unknown, OpenFiltered: // not an answer
		return 0
	default:
		return 0
	}
}

// observe takes one observation of the backend. It runs in the receiver.
func (r *run) observe(o Observation) {
	j, ok := r.plan.Index(o.Target)
	if !ok || !r.asksFor(j) || r.cfg.Guard != nil && !r.cfg.Guard(o.Addr) {
		r.foreign.Add(1)
		return
	}
	before := State(r.states.get(j))
	if o.State == Unknown {
		if before == 0 {
			r.states.set(j, uint8(Unknown))
		}
		return
	}
	if !answers(o.State) {
		r.invalid.Add(1)
		return
	}
	o.Sent = r.probesTo(j)
	r.measure(j, &o)
	r.meet(j, o)
	if rank(o.State) <= rank(before) {
		r.duplicate.Add(1)
		return
	}
	r.states.set(j, uint8(o.State))
	if o.State == Open {
		r.open.Add(1)
	}
	r.cfg.Journal(o)
	r.emit(o)
	if answers(before) {
		return
	}
	r.count(o)
	r.governor.heard(o.Reason)
	if r.answered.Add(1) >= r.asked.Load() {
		select {
		case r.settled <- struct{}{}:
		default: // the sender has been told
		}
	}
}

// count takes the first answer of a target into the estimate of what is lost.
func (r *run) count(o Observation) {
	if !r.tries.add(o) || r.subnetTries == nil {
		return
	}
	prefix, ok := subnetOf(o.Addr)
	if !ok {
		return
	}
	t := r.subnetTries[prefix]
	if t == nil {
		t = new(tries)
		r.subnetTries[prefix] = t
	}
	t.add(o)
}

// asksFor reports whether target j belongs to this shard and was asked.
func (r *run) asksFor(j uint64) bool {
	switch round := r.attempt.Load(); {
	case round > 0: // then the resolver's marks are there, and everything else was asked
		if r.skip != nil && r.skip.get(r.addr(j)) {
			return false
		}
	case r.askedNow(j, round):
	case r.cfg.From.Next > 0 && r.plan.order.invert(j) < r.cfg.From.Next: // by an earlier part of the run
	default:
		return false
	}
	return r.inShard(j)
}

// inShard reports whether target j belongs to this shard.
func (r *run) inShard(j uint64) bool {
	return r.cfg.Shards == 1 || r.cut.invert(j)%r.cfg.Shards == r.cfg.Shard
}

// askedNow reports whether target j, which has not answered before the round,
// was asked in it. Flags are 1 for those asked in rounds 0, 2, … and 0 for those
// asked in rounds 1, 3, …: when a round begins, all stand at the other value.
func (r *run) askedNow(j uint64, round uint32) bool { return r.flags.get(j) == (round%2 == 0) }

// probesTo returns how many probes target j has got. Where an answer replaces
// one of an earlier round, it can be more than there were.
func (r *run) probesTo(j uint64) uint8 {
	round := r.attempt.Load()
	if r.askedNow(j, round) {
		return uint8(round) + 1
	}
	return uint8(max(round, 1))
}

// measure learns from the round trip, and fills it in from the time of sending
// where the backend could not tell. Only a target that was asked once counts
// for that: of several probes nobody knows which one was answered (Karn).
func (r *run) measure(j uint64, o *Observation) {
	if o.RTT == 0 && o.Sent == 1 && !answers(State(r.states.get(j))) {
		o.RTT = r.trips.since(j, int64(o.At.Sub(r.started)))
	}
	if tellsRoundTrip(*o) {
		r.trips.observe(o.RTT)
	}
	if o.RTT > 0 && o.Port.Proto == registry.TCP && !answers(State(r.states.get(j))) {
		r.window.answered(r.now() - int64(o.RTT)) // not from o.At: a kernel's clock can be set
	}
}

// meet notes what o says about the host.
func (r *run) meet(j uint64, o Observation) {
	if o.From != o.Addr {
		return
	}
	k := r.addr(j)
	if r.hosts.get(k) == 0 {
		r.hostsAlive++
		r.hosts.set(k, 1)
	}
	if o.Port.Proto == registry.UDP && o.Reason >= ICMPNetUnreachable {
		r.hosts.increment(k)
	}
}
