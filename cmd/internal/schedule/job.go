package schedule

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Job is one scan that comes back.
type Job struct {
	Name    string   // of the unit and of the file: dormant-NAME
	Program string   // absolute path of this program
	Args    []string // of scan
	// Every is the interval of a timer, Cron the expression of a cron line:
	// exactly one of them is set.
	Every string
	Cron  string
	// Blackouts are the days on which no scan is due; see ParseBlackout.
	Blackouts []string
	User      string // "": a dynamic user of systemd, root in a cron line
}

// nameForm is what a unit and a file in /etc/cron.d may be called.
const nameForm = `^[a-z0-9][a-z0-9-]{0,39}$`

// maxCron is the longest command that every cron takes, in bytes: Debian's passes over
// the file of a longer one.
const maxCron = 998

// Check returns the first fault of the job.
func (j *Job) Check() error {
	if !regexp.MustCompile(nameForm).MatchString(j.Name) {
		return fmt.Errorf("schedule: name %q: want a to z, 0 to 9 and -, at most 40", j.Name)
	}
	if (j.Every == "") == (j.Cron == "") {
		return errors.New("schedule: want either --every or --cron")
	}
	if j.Every != "" {
		if _, err := ParseEvery(j.Every); err != nil {
			return err
		}
	} else if _, err := ParseCron(j.Cron); err != nil {
		return err
	}
	if j.User != "" && !regexp.MustCompile(`^[a-z_][a-z0-9_-]{0,31}$`).MatchString(j.User) {
		return fmt.Errorf("schedule: user %q: want the name of a user", j.User)
	}
	for _, b := range j.Blackouts {
		if _, err := ParseBlackout(b); err != nil {
			return err
		}
	}
	for _, a := range append([]string{j.Program}, j.Args...) {
		if strings.ContainsFunc(a, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return fmt.Errorf("schedule: argument %q: want no control characters", a)
		}
	}
	if n := len(j.cronCommand()); j.Cron != "" && n > maxCron {
		return fmt.Errorf("schedule: a command of %d bytes: cron takes at most %d: put targets and exclusions into files, or take --every", n, maxCron)
	}
	return nil
}

// Interval returns how long after one run the next is due, at most.
func (j *Job) Interval() time.Duration {
	if j.Every != "" {
		e, _ := ParseEvery(j.Every) // checked
		return e.Interval
	}
	c, _ := ParseCron(j.Cron) // checked
	return c.Interval()
}

// Every is an interval as systemd knows it.
type Every struct {
	Interval time.Duration
	Calendar string // OnCalendar, "" for an interval that is no calendar's
}

// Month is the longest that two runs of every month lie apart.
const Month = 31 * 24 * time.Hour

// ParseEvery reads hourly, daily, weekly, monthly, or a duration such as 6h,
// 90m or 2d, at least 5 minutes.
func ParseEvery(s string) (Every, error) {
	const day = 24 * time.Hour
	switch s {
	case "hourly", "1h":
		return Every{time.Hour, "hourly"}, nil
	case "daily", "24h", "1d":
		return Every{day, "daily"}, nil
	case "weekly", "7d":
		return Every{7 * day, "weekly"}, nil
	case "monthly":
		return Every{Month, "monthly"}, nil
	}
	d, err := time.ParseDuration(s)
	if days, ok := strings.CutSuffix(s, "d"); ok {
		var n uint64
		n, err = strconv.ParseUint(days, 10, 9)
		d = time.Duration(n) * day
	}
	if err != nil || d < 5*time.Minute || d%time.Second != 0 {
		return Every{}, fmt.Errorf("schedule: every %q: want hourly, daily, weekly, monthly, or at least 5m, such as 6h or 2d", s)
	}
	return Every{Interval: d}, nil
}

// Blackout is a time without scans.
type Blackout struct {
	weekday  time.Weekday
	weekly   bool
	from, to time.Time // the days, both included
}

// ParseBlackout reads a day of the week (sat), a date (2026-12-24) or a range
// of dates (2026-12-24..2027-01-02), in local time.
func ParseBlackout(s string) (Blackout, error) { return ParseBlackoutIn(s, time.Local) }

// ParseBlackoutIn is ParseBlackout for the days of a location. Covers must then
// be asked with times in it.
func ParseBlackoutIn(s string, loc *time.Location) (Blackout, error) {
	for d := time.Sunday; d <= time.Saturday; d++ {
		if strings.EqualFold(s, d.String()[:3]) {
			return Blackout{weekday: d, weekly: true}, nil
		}
	}
	from, to, ranged := strings.Cut(s, "..")
	if !ranged {
		to = from
	}
	a, err1 := time.ParseInLocation(time.DateOnly, from, loc)
	b, err2 := time.ParseInLocation(time.DateOnly, to, loc)
	if err1 != nil || err2 != nil || b.Before(a) {
		return Blackout{}, fmt.Errorf("schedule: blackout %q: want sat, 2026-12-24, or 2026-12-24..2027-01-02", s)
	}
	return Blackout{from: a, to: b.AddDate(0, 0, 1)}, nil
}

// Covers reports whether no scan is due at that moment.
func (b Blackout) Covers(t time.Time) bool {
	if b.weekly {
		return t.Weekday() == b.weekday
	}
	return !t.Before(b.from) && t.Before(b.to)
}
