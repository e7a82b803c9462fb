package schedule_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dormant/cmd/internal/schedule"
)

func job() schedule.Job {
	return schedule.Job{Name: "hq", Program: "/bin/true", Args: []string{"10.1.0.0/16", "-o", "a b$x%.csv", `it's "q"`}, Every: "daily"}
}

func TestCheck(t *testing.T) {
	for _, tt := range []struct {
		name string
		bad  func(*schedule.Job)
		want string
	}{
		{"sound", func(*schedule.Job) {}, ""},
		{"name", func(j *schedule.Job) { j.Name = "../x" }, `name "../x"`},
		{"both", func(j *schedule.Job) { j.Cron = "@daily" }, "either --every or --cron"},
		{"neither", func(j *schedule.Job) { j.Every = "" }, "either --every or --cron"},
		{"too often", func(j *schedule.Job) { j.Every = "10s" }, "at least 5m"},
		{"not a time", func(j *schedule.Job) { j.Every = "often" }, `every "often"`},
		{"a line end", func(j *schedule.Job) { j.Args = []string{"x\nExecStart=/bin/sh"} }, "no control characters"},
		{"user", func(j *schedule.Job) { j.User = "a b" }, "name of a user"},
		{"every second thing", func(j *schedule.Job) { j.Every = "5m0.5s" }, `every "5m0.5s"`},
		{"five minutes", func(j *schedule.Job) { j.Every = "5m" }, ""},
		{"two days", func(j *schedule.Job) { j.Every = "2d" }, ""},
		{"cron", func(j *schedule.Job) { j.Every, j.Cron = "", "0 3 * * *" }, ""},
		{"no cron", func(j *schedule.Job) { j.Every, j.Cron = "", "0 3 * *" }, "want five fields"},
		{"what cron passes over", func(j *schedule.Job) {
			j.Every, j.Cron, j.Args = "", "0 3 * * *", []string{strings.Repeat("%", 481)} // two bytes each, as cron wants it
		}, "a command of 999 bytes: cron takes at most 998"},
		{"what cron just takes", func(j *schedule.Job) {
			j.Every, j.Cron, j.Args = "", "0 3 * * *", []string{strings.Repeat("a", 963)}
		}, ""},
		{"what systemd takes", func(j *schedule.Job) { j.Args = []string{strings.Repeat("a", 2000)} }, ""},
		{"blackout", func(j *schedule.Job) { j.Blackouts = []string{"2026-12-24..2026-12-01"} }, "blackout"},
	} {
		j := job()
		tt.bad(&j)
		if err := j.Check(); (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: Check = %v; want %q", tt.name, err, tt.want)
		}
	}
}

func TestCron(t *testing.T) {
	start := time.Date(2026, 11, 22, 8, 30, 0, 0, time.UTC) // a Sunday
	for _, tt := range []struct{ in, next string }{
		{"* * * * *", "2026-11-22 08:31"}, {"0 3 * * *", "2026-11-23 03:00"}, {"*/20 * * * *", "2026-11-22 08:40"},
		{"30 8 * * 7", "2026-11-29 08:30"}, {"0 0 1 jan *", "2027-01-01 00:00"}, {"0 0 13 * fri", "2026-11-27 00:00"},
		{"0 0 29 2 *", "2028-02-29 00:00"}, {"5-10/5 9,10 * * mon-fri", "2026-11-23 09:05"}, {"@weekly", "2026-11-29 00:00"},
		{"@hourly", "2026-11-22 09:00"}, {"@daily", "2026-11-23 00:00"}, {"@midnight", "2026-11-23 00:00"}, {"@monthly", "2026-12-01 00:00"},
		{"0 0 1 1-12/1 *", "2026-12-01 00:00"}, {"*/59 * * * *", "2026-11-22 08:59"},
	} {
		c, err := schedule.ParseCron(tt.in)
		if got := c.Next(start).Format("2006-01-02 15:04"); err != nil || got != tt.next {
			t.Errorf("%q: next after %v = %s, %v; want %s", tt.in, start, got, err, tt.next)
		}
	}
	for _, in := range []string{"", "* * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 8", "5-1 * * * *", "*/0 * * * *",
		"0 0 30 2 *", "x * * * *", "* * * * *\n* * * * *", "0 3 * * * root", "-1 * * * *", "+1 * * * *", "1,60 * * * *", "* 1,24 * * *", "*/60 * * * *"} {
		if _, err := schedule.ParseCron(in); err == nil {
			t.Errorf("ParseCron(%q): no error", in)
		}
	}
	for in, want := range map[string]time.Duration{"0 3 * * *": 24 * time.Hour, "0 3 * * 1": 7 * 24 * time.Hour, "*/15 * * * *": 15 * time.Minute,
		"0 9 * * 1-5": 72 * time.Hour, "0 3 * 1-11 *": 32 * 24 * time.Hour, "0 0 29 2 *": 1461 * 24 * time.Hour} {
		c, err := schedule.ParseCron(in)
		if err != nil || c.Interval() != want {
			t.Errorf("%q: Interval = %v, %v; want %v", in, c.Interval(), err, want)
		}
	}
}

