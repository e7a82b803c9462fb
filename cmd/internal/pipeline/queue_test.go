package pipeline

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"dormant/registry"
	"dormant/scanner"
	"dormant/scanner/fakenet"
)

func TestQueueOverrunIsCounted(t *testing.T) {
	q := newQueue(2)
	for range 5 {
		q.put(scanner.Observation{State: scanner.Open})
	}
	q.close()
	n := 0
	q.drain(func(scanner.Observation) { n++ })
	if n != 2 || q.lost != 3 {
		t.Errorf("drained %d, lost %d; want 2 and 3", n, q.lost)
	}
}

// TestPatience: who can wait goes on as soon as what waited was taken, and loses
// nothing.
func TestPatience(t *testing.T) {
	for _, tt := range []struct{ limit, want int }{{1, 1}, {8, 8}, {defaultQueue, patientLimit}} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			q, put := newQueue(tt.limit), 0
			go func() { // ends with ctx
				for ctx.Err() == nil {
					q.putPatiently(ctx, scanner.Observation{})
					put++
				}
			}()
			for round := range 3 {
				synctest.Wait()
				if want := (round + 1) * tt.want; put != want || q.lost != 0 {
					t.Errorf("a queue of %d, taken %d times: %d put, %d lost; want %d and 0", tt.limit, round, put, q.lost, want)
				}
				if round < 2 {
					q.take()
				}
			}
			cancel()
		})
	}
}

// slowLocal sweeps with a queue of eight.
func slowLocal(t *testing.T, network scanner.Backend) *Local {
	t.Helper()
	engine, err := scanner.New(network, scanner.Config{Rate: 1000, Silent: true})
	if err != nil {
		t.Fatal(err)
	}
	return &Local{Engine: engine, Queue: 8, Log: slog.New(slog.DiscardHandler)}
}

// TestMoreSilentTargetsThanTheQueueHolds: they come all at once, the one who
// takes them is slow, and none is lost; nor is an answer.
func TestMoreSilentTargetsThanTheQueueHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		port := registry.Port{Number: 3588, Proto: registry.TCP}
		answers := map[scanner.Target]scanner.State{{Addr: netip.MustParseAddr("10.0.0.9"), Port: port}: scanner.Closed}
		local := slowLocal(t, fakenet.New(answers, time.Millisecond))
		got := map[scanner.State]int{}
		out, err := local.Run(t.Context(), plan(t, "10.0.0.0/24", port), func(r Result) {
			time.Sleep(100 * time.Millisecond)
			got[r.State]++
		})
		if err != nil || !out.Scan.Complete || out.Lost != 0 {
			t.Errorf("Run = complete %t, %d lost, %v; want a complete run", out.Scan.Complete, out.Lost, err)
		}
		if d := cmp.Diff(map[scanner.State]int{scanner.Closed: 1, scanner.Filtered: 255}, got); d != "" {
			t.Errorf("rows (-want +got):\n%s", d)
		}
	})
}

// TestInterruptedWhileSilentTargetsWait: the run ends, and what had no room is
// counted.
func TestInterruptedWhileSilentTargetsWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		local := slowLocal(t, fakenet.New(nil, time.Millisecond))
		rows := uint64(0)
		out, err := local.Run(ctx, plan(t, "10.0.0.0/24", registry.Port{Number: 3588, Proto: registry.TCP}), func(Result) {
			<-ctx.Done()
			rows++
		})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Run = %v, want that the time is over", err)
		}
		if out.Lost == 0 || rows+out.Lost != 256 {
			t.Errorf("%d rows, %d lost; want all 256 targets in one or the other", rows, out.Lost)
		}
	})
}
