package firewall

import (
	"cmp"
	"maps"
	"slices"

	"dormant/scanner"
)

// RuleImpact is what one rule, or the policy of a chain, does to services.
type RuleImpact struct {
	Rule   string     `json:"rule"`
	Line   int        `json:"line,omitempty"`
	Text   string     `json:"text"`
	Hits   *uint64    `json:"hits,omitempty"` // its counter: weak evidence
	Cut    []RuleWork `json:"cut"`
	Opened []RuleWork `json:"opened"`
	// Exception would keep the clients that were seen: lines in the syntax of
	// the file. Where says in words where they go.
	Exception []string `json:"exception"`
	Where     string   `json:"where,omitempty"`

	rule  *Rule
	chain *Chain
	gaps  []gap
}

// RuleWork is what a rule does to one service.
type RuleWork struct {
	Target  string   `json:"target"`
	Product string   `json:"product"`
	Verdict string   `json:"verdict"`
	Clients []string `json:"clients"` // that were seen
	Sources []string `json:"sources"` // all addresses that it concerns
	// Reply is true when the first packet passes and the answer does not.
	Reply bool `json:"reply,omitempty"`
}

// gap is a way that an exception would open again.
type gap struct {
	service scanner.Target
	clients Addrs
	phase   Phases
}

// byRule adds what happens to a service to the rules that decide it.
func (m *Impact) byRule(s *Service, after []Access, lost, gained Addrs, by map[string]*RuleImpact) {
	type work struct {
		sources, clients Addrs
		phase            Phases
	}
	for _, cut := range []bool{true, false} {
		var order []*RuleImpact
		works := map[*RuleImpact]*work{}
		at := func(a *Access) *work {
			r := m.impactOf(a, by)
			if works[r] == nil {
				works[r] = &work{phase: a.Phase}
				order = append(order, r)
			}
			return works[r]
		}
		for i := range after {
			a := &after[i]
			sources, effect := lost, Cut
			if !cut {
				sources, effect = gained, Opened
			}
			if here := a.Clients.Intersect(sources); !here.Empty() {
				w := at(a)
				w.sources = w.sources.Union(here)
			}
			for _, c := range s.Clients {
				if c.Effect == effect && a.Clients.Contains(c.Addr) {
					w := at(a)
					w.clients = w.clients.Union(oneAddr(c.Addr))
				}
			}
		}
		for _, r := range order {
			w := works[r]
			entry := RuleWork{Target: s.Target, Product: s.Product, Verdict: s.Verdict, Clients: addrList(w.clients),
				Sources: AddrWords(w.sources), Reply: w.phase != First}
			if !cut {
				r.Opened = append(r.Opened, entry)
				continue
			}
			r.Cut = append(r.Cut, entry)
			if !w.clients.Empty() {
				r.gaps = append(r.gaps, gap{s.target, w.clients, w.phase})
			}
		}
	}
}

// impactOf returns the entry of the rule that decided.
func (m *Impact) impactOf(a *Access, by map[string]*RuleImpact) *RuleImpact {
	id, line := a.rule()
	if by[id] != nil {
		return by[id]
	}
	r := &RuleImpact{Rule: id, Line: line, Cut: []RuleWork{}, Opened: []RuleWork{}, Exception: []string{}, rule: a.Rule, chain: a.Chain}
	switch {
	case a.Rule != nil && a.Rule.ID != "":
		r.Text, r.Hits = a.Rule.Text, a.Rule.Hits
	case a.Chain != nil && line == 0:
		r.Text = "what no entry matches is denied"
	case a.Chain != nil:
		r.Text = "the default: " + a.Chain.Policy.String()
	}
	by[id] = r
	return r
}

// addrList writes single addresses.
func addrList(s Addrs) []string {
	out := []string{}
	for _, span := range s.spans {
		for a := span.First; ; a = a.Next() {
			out = append(out, a.String())
			if a == span.Last {
				break
			}
		}
	}
	return out
}

// Shadow is a rule that no packet reaches.
type Shadow struct {
	Rule string   `json:"rule"`
	Line int      `json:"line,omitempty"`
	Text string   `json:"text"`
	By   []string `json:"by"` // the rules that take its packets
	// Opposite is true when one of those does the opposite.
	Opposite bool `json:"opposite"`
}

// maxShadowed bounds the rules among which shadows are looked for: the work
// grows with their square.
const maxShadowed = 5000

// Shadows returns the rules that no packet reaches, because those before them
// take all that they match. Rules that concern nothing that is probed are not
// among them.
func Shadows(rs *RuleSet, place Place) []Shadow {
	out := []Shadow{}
	path, ok := rs.Paths[place]
	if !ok || rs.Rules() > maxShadowed {
		return out
	}
	parts := map[string][]*Rule{} // a verdict map is several rules of one name
	home := map[string]*Chain{}
	var order []string
	for _, c := range path.chains() {
		for _, r := range c.Rules {
			if r.ID == "" || r.Action == Pass || len(r.Boxes) == 0 || r.Phases == 0 {
				continue
			}
			key := c.Name + "\x00" + r.ID
			if parts[key] == nil {
				order = append(order, key)
			}
			parts[key], home[key] = append(parts[key], r), c
		}
	}
	for _, key := range order {
		if s, dead := shadow(path, home[key], parts[key]); dead {
			out = append(out, s)
		}
	}
	slices.SortStableFunc(out, func(a, b Shadow) int { return a.Line - b.Line })
	return out
}

// chains returns the chains that packets can come to.
func (p Path) chains() []*Chain {
	base := map[*Chain]hooks{}
	for _, c := range slices.Concat(p.Request, p.Reply) {
		base[c] = hookForward // any one
	}
	return slices.SortedFunc(maps.Keys(spread(base)), func(a, b *Chain) int {
		return cmp.Or(cmp.Compare(a.PolicyLine, b.PolicyLine), cmp.Compare(a.Name, b.Name))
	})
}

// shadow says what takes the packets of a rule, and whether all of them. home is
// its chain.
func shadow(path Path, home *Chain, parts []*Rule) (s Shadow, dead bool) {
	r := parts[0]
	s = Shadow{Rule: r.ID, Line: r.Line, Text: r.Text, By: []string{}}
	for _, part := range parts {
		for _, phase := range []Phases{First, Reply, Later} {
			chains := path.Request
			if phase == Reply {
				chains = path.Reply
			}
			if part.Phases&phase == 0 || chains == nil {
				continue
			}
			for _, box := range part.Boxes {
				reached := false
				w := &walker{phase: phase, visit: func(v *Rule, _ Box) { reached = reached || slices.Contains(parts, v) }}
				outcomes := w.through(chains, box)
				if reached || w.lost {
					return s, false
				}
				s.takenBy(outcomes, part, home)
			}
		}
	}
	return s, len(s.By) > 0
}

// takenBy adds the rules of the chain, and of the chains before it, that decide
// instead. What a policy decides never came to the chain.
func (s *Shadow) takenBy(outcomes []Outcome, part *Rule, home *Chain) {
	for _, o := range outcomes {
		if o.Rule == nil || o.Rule.ID == "" || home.Policy == 0 && !slices.Contains(home.Rules, o.Rule) {
			continue
		}
		if !slices.Contains(s.By, o.Rule.ID) {
			s.By = append(s.By, o.Rule.ID)
		}
		s.Opposite = s.Opposite || part.Action == Accept && o.Effect == Deny || part.Action == Drop && o.Effect == Allow
	}
}
