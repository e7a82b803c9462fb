package server

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"go4.org/netipx"

	"dormant/cmd/internal/pipeline"
	"dormant/reports"
	"dormant/scanner"
)

// outcome is the truth about the whole run, from what its shards came to. why is
// said of the shards that are not done.
func (f *fold) outcome(why string) pipeline.Outcome {
	m := merger{run: f.run, subnets: map[netip.Prefix]*scanner.Subnet{}, halfOpen: map[string]uint64{}}
	m.out.Scan.Complete = true
	m.out.Scan.Parts = 1
	for _, s := range f.shards {
		for _, a := range s.sorted() {
			m.spent(a)
		}
		if a := s.done(); a != nil {
			m.done(s, a)
			continue
		}
		m.undone(s)
		m.reason(cmp.Or(s.dead, why))
	}
	out := m.finish(f.missing())
	out.Scan.Exclude(f.run.excluded(), len(f.run.Ports))
	out.Scan.Exclude(f.spared(), len(f.run.Ports))
	return out
}

// sorted returns the attempts that ended, in the order of their ids.
func (s *shard) sorted() []*attempt {
	var all []*attempt
	for _, key := range slices.Sorted(maps.Keys(s.attempts)) {
		if a := s.attempts[key]; a.done != nil {
			all = append(all, a)
		}
	}
	return all
}

// missing returns the subnets of the shards that are not done.
func (f *fold) missing() []netip.Prefix {
	var all []netip.Prefix
	for _, s := range f.shards {
		if s.done() == nil {
			all = append(all, s.prefixes...)
		}
	}
	return union(all)
}

// spared returns what the sites' never-scan lists took out of the run.
func (f *fold) spared() []netip.Prefix {
	var all []netip.Prefix
	for _, s := range f.shards {
		if a := s.done(); a != nil {
			all = append(all, a.done.Spared...)
		}
	}
	return union(all)
}

// union returns what the prefixes add up to, disjoint and sorted.
func union(all []netip.Prefix) []netip.Prefix {
	var b netipx.IPSetBuilder
	for _, p := range all {
		b.AddPrefix(p)
	}
	set, err := b.IPSet()
	if err != nil {
		return nil // cannot be: they were checked
	}
	return set.Prefixes()
}

