package scanner

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"
)

// wide is a backend of several lanes that takes everything and hears nothing.
type wide struct {
	lanes   int
	longest int // batch
}

func (w *wide) Send(_ context.Context, batch []Probe) (int, error) {
	w.longest = max(w.longest, len(batch))
	return len(batch), nil
}

func (w *wide) Receive(ctx context.Context, _ func(Observation)) error {
	<-ctx.Done()
	return nil
}

func (w *wide) Counters() Counters { return Counters{} }
func (w *wide) Lanes() int         { return w.lanes }

func TestLanesGetLongerBatches(t *testing.T) {
	for _, tt := range []struct {
		name  string
		lanes int
		cfg   Config
		want  int
	}{
		{"one lane", 1, Config{Rate: rate.Inf}, defaultBatch},
		{"two lanes", 2, Config{Rate: rate.Inf}, 2 * batchOfLane},
		{"two lanes at a low rate", 2, Config{Rate: 20_000}, 200},
		{"two lanes, batch asked for", 2, Config{Rate: rate.Inf, Batch: 100}, 100},
		{"two lanes within a budget", 2, Config{Rate: rate.Inf, StateBudget: 300}, 300},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &wide{lanes: tt.lanes}
				tt.cfg.HostRate, tt.cfg.MaxCooldown = rate.Inf, time.Millisecond
				engine, err := New(w, tt.cfg)
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				if _, err := engine.Run(ctx, mustPlan(t, 1, ports("1947/tcp"), "10.0.0.0/21"), func(Observation) {}); err != nil {
					t.Fatal(err)
				}
				if w.longest != tt.want {
					t.Errorf("the longest batch has %d probes, want %d", w.longest, tt.want)
				}
			})
		})
	}
}
