package server

import (
	"cmp"
	"context"
	"maps"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"dormant/cmd/internal/fleet"
	"dormant/cmd/internal/portlist"
	"dormant/cmd/internal/schedule"
	"dormant/registry"
	"dormant/reports"
	"dormant/scanner"
)

// jobs turns what was decoded into Jobs, as far as it is sound.
func (p *parser) jobs(in *file) *Jobs {
	out := &Jobs{Name: p.name}
	if in.Version.value != "1" {
		p.fault(in.Version.line, "version %q: want version: 1", in.Version.value)
	}
	if len(in.Sites) == 0 {
		p.fault(1, "no site: want sites, each with its vantages")
	}
	for _, name := range slices.SortedFunc(maps.Keys(in.Sites), byValue) {
		site := Site{Name: name.value}
		if err := fleet.CheckName("site", name.value); err != nil {
			p.fault(name.line, "%v", err)
		}
		for _, v := range in.Sites[name].Vantages {
			if err := fleet.CheckName("vantage", v.value); err != nil {
				p.fault(v.line, "%v", err)
			} else if slices.Contains(site.Vantages, v.value) {
				p.fault(v.line, "vantage %q stands twice", v.value)
			}
			site.Vantages = append(site.Vantages, v.value)
		}
		if len(site.Vantages) == 0 {
			p.fault(name.line, "site %q without vantages: want at least one, such as vantages: [lan]", name.value)
		}
		slices.Sort(site.Vantages)
		out.Sites = append(out.Sites, site)
	}
	names := map[string]int{}
	for i := range in.Jobs {
		if in.Jobs[i].Name.line == 0 {
			in.Jobs[i].Name.line = in.Jobs[i].line()
		}
		job := p.job(in, &in.Jobs[i], out.Sites)
		if at, ok := names[job.Name]; ok {
			p.fault(job.Line, "job %q stands in line %d, too", job.Name, at)
		}
		names[job.Name] = job.Line
		out.Jobs = append(out.Jobs, job)
	}
	return out
}

func byValue(a, b text) int { return cmp.Compare(a.value, b.value) }

// job reads one job.
func (p *parser) job(in *file, f *fileJob, sites []Site) *Job {
	j := &Job{Name: f.Name.value, Line: f.Name.line, Cron: f.Cron.value, Ticket: f.Ticket.value, Location: time.Local, Deadline: defaultDeadline}
	if err := fleet.CheckName("job", f.Name.value); err != nil {
		p.fault(f.Name.line, "%v", err)
	}
	p.times(f, j)
	p.sweep(f, &j.Sweep)
	j.CatchUp = p.yes("catch_up", f.CatchUp, false)
	j.Policy, j.Rules, j.Registry = p.path(f.Policy), p.path(f.Rules), p.path(f.Registry)
	j.lines = map[string]int{j.Policy: f.Policy.line, j.Rules: f.Rules.line, j.Registry: f.Registry.line}
	j.Asks = p.asks(in, f, sites)
	for i := range j.Asks {
		if n := (j.Asks[i].Addresses + j.ShardSize - 1) / max(j.ShardSize, 1); n > maxShards {
			p.fault(f.Name.line, "job %q at %s is cut into %d shards or more: want at most %d, by a higher rate, fewer ports or shard_size", f.Name.value, j.Asks[i].Place, n, maxShards)
		}
	}
	p.outputs(f, j)
	for _, n := range f.Notify {
		if u, err := url.Parse(n.value); err != nil || u.Scheme == "" {
			p.fault(n.line, "notify: want a URL such as https://hooks.example.com/x or slack://token@channel")
		}
		j.Notify, j.lines[n.value] = append(j.Notify, n.value), n.line
	}
	return j
}

// times reads when the job is due.
func (p *parser) times(f *fileJob, j *Job) {
	if f.TimeZone.line > 0 {
		loc, err := time.LoadLocation(f.TimeZone.value)
		if err != nil || f.TimeZone.value == "" {
			p.fault(f.TimeZone.line, "time_zone %q: want a name such as Europe/Berlin or UTC", f.TimeZone.value)
		} else {
			j.Location = loc
		}
	}
	if f.Cron.line > 0 {
		if _, err := schedule.ParseCron(f.Cron.value); err != nil {
			p.fault(f.Cron.line, "%s", strings.TrimPrefix(err.Error(), "schedule: "))
		}
	}
	if f.Every.line > 0 {
		e, err := schedule.ParseEvery(f.Every.value)
		if err != nil {
			p.fault(f.Every.line, "%s", strings.TrimPrefix(err.Error(), "schedule: "))
		}
		j.Every = e.Interval
	}
	if f.Cron.line > 0 && f.Every.line > 0 {
		p.fault(f.Every.line, "cron and every: want one of them")
	}
	for _, w := range f.Windows {
		window, err := schedule.ParseWindow(w.value)
		if err != nil {
			p.fault(w.line, "window %q: %v", w.value, err)
		}
		j.Windows = append(j.Windows, window)
	}
	for _, b := range f.Blackout {
		day, err := schedule.ParseBlackoutIn(b.value, j.Location)
		if err != nil {
			p.fault(b.line, "%s", strings.TrimPrefix(err.Error(), "schedule: "))
		}
		j.Blackouts = append(j.Blackouts, day)
	}
	if f.Deadline.line > 0 {
		d, err := time.ParseDuration(f.Deadline.value)
		if err != nil || d < time.Minute || d > 30*24*time.Hour {
			p.fault(f.Deadline.line, "deadline %q: want 1m to 720h, such as 6h", f.Deadline.value)
		}
		j.Deadline = d
	}
}

