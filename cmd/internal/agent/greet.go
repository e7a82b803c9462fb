package agent

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"dormant/cmd/internal/fleet"
	"dormant/reports"
)

// terms is what a server's welcome told: its clock, and whether there is work.
type terms struct {
	mu      sync.Mutex
	known   bool
	ahead   time.Duration // this clock's before the server's
	clock   fleet.Clock   // this one, since then
	refused string
}

// set takes what the server told when this clock showed now.
func (t *terms) set(now time.Time, ahead time.Duration, refused string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.known, t.ahead, t.clock, t.refused = true, ahead, fleet.NewClock(now), refused
}

// hold reports whether what the server told of its clock can be believed when
// this one shows now.
func (t *terms) hold(now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.known && t.clock.Set(now) == 0
}

// skew returns how far this clock is ahead of the server's, 0 before it is known.
func (t *terms) skew() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.ahead
}

// err says why no work may be taken, nil if it may.
func (t *terms) err() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case !t.known:
		return errors.New("the server has not answered yet")
	case t.refused != "":
		return fmt.Errorf("the server gives no work to this agent: %s", t.refused)
	}
	return nil
}

// clock returns how far this clock is ahead of the server's. It asks anew where
// this one was set, or stood still, since the server told its own: results that
// are dated wrong are refused.
func (v *vantage) clock(ctx context.Context) (ahead time.Duration, err error) {
	if !v.terms.hold(v.agent.cfg.now()) {
		if err := v.hello(ctx); err != nil {
			return 0, fmt.Errorf("the clock of this machine was set, and the server does not tell its own: %w", err)
		}
	}
	return v.terms.skew(), nil
}

// greet says hello whenever the connection is made, and every now and then: two
// clocks drift.
func (v *vantage) greet(ctx context.Context) {
	connected := v.agent.cfg.Conn.StatusChanged(nats.CONNECTED)
	defer v.agent.cfg.Conn.RemoveStatusListener(connected)
	pace := v.agent.cfg.pace
	wait := newBackoff(min(pace.first, time.Second), min(pace.max, 30*time.Second))
	for {
		delay := pace.greet
		if err := v.hello(ctx); err != nil {
			if wait.fresh() && ctx.Err() == nil && v.agent.cfg.Conn.IsConnected() {
				v.log.Warn("no answer to the hello: no work is taken before it", "error", err)
			}
			delay = wait.next()
		} else {
			wait.reset()
		}
		timer := time.NewTimer(delay)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-connected:
			timer.Stop()
			v.wake() // what waited for the connection goes on at once
		case <-timer.C:
		}
	}
}

// hello asks for the server's clock and terms.
func (v *vantage) hello(ctx context.Context) error {
	cfg := &v.agent.cfg
	if !cfg.Conn.IsConnected() {
		return nats.ErrDisconnected
	}
	started := cfg.now()
	data, err := fleet.EncodeSmall(fleet.Hello{
		Version: fleet.Version, Program: cfg.Program, Host: cfg.Host,
		Backend: v.sweeper.Backend(), Rate: float64(cfg.Rate), Now: started,
	})
	if err != nil {
		return err
	}
	asking, cancel := context.WithTimeout(ctx, cfg.pace.request)
	defer cancel()
	reply, err := cfg.Conn.RequestWithContext(asking, v.place.HelloSubject(cfg.Agent), data)
	if err != nil {
		return err
	}
	w, err := fleet.DecodeSmall[fleet.Welcome](reply.Data)
	if err != nil {
		return err
	}
	refused := reports.Line(w.Refused)
	if refused == "" && w.Version != fleet.Version {
		refused = fmt.Sprintf("it speaks version %d of the messages, this agent version %d", w.Version, fleet.Version)
	}
	if w.Now.IsZero() {
		return errors.New("a welcome without a time")
	}
	half := cfg.now().Sub(started) / 2 // the server's clock was read about in the middle
	before := v.terms.err()
	v.terms.set(cfg.now(), started.Add(half).Round(0).Sub(w.Now), refused)
	after := v.terms.err()
	v.faults.set(faultTerms, after)
	switch {
	case after != nil && (before == nil || before.Error() != after.Error()):
		v.log.Warn(after.Error())
	case after == nil && before != nil:
		log := v.log.With("server", reports.Line(w.Program))
		if ahead := v.terms.skew().Round(time.Second); ahead != 0 {
			log = log.With("clock_ahead", ahead)
		}
		log.Info("the server gives work to this agent")
	}
	return nil
}
