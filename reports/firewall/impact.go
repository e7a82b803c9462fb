package firewall

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"dormant/registry"
	"dormant/reports"
	"dormant/scanner"
	"dormant/scanner/listen"
)

// Question is what an impact is asked about.
type Question struct {
	// Proposed is the rules after the change. Required.
	Proposed *RuleSet
	// Current is the rules before it, nil when they are not known: then nothing
	// is said to become reachable.
	Current *RuleSet
	// Place is where the firewall stands; 0 takes the place for which a file
	// has rules.
	Place Place
	// Findings are the services; those that are not open are passed over, and
	// of one that was found several times the newest says what it is.
	Findings []reports.Finding
	// Clients are who was seen using services. Those of other services are
	// counted only.
	Clients []listen.Client
	// Asked is true when client evidence was looked for at all.
	Asked bool
	Now   time.Time
}

// The effects of a change on a service or on a client, in the words of every
// output.
const (
	Kept     = "kept"
	Cut      = "cut"
	Opened   = "opened"
	Unjudged = "unknown"
	Blocked  = "blocked" // of a client: denied before the change and after it
)

// Impact is what a change of rules does. Its JSON form is read by verify.
type Impact struct {
	Schema   int       `json:"schema"` // 1
	Headline string    `json:"headline"`
	Made     time.Time `json:"made"`
	Place    string    `json:"place"`
	Proposed Source    `json:"proposed"`
	Current  *Source   `json:"current,omitempty"`
	// Services are in the order of address, transport and port.
	Services []Service    `json:"services"`
	Rules    []RuleImpact `json:"rules"`
	Shadowed []Shadow     `json:"shadowed"`
	// Unsearched is how many rules were not asked whether a packet reaches them,
	// because the search would have been too long.
	Unsearched int      `json:"rules_not_searched_for_shadows"`
	Unknowns   []Doubt  `json:"unknowns"`
	Assumed    []string `json:"assumed"`
	Notes      []Note   `json:"notes"`
	// Advice is what to mind about the ports in question.
	Advice []string `json:"advice"`
	// Elsewhere counts the clients that were seen with no service of the scan.
	Elsewhere int `json:"clients_of_no_service"`

	question      Question
	before, after patience
}

// Source is a file of rules.
type Source struct {
	File   string `json:"file"`
	Format string `json:"format"`
	Rules  int    `json:"rules"`
	SHA256 string `json:"sha256"` // of the file, in hex
}

// Reach is who passes, in the words of AddrWords.
type Reach struct {
	Allow   []string `json:"allow"`
	Deny    []string `json:"deny"`
	Unknown []string `json:"unknown"`
}

// Service is a service that was found, and what becomes of it.
type Service struct {
	Target     string    `json:"target"` // "10.0.0.1:1947/tcp"
	Product    string    `json:"product"`
	Verdict    string    `json:"verdict"`
	Confidence int       `json:"confidence"`
	Seen       time.Time `json:"seen,omitzero"`
	Vantage    string    `json:"vantage,omitempty"`
	Effect     string    `json:"effect"` // kept, cut, opened, unknown
	Rule       string    `json:"rule"`   // decided the effect
	Line       int       `json:"line,omitempty"`
	Evidence   string    `json:"evidence"` // what the effect rests on
	Before     *Reach    `json:"before,omitempty"`
	After      Reach     `json:"after"`
	Lost       []string  `json:"lost"`   // may come before the change and not after it
	Gained     []string  `json:"gained"` // the other way round
	Clients    []Client  `json:"clients"`
	Why        []Reason  `json:"why,omitempty"` // of an unknown

	target scanner.Target
}

// Client is somebody who was seen, and what becomes of them.
type Client struct {
	Addr   netip.Addr `json:"client"`
	Use    string     `json:"use"`  // of listen
	From   string     `json:"from"` // the file or interface where it was seen
	Count  uint64     `json:"count"`
	Last   *time.Time `json:"last_seen"`
	Effect string     `json:"effect"` // kept, cut, opened, unknown, blocked
	Rule   string     `json:"rule"`
	Line   int        `json:"line,omitempty"`
	Why    []Reason   `json:"why,omitempty"`

	phase Phases
}

// Doubt is a rule that could not be judged, and what depends on it.
type Doubt struct {
	Reason
	Services []string `json:"services"`
}

