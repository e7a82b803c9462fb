package scanner

import (
	"context"
	"errors"
	"fmt"
	"time"

	"dormant/registry"
)

// StateTimeout is how long a path may hold a half-open connection: the time
// that Linux connection tracking keeps one whose SYN was not answered
// (nf_conntrack_tcp_timeout_syn_sent, 120 s), the longest of those in wide use.
const StateTimeout = 120 * time.Second

// synWindow finds the largest number of SYNs within one StateTimeout, by the
// second.
type synWindow struct {
	seconds [int(StateTimeout/time.Second) + 1]uint64
	newest  int64 // the second that was counted last
	sum     uint64
	largest uint64
}

// add counts n SYNs sent at a moment of the run, which never goes back.
func (w *synWindow) add(moment int64, n uint64) {
	second, slots := moment/int64(time.Second), int64(len(w.seconds))
	for w.newest < second {
		w.newest++
		if second-w.newest >= slots { // all that was counted is too old
			w.seconds, w.sum, w.newest = [len(w.seconds)]uint64{}, 0, second
		}
		old := &w.seconds[w.newest%slots]
		w.sum -= *old
		*old = 0
	}
	w.seconds[second%slots] += n
	w.sum += n
	w.largest = max(w.largest, w.sum)
}

// finish counts the states of all targets, emits the silent ones where that was
// asked for, and sums the run up. Sender and receiver have ended.
func (r *run) finish(err error) Summary {
	s := Summary{
		Started: r.started, Targets: r.size(),
		Probes: r.probes.Load(), Retries: r.retries, HostsAlive: r.hostsAlive,
		MaxHalfOpen: r.window.largest, Rate: r.rate(), Cooldown: r.cooldown,
		Counters: r.backend.Counters(),
	}
	s.Counters.Duplicate += r.duplicate
	s.Counters.Foreign += r.foreign
	s.Counters.Invalid += r.invalid
	r.countStates(&s, err == nil)
	s.Why = reasons(s, err)
	s.Complete = len(s.Why) == 0
	s.Finished = time.Now()
	r.phase.Store(PhaseDone)
	return s
}

// countStates fills in the numbers of targets by state; whole tells that the
// run came to its end, so that silence means something.
func (r *run) countStates(s *Summary, whole bool) {
	now, shards, ports := time.Now(), r.cfg.Shards, uint64(len(r.plan.ports))
	last := r.plan.NumAddrs() // no address
	for j := range r.plan.Len() {
		if shards > 1 && r.plan.order.invert(j)%shards != r.cfg.Shard {
			continue
		}
		k := j / ports
		if k != last {
			last = k
			s.Addresses++
		}
		state, skipped := State(r.states.get(j)), r.skip != nil && r.skip.get(k)
		if skipped {
			s.Skipped++
		}
		if answers(state) {
			s.count(state)
			continue
		}
		if !whole {
			continue
		}
		state, reason := r.silence(j, state, skipped)
		s.count(state)
		if r.cfg.Silent {
			r.emit(Observation{Target: r.plan.natural(j), State: state, Reason: reason, At: now, Sent: r.sent.get(j)})
		}
	}
}

// silence returns what it means that target j did not answer.
func (r *run) silence(j uint64, state State, skipped bool) (State, Reason) {
	switch {
	case skipped:
		return r.unreachable(r.plan.natural(j).Addr)
	case state == Unknown:
		return Unknown, LocalError
	case r.plan.ports[j%uint64(len(r.plan.ports))].Proto == registry.TCP:
		return Filtered, NoResponse
	default:
		return OpenFiltered, NoResponse
	}
}

// count adds one target with its final state.
func (s *Summary) count(state State) {
	switch state {
	case Open:
		s.Open++
	case Closed:
		s.Closed++
	case Filtered:
		s.Filtered++
	case OpenFiltered:
		s.OpenFiltered++
	case Unreachable:
		s.Unreachable++
	case Unknown:
		s.Unknown++
	}
}

// reasons says why a run is not complete, nothing when it is.
func reasons(s Summary, err error) (why []string) {
	say := func(n uint64, format string) {
		if n > 0 {
			why = append(why, fmt.Sprintf(format, n))
		}
	}
	switch {
	case err == nil:
	case errors.Is(err, context.Canceled):
		why = append(why, "interrupted")
	case errors.Is(err, context.DeadlineExceeded):
		why = append(why, "out of time")
	default:
		why = append(why, err.Error())
	}
	say(s.Unknown, "%d targets could not be measured from here")
	say(s.Counters.RingDrops, "%d frames were dropped by the kernel before they were read")
	say(s.Counters.SendErrors, "%d probes could not be sent")
	return why
}

// rate returns the mean of probes per second while probes were sent.
func (r *run) rate() float64 {
	n, took := r.probes.Load(), time.Duration(r.ended.Load()-r.begun.Load())
	if n < 2 || took <= 0 {
		return 0
	}
	return float64(n) / took.Seconds()
}

// progress is called from any goroutine: it reads atomics only.
func (r *run) progress() Progress {
	p := Progress{
		Phase: r.phase.Load().(Phase), Sent: r.probes.Load(), Open: r.open.Load(),
		Rate: r.rate(), Elapsed: time.Since(r.started),
	}
	targets, asked, silent := r.size()-r.skipped.Load(), r.asked.Load(), 1.0
	if asked > 0 {
		silent = 1 - float64(min(r.answered.Load(), asked))/float64(asked)
	}
	switch p.Phase {
	case PhaseWait, PhaseDone:
		p.Expected = p.Sent
	default:
		p.Expected = max(p.Sent, targets+uint64(float64(targets)*silent*float64(r.cfg.Retries)))
	}
	return p
}