// sweep reads how targets are asked.
func (p *parser) sweep(f *fileJob, s *Sweep) {
	s.Ports = portlist.Default()
	if len(f.Ports) > 0 {
		s.Ports = nil
	}
	for _, t := range f.Ports {
		ports, err := portlist.Parse(t.value)
		if err != nil {
			p.fault(t.line, "%v", err)
		}
		for _, port := range ports {
			if !slices.Contains(s.Ports, port) {
				s.Ports = append(s.Ports, port)
			}
		}
	}
	slices.SortFunc(s.Ports, registry.Port.Compare)
	s.Rate, s.HostRate, s.Retries = defaultRate, defaultHostRate, defaultRetries
	if f.Rate.value == "max" {
		s.Rate = 0
	} else if f.Rate.line > 0 {
		s.Rate = float64(p.number("rate", f.Rate, 1, 1<<32-1, "a whole number of probes a second, from 1 to 4294967295, or max"))
	}
	if f.HostRate.line > 0 {
		n, err := strconv.ParseFloat(f.HostRate.value, 64)
		if err != nil || !(n >= 0.1 && n <= 1e6) {
			p.fault(f.HostRate.line, "host_rate %q: want 0.1 to 1000000 probes a second", f.HostRate.value)
		}
		s.HostRate = n
	}
	if f.Retries.line > 0 {
		s.Retries = int(p.number("retries", f.Retries, 0, scanner.MaxRetries, "0 to "+strconv.Itoa(scanner.MaxRetries)))
	}
	s.NoIdentify = !p.yes("identify", f.Identify, true)
	s.Deep = p.yes("deep", f.Deep, false)
	if len(s.Ports) > 0 {
		s.ShardSize = s.shardSize()
	}
	if f.ShardSize.line > 0 {
		s.ShardSize = p.number("shard_size", f.ShardSize, 1, 1<<20, "1 to 1048576 addresses")
	}
}

// number reads a whole number from low to high.
func (p *parser) number(key string, t text, low, high uint64, want string) uint64 {
	n, err := strconv.ParseUint(t.value, 10, 64)
	if err != nil || n < low || n > high || t.value != strconv.FormatUint(n, 10) {
		p.fault(t.line, "%s %q: want %s", key, t.value, want)
		return low
	}
	return n
}

// yes reads true or false.
func (p *parser) yes(key string, t text, otherwise bool) bool {
	switch {
	case t.line == 0:
		return otherwise
	case t.value == "true":
		return true
	case t.value != "false":
		p.fault(t.line, "%s %q: want true or false", key, t.value)
	}
	return false
}

// path is the name of a file beside the jobs file, or an absolute one.
func (p *parser) path(t text) string {
	if t.value == "" || filepath.IsAbs(t.value) {
		return t.value
	}
	return filepath.Join(filepath.Dir(p.name), t.value)
}

// asks reads what is asked from where.
func (p *parser) asks(in *file, f *fileJob, sites []Site) []Ask {
	if len(f.Targets) == 0 {
		p.fault(f.Name.line, "job %q without targets: want them for each site, such as targets: {hq: [10.0.0.0/16]}", f.Name.value)
	}
	words := map[fleet.Place]texts{}
	for _, key := range slices.SortedFunc(maps.Keys(f.Targets), byValue) {
		if len(f.Targets[key]) == 0 {
			p.fault(key.line, "targets of %q: none: want an address, a network or a range", key.value)
			continue
		}
		places := placesOf(key.value, sites)
		if len(places) == 0 {
			p.fault(key.line, "targets of %q: want a site of this file, or one of its vantages as in hq/lan", key.value)
		}
		for _, place := range places {
			words[place] = append(words[place], f.Targets[key]...)
		}
	}
	var all []Ask
	for _, place := range slices.SortedFunc(maps.Keys(words), func(a, b fleet.Place) int { return cmp.Compare(a.String(), b.String()) }) {
		exclude := slices.Clone(f.Exclude)
		for name, site := range in.Sites {
			if name.value == place.Site {
				exclude = append(exclude, site.Exclude...)
			}
		}
		if ask, ok := p.ask(f, place, words[place], exclude); ok {
			all = append(all, ask)
		}
	}
	return all
}