// NewImpact works out what the change does. Its errors are those of the
// question, and that of ctx when it ends before the work does.
func NewImpact(ctx context.Context, q Question) (*Impact, error) {
	if err := q.settlePlace(); err != nil {
		return nil, err
	}
	m := &Impact{Schema: 1, Made: q.Now.UTC(), Place: q.Place.String(), Proposed: sourceOf(q.Proposed), question: q,
		Services: []Service{}, Rules: []RuleImpact{}, Shadowed: []Shadow{}, Unknowns: []Doubt{}, Assumed: []string{}, Notes: []Note{}, Advice: []string{}}
	if q.Current != nil {
		s := sourceOf(q.Current)
		m.Current = &s
	}
	clients := m.byService()
	by := map[string]*RuleImpact{}
	newest := map[scanner.Target]*reports.Finding{}
	for i := range q.Findings {
		f := &q.Findings[i]
		if was := newest[targetOfFinding(f)]; f.State == scanner.Open && (was == nil || f.ObservedAt.After(was.ObservedAt)) {
			newest[targetOfFinding(f)] = f
		}
	}
	for _, target := range slices.SortedFunc(maps.Keys(newest), scanner.Target.Compare) {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("firewall: after %d services: %w", len(m.Services), err)
		}
		f := newest[target]
		s := Service{target: target, Target: target.String(), Product: nameOf(f), Verdict: f.Verdict.String(), Confidence: f.Confidence,
			Seen: f.ObservedAt, Vantage: f.Vantage}
		m.judge(&s, clients[target], by)
		delete(clients, target)
		m.Services = append(m.Services, s)
	}
	for _, list := range clients {
		m.Elsewhere += len(list)
	}
	m.gather(by)
	m.Shadowed, m.Unsearched = Shadows(q.Proposed, q.Place)
	m.Headline = m.headline()
	m.Advice = m.advice()
	return m, nil
}

func sourceOf(rs *RuleSet) Source { return Source{rs.File, rs.Format, rs.Rules(), rs.SHA256} }

// settlePlace finds out where the firewall stands.
func (q *Question) settlePlace() error {
	if q.Place != 0 {
		return nil
	}
	router, server := false, false
	for _, rs := range []*RuleSet{q.Proposed, q.Current} {
		if rs != nil && (rs.Format == "iptables" || rs.Format == "nft") { // the others are the same in either place
			router, server = router || rs.Paths[Router].filters(), server || rs.Paths[Server].filters()
		}
	}
	switch {
	case router && server:
		return fmt.Errorf("firewall: %s filters both what it forwards and what is meant for itself: say which one with --place router or --place server", q.Proposed.File)
	case server:
		q.Place = Server
	default:
		q.Place = Router
	}
	return nil
}

// byService sorts the clients by the service that they use.
func (m *Impact) byService() map[scanner.Target][]listen.Client {
	out := map[scanner.Target][]listen.Client{}
	for _, c := range m.question.Clients {
		if c.Use == listen.Announced || c.Use == listen.Refused { // no use of this service
			continue
		}
		t := scanner.Target{Addr: c.Server.Unmap(), Port: c.Port}
		out[t] = append(out[t], c)
	}
	return out
}

func targetOfFinding(f *reports.Finding) scanner.Target {
	return scanner.Target{Addr: f.IP, Port: registry.Port{Number: f.Port, Proto: f.Transport}}
}

// nameOf is what a service is called: what was proved of it.
func nameOf(f *reports.Finding) string {
	for _, name := range []string{f.Product, f.Service} {
		if name != "" {
			return reports.Line(name)
		}
	}
	return "unidentified"
}

// judge works out what becomes of one service and its clients.
func (m *Impact) judge(s *Service, seen []listen.Client, by map[string]*RuleImpact) {
	q := &m.question
	anyone := AnyIPv4()
	if s.target.Addr.Is6() {
		anyone = AnyIPv6()
	}
	after := q.Proposed.reach(q.Place, anyone, s.target, &m.after)
	s.After = reachOf(after)
	var before []Access
	var lost, gained Addrs
	if q.Current != nil {
		before = q.Current.reach(q.Place, anyone, s.target, &m.before)
		r := reachOf(before)
		s.Before = &r
		lost = with(before, Allow).Intersect(with(after, Deny))
		gained = with(before, Deny).Intersect(with(after, Allow))
	}
	s.Lost, s.Gained = AddrWords(lost), AddrWords(gained)
	for _, c := range seen {
		s.Clients = append(s.Clients, clientEffect(c, s.target, before, after))
	}
	slices.SortFunc(s.Clients, func(a, b Client) int { return a.Addr.Compare(b.Addr) })
	if s.Clients == nil {
		s.Clients = []Client{}
	}
	s.weigh(q, before, after, lost, gained)
	m.byRule(s, after, lost, gained, by)
}

