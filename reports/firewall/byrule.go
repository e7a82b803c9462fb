package firewall

import "dormant/scanner"

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
	case a.Rule != nil:
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
