package fleet

import "time"

// Clock notices that the clock of this machine was set, or stood still while the
// machine slept: timers, and what was told of the time before, know nothing of
// that. The zero value is of no use.
type Clock struct{ wall, steady time.Time }

// NewClock begins to look at a clock that shows wall.
func NewClock(wall time.Time) Clock { return Clock{wall.Round(0), time.Now()} }

// clockStep is the least that counts as set, some seconds or minutes after the
// clock was looked at.
const clockStep = time.Minute

// Set returns by how much the clock, which shows wall now, was set since NewClock;
// 0 when it was not.
func (c Clock) Set(wall time.Time) time.Duration {
	by := wall.Round(0).Sub(c.wall) - time.Since(c.steady)
	if by.Abs() < clockStep {
		return 0
	}
	return by
}