func TestBlackout(t *testing.T) {
	for _, tt := range []struct {
		in, at string
		want   bool
	}{
		{"sat", "2026-11-21 12:00", true}, {"sat", "2026-11-22 12:00", false}, {"2026-12-24", "2026-12-24 23:59", true},
		{"2026-12-24", "2026-12-25 00:00", false}, {"2026-12-24..2027-01-02", "2027-01-02 08:00", true}, {"2026-12-24..2027-01-02", "2026-12-23 23:59", false},
	} {
		b, err := schedule.ParseBlackout(tt.in)
		at, terr := time.ParseInLocation("2006-01-02 15:04", tt.at, time.Local)
		if err != nil || terr != nil || b.Covers(at) != tt.want {
			t.Errorf("%s at %s: %t, %v; want %t", tt.in, tt.at, b.Covers(at), err, tt.want)
		}
	}
}

// What stands in the files, and what does not.
func TestFiles(t *testing.T) {
	const due = "/bin/true schedule due --blackout sat"
	for _, tt := range []struct {
		name     string
		set      func(*schedule.Job)
		with, no []string
	}{
		{"daily", func(*schedule.Job) {},
			[]string{`ExecStart=/bin/true scan --due-every 24h0m0s 10.1.0.0/16 -o "a b$$x%%.csv" "it's \"q\""` + "\n", "\nDynamicUser=yes\n", "\nOnCalendar=daily\n", "\nPersistent=yes\n"},
			[]string{"ExecCondition", "User=root", "\nUser=", "OnUnitActiveSec"}},
		{"90m, by a user, not always", func(j *schedule.Job) {
			j.Every, j.User, j.Blackouts, j.Args = "90m", "audit", []string{"sat"}, []string{""}
		},
			[]string{"\nUser=audit\n", "\nOnUnitActiveSec=5400s\n", "\nExecCondition=" + due + "\n", "--due-every 1h30m0s \"\"\n"}, []string{"DynamicUser", "OnCalendar"}},
		{"cron", func(j *schedule.Job) { j.Every, j.Cron, j.Args = "", "0 3 * * *", []string{"10.1.0.0/16"} },
			[]string{"\n0 3 * * * root /bin/true scan --due-every 24h0m0s 10.1.0.0/16\n"}, []string{"schedule due"}},
		{"cron, by a user, not always", func(j *schedule.Job) {
			j.Every, j.Cron, j.User, j.Blackouts = "", "0 3 * * *", "audit", []string{"sat"}
		}, []string{"\n0 3 * * * audit " + due + " && /bin/true scan "}, nil},
	} {
		j := job()
		tt.set(&j)
		text := ""
		for _, f := range j.Files() {
			text += f.Text
		}
		for _, want := range tt.with {
			if !strings.Contains(text, want) {
				t.Errorf("%s: want %q in\n%s", tt.name, want, text)
			}
		}
		for _, not := range tt.no {
			if strings.Contains(text, not) {
				t.Errorf("%s: want no %q in\n%s", tt.name, not, text)
			}
		}
	}
}