// backends returns how the agents of the run sent.
func (f *fold) backends() string {
	var all []string
	for _, s := range f.shards {
		if a := s.done(); a != nil && a.done.Backend != "" && !slices.Contains(all, a.done.Backend) {
			all = append(all, reports.Line(a.done.Backend))
		}
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

// merger sums up shards.
type merger struct {
	run      *Run
	out      pipeline.Outcome
	subnets  map[netip.Prefix]*scanner.Subnet
	halfOpen map[string]uint64 // the most of each agent
	undoneN  int
	reasons  []string
}

// spent adds what an attempt cost the network, whatever came of it.
func (m *merger) spent(a *attempt) {
	from, to := &a.done.Outcome, &m.out
	to.Scan.Probes += from.Scan.Probes
	to.Scan.Retries += from.Scan.Retries
	to.Scan.Counters = to.Scan.Counters.Add(from.Scan.Counters)
	to.Scan.Uncounted = to.Scan.Uncounted || from.Scan.Uncounted
	to.Scan.MostToHost = max(to.Scan.MostToHost, from.Scan.MostToHost)
	to.Scan.MostBytesToHost = max(to.Scan.MostBytesToHost, from.Scan.MostBytesToHost)
	to.Scan.StateBudget = max(to.Scan.StateBudget, from.Scan.StateBudget)
	to.Scan.Cooldown += from.Scan.Cooldown
	to.Identify.Connections += from.Identify.Connections
	to.Identify.Canaries += from.Identify.Canaries
	to.Identify.BytesSent += from.Identify.BytesSent
	to.Identify.BytesReceived += from.Identify.BytesReceived
	to.Identify.MostConnections = max(to.Identify.MostConnections, from.Identify.MostConnections)
	to.Identify.MostBytesSent = max(to.Identify.MostBytesSent, from.Identify.MostBytesSent)
	to.Identify.Talked += from.Identify.Talked
	m.halfOpen[a.agent] = max(m.halfOpen[a.agent], from.Scan.MaxHalfOpen)
	if to.Scan.Finished.Before(a.done.Finished) {
		to.Scan.Finished = a.done.Finished
	}
	if to.Scan.Started.IsZero() || a.done.Started.Before(to.Scan.Started) {
		to.Scan.Started = a.done.Started
	}
}

// done adds the outcome of a shard that was carried out.
func (m *merger) done(s *shard, a *attempt) {
	from, to := &a.done.Outcome, &m.out
	add := from.Scan
	if found := s.answered(); found[scanner.Open] > add.Open { // another attempt saw more
		more := found[scanner.Open] - add.Open
		add.Open += more
		for _, n := range []*uint64{&add.OpenFiltered, &add.Filtered, &add.Closed, &add.Unreachable, &add.Unknown} {
			taken := min(*n, more)
			*n -= taken
			more -= taken
		}
	}
	to.Scan.Targets += add.Targets
	to.Scan.Addresses += add.Addresses
	to.Scan.Skipped += add.Skipped
	to.Scan.Open += add.Open
	to.Scan.Closed += add.Closed
	to.Scan.Filtered += add.Filtered
	to.Scan.OpenFiltered += add.OpenFiltered
	to.Scan.Unreachable += add.Unreachable
	to.Scan.Unknown += add.Unknown
	to.Scan.HostsAlive += add.HostsAlive
	to.Identify.Ports += from.Identify.Ports
	to.Identify.Done += from.Identify.Done
	to.Identify.Refused += from.Identify.Refused
	to.Identify.NoConnect += from.Identify.NoConnect
	to.Identify.Budget += from.Identify.Budget
	to.Identify.Cancelled += from.Identify.Cancelled
	to.Identify.LocalErrors += from.Identify.LocalErrors
	to.Identify.Fault = cmp.Or(to.Identify.Fault, reports.Line(from.Identify.Fault))
	to.Identify.Fragile += from.Identify.Fragile
	to.Lost += from.Lost
	m.loss(add.Loss)
	if !add.Complete && add.Targets > 0 {
		to.Scan.Complete = false
		for _, why := range add.Why {
			m.reason(reports.Line(why) + " (" + a.agent + ")")
		}
		if len(add.Why) == 0 {
			m.reason("the sweep did not finish (" + a.agent + ")")
		}
	}
	for _, note := range add.Notes {
		m.note(reports.Line(note) + " (" + a.agent + ")")
	}
	m.cover(a)
}

// undone adds what was found by attempts that did not come to their end.
func (m *merger) undone(s *shard) {
	to, found := &m.out.Scan, s.answered()
	m.undoneN++
	to.Complete = false
	to.Targets += s.size * uint64(len(m.run.Ports))
	to.Addresses += s.size
	to.Open += found[scanner.Open]
	to.Closed += found[scanner.Closed]
	to.Filtered += found[scanner.Filtered]
	to.OpenFiltered += found[scanner.OpenFiltered]
	to.Unreachable += found[scanner.Unreachable]
	to.Unknown += found[scanner.Unknown]
	hosts := map[uint64]struct{}{}
	for at := range s.best {
		hosts[at/uint64(len(m.run.Ports))] = struct{}{}
	}
	to.HostsAlive += uint64(len(hosts))
	for sub, n := range subnets(s.prefixes) {
		m.subnet(sub).Targets += n * uint64(len(m.run.Ports))
	}
}

// answered counts the targets of the shard by the state of their best answer.
func (s *shard) answered() map[scanner.State]uint64 {
	n := map[scanner.State]uint64{}
	for _, rank := range s.best {
		n[stateOf(rank)]++
	}
	return n
}

// loss adds what the answers of a shard say of lost packets.
func (m *merger) loss(l *scanner.Loss) {
	if l == nil || l.Answers == 0 {
		return
	}
	to := m.out.Scan.Loss
	if to == nil {
		to = &scanner.Loss{}
		m.out.Scan.Loss = to
	}
	before, more := float64(to.Answers), float64(l.Answers)
	to.Rate = (to.Rate*before + l.Rate*more) / (before + more)
	to.Answers += l.Answers
	to.Late += l.Late
	to.Missed += l.Missed
	to.Recall = float64(to.Answers) / (float64(to.Answers) + to.Missed)
}

// cover adds the coverage of a shard that is done.
func (m *merger) cover(a *attempt) {
	for i := range a.done.Outcome.Scan.Subnets {
		sub := &a.done.Outcome.Scan.Subnets[i]
		to := m.subnet(sub.Prefix)
		to.Targets += sub.Targets
		to.Probed += sub.Probed
		to.Answered += sub.Answered
		to.Open += sub.Open
		to.Unreachable += sub.Unreachable
		to.LocalErrors += sub.LocalErrors
		if sub.EstLoss != nil && (to.EstLoss == nil || *to.EstLoss < *sub.EstLoss) {
			to.EstLoss = sub.EstLoss // of two parts of a subnet the worse one
		}
	}
}

func (m *merger) subnet(p netip.Prefix) *scanner.Subnet {
	if m.subnets[p] == nil {
		m.subnets[p] = &scanner.Subnet{Prefix: p}
	}
	return m.subnets[p]
}

// subnets counts the addresses of prefixes by /24, or /120 in IPv6, as the
// coverage of a run does.
func subnets(prefixes []netip.Prefix) map[netip.Prefix]uint64 {
	all := map[netip.Prefix]uint64{}
	for _, p := range prefixes {
		for _, part := range cut([]netip.Prefix{p}, 256) {
			for _, q := range part {
				if sub, err := q.Addr().Prefix(q.Addr().BitLen() - 8); err == nil { // err: cannot be, an address has more bits
					all[sub] += addresses([]netip.Prefix{q})
				}
			}
		}
	}
	return all
}

// The most reasons and notes that a run lists.
const maxReasons = 20

func (m *merger) reason(why string) {
	if !slices.Contains(m.reasons, why) && len(m.reasons) < maxReasons {
		m.reasons = append(m.reasons, why)
	}
}

func (m *merger) note(text string) {
	if !slices.Contains(m.out.Scan.Notes, text) && len(m.out.Scan.Notes) < maxReasons {
		m.out.Scan.Notes = append(m.out.Scan.Notes, text)
	}
}

// finish puts the rest in order.
func (m *merger) finish(missing []netip.Prefix) pipeline.Outcome {
	s := &m.out.Scan
	if d := s.Finished.Sub(s.Started); d > 0 {
		s.Rate = float64(s.Probes) / d.Seconds()
	}
	for _, n := range m.halfOpen { // agents of a place may share a path
		s.MaxHalfOpen += n
	}
	for _, p := range slices.SortedFunc(maps.Keys(m.subnets), netip.Prefix.Compare) {
		s.Subnets = append(s.Subnets, *m.subnets[p])
	}
	if m.undoneN > 0 {
		shards := "1 shard was not done"
		if m.undoneN > 1 {
			shards = fmt.Sprintf("%d shards were not done", m.undoneN)
		}
		s.Why = append(s.Why, shards+": "+listed(missing))
	}
	s.Why = append(s.Why, m.reasons...)
	return m.out
}

// listed names subnets, the first few of many.
func listed(prefixes []netip.Prefix) string {
	const most = 32
	var words []string
	for i, p := range prefixes {
		if i == most {
			return strings.Join(words, ", ") + fmt.Sprintf(" and %d more subnets", len(prefixes)-most)
		}
		words = append(words, p.String())
	}
	return strings.Join(words, ", ")
}
