package server

import (
	"cmp"
	"net/netip"
	"path/filepath"
	"strings"
	"time"

	"dormant/cmd/internal/fleet"
	"dormant/cmd/internal/schedule"
	"dormant/registry"
	"dormant/scanner"
)

// Jobs is a jobs file, read and checked. It is not changed after that.
type Jobs struct {
	Name  string // of the file
	Sites []Site // sorted by name
	Jobs  []*Job // in the order of the file
}

// Site is a network with its vantages.
type Site struct {
	Name     string
	Vantages []string
}

// Job is one audit that comes back.
type Job struct {
	Name string
	Line int // in the file
	// Asks is what is asked from each place, sorted by place. There is one run of
	// its own for each.
	Asks []Ask
	// Cron or Every says when it is due; neither: only when somebody starts it.
	Cron      string
	Every     time.Duration
	Location  *time.Location
	Windows   []schedule.Window // none: all day
	Blackouts []schedule.Blackout
	// CatchUp makes up once for a run that was missed while the server was down.
	CatchUp  bool
	Deadline time.Duration // after its start a run that is not over is closed

	Sweep

	Policy, Rules, Registry string // a file, folders; "" for none
	// Outputs are file names in which {site}, {vantage}, {job}, {date} and {run}
	// are replaced.
	Outputs []string
	Notify  []string // URLs; they hold secrets
	Ticket  string

	lines map[string]int // see LineOf
}

// LineOf returns the line of the file in which a value of Policy, Rules,
// Registry, Outputs or Notify stands, that of the job where it is not known.
func (j *Job) LineOf(value string) int { return cmp.Or(j.lines[value], j.Line) }

// Ask is what is asked from one place.
type Ask struct {
	fleet.Place
	// Targets and Excluded are as they were written, Prefixes what they add up to:
	// disjoint and sorted.
	Targets, Excluded []string
	Prefixes          []netip.Prefix
	Addresses         uint64
}

// Sweep is how targets are asked.
type Sweep struct {
	Ports []registry.Port `json:"ports"`
	// Rate is in probes a second of each agent, 0 is as fast as it goes; HostRate
	// 0 is the agent's default.
	Rate       float64 `json:"rate"`
	HostRate   float64 `json:"host_rate,omitempty"`
	Retries    int     `json:"retries"`
	NoIdentify bool    `json:"no_identify,omitempty"`
	Deep       bool    `json:"deep,omitempty"`
	// ShardSize is the most addresses of a shard.
	ShardSize uint64 `json:"shard_size"`
}

// The defaults of a job. The rate, its bound to a host and the retries are those
// of scan.
const (
	defaultRate     = 1000
	defaultHostRate = 20
	defaultRetries  = 2
	defaultDeadline = 24 * time.Hour
	// maxShard is the most addresses of a shard where the file does not say.
	maxShard = 4096
	// shardTime is how long a shard should take at the job's rate, so that little
	// is done twice when an agent is killed.
	shardTime = 90 * time.Second
	// maxShards bounds the work items of a run.
	maxShards = 1 << 16
)

// shardSize is the most addresses that are asked in shardTime: whole /24s where
// it is that many, else a power of two.
func (s *Sweep) shardSize() uint64 {
	if s.Rate == 0 {
		return maxShard
	}
	n := uint64(shardTime.Seconds() * s.Rate / float64(len(s.Ports)*(1+s.Retries)))
	switch {
	case n >= maxShard:
		return maxShard
	case n >= 256:
		return n / 256 * 256
	default:
		return powerOfTwo(max(n, 1))
	}
}

// Job returns the job of that name, nil if there is none.
func (j *Jobs) Job(name string) *Job {
	for _, job := range j.Jobs {
		if job.Name == name {
			return job
		}
	}
	return nil
}

// Places returns all vantages of all sites, sorted.
func (j *Jobs) Places() []fleet.Place {
	var all []fleet.Place
	for _, s := range j.Sites {
		for _, v := range s.Vantages {
			all = append(all, fleet.Place{Site: s.Name, Vantage: v})
		}
	}
	return all
}

// Places returns where the job asks.
func (j *Job) Places() []fleet.Place {
	all := make([]fleet.Place, len(j.Asks))
	for i := range j.Asks {
		all[i] = j.Asks[i].Place
	}
	return all
}

// When says in words when the job is due.
func (j *Job) When() string {
	switch {
	case j.Cron != "":
		return j.Cron
	case j.Every > 0:
		return "every " + j.Every.String()
	default:
		return "by hand"
	}
}

// Next returns when the job is due first after now; last is when it was due the
// last time, zero for never. Zero: it is only started by hand.
func (j *Job) Next(now, last time.Time) time.Time {
	switch {
	case j.Cron != "":
		c, err := schedule.ParseCron(j.Cron)
		if err != nil { // cannot be: it was read before
			return time.Time{}
		}
		return c.Next(now.In(j.Location))
	case j.Every > 0 && (last.IsZero() || last.After(now)): // after: by a clock that was wrong
		return now
	case j.Every > 0:
		next := last.Add(j.Every)
		if late := now.Sub(next); late >= 0 {
			next = next.Add(late.Truncate(j.Every) + j.Every)
		}
		return next.In(j.Location)
	default:
		return time.Time{}
	}
}

// Blacked reports whether no run is due at t.
func (j *Job) Blacked(t time.Time) bool {
	for _, b := range j.Blackouts {
		if b.Covers(t.In(j.Location)) {
			return true
		}
	}
	return false
}

// Opens returns how long it is until a window is open, 0 while one is, and when
// it closes then, zero for never.
func (j *Job) Opens(now time.Time) (wait time.Duration, closes time.Time) {
	if len(j.Windows) == 0 {
		return 0, time.Time{}
	}
	now = now.In(j.Location)
	for i, w := range j.Windows {
		switch d := w.Until(now); {
		case d == 0 && closes.Before(w.Closes(now)):
			closes = w.Closes(now)
		case i == 0 || d < wait:
			wait = d
		}
	}
	if !closes.IsZero() {
		return 0, closes
	}
	return wait, closes
}

// Output is the name of an output of one run. One that asks again what was dead
// has its id in the name: it writes over no report of a whole run.
func Output(pattern string, r *Run) string {
	if r.Again && !strings.Contains(pattern, "{run}") {
		dir, name := filepath.Split(pattern)
		name, ending, _ := strings.Cut(name, ".")
		pattern = dir + name + "-{run}." + ending
	}
	return strings.NewReplacer("{site}", r.Site, "{vantage}", r.Vantage, "{job}", r.Job,
		"{date}", r.Started.Format(time.DateOnly), "{run}", r.ID).Replace(pattern)
}

// addresses counts those of the prefixes, at most scanner.MaxTargets+1.
func addresses(prefixes []netip.Prefix) uint64 {
	n := uint64(0)
	for _, p := range prefixes {
		if bits := p.Addr().BitLen() - p.Bits(); bits < 32 && n <= scanner.MaxTargets {
			n += 1 << bits
		} else {
			return scanner.MaxTargets + 1
		}
	}
	return n
}

// Shards counts the work items of a run at a place.
func (j *Job) Shards(a *Ask) int { return len(cut(a.Prefixes, j.ShardSize)) }