// systemd itself reads what is written for it.
func TestUnitsAreSound(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("no systemd-analyze here")
	}
	for _, every := range []string{"daily", "6h", "monthly", "90m"} {
		dir := t.TempDir()
		j := job()
		j.Every, j.Blackouts = every, []string{"sat", "2026-12-24..2027-01-02"}
		var names []string
		for _, f := range j.Files() {
			name := filepath.Join(dir, f.Name)
			if err := os.WriteFile(name, []byte(f.Text), 0o600); err != nil {
				t.Fatal(err)
			}
			names = append(names, name)
			if got, ok := schedule.NameOf(f.Text); !ok || got != "hq" {
				t.Errorf("NameOf(%s) = %q, %t", f.Name, got, ok)
			}
		}
		out, err := exec.Command(analyze, append([]string{"verify", "--man=no", "--recursive-errors=no"}, names...)...).CombinedOutput()
		if err != nil || strings.Contains(string(out), "dormant-hq") {
			t.Errorf("%s: systemd-analyze verify: %v\n%s", every, err, out)
		}
	}
}

// A shell gets exactly the arguments that were given.
func TestCronLineQuotes(t *testing.T) {
	j := job()
	j.Every, j.Cron = "", "0 3 * * *"
	j.Args = []string{"[%s]", `it's "q"`, "$HOME", "a b", ""}
	line := strings.Split(j.Files()[0].Text, "\n")[3]
	command, ok := strings.CutPrefix(line, "0 3 * * * root ")
	if !ok {
		t.Fatalf("line %q", line)
	}
	out, err := exec.Command("sh", "-c", "for a in "+strings.ReplaceAll(command, `\%`, "%")+`; do echo "<$a>"; done`).Output()
	if want := "<--due-every>\n<24h0m0s>\n<[%s]>\n<it's \"q\">\n<$HOME>\n<a b>\n<>\n"; err != nil || !strings.HasSuffix(string(out), want) {
		t.Errorf("sh read %q, %v; want it to end in %q", out, err, want)
	}
}

func FuzzParseCron(f *testing.F) {
	f.Add("*/5 1-3,7 * jan-mar sun")
	f.Fuzz(func(t *testing.T, s string) {
		c, err := schedule.ParseCron(s)
		if err != nil {
			return
		}
		now := time.Date(2026, 11, 22, 8, 30, 0, 0, time.UTC)
		if n := c.Next(now); !n.After(now) {
			t.Errorf("%q: next after %v is %v", s, now, n)
		}
	})
}

// TestCronInSpring: a time that clocks pass over is made up for, once, right
// after the gap.
func TestCronInSpring(t *testing.T) {
	for _, tt := range []struct{ name, zone, cron, after, want string }{
		{"in the gap", "Europe/Berlin", "30 2 * * *", "2027-03-27 02:30", "2027-03-28 03:00"},
		{"once", "Europe/Berlin", "30 2 * * *", "2027-03-28 03:00", "2027-03-29 02:30"},
		{"before the gap", "Europe/Berlin", "30 1 * * *", "2027-03-27 12:00", "2027-03-28 01:30"},
		{"behind the gap", "Europe/Berlin", "0 3 * * *", "2027-03-27 12:00", "2027-03-28 03:00"},
		{"every hour", "Europe/Berlin", "30 * * * *", "2027-03-28 01:30", "2027-03-28 03:30"},
		{"another day", "Europe/Berlin", "30 2 1 * *", "2027-03-27 12:00", "2027-04-01 02:30"},
		{"only then", "Europe/Berlin", "30 2 28 3 *", "2026-12-01 00:00", "2027-03-28 03:00"},
		{"a gap at midnight", "America/Santiago", "30 0 * * *", "2026-09-05 12:00", "2026-09-06 01:00"},
		{"half an hour", "Australia/Lord_Howe", "15 2 * * *", "2026-10-03 12:00", "2026-10-04 02:30"},
		{"behind a gap of half an hour", "Australia/Lord_Howe", "45 2 * * *", "2026-10-03 12:00", "2026-10-04 02:45"},
		{"no changes", "UTC", "30 2 * * *", "2027-03-27 12:00", "2027-03-28 02:30"},
	} {
		in, err := time.LoadLocation(tt.zone)
		if err != nil {
			t.Fatal(err)
		}
		after, err := time.ParseInLocation("2006-01-02 15:04", tt.after, in)
		if err != nil {
			t.Fatal(err)
		}
		c, err := schedule.ParseCron(tt.cron)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Next(after).Format("2006-01-02 15:04"); got != tt.want {
			t.Errorf("%s: %s after %s in %s = %s; want %s", tt.name, tt.cron, tt.after, tt.zone, got, tt.want)
		}
	}
}