// placesOf returns the places that a key of targets means: those of a site, or
// one.
func placesOf(key string, sites []Site) []fleet.Place {
	name, vantage, one := strings.Cut(key, "/")
	var all []fleet.Place
	for _, s := range sites {
		for _, v := range s.Vantages {
			if s.Name == name && (!one || v == vantage) {
				all = append(all, fleet.Place{Site: s.Name, Vantage: v})
			}
		}
	}
	return all
}

// ask reads the targets of one place, at least one; false when they are not sound.
func (p *parser) ask(f *fileJob, place fleet.Place, targets, exclude texts) (Ask, bool) {
	ask := Ask{Place: place}
	for _, list := range []struct {
		from      texts
		to        *[]string
		exclusion bool
	}{{targets, &ask.Targets, false}, {exclude, &ask.Excluded, true}} {
		for _, t := range list.from {
			if _, err := scanner.ParseRanges(context.Background(), scanner.RangeSpec{Targets: []string{t.value}}); err != nil && !notHosts(t.value, list.exclusion) {
				p.fault(t.line, "%s", strings.TrimPrefix(err.Error(), "scanner: "))
				return ask, false
			}
			*list.to = append(*list.to, t.value)
		}
	}
	line := targets[0].line
	ranges, err := scanner.ParseRanges(context.Background(), scanner.RangeSpec{Targets: ask.Targets, Exclude: ask.Excluded})
	if err != nil {
		p.fault(line, "job %q at %s: %s", f.Name.value, place, strings.TrimPrefix(err.Error(), "scanner: "))
		return ask, false
	}
	return p.bounded(f, ask, ranges, line)
}

// notHosts passes over what is wrong with an exclusion only as a target: a block
// without hosts may be excluded.
func notHosts(value string, exclusion bool) bool {
	_, err := scanner.ParseRanges(context.Background(), scanner.RangeSpec{Targets: []string{"192.168.0.1"}, Exclude: []string{value}})
	return exclusion && err == nil
}

// bounded checks the size of what is asked from a place.
func (p *parser) bounded(f *fileJob, ask Ask, ranges *scanner.Ranges, line int) (Ask, bool) {
	ask.Prefixes, ask.Addresses = ranges.Prefixes(), ranges.Count()
	if zoned := ranges.Zoned(); len(zoned) > 0 {
		p.fault(line, "target %v has a zone, which only means something on one machine: want addresses without", zoned[0])
		return ask, false
	}
	if ask.Addresses > scanner.MaxTargets {
		p.fault(line, "job %q asks %d addresses from %s: want at most %d, split the job", f.Name.value, ask.Addresses, ask.Place, scanner.MaxTargets)
		return ask, false
	}
	if p.yes("yes", f.Yes, false) {
		return ask, true
	}
	if public, is := ranges.Public(); is {
		p.fault(line, "target %v is public address space: scanning hosts that are not yours may be against the law; say yes: true in the job if they are", public)
		return ask, false
	}
	if ask.Addresses > largest {
		p.fault(line, "job %q asks %d addresses from %s, more than a /12 (%d): say yes: true in the job if that is what you mean", f.Name.value, ask.Addresses, ask.Place, largest)
		return ask, false
	}
	return ask, true
}

// largest is the number of addresses beyond which the job must say yes: a /12,
// as with scan.
const largest = 1 << 20

// outputs reads the names of files, and refuses those that two places would
// write to.
func (p *parser) outputs(f *fileJob, j *Job) {
	for _, t := range f.Outputs {
		pattern := p.path(t)
		if _, err := (reports.Options{}).FormatOf(pattern); err != nil {
			p.fault(t.line, "%s", strings.TrimPrefix(err.Error(), "reports: "))
		}
		rest := Output(pattern, &Run{})
		if i := strings.IndexAny(rest, "{}"); i >= 0 {
			p.fault(t.line, "output %q: want only {site}, {vantage}, {job}, {date} and {run} in braces", t.value)
		}
		seen := map[string]fleet.Place{} // by name
		for _, a := range j.Asks {
			name := Output(pattern, &Run{Place: a.Place, Job: j.Name})
			if other, twice := seen[name]; twice {
				p.fault(t.line, "output %q is one file for %s and %s: want {site} and {vantage} in the name", t.value, other, a.Place)
				break
			}
			seen[name] = a.Place
		}
		if slices.Contains(j.Outputs, pattern) {
			p.fault(t.line, "output %q stands twice", t.value)
		}
		j.lines[pattern] = t.line
		j.Outputs = append(j.Outputs, pattern)
	}
}
