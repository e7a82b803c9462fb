package fleet

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestClock: what passes on the clock and in truth alike is not set, and little is
// not, either.
func TestClock(t *testing.T) {
	for _, tt := range []struct {
		name          string
		passes, shows time.Duration
		want          time.Duration
	}{
		{"nothing", 0, 0, 0},
		{"an hour passes", time.Hour, time.Hour, 0},
		{"a little ahead", time.Hour, time.Hour + time.Minute - 1, 0},
		{"ahead", time.Second, time.Second + time.Minute, time.Minute},
		{"back", time.Second, -time.Hour, -time.Hour - time.Second},
		{"the machine slept", 0, 8 * time.Hour, 8 * time.Hour},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				c := NewClock(began)
				time.Sleep(tt.passes)
				if got := c.Set(began.Add(tt.shows)); got != tt.want {
					t.Errorf("Set = %v, want %v", got, tt.want)
				}
			})
		})
	}
}
