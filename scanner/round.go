package scanner

import (
	"context"
	"fmt"
	"time"

	"dormant/registry"
)

const (
	// linuxICMPBurst and linuxICMPEvery are the limit that Linux keeps per
	// destination (net.ipv4.icmp_ratelimit, XRLIM_BURST_FACTOR): six errors at
	// once, then one a second.
	linuxICMPBurst = 6
	linuxICMPEvery = int64(time.Second)
	// routerICMPEvery is the limit of common routers (Cisco IOS: ip icmp
	// rate-limit unreachable, 500 ms), which know no burst.
	routerICMPEvery = int64(500 * time.Millisecond)
	// routerPatience bounds what that costs a round: few errors can also mean
	// that the other ports are really silent.
	routerPatience = int64(1500 * time.Millisecond)

	ctxEvery = 1 << 16 // targets passed over between two looks at the context
)

// walk is the sender's way through the shard in one round. A retry round goes
// twice: first over the addresses that have answered anything, whose silent
// ports are the most promising, then over the dark ones.
type walk struct {
	attempt uint8
	dark    bool // the second half
	i       uint64
	resumed uint64 // where the second half begins
	done    bool
}

// round asks, for the attempt-th time, everything that has not answered.
func (r *run) round(ctx context.Context, attempt uint8) error {
	w := walk{attempt: attempt, i: r.first, resumed: r.first}
	if from := r.cfg.From; int(attempt) == from.Round && (attempt == 0 || from.Dark) {
		w.resumed = max(w.resumed, from.Next)
	}
	r.roundBegun = r.now()
	r.attempt.Store(uint32(attempt))
	if attempt == 0 {
		w.i = w.resumed
	} else {
		if w.resumed >= r.plan.Len() { // an earlier part of the run has done this round
			return nil
		}
		r.snapshotLive()
		if w.dark = !r.anyLive; w.dark {
			w.i = w.resumed
		}
		if r.icmp.slots == nil {
			r.icmp = newHostPacer(r.plan.NumAddrs(), 1, r.cfg.Rate)
		}
	}
	for {
		r.fill(ctx, &w)
		var err error
		due, waiting := r.queue.next()
		switch {
		case ctx.Err() != nil:
			err = fmt.Errorf("scanner: send: %w", context.Cause(ctx))
		case len(r.batch) > 0:
			if err = r.flush(ctx); err == nil {
				r.mark(&w)
			}
		case waiting:
			err = r.sleepUntil(ctx, due)
		default:
			r.mark(&w)
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// fill makes the next batch: the deferred probes that are due, then new ones
// whose host has a token; those whose host has none are deferred.
func (r *run) fill(ctx context.Context, w *walk) {
	r.batch, r.targets = r.batch[:0], r.targets[:0]
	now := r.now()
	r.resumeAt(now)
	for due, ok := r.queue.next(); ok && due <= now && len(r.batch) < cap(r.batch); due, ok = r.queue.next() {
		d := r.queue.pop()
		switch k := r.addr(d.target); {
		case !r.wanted(d.target):
		case r.pacer.free(k, now):
			r.put(d.target, w.attempt)
		default:
			d.due = r.pacer.reserve(k, now)
			r.queue.push(d)
		}
	}
	for len(r.batch) < cap(r.batch) && !r.queue.full() && !w.done {
		j, place, ok := r.next(ctx, w)
		if !ok {
			w.done = true
			return
		}
		if due := r.reserve(j, now, w.attempt); due > now {
			r.queue.push(deferred{due, j, place})
		} else {
			r.put(j, w.attempt)
		}
	}
}

// resumeAt moves the moments of all deferred probes when nothing could be sent for
// a while: a pause, a closed window, a stopped process. Else all that came due
// meanwhile would fall on its hosts at once.
func (r *run) resumeAt(now int64) {
	gap := now - r.filled
	r.filled = now
	due, ok := r.queue.next()
	if late := now - due; ok && min(gap, late) > int64(hostBurstTime) {
		r.queue.delay(late)
		r.pacer.delay(late)
		r.icmp.delay(late)
	}
}

func (r *run) put(j uint64, attempt uint8) {
	k, port := r.plan.width.split(j)
	n := len(r.batch)
	r.batch = r.batch[:n+1] // never beyond its capacity
	p := &r.batch[n]
	p.Addr, p.Port, p.Payload, p.Attempt = r.plan.addr(k), r.plan.ports[port], r.payloads[port], attempt
	r.targets = append(r.targets, j)
	r.pacer.send(k, r.filled)
}

// next returns the natural index of the next target to ask and its place in scan
// order, and false when the walk is over or ctx has ended.
func (r *run) next(ctx context.Context, w *walk) (j, place uint64, ok bool) {
	for passed := 1; ; passed++ {
		if w.i >= r.plan.Len() {
			if w.attempt == 0 || w.dark {
				return 0, 0, false
			}
			w.dark, w.i = true, w.resumed
			continue
		}
		place = w.i
		j = r.ahead(place)
		w.i += r.step
		if r.wanted(j) && (w.attempt == 0 || r.live.get(r.addr(j)) != w.dark) {
			return j, place, true
		}
		if passed%ctxEvery == 0 && ctx.Err() != nil {
			return 0, 0, false
		}
	}
}

// outlook is the natural indexes of the targets that the walk comes to next.
type outlook struct {
	targets [defaultBatch]uint64
	first   uint64 // place of targets[0] in scan order
	seen    int    // of targets
	n       int
	touched uint64 // keeps the compiler from leaving the looks out
}

// ahead returns the natural index of the target at a place of this shard in
// scan order. It looks at some of the following places, too, so that what is
// kept of those targets comes into the cache in the time of one.
func (r *run) ahead(place uint64) uint64 {
	o := &r.outlook
	if o.seen == o.n || place != o.first+uint64(o.seen)*r.step {
		o.first, o.seen, o.n = place, 0, 0
		for ; o.n < len(o.targets) && place < r.plan.Len(); place += r.step {
			o.targets[o.n] = r.plan.position(place)
			o.n++
		}
		r.warm(o.targets[:o.n])
	}
	o.seen++
	return o.targets[o.seen-1]
}

// warm brings what is kept of targets into the cache: one table after the other,
// so that as many places as can be are on their way at the same time.
func (r *run) warm(targets []uint64) {
	var hosts [defaultBatch]uint64
	for i, j := range targets {
		hosts[i] = r.addr(j)
	}
	sum := uint64(0)
	for _, k := range hosts[:len(targets)] {
		sum |= uint64(r.pacer.look(k))
	}
	for _, j := range targets {
		sum |= uint64(r.states.get(j))
	}
	for _, k := range hosts[:len(targets)] {
		sum |= uint64(r.meter.low[k])
	}
	r.outlook.touched = sum
}

// wanted reports whether target j can be asked and has not answered.
func (r *run) wanted(j uint64) bool {
	if r.skip != nil && r.skip.get(r.addr(j)) || r.cfg.Cut != nil && !r.inShard(j) {
		return false
	}
	return !answers(State(r.states.get(j)))
}

// snapshotLive remembers who is alive, so that the two halves of a round share
// the targets out between them whatever is received meanwhile.
func (r *run) snapshotLive() {
	r.live, r.anyLive = newBitset(r.plan.NumAddrs()), false
	for k := range r.plan.NumAddrs() {
		if r.hosts.get(k) > 0 {
			r.live.set(k)
			r.anyLive = true
		}
	}
}

// reserve returns the moment at which target j may be asked. A UDP retry to a
// host that sends ICMP errors also waits until its next error can
// have become due: a closed port whose error was held back is not a silent one.
func (r *run) reserve(j uint64, now int64, attempt uint8) int64 {
	k := r.addr(j)
	due := r.pacer.reserve(k, now)
	if attempt == 0 || r.plan.ports[j%uint64(len(r.plan.ports))].Proto != registry.UDP {
		return due
	}
	switch errors := int(r.hosts.get(k)) - 1; {
	case errors >= linuxICMPBurst: // the bucket of a Linux host is empty
		return max(due, r.icmp.reserveEvery(k, now, linuxICMPEvery)+linuxICMPEvery)
	case errors > 0 && 2*errors < r.udpPorts && attempt == 1: // suspiciously few
		return max(due, min(r.icmp.reserveEvery(k, now, routerICMPEvery)+routerICMPEvery, r.roundBegun+routerPatience))
	default:
		return due
	}
}
