package main

import (
	"time"

	"dormant/cmd/internal/schedule"
)

// windowValue is a flag value: the time of day in which probes may be sent, as
// "22:00-05:00" in local time. The zero value is the whole day.
type windowValue schedule.Window

func (v *windowValue) Type() string { return "HH:MM-HH:MM" }

func (v *windowValue) String() string { return schedule.Window(*v).String() }

func (v *windowValue) Set(s string) error {
	w, err := schedule.ParseWindow(s)
	if err == nil {
		*v = windowValue(w)
	}
	return err
}

// until returns how long it is until the window opens, 0 while it is open.
func (v windowValue) until(now time.Time) time.Duration { return schedule.Window(v).Until(now) }