func reachOf(all []Access) Reach {
	return Reach{AddrWords(with(all, Allow)), AddrWords(with(all, Deny)), AddrWords(with(all, Unknown))}
}

// clientEffect is what becomes of one client that was seen.
func clientEffect(c listen.Client, t scanner.Target, before, after []Access) Client {
	addr := c.Addr.Unmap().WithZone("")
	out := Client{Addr: addr, Use: c.Use.String(), From: reports.Line(c.Source), Count: c.Count}
	if !c.Last.IsZero() {
		last := c.Last.UTC()
		out.Last = &last
	}
	a := of(after, addr)
	out.Rule, out.Line = a.rule()
	out.phase = a.Phase
	was := Allow // it was seen
	if before != nil {
		was = of(before, addr).Effect
	}
	switch {
	case addr == t.Addr:
		out.Effect, out.Rule, out.Line = Kept, "", 0
		out.Why = []Reason{{Text: "client and server are the same host: the packets stay on it"}}
	case a.Effect == Unknown:
		out.Effect, out.Why = Unjudged, a.Why
	case a.Effect == Deny && was == Deny:
		out.Effect = Blocked
		out.Why = []Reason{{Text: "denied before the change too, though it was seen: its packets may take another way"}}
	case a.Effect == Deny:
		out.Effect = Cut
	case was == Deny:
		out.Effect = Opened
	default:
		out.Effect = Kept
	}
	return out
}

// gather puts the rules and the doubts in order.
func (m *Impact) gather(by map[string]*RuleImpact) {
	q := &m.question
	for _, r := range by {
		r.exception(q.Proposed)
		m.Rules = append(m.Rules, *r)
	}
	slices.SortFunc(m.Rules, func(a, b RuleImpact) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Rule, b.Rule))
	})
	doubts := map[Reason]int{}
	for i := range m.Services {
		s := &m.Services[i]
		for _, why := range s.reasons() {
			at, ok := doubts[why]
			if !ok {
				at = len(m.Unknowns)
				doubts[why] = at
				m.Unknowns = append(m.Unknowns, Doubt{Reason: why})
			}
			m.Unknowns[at].Services = append(m.Unknowns[at].Services, s.Target)
		}
	}
	slices.SortStableFunc(m.Unknowns, func(a, b Doubt) int { return cmp.Compare(a.Line, b.Line) })
	for _, rs := range []*RuleSet{q.Proposed, q.Current} {
		if rs == nil {
			continue
		}
		for _, text := range rs.Assumed {
			if !slices.Contains(m.Assumed, text) {
				m.Assumed = append(m.Assumed, text)
			}
		}
		m.Notes = append(m.Notes, rs.Notes...)
	}
}

// reasons lists why anything about a service is unknown, each once.
func (s *Service) reasons() []Reason {
	if s.Effect != Unjudged {
		return nil
	}
	out := slices.Clone(s.Why)
	for _, c := range s.Clients {
		if c.Effect == Unjudged {
			out = union(out, c.Why)
		}
	}
	return out
}

// InUse reports whether something in use would be cut.
func (m *Impact) InUse() bool {
	return slices.ContainsFunc(m.Services, func(s Service) bool { return s.Effect == Cut })
}

// Unclear reports whether something that matters could not be judged.
func (m *Impact) Unclear() bool {
	return slices.ContainsFunc(m.Services, func(s Service) bool { return s.Effect == Unjudged })
}

// Findings returns all findings of the question with the columns fw_effect,
// fw_rule and clients filled in.
func (m *Impact) Findings() []reports.Finding {
	out := slices.Clone(m.question.Findings)
	for i := range out {
		f := &out[i]
		f.FWEffect = "n_a"
		at, ok := slices.BinarySearchFunc(m.Services, targetOfFinding(f), func(s Service, t scanner.Target) int { return s.target.Compare(t) })
		if f.State != scanner.Open || !ok {
			continue
		}
		f.FWEffect, f.FWRule = m.Services[at].Effect, m.Services[at].Rule
		if m.question.Asked {
			f.Clients = m.Services[at].seen()
		}
	}
	return out
}

// seen counts the distinct clients.
func (s *Service) seen() int {
	all := map[netip.Addr]bool{}
	for _, c := range s.Clients {
		all[c.Addr] = true
	}
	return len(all)
}
