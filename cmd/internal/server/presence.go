package server

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"dormant/cmd/internal/fleet"
	"dormant/reports"
)

// presence knows which agents are there, from their beats. It is safe for
// concurrent use.
type presence struct {
	away time.Duration

	mu     sync.Mutex
	agents map[who]seen
}

// who is an agent at one of its places.
type who struct {
	fleet.Place
	agent string
}

type seen struct {
	at   time.Time
	beat fleet.Beat
	left bool
	// before is the process that was heard before this one. If it is heard again,
	// both are there, since twice: a credential was copied.
	before string
	twice  time.Time
	host   string // of the other one
}

// maxAgents bounds what is remembered.
const maxAgents = 10_000

func newPresence(away time.Duration) *presence {
	return &presence{away: away, agents: map[who]seen{}}
}

// take remembers a beat, and reports whether it is news that two agents work by
// one name. Its texts are the agent's: they are made harmless.
func (p *presence) take(o fleet.Origin, b fleet.Beat, now time.Time) (copied bool) {
	for _, text := range []*string{&b.Program, &b.Host, &b.Process, &b.Backend, &b.Run, &b.Fault} {
		*text = reports.Line((*text)[:min(len(*text), maxText)])
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	key := who{o.Place, o.Agent}
	last, known := p.agents[key]
	if !known && len(p.agents) >= maxAgents {
		return false
	}
	next := seen{at: now, beat: b, left: b.Leaves, before: last.before, twice: last.twice, host: last.host}
	if b.Process != last.beat.Process {
		if b.Process != "" && b.Process == last.before {
			copied = !p.doubled(last, now)
			next.twice, next.host = now, last.beat.Host
		}
		next.before = last.beat.Process
	}
	p.agents[key] = next
	return copied
}

// doubled reports whether two agents work by the name of this one.
func (p *presence) doubled(s seen, now time.Time) bool {
	return !s.twice.IsZero() && now.Sub(s.twice) < p.away
}

// online reports whether an agent that was seen so is there.
func (p *presence) online(s seen, now time.Time) bool { return !s.left && now.Sub(s.at) < p.away }

// anybody reports whether an agent of the place was there at some time since:
// one that was there just before and did not take its leave counts.
func (p *presence) anybody(place fleet.Place, since time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for w, s := range p.agents {
		if w.Place == place && (s.at.After(since) || p.online(s, since)) {
			return true
		}
	}
	return false
}

// atWork returns the beats of agents that are at shards of the run.
func (p *presence) atWork(place fleet.Place, run string, now time.Time) map[int]fleet.Beat {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := map[int]fleet.Beat{}
	for w, s := range p.agents {
		if w.Place == place && s.beat.Run == run && p.online(s, now) {
			all[s.beat.Shard] = s.beat
		}
	}
	return all
}

// agentsNow adds what beats tell to the agents that are enrolled, and those that
// are only known by their beats. open are the runs that are not over: a beat may
// be older than the end of the run that it tells of.
func (p *presence) agentsNow(enrolled []fleet.AgentStatus, open map[string]bool, now time.Time) []fleet.AgentStatus {
	all := slices.Clone(enrolled)
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, w := range slices.SortedFunc(maps.Keys(p.agents), who.compare) {
		s := p.agents[w]
		i := slices.IndexFunc(all, func(a fleet.AgentStatus) bool { return a.ID == w.agent && a.Site == w.Site })
		if i < 0 {
			i = len(all)
			all = append(all, fleet.AgentStatus{ID: w.agent, Site: w.Site})
		}
		a := &all[i]
		if !slices.Contains(a.Vantages, w.Vantage) {
			a.Vantages = append(slices.Clone(a.Vantages), w.Vantage)
			slices.Sort(a.Vantages)
		}
		b := s.beat
		if p.doubled(s, now) {
			b.Fault = fmt.Sprintf("two agents work by this name, on %s and on %s: want a token of its own for one of them", min(b.Host, s.host), max(b.Host, s.host))
		}
		if !open[b.Run] {
			b.Run, b.Shard, b.Sent, b.Total, b.Open = "", 0, 0, 0, 0
		}
		switch on := p.online(s, now) && !a.Revoked; {
		case on && a.Online:
			a.Last = together(a.Last, b)
		case on, !a.Online && s.at.After(a.LastSeen):
			a.Last, a.Online = b, on
		}
		if s.at.After(a.LastSeen) {
			a.LastSeen = s.at
		}
	}
	slices.SortFunc(all, func(a, b fleet.AgentStatus) int { return cmp.Or(cmp.Compare(a.Site, b.Site), cmp.Compare(a.ID, b.ID)) })
	return all
}

func (w who) compare(v who) int {
	return cmp.Or(cmp.Compare(w.Site, v.Site), cmp.Compare(w.agent, v.agent), cmp.Compare(w.Vantage, v.Vantage))
}

// together is what two vantages of one agent say: what the first of them that
// works is at, and what waits and what fails at both.
func together(a, b fleet.Beat) fleet.Beat {
	sum := a
	if a.Run == "" && b.Run != "" {
		sum = b
	}
	sum.Waits = a.Waits + b.Waits
	if a.Fault != b.Fault {
		sum.Fault = strings.Trim(a.Fault+"; "+b.Fault, "; ")
	}
	return sum
}
