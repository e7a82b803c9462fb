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
		r.foreign++
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
		r.invalid++
		return
	}
	o.Sent = r.sent.get(j)
	r.measure(j, &o)
	r.meet(j, o)
	if rank(o.State) <= rank(before) {
		r.duplicate++
		return
	}
	r.states.set(j, uint8(o.State))
	if o.State == Open {
		r.open.Add(1)
	}
	r.emit(o)
	if !answers(before) && r.answered.Add(1) >= r.asked.Load() {
		select {
		case r.settled <- struct{}{}:
		default: // the sender has been told
		}
	}
}

// asksFor reports whether target j belongs to this shard and was asked.
func (r *run) asksFor(j uint64) bool {
	if r.sent.get(j) == 0 {
		return false
	}
	return r.cfg.Shards == 1 || r.plan.order.invert(j)%r.cfg.Shards == r.cfg.Shard
}

// measure learns from the round trip, and fills it in from the time of sending
// where the backend could not tell. Only a target that was asked once counts
// for that: of several probes nobody knows which one was answered (Karn).
func (r *run) measure(j uint64, o *Observation) {
	if o.RTT == 0 && o.Sent == 1 && !answers(State(r.states.get(j))) {
		o.RTT = r.trips.since(j, o.At)
	}
	r.trips.observe(o.RTT)
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
