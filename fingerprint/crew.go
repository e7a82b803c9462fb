package fingerprint

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"dormant/scanner"
)

// Result is one finished dialogue. Err is a fault of this side, as Identify
// returns it.
type Result struct {
	Observation scanner.Observation
	Evidence    Evidence
	Err         error
}

// maxPending is how many observations a crew holds beside those at work,
// before it stops taking more: all of them are of hosts that wait for a worker
// or for their own turn, so that a full crew is a busy one.
const maxPending = 1 << 14

// Run holds the dialogues with all that comes in, workers of them at a time
// and one at a time with each host. No worker waits for a host: the ports of
// one stand in a line of their own, in the order of arrival, and the repetition
// of Config.RepeatAfter stands aside until it is due.
//
// emit is called once for every observation, from many goroutines at a time;
// it may block, which holds only its own worker. Run returns when in is closed
// and everything has been emitted. When ctx ends, what is still to be done
// comes back quickly as StatusCancelled; the caller closes in all the same.
func (i *Identifier) Run(ctx context.Context, in <-chan scanner.Observation, workers int, emit func(Result)) {
	c := crew{
		identifier: i,
		lines:      map[netip.Addr]*line{},
		jobs:       make(chan job),
		done:       make(chan job),
	}
	var workersDone sync.WaitGroup
	for range max(workers, 1) {
		workersDone.Go(func() { // ends when jobs is closed, below
			for j := range c.jobs {
				c.done <- c.work(ctx, j, emit)
			}
		})
	}
	c.schedule(ctx, in)
	close(c.jobs)
	workersDone.Wait()
}

// job is a dialogue to hold, or its repetition.
type job struct {
	observation scanner.Observation
	evidence    Evidence // of a repetition
	again       bool
	due         time.Time // of a repetition
}

// line is the work of one host. It stands in crew.lines as long as there is any.
type line struct {
	waiting []job
	busy    bool // a worker is with the host
}

// crew is the state of one Run. All but the channels belongs to the goroutine
// of schedule.
type crew struct {
	identifier *Identifier
	lines      map[netip.Addr]*line
	ready      []netip.Addr // hosts with work and without a worker, the longest waiting first
	later      []job        // repetitions, in the order in which they are due
	pending    int          // jobs in lines and in later
	busy       int
	jobs, done chan job
}

// schedule hands out the work until in is closed and everything is done.
func (c *crew) schedule(ctx context.Context, in <-chan scanner.Observation) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for in != nil || c.pending > 0 || c.busy > 0 {
		arrivals, jobs, next := in, c.jobs, job{}
		if c.pending >= maxPending {
			arrivals = nil
		}
		if len(c.ready) > 0 {
			next = c.lines[c.ready[0]].waiting[0]
		} else {
			jobs = nil
		}
		if len(c.later) > 0 {
			timer.Reset(time.Until(c.later[0].due))
		}
		cancelled := ctx.Done()
		if len(c.later) == 0 {
			cancelled = nil
		}
		select {
		case o, ok := <-arrivals:
			if !ok {
				in = nil
				continue
			}
			c.pending++
			c.enqueue(job{observation: o})
		case jobs <- next:
			c.handOut()
		case j := <-c.done:
			c.finish(j)
		case <-timer.C:
			c.wake(time.Now())
		case <-cancelled: // nothing is worth waiting for any more
			c.wake(time.Now().Add(c.identifier.cfg.RepeatAfter))
		}
	}
}

// enqueue puts a job at the end of its host's line.
func (c *crew) enqueue(j job) {
	addr := j.observation.Addr
	l, ok := c.lines[addr]
	if !ok {
		l = &line{}
		c.lines[addr] = l
	}
	l.waiting = append(l.waiting, j)
	if len(l.waiting) == 1 && !l.busy {
		c.ready = append(c.ready, addr)
	}
}

// handOut removes the job that a worker has just taken.
func (c *crew) handOut() {
	l := c.lines[c.ready[0]]
	c.ready = c.ready[1:]
	l.waiting = l.waiting[1:]
	l.busy = true
	c.pending--
	c.busy++
}

// finish frees the host of a job, and sets a repetition aside.
func (c *crew) finish(j job) {
	addr := j.observation.Addr
	l := c.lines[addr]
	l.busy = false
	c.busy--
	if j.again {
		c.pending++
		c.later = append(c.later, j)
	}
	if len(l.waiting) > 0 {
		c.ready = append(c.ready, addr)
	} else {
		delete(c.lines, addr)
	}
}

// wake puts the repetitions that are due into their lines.
func (c *crew) wake(now time.Time) {
	for len(c.later) > 0 && !c.later[0].due.After(now) {
		c.enqueue(c.later[0])
		c.later = c.later[1:]
	}
}

// work holds one dialogue. It returns the job with again set when there is a
// repetition to come, else after it has emitted the result.
func (c *crew) work(ctx context.Context, j job, emit func(Result)) job {
	i := c.identifier
	if j.again {
		ev, err := i.repeat(ctx, j.observation, j.evidence)
		emit(Result{j.observation, ev, err})
		j.again, j.evidence = false, Evidence{}
		return j
	}
	ev, again, err := i.talk(ctx, j.observation)
	if again {
		j.again, j.evidence, j.due = true, ev, time.Now().Add(i.cfg.RepeatAfter)
		return j
	}
	emit(Result{j.observation, ev, err})
	return j
}