// TestCronInAutumn: a time that clocks show twice comes once, and what names times
// by a * goes on by the clock on the wall.
func TestCronInAutumn(t *testing.T) {
	for _, tt := range []struct{ name, zone, cron, after, until, want string }{
		{"once", "Europe/Berlin", "30 2 * * *", "2026-10-25 00:00", "2026-10-26 00:00", "02:30 +0200"},
		{"once, the first minute", "Europe/Berlin", "0 2 * * *", "2026-10-25 00:00", "2026-10-26 00:00", "02:00 +0200"},
		{"behind it", "Europe/Berlin", "0 3 * * *", "2026-10-25 00:00", "2026-10-26 00:00", "03:00 +0100"},
		{"several hours", "Europe/Berlin", "15,45 1-2 * * *", "2026-10-25 00:00", "2026-10-26 00:00", "01:15 +0200, 01:45 +0200, 02:15 +0200, 02:45 +0200"},
		{"every hour", "Europe/Berlin", "30 * * * *", "2026-10-25 01:00", "2026-10-25 04:00", "01:30 +0200, 02:30 +0200, 02:30 +0100, 03:30 +0100"},
		{"every half hour of one", "Europe/Berlin", "*/30 2 * * *", "2026-10-25 00:00", "2026-10-26 00:00", "02:00 +0200, 02:30 +0200, 02:00 +0100, 02:30 +0100"},
		{"half an hour back", "Australia/Lord_Howe", "45 1 * * *", "2027-04-04 00:00", "2027-04-05 00:00", "01:45 +1100"},
		{"not in that half", "Australia/Lord_Howe", "15 2 * * *", "2027-04-04 00:00", "2027-04-05 00:00", "02:15 +1030"},
		{"back over midnight", "America/Santiago", "30 23 * * *", "2027-04-03 12:00", "2027-04-04 12:00", "23:30 -0300"},
	} {
		in, err := time.LoadLocation(tt.zone)
		if err != nil {
			t.Fatal(err)
		}
		at, err1 := time.ParseInLocation("2006-01-02 15:04", tt.after, in)
		until, err2 := time.ParseInLocation("2006-01-02 15:04", tt.until, in)
		c, err := schedule.ParseCron(tt.cron)
		if err := errors.Join(err, err1, err2); err != nil {
			t.Fatal(err)
		}
		var got []string
		for at = c.Next(at); at.Before(until); at = c.Next(at) {
			got = append(got, at.Format("15:04 -0700"))
		}
		if got := strings.Join(got, ", "); got != tt.want {
			t.Errorf("%s: %s comes at %s; want %s", tt.name, tt.cron, got, tt.want)
		}
	}
}

func TestParseWindow(t *testing.T) {
	for _, in := range []string{"", "22:00", "22:00-", "-05:00", "x-05:00", "22:00-x", "24:00-05:00", "22:00-05:60", "22:00-22:00", "22:00-05:00-06:00"} {
		if w, err := schedule.ParseWindow(in); err == nil {
			t.Errorf("ParseWindow(%q) = %v, no error", in, w)
		}
	}
	if w, err := schedule.ParseWindow("9:05-17:00"); err != nil || w.String() != "09:05-17:00" {
		t.Errorf("9:05-17:00 is read as %q, %v", w, err)
	}
	var all schedule.Window
	if at := time.Date(2026, 11, 22, 8, 30, 0, 0, time.UTC); all.Until(at) != 0 || !all.Closes(at).IsZero() || all.String() != "" {
		t.Errorf("the whole day: opens in %v, closes %v, %q", all.Until(at), all.Closes(at), all)
	}
}

