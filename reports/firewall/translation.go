package firewall

import (
	"iter"
	"maps"
	"slices"
	"strings"
)

// Where netfilter translates, whatever the priorities of the chains that say
// so: destinations, and those of answers back, at prerouting and output;
// sources at postrouting and input (nf_ip_hook_priorities of the kernel).
const (
	natDestination = -100
	natSource      = 100
)

// translated makes the rules of the base chains nat that change the source
// unknown where a chain would see it: late are the chains that requests pass after the
// change, early those that answers pass before it is undone. Behind all
// filters, where source translation usually stands, nobody sees it.
func (p *parser) translated(nat, early, late []*Chain) {
	seen := ""
	for _, c := range late {
		if c.Policy != Allow || len(c.Rules) > 0 {
			seen = c.Name
		}
	}
	for c, r := range rulesFrom(early) {
		if r.ID != "" && r.Action != Pass && r.Phases&Reply != 0 && r.byDestination() {
			seen = c.Name
		}
	}
	if seen == "" {
		return
	}
	for _, r := range rulesFrom(nat) {
		if r.translates {
			r.Action, r.Doubts = Obscure, append(r.Doubts, "source translation, which chain "+seen+" sees")
		}
	}
}

// rulesFrom returns the rules of base chains and of those that they lead to.
func rulesFrom(base []*Chain) iter.Seq2[*Chain, *Rule] {
	at := map[*Chain]hooks{}
	for _, c := range base {
		at[c] = hookEarly
	}
	return func(yield func(*Chain, *Rule) bool) {
		for _, c := range slices.SortedFunc(maps.Keys(spread(at)), func(a, b *Chain) int { return strings.Compare(a.Name, b.Name) }) {
			for _, r := range c.Rules {
				if !yield(c, r) {
					return
				}
			}
		}
	}
}

// byDestination reports whether a rule tells one destination from another of
// the same family.
func (r *Rule) byDestination() bool {
	for _, b := range r.Boxes {
		for _, family := range []Addrs{AnyIPv4(), AnyIPv6()} {
			if here := b.Dst.Intersect(family); !here.Empty() && !here.Equal(family) {
				return true
			}
		}
	}
	return false
}
