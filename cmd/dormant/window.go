package main

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// windowValue is a flag value: the time of day in which probes may be sent, as
// "22:00-05:00" in local time. The zero value is the whole day.
type windowValue struct{ from, to int } // minutes since midnight

func (v *windowValue) Type() string { return "HH:MM-HH:MM" }

func (v *windowValue) String() string {
	if *v == (windowValue{}) {
		return ""
	}
	return fmt.Sprintf("%02d:%02d-%02d:%02d", v.from/60, v.from%60, v.to/60, v.to%60)
}

func (v *windowValue) Set(s string) error {
	first, last, ok := strings.Cut(s, "-")
	from, err1 := time.Parse("15:04", first)
	to, err2 := time.Parse("15:04", last)
	if !ok || err1 != nil || err2 != nil || from.Equal(to) {
		return errors.New("want two different times of day, like 22:00-05:00")
	}
	*v = windowValue{from.Hour()*60 + from.Minute(), to.Hour()*60 + to.Minute()}
	return nil
}

// until returns how long it is until the window opens, 0 while it is open.
func (v windowValue) until(now time.Time) time.Duration {
	minute := now.Hour()*60 + now.Minute()
	switch {
	case v == (windowValue{}),
		v.from < v.to && v.from <= minute && minute < v.to,
		v.from > v.to && (v.from <= minute || minute < v.to):
		return 0
	}
	day := now.Day()
	if minute >= v.from {
		day++
	}
	return time.Date(now.Year(), now.Month(), day, v.from/60, v.from%60, 0, 0, now.Location()).Sub(now)
}