// TestWindowWhenClocksChange: the window opens and closes at the next minute in
// which the clock on the wall says so, also where it is set back or forth.
func TestWindowWhenClocksChange(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, window, at, opens, closes string }{
		{"second half hour past two", "02:30-03:00", "2026-10-25T01:10:00Z", "2026-10-25T01:30:00Z", "2026-10-25T02:00:00Z"},
		{"closes twice", "01:00-02:30", "2026-10-25T00:10:00Z", "", "2026-10-25T00:30:00Z"},
		{"opens again", "01:00-02:30", "2026-10-25T00:40:00Z", "2026-10-25T01:00:00Z", "2026-10-25T01:30:00Z"},
		{"closes for the second time", "01:00-02:30", "2026-10-25T01:10:00Z", "", "2026-10-25T01:30:00Z"},
		{"begins in the gap", "02:30-05:00", "2027-03-28T00:45:00Z", "2027-03-28T01:00:00Z", "2027-03-28T03:00:00Z"},
		{"ends in the gap", "01:00-02:30", "2027-03-28T00:45:00Z", "", "2027-03-28T01:00:00Z"},
		{"all in the gap", "02:10-02:20", "2027-03-28T00:45:00Z", "2027-03-29T00:10:00Z", "2027-03-29T00:20:00Z"},
		{"seconds", "22:00-05:00", "2026-06-01T19:59:01Z", "2026-06-01T20:00:00Z", "2026-06-02T03:00:00Z"},
	} {
		w, err := schedule.ParseWindow(tt.window)
		at, terr := time.Parse(time.RFC3339, tt.at)
		if err != nil || terr != nil {
			t.Fatal(err, terr)
		}
		opens, wait := at, w.Until(at.In(berlin))
		if tt.opens != "" {
			opens, _ = time.Parse(time.RFC3339, tt.opens)
		}
		if got := at.Add(wait); !got.Equal(opens) {
			t.Errorf("%s: %s at %s opens at %v, want %s", tt.name, tt.window, tt.at, got, tt.opens)
		}
		if got := w.Closes(opens.In(berlin)).UTC().Format(time.RFC3339); got != tt.closes {
			t.Errorf("%s: %s closes at %s, want %s", tt.name, tt.window, got, tt.closes)
		}
	}
}

// TestCronInEveryZone: the same times of day come on the same days, whatever the
// zone's distance from UTC, and also where clocks are changed at midnight.
func TestCronInEveryZone(t *testing.T) {
	for _, zone := range []string{
		"UTC", "Europe/Berlin", "Asia/Kolkata", "Asia/Kathmandu", "Australia/Adelaide", "America/St_Johns", "Pacific/Chatham",
		"America/Santiago", "Africa/Cairo", "America/Havana", "Asia/Beirut", "Atlantic/Azores",
	} {
		in, err := time.LoadLocation(zone)
		if err != nil {
			t.Fatal(err)
		}
		for _, tt := range []struct {
			cron  string
			hour  int
			next  string
			count int // in the year behind it
		}{
			{"15 4 * * *", 4, "2026-01-11 04:15", 365},
			{"45 4 * * *", 4, "2026-01-11 04:45", 365},
			{"30 4 1 * *", 4, "2026-02-01 04:30", 12},
			{"15 4 * * mon-fri", 4, "2026-01-12 04:15", 260},
			{"0 5 1 1 *", 5, "2027-01-01 05:00", 1},
		} {
			c, err := schedule.ParseCron(tt.cron)
			if err != nil {
				t.Fatal(err)
			}
			start := time.Date(2026, 1, 10, 10, 15, 0, 0, in)
			next := c.Next(start)
			if got := next.Format("2006-01-02 15:04"); got != tt.next {
				t.Errorf("%s in %s after %v = %s; want %s", tt.cron, zone, start, got, tt.next)
			}
			n := 0
			for ; !next.IsZero() && next.Before(start.AddDate(1, 0, 0)); next = c.Next(next) {
				if n++; next.Hour() != tt.hour {
					t.Errorf("%s in %s: comes at %v", tt.cron, zone, next)
				}
			}
			if n != tt.count {
				t.Errorf("%s in %s: %d times in a year, want %d", tt.cron, zone, n, tt.count)
			}
		}
	}
}
