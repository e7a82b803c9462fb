package firewall

import (
	"cmp"
	"maps"
	"slices"
)

// Shadow is a rule that no packet reaches.
type Shadow struct {
	Rule string   `json:"rule"`
	Line int      `json:"line,omitempty"`
	Text string   `json:"text"`
	By   []string `json:"by"` // the rules that take its packets
	// Opposite is true when one of those does the opposite.
	Opposite bool `json:"opposite"`
}

// maxShadowSteps bounds the search for shadows, in rules asked: where many rules
// concern the same packets, it grows with their square. 20 million take some
// seconds.
const maxShadowSteps = 20_000_000

// Shadows returns the rules that no packet reaches, because those before them
// take all that they match, and how many rules were left when the search became
// too long. Rules that concern nothing that is probed are not among them.
func Shadows(rs *RuleSet, place Place) (out []Shadow, left int) {
	return shadows(rs, place, maxShadowSteps)
}

func shadows(rs *RuleSet, place Place, steps int) (out []Shadow, left int) {
	out = []Shadow{}
	path, ok := rs.Paths[place]
	if !ok {
		return out, 0
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
	for i, key := range order {
		if steps <= 0 {
			left = len(order) - i
			break
		}
		s, dead := shadow(path, home[key], parts[key], &steps)
		if dead {
			out = append(out, s)
		} else if steps <= 0 { // perhaps not to its end
			left = len(order) - i
			break
		}
	}
	slices.SortStableFunc(out, func(a, b Shadow) int { return a.Line - b.Line })
	return out, left
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
// its chain. It takes what it costs from steps, and says no when none is left.
func shadow(path Path, home *Chain, parts []*Rule, steps *int) (s Shadow, dead bool) {
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
				w := &walker{phase: phase, most: maxSteps, visit: func(v *Rule, _ Box) bool {
					reached = reached || slices.Contains(parts, v)
					return reached
				}}
				outcomes := w.through(chains, box)
				*steps -= w.steps + 1
				if reached || w.lost || *steps <= 0 {
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
		if o.Rule == nil || home.Policy == 0 && !slices.Contains(home.Rules, o.Rule) {
			continue
		}
		if !slices.Contains(s.By, o.Rule.ID) {
			s.By = append(s.By, o.Rule.ID)
		}
		s.Opposite = s.Opposite || part.Action == Accept && o.Effect == Deny || part.Action == Drop && o.Effect == Allow
	}
}
