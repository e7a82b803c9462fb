package schedule

import (
	"fmt"
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Cron is a cron expression of five fields: minute, hour, day of the month,
// month, day of the week, as crontab(5) has them.
type Cron struct {
	minute, hour, day, month, weekday uint64 // bits of the values
	anyDay, anyWeekday                bool
	wild                              bool // a * begins the minute or the hour
}

// ParseCron reads the five fields; @daily and its like are taken, too.
func ParseCron(s string) (Cron, error) {
	switch s {
	case "@hourly":
		s = "0 * * * *"
	case "@daily", "@midnight":
		s = "0 0 * * *"
	case "@weekly":
		s = "0 0 * * 0"
	case "@monthly":
		s = "0 0 1 * *"
	}
	fields := strings.Fields(s)
	if len(fields) != 5 || strings.ContainsAny(s, "\n\r%") {
		return Cron{}, fmt.Errorf("schedule: cron %q: want five fields: minute hour day month weekday", s)
	}
	months := []string{"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}
	days := []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}
	var c Cron
	for i, f := range []struct {
		to       *uint64
		low, top int
		names    []string
	}{
		{&c.minute, 0, 59, nil}, {&c.hour, 0, 23, nil}, {&c.day, 1, 31, nil}, {&c.month, 1, 12, months}, {&c.weekday, 0, 7, days},
	} {
		set, err := cronField(fields[i], f.low, f.top, f.names)
		if err != nil {
			return Cron{}, fmt.Errorf("schedule: cron %q: field %d %q: %w", s, i+1, fields[i], err)
		}
		*f.to = set
	}
	if c.weekday&(1<<7) != 0 { // 7 is Sunday, too
		c.weekday |= 1
	}
	c.anyDay, c.anyWeekday = strings.HasPrefix(fields[2], "*"), strings.HasPrefix(fields[4], "*")
	c.wild = strings.HasPrefix(fields[0], "*") || strings.HasPrefix(fields[1], "*")
	if c.Next(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return Cron{}, fmt.Errorf("schedule: cron %q: never comes", s)
	}
	return c, nil
}

// cronField reads a list of *, a, a-b, each with /step.
func cronField(s string, low, top int, names []string) (set uint64, err error) {
	value := func(s string) (int, error) {
		if i := slices.Index(names, strings.ToLower(s)); i >= 0 {
			return i + low, nil
		}
		n, err := strconv.Atoi(s)
		if err != nil || n < low || n > top || s[0] == '+' {
			return 0, fmt.Errorf("want %d to %d", low, top)
		}
		return n, nil
	}
	for part := range strings.SplitSeq(s, ",") {
		span, step, stepped := strings.Cut(part, "/")
		a, b, n := low, top, 1
		if stepped {
			if n, err = strconv.Atoi(step); err != nil || n < 1 || n > top {
				return 0, fmt.Errorf("step %q: want 1 to %d", step, top)
			}
		}
		if span != "*" {
			first, last, ranged := strings.Cut(span, "-")
			if a, err = value(first); err != nil {
				return 0, err
			}
			switch {
			case ranged:
				if b, err = value(last); err != nil {
					return 0, err
				}
			case !stepped:
				b = a
			}
			if b < a {
				return 0, fmt.Errorf("%q runs backwards", span)
			}
		}
		for v := a; v <= b; v += n {
			set |= 1 << v
		}
	}
	return set, nil
}

// Next returns the first moment after t that the expression names, in t's
// location, and the zero time if there is none within five years. As in Debian's
// crontab(5), a time of day that clocks show twice in autumn comes once, unless a *
// begins the minute or the hour, and one that they pass over in spring is made up
// for right after the gap, unless the expression names every hour, which comes soon
// enough.
func (c Cron) Next(t time.Time) time.Time {
	next := c.madeUp(t)
	for !c.wild && again(next) {
		next = c.madeUp(next)
	}
	return next
}

// again reports whether the clock on the wall shows t for the second time,
// because it was set back.
func again(t time.Time) bool {
	change, _ := t.ZoneBounds()
	_, before := change.Add(-time.Second).Zone()
	_, now := t.Zone()
	return !change.IsZero() && t.Sub(change) < time.Duration(before-now)*time.Second
}

// madeUp is Next without a look at autumn.
func (c Cron) madeUp(t time.Time) time.Time {
	next := c.next(t)
	if c.hour == everyHour || next.IsZero() {
		return next
	}
	for {
		_, change := t.ZoneBounds()
		if !change.After(t) || !change.Before(next) { // beyond 2037 package time may tell the same change again
			return next
		}
		if c.skippedAt(change) {
			return change
		}
		t = change
	}
}

// everyHour is what the hour field * reads as.
const everyHour = 1<<24 - 1

// skippedAt reports whether the expression names a time that clocks pass over
// when they are changed.
func (c Cron) skippedAt(change time.Time) bool {
	_, from := change.Add(-time.Second).Zone()
	_, to := change.Zone()
	end := change.Add(time.Duration(to) * time.Second).UTC() // as the clock on the wall says
	for wall := change.Add(time.Duration(from) * time.Second).UTC(); wall.Before(end); wall = wall.Add(time.Minute) {
		if c.month&(1<<wall.Month()) != 0 && c.dayMatches(wall) && c.hour&(1<<wall.Hour()) != 0 && c.minute&(1<<wall.Minute()) != 0 {
			return true
		}
	}
	return false
}

// next is Next for clocks that are not changed.
func (c Cron) next(t time.Time) time.Time {
	t = t.Truncate(time.Minute).Add(time.Minute)
	for end := t.AddDate(5, 0, 0); t.Before(end); {
		switch {
		case c.month&(1<<t.Month()) == 0:
			t = later(t, time.Date(t.Year(), t.Month()+1, 1, 0, 0, 0, 0, t.Location()))
		case !c.dayMatches(t):
			t = later(t, time.Date(t.Year(), t.Month(), t.Day()+1, 0, 0, 0, 0, t.Location()))
		case c.hour&(1<<t.Hour()) == 0:
			t = t.Add(time.Duration(60-t.Minute()) * time.Minute) // not Truncate: in India hours begin at half past, as UTC counts
		case c.minute&(1<<t.Minute()) == 0:
			t = t.Add(time.Minute)
		default:
			return t
		}
	}
	return time.Time{}
}

// later is midnight, or an hour after t where clocks pass over that midnight, as
// in Chile and Egypt: time.Date then takes the hour before it.
func later(t, midnight time.Time) time.Time {
	if midnight.After(t) {
		return midnight
	}
	return t.Add(time.Hour)
}

// dayMatches: if both day fields are set, either is enough (crontab(5)).
func (c Cron) dayMatches(t time.Time) bool {
	day, weekday := c.day&(1<<t.Day()) != 0, c.weekday&(1<<t.Weekday()) != 0
	if c.anyDay || c.anyWeekday {
		return day && weekday
	}
	return day || weekday
}

// Interval returns the longest time between two runs, over two years; with more
// than some thousand runs a year, over those.
func (c Cron) Interval() time.Duration {
	t := c.Next(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	longest := time.Duration(0)
	perHour := bits.OnesCount64(c.minute)
	for range max(800, 50*perHour) {
		n := c.Next(t)
		if n.Year() > 2036 {
			break
		}
		longest, t = max(longest, n.Sub(t)), n
	}
	return max(longest, time.Minute)
}
