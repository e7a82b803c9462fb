package fingerprint

import (
	"fmt"
	"maps"
	"slices"
)

// Check holds every example of every rule against all rules and returns one
// fault for each that fails, with its file and line: a rule that does not know
// its own example, an example that another rule takes, a field that comes out
// different, a "not" that matches.
func (r *Rules) Check() []error {
	var faults []error
	for _, rule := range r.rules() {
		for i, e := range rule.Examples {
			if err := r.checkExample(rule, e); err != nil {
				faults = append(faults, fmt.Errorf("%s:%d: examples: %w", rule.File, rule.doc.line(fmt.Sprintf("examples[%d]", i)), err))
			}
		}
		for i, e := range rule.Not {
			for _, h := range r.exampleHits(e) {
				if h.rule == rule {
					faults = append(faults, fmt.Errorf("%s:%d: not: the rule matches: %q", rule.File, rule.doc.line(fmt.Sprintf("not[%d]", i)), h.sign.Excerpt))
				}
			}
		}
	}
	return faults
}

func (r *Rules) exampleHits(e Example) []hit {
	return r.hits(Evidence{Exchanges: []Exchange{e.Exchange}}, e.Fields)
}

func (r *Rules) checkExample(rule *Rule, e Example) error {
	hits := r.exampleHits(e)
	i := slices.IndexFunc(hits, func(h hit) bool { return h.rule == rule })
	if i < 0 {
		return fmt.Errorf("the rule does not match its own example")
	}
	for _, h := range hits[:i] {
		if rivals(h.rule, rule) {
			return fmt.Errorf("rule %s (%d points) takes this example from %s (%d points)", h.rule.ID, h.rule.Points, rule.ID, rule.Points)
		}
	}
	sign := hits[i].sign
	got := map[string]string{
		"product": sign.Product, "version": sign.Version, "cpe": sign.CPE, "service": sign.Service,
		"hostname": hits[i].hostname,
	}
	for _, name := range slices.Sorted(maps.Keys(e.Want)) {
		if got[name] != e.Want[name] {
			return fmt.Errorf("%s = %q, want %q", name, got[name], e.Want[name])
		}
	}
	return nil
}

// rivals reports whether two rules name the same thing and only one can be
// right. Signs of possible_c2 stand beside a name, and so does a weak sign; two
// rules of one product agree.
func rivals(a, b *Rule) bool {
	return a.Product != b.Product && (a.Class == PossibleC2) == (b.Class == PossibleC2) && a.Points > medium && b.Points > medium
}
