package schedule

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Window is a time of the day in which probes may be sent, as "22:00-05:00", in
// the location of the times that it is asked about. The zero value is the whole
// day.
type Window struct{ from, to int } // minutes since midnight

// ParseWindow reads two different times of the day.
func ParseWindow(s string) (Window, error) {
	first, last, ok := strings.Cut(s, "-")
	from, err1 := time.Parse("15:04", first)
	to, err2 := time.Parse("15:04", last)
	if !ok || err1 != nil || err2 != nil || from.Equal(to) {
		return Window{}, errors.New("want two different times of day, like 22:00-05:00")
	}
	return Window{from.Hour()*60 + from.Minute(), to.Hour()*60 + to.Minute()}, nil
}

// String returns what ParseWindow reads, "" for the whole day.
func (w Window) String() string {
	if w == (Window{}) {
		return ""
	}
	return fmt.Sprintf("%02d:%02d-%02d:%02d", w.from/60, w.from%60, w.to/60, w.to%60)
}

// Until returns how long it is until the window opens, 0 while it is open.
func (w Window) Until(now time.Time) time.Duration { return w.turn(now, true).Sub(now) }

// Closes returns when the window that is open at now closes, the zero time if it
// never does. It must be open.
func (w Window) Closes(now time.Time) time.Time {
	if w == (Window{}) {
		return time.Time{}
	}
	return w.turn(now, false)
}

// turn returns now, if the window is then open or not as asked for, else the first
// minute in which it is. It asks the clock on the wall, minute by minute: clocks
// that are changed leave out times of day, or show them twice.
func (w Window) turn(now time.Time, open bool) time.Time {
	for w.open(now) != open {
		now = now.Truncate(time.Minute).Add(time.Minute)
	}
	return now
}

func (w Window) open(t time.Time) bool {
	minute := t.Hour()*60 + t.Minute()
	if w.from < w.to {
		return w.from <= minute && minute < w.to
	}
	return w.from <= minute || minute < w.to // also the zero value
}
