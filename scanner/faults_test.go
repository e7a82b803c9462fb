package scanner_test

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"dormant/registry"
	"dormant/scanner"
	"dormant/scanner/fakenet"
)

func TestStraysAndUpgrades(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := target("10.0.0.1", "1947/tcp")
		n := fakenet.New(states{asked: scanner.Open}, time.Second/2)
		n.Strays = []scanner.Observation{
			{Target: asked, State: scanner.Filtered, Reason: scanner.ICMPAdminProhibited, From: fakenet.Router()},
			{Target: asked, State: scanner.Unreachable, Reason: scanner.ICMPHostUnreachable, From: fakenet.Router()},
			{Target: asked, State: scanner.OpenFiltered},
			{Target: target("10.0.0.1", "1947/udp"), State: scanner.Open, Reason: scanner.UDPReply},
			{Target: target("10.0.9.1", "1947/tcp"), State: scanner.Open, Reason: scanner.SynAck},
		}
		got, s, err := run(t, t.Context(), n, scanner.Config{Rate: 10, Cooldown: time.Second}, plan(t, []registry.Port{asked.Port}, "10.0.0.1/32"))
		if err != nil {
			t.Fatal(err)
		}
		var reasons []scanner.Reason
		for _, o := range got {
			reasons = append(reasons, o.Reason)
		}
		if d := cmp.Diff([]scanner.Reason{scanner.ICMPAdminProhibited, scanner.SynAck}, reasons); d != "" {
			t.Errorf("emitted (-want +got):\n%s", d)
		}
		if c := s.Counters; c.Foreign != 2 || c.Duplicate != 1 || c.Invalid != 1 || s.Open != 1 || s.Filtered != 0 {
			t.Errorf("summary = %+v, want 2 foreign, 1 duplicate, 1 invalid, 1 open", s)
		}
	})
}

// TestStraysOfAllPartsAreCounted: what a run received that it could not use is in
// the numbers of a checkpoint, too, and so in those of the run that goes on there.
func TestStraysOfAllPartsAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := target("10.0.0.1", "1947/tcp")
		n := fakenet.New(nil, 0)
		answer := scanner.Observation{Target: asked, State: scanner.Closed, Reason: scanner.Rst, From: asked.Addr}
		n.Strays = []scanner.Observation{answer, answer, {Target: asked, State: scanner.OpenFiltered}, {Target: target("10.0.9.1", "1947/tcp"), State: scanner.Open}}
		cfg, p := scanner.Config{Rate: 10, Cooldown: 2 * time.Second}, plan(t, []registry.Port{asked.Port}, "10.0.0.1/32")
		var l ledger
		for part := uint64(1); part <= 3; part++ {
			kill := time.Second
			if part == 3 {
				kill = time.Hour
			}
			_, s, err := l.part(t, n, cfg, p, kill)
			c := s.Counters
			if (err == nil) != (part == 3) || c.Duplicate != 1 || c.Invalid != 1 || c.Foreign != 1 {
				t.Errorf("part %d = %+v, %v; want 1 duplicate, 1 invalid, 1 foreign", part, c, err)
			}
		}
	})
}

// TestTargetThatAnswersTwiceIsOne: the run does not end because of it while another
// target's answer is on its way.
func TestTargetThatAnswersTwiceIsOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		twice, late := target("10.0.0.0", "1947/tcp"), target("10.0.0.1", "1947/tcp")
		n := fakenet.New(states{late: scanner.Open, twice: scanner.Open}, 0)
		n.RTTOf = func(a netip.Addr) time.Duration {
			if a == late.Addr {
				return 900 * time.Millisecond
			}
			return 200 * time.Millisecond
		}
		n.Strays = []scanner.Observation{{Target: twice, State: scanner.Filtered, Reason: scanner.ICMPAdminProhibited, From: fakenet.Router()}}
		cfg := scanner.Config{Rate: 1000, MaxCooldown: 2 * time.Second}
		_, s, err := run(t, t.Context(), n, cfg, plan(t, []registry.Port{late.Port}, "10.0.0.0/31"))
		if err != nil || s.Open != 2 {
			t.Errorf("Run = %+v, %v; want 2 open", s, err)
		}
	})
}

// TestFaultBehindAnAnswer: what answered has answered, also when a later probe to it
// could not be sent.
func TestFaultBehindAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := target("10.0.0.1", "1947/tcp")
		n := fakenet.New(nil, 0)
		n.Strays = []scanner.Observation{
			{Target: asked, State: scanner.Closed, Reason: scanner.Rst, From: asked.Addr},
			{Target: asked, State: scanner.Unknown, Reason: scanner.LocalError},
		}
		engine, err := scanner.New(n, scanner.Config{Rate: 10, Cooldown: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		s, err := engine.Run(t.Context(), plan(t, []registry.Port{asked.Port}, "10.0.0.1/32"), func(scanner.Observation) {})
		if open := engine.Progress().Open; err != nil || !s.Complete || s.Closed != 1 || s.Unknown != 0 || open != 0 {
			t.Errorf("Run = %+v, %v, %d open; want complete, 1 closed", s, err, open)
		}
	})
}

