package scanner

import (
	"context"
	"errors"
	"fmt"
	"time"

	"dormant/registry"
)

// finish counts the states of all targets, emits the silent ones where that was
// asked for, and sums the run up. Sender and receiver have ended.
func (r *run) finish(err error) Summary {
	s := Summary{
		Started: r.begin(), Targets: r.size(),
		Probes: r.probes.Load(), Retries: r.retries, HostsAlive: r.hostsAlive,
		MaxHalfOpen: r.window.largest, Rate: r.rate(), Cooldown: r.cooldown,
		StateBudget: r.cfg.StateBudget, MostToHost: r.cfg.From.Spent.MostToHost + r.meter.most,
		MostBytesToHost: r.cfg.From.Spent.MostBytes + r.mostBytes(err == nil),
		Parts:           r.cfg.From.Spent.Parts + 1,
		Uncounted:       r.cfg.From.Spent.Uncounted,
		Counters:        r.counters(),
		Notes:           r.governor.notes(),
	}
	if r.budgetWaits > 0 {
		s.Notes = append(s.Notes, fmt.Sprintf("waited %d times for the state budget of %d half-open connections", r.budgetWaits, r.cfg.StateBudget))
	}
	r.countStates(&s, err == nil)
	s.Why = reasons(s, err)
	if err == nil {
		if n := r.missing(); n > 0 { // and what is not asked is no loss
			s.Why = append(s.Why, fmt.Sprintf("far fewer targets answered than before, for a time or for good: about %.0f answers are missing", n))
		} else {
			r.countLoss(&s)
		}
	}
	if w, ok := r.backend.(Witness); ok {
		s.Why = append(s.Why, w.Faults()...)
	}
	s.Complete = len(s.Why) == 0
	s.Finished = time.Now()
	r.phase.Store(PhaseDone)
	return s
}

// countStates fills in the numbers of targets by state; whole tells that the
// run came to its end, so that silence means something.
func (r *run) countStates(s *Summary, whole bool) {
	now, ports := time.Now(), uint64(len(r.plan.ports))
	last := r.plan.NumAddrs() // no address
	for j := range r.plan.Len() {
		if !r.inShard(j) {
			continue
		}
		k := j / ports
		if k != last {
			last = k
			s.Addresses++
		}
		state, skipped := State(r.states.get(j)), r.skip != nil && r.skip.get(k)
		if answers(state) {
			*s.count(state)++
			if r.cfg.Subnets {
				s.cover(r.plan.addr(k), state, true, true)
			}
			continue
		}
		sent := uint8(0)
		if skipped {
			s.Skipped++
		} else if whole { // then it was asked in every round
			sent = uint8(r.attempt.Load()) + 1
		}
		if !whole {
			if r.cfg.Subnets {
				s.cover(r.plan.addr(k), 0, !skipped && r.asksFor(j), false)
			}
			continue
		}
		state, reason := r.silence(j, state, skipped)
		*s.count(state)++
		if r.cfg.Subnets {
			s.cover(r.plan.addr(k), state, sent > 0, false)
		}
		if r.cfg.Silent {
			r.unheard(Observation{Target: r.plan.natural(j), State: state, Reason: reason, At: now, Sent: sent})
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

// count returns the number of targets with a final state.
func (s *Summary) count(state State) *uint64 {
	switch state {
	case Open:
		return &s.Open
	case Closed:
		return &s.Closed
	case Filtered:
		return &s.Filtered
	case OpenFiltered:
		return &s.OpenFiltered
	case Unreachable:
		return &s.Unreachable
	case Unknown:
	}
	return &s.Unknown
}

// ErrStopped is the cause of a context's end, or wrapped by it, when the user
// ended the run by other means than an interrupt.
var ErrStopped = errors.New("stopped on request")

// reasons says why a run is not complete, nothing when it is.
func reasons(s Summary, err error) (why []string) {
	say := func(n uint64, noun, format string) {
		switch {
		case n == 1:
			why = append(why, "1 "+noun+" "+format)
		case n > 1:
			why = append(why, fmt.Sprintf("%d %ss %s", n, noun, format))
		}
	}
	switch {
	case err == nil:
	case errors.Is(err, ErrStopped):
		why = append(why, "stopped on request")
	case errors.Is(err, context.Canceled):
		why = append(why, "interrupted")
	case errors.Is(err, context.DeadlineExceeded):
		why = append(why, "out of time")
	default:
		why = append(why, err.Error())
	}
	say(s.Unknown, "target", "could not be measured from here")
	say(s.Counters.RingDrops, "frame", "dropped by the kernel unread")
	say(s.Counters.SendErrors, "probe", "could not be sent")
	say(s.Counters.LinkDrops, "frame", "thrown away by an interface instead of being sent")
	return why
}

// rate returns the mean of probes per second while probes were sent.
func (r *run) rate() float64 {
	n, took := r.probes.Load()-r.cfg.From.Spent.Probes, time.Duration(r.ended.Load()-r.begun.Load())
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
