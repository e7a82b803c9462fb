package pipeline

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

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

// TestPatienceLeavesRoom: who can wait takes half of the queue, and the receiver
// finds the other half.
func TestPatienceLeavesRoom(t *testing.T) {
	for _, tt := range []struct{ limit, patient, receiver int }{{8, 4, 4}, {3, 1, 2}, {2, 1, 1}, {1, 1, 0}} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			q, put := newQueue(tt.limit), 0
			go func() { // ends with ctx
				for ctx.Err() == nil {
					q.putPatiently(ctx, scanner.Observation{})
					put++
				}
			}()
			synctest.Wait()
			if put != tt.patient {
				t.Errorf("a queue of %d: %d were put patiently, want %d", tt.limit, put, tt.patient)
			}
			for range tt.receiver + 1 {
				q.put(scanner.Observation{})
			}
			if q.lost != 1 {
				t.Errorf("a queue of %d: %d of %d lost behind the patient ones, want 1", tt.limit, q.lost, tt.receiver+1)
			}
			q.take()
			synctest.Wait()
			if put != 2*tt.patient {
				t.Errorf("a queue of %d: %d were put after it was emptied, want %d", tt.limit, put, 2*tt.patient)
			}
			cancel()
			synctest.Wait()
		})
	}
}

// slowLocal sweeps with a queue of eight.
func slowLocal(t *testing.T, network scanner.Backend, cfg scanner.Config) *Local {
	t.Helper()
	cfg.Rate, cfg.HostRate, cfg.Silent = 1000, 1000, true
	engine, err := scanner.New(network, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return &Local{Engine: engine, Queue: 8, Log: slog.New(slog.DiscardHandler)}
}

// TestMoreSilentTargetsThanTheQueueHolds: they wait for room, and so do the
// answers that a resumed run had; both come all at once, and the one who takes
// them is slow.
func TestMoreSilentTargetsThanTheQueueHolds(t *testing.T) {
	port := registry.Port{Number: 3588, Proto: registry.TCP}
	target := func(last byte) scanner.Target {
		return scanner.Target{Addr: netip.AddrFrom4([4]byte{10, 0, 0, last}), Port: port}
	}
	var known []scanner.Observation
	for last := range byte(100) {
		known = append(known, scanner.Observation{Target: target(last), State: scanner.Closed, Reason: scanner.Rst})
	}
	answers := map[scanner.Target]scanner.State{target(200): scanner.Closed, target(201): scanner.Closed, target(202): scanner.Closed}
	for _, tt := range []struct {
		name                     string
		known                    []scanner.Observation
		answers                  map[scanner.Target]scanner.State
		wantClosed, wantFiltered uint64
	}{
		{name: "nobody answers", wantFiltered: 256},
		{name: "a resumed run", known: known, answers: answers, wantClosed: 103, wantFiltered: 153},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				local := slowLocal(t, fakenet.New(tt.answers, time.Millisecond), scanner.Config{Known: slices.Values(tt.known)})
				got := map[scanner.State]uint64{}
				out, err := local.Run(t.Context(), plan(t, "10.0.0.0/24", port), func(r Result) {
					time.Sleep(100 * time.Millisecond)
					got[r.State]++
				})
				if err != nil || !out.Scan.Complete || out.Lost != 0 {
					t.Errorf("Run = complete %t, %d lost, %v; want a complete run", out.Scan.Complete, out.Lost, err)
				}
				if got[scanner.Closed] != tt.wantClosed || got[scanner.Filtered] != tt.wantFiltered {
					t.Errorf("rows = %v, want %d closed, %d filtered", got, tt.wantClosed, tt.wantFiltered)
				}
			})
		})
	}
}

// TestInterruptedWhileSilentTargetsWait: the run ends, and what had no room is
// counted.
func TestInterruptedWhileSilentTargetsWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		local := slowLocal(t, fakenet.New(nil, time.Millisecond), scanner.Config{})
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