func TestGuardHasTheLastWord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := fakenet.New(states{target("10.0.0.1", "1947/tcp"): scanner.Open, target("10.0.0.2", "1947/tcp"): scanner.Open}, time.Millisecond)
		cfg := scanner.Config{Rate: 10, Guard: func(a netip.Addr) bool { return a != netip.MustParseAddr("10.0.0.2") }}
		got, s, err := run(t, t.Context(), n, cfg, plan(t, []registry.Port{{Number: 1947, Proto: registry.TCP}}, "10.0.0.0/30"))
		if err != nil || len(got) != 1 || got[0].Addr != netip.MustParseAddr("10.0.0.1") || s.Counters.Foreign != 1 || s.Open != 1 {
			t.Errorf("Run = %v, %+v, %v; want 10.0.0.1 open, 1 foreign", got, s, err)
		}
	})
}

func TestLocalErrorsAreRetriedAndTold(t *testing.T) {
	for _, tt := range []struct {
		faults  int
		unknown uint64
		why     int
	}{
		{0, 0, 0}, {1, 0, 1}, {9, 4, 2},
	} {
		synctest.Test(t, func(t *testing.T) {
			truth := states{}
			for i := range 4 {
				truth[scanner.Target{Addr: netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), Port: dozen()[0]}] = scanner.Open
			}
			n := fakenet.New(truth, time.Millisecond)
			n.LocalErrors = tt.faults
			got, s, err := run(t, t.Context(), n, scanner.Config{Rate: 1000, Retries: 2, Silent: true}, plan(t, dozen()[:1], "10.0.0.0/30"))
			if err != nil || s.Unknown != tt.unknown || s.Open != 4-tt.unknown || len(s.Why) != tt.why || s.Complete != (tt.why == 0) || len(got) != 4 {
				t.Errorf("%d faults: Run = %d emitted, %+v, %v; want %d unknown, %d reasons", tt.faults, len(got), s, err, tt.unknown, tt.why)
			}
			sums(t, s)
		})
	}
}

func TestCancelReturnsWhatWasFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		truth := states{}
		for i := range 256 {
			truth[scanner.Target{Addr: netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), Port: dozen()[0]}] = scanner.Open
		}
		n := fakenet.New(truth, time.Millisecond)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		got, s, err := run(t, ctx, n, scanner.Config{Rate: 100, Silent: true}, plan(t, dozen()[:1], "10.0.0.0/24"))
		if !errors.Is(err, context.Canceled) || s.Complete || !slices.Equal(s.Why, []string{"interrupted"}) {
			t.Errorf("Run = %+v, %v; want interrupted", s, err)
		}
		if s.Finished.Sub(s.Started) != time.Second || s.Open != uint64(len(got)) || s.Open < 90 || s.Open > 110 || s.Filtered != 0 {
			t.Errorf("Run = %d emitted, %+v; want about 100 open after one second and no silent target", len(got), s)
		}
	})
}

func TestDeadlineIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, s, err := run(t, ctx, fakenet.New(nil, 0), scanner.Config{Rate: 0.1}, plan(t, dozen()[:1], "10.0.0.0/24"))
		if !errors.Is(err, context.DeadlineExceeded) || !slices.Equal(s.Why, []string{"out of time"}) || s.Probes != 2 {
			t.Errorf("Run = %+v, %v; want out of time after two probes", s, err)
		}
	})
}

func TestBrokenLinkEndsTheRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := fakenet.New(nil, time.Millisecond)
		n.BreakAfter = 100
		_, s, err := run(t, t.Context(), n, scanner.Config{Rate: 1000, Retries: 2}, plan(t, dozen(), "10.0.0.0/24"))
		if !errors.Is(err, fakenet.ErrBroken) || s.Complete || s.Probes != 100 || len(s.Why) != 1 || !strings.Contains(s.Why[0], "link is gone") {
			t.Errorf("Run = %+v, %v; want ErrBroken after 100 probes", s, err)
		}
	})
}

// deaf is a network whose Receive ends after a while with err.
type deaf struct {
	*fakenet.Network
	err error
}

func (d deaf) Receive(ctx context.Context, _ func(scanner.Observation)) error {
	select {
	case <-ctx.Done():
	case <-time.After(time.Second):
	}
	return d.err
}

func TestDeafReceiverEndsTheRun(t *testing.T) {
	ring := errors.New("ring is gone")
	for _, tt := range []struct {
		name string
		err  error
		want string
	}{
		{"with an error", ring, "scanner: receive: ring is gone"},
		{"without", nil, "scanner: receive: ended early"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, s, err := run(t, t.Context(), deaf{fakenet.New(nil, 0), tt.err}, scanner.Config{Rate: 10}, plan(t, dozen(), "10.0.0.0/24"))
				if err == nil || err.Error() != tt.want || !slices.Equal(s.Why, []string{tt.want}) || s.Complete || s.Probes > 20 {
					t.Errorf("Run = %+v, %v; want an error with %q soon", s, err, tt.want)
				}
			})
		})
	}
}
