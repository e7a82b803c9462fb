package fingerprint

import (
	"slices"
	"time"
)

// suspicion is what speaks for possible_c2: C, K and the best family.
type suspicion struct {
	family string
	points int  // C: the best of each kind, summed, weak kinds capped
	kinds  int  // K: the kinds with a sign of medium strength or more
	single hit  // the best specific sign that was seen again
	again  bool // single is set
}

// possibleC2 needs one specific sign that was seen twice, or two kinds that
// agree; a clean canary; and no better innocent name. It is never reached by
// any number of weak hints, and a person must look in any case.
func (c *weighing) possibleC2() (Verdict, bool) {
	var best suspicion
	for _, family := range c.families() {
		if s := c.suspect(family); s.points > best.points {
			best = s
		}
	}
	benign := c.believable()
	alone := best.again && benign < strongBenign
	together := best.kinds >= 2 && best.points >= specific && benign < namedService
	if !alone && !together {
		c.excuse(benign)
		return Verdict{}, false
	}
	if c.ev.Host.CanariesAsked < 2 || c.ev.Host.AnswersEverywhere() {
		c.loseC2("the canary ports of the host were not asked: it may answer everywhere")
		return Verdict{}, false
	}
	h, _ := c.strongest(best.family)
	if alone {
		h = best.single
	}
	confidence := 45 // two kinds, one of them only medium: low
	switch {
	case c.specificKinds(best.family) >= 2:
		confidence = 85
	case alone && best.kinds >= 2:
		confidence = 75
	case alone:
		confidence = 60
	}
	return c.verdict(h.sign, confidence), true
}

// believable is B as it stands against an indicator. A Server header is what
// the operator says, and listeners of this kind say nginx or Apache: alone it
// is never worth more than a generic header. A runtime is no name at all:
// listeners are written in Go, Python and Node.js like everything else.
func (c *weighing) believable() int {
	const claim, runtime = 75, namedService - 1
	best := 0
	for _, h := range c.hits {
		points := h.sign.Points
		if h.sign.Class == PossibleC2 {
			continue
		}
		if h.sign.Kind == KindHTTPHeader && h.sign.Class != LicenseManager {
			points = min(points, claim)
		}
		if h.sign.Reason == "runtime" {
			points = min(points, runtime)
		}
		best = max(best, points)
	}
	return best
}

// families lists the families that any sign names, in the order of strength.
func (c *weighing) families() []string {
	var list []string
	for _, h := range c.hits {
		if h.sign.Class == PossibleC2 && !slices.Contains(list, h.sign.Family) {
			list = append(list, h.sign.Family)
		}
	}
	return list
}

// suspect weighs the signs of one family. A TLS stack is shared by too many
// innocent programs: it is worth more only beside another kind.
func (c *weighing) suspect(family string) suspicion {
	s := suspicion{family: family}
	best := map[Kind]int{}
	for _, h := range c.hits {
		if h.sign.Class != PossibleC2 || h.sign.Family != family {
			continue
		}
		best[h.sign.Kind] = max(best[h.sign.Kind], h.sign.Points)
		if h.sign.Points >= specific && h.sign.Kind != KindTLSStack && c.repeated(h) && !s.again {
			s.single, s.again = h, true
		}
	}
	if len(best) > 1 && best[KindTLSStack] > 0 {
		best[KindTLSStack] = jarmAgrees
	}
	weak := 0
	for kind, points := range best {
		if points < medium || kind == KindTLSStack {
			weak += min(points, weakTogether)
			continue
		}
		s.points += points
		s.kinds++
	}
	s.points += min(weak, weakTogether)
	return s
}

// apart is how far two sightings must lie apart to be two: longer than one
// dialogue may wait for answers. The dialogue asks again after a minute.
const apart = 30 * time.Second

// repeated reports whether the sign was seen again: by the same probe, on
// another connection, later.
func (c *weighing) repeated(h hit) bool {
	for n, i := range h.exchanges {
		for _, j := range h.exchanges[n+1:] {
			a, b := c.ev.Exchanges[i], c.ev.Exchanges[j]
			if a.Probe == b.Probe && a.Conn != b.Conn && b.At-a.At >= apart {
				return true
			}
		}
	}
	return false
}

func (c *weighing) strongest(family string) (hit, bool) {
	for _, h := range c.hits {
		if h.sign.Class == PossibleC2 && h.sign.Family == family {
			return h, true
		}
	}
	return hit{}, false
}

func (c *weighing) specificKinds(family string) int {
	seen := map[Kind]bool{}
	for _, h := range c.hits {
		if h.sign.Class == PossibleC2 && h.sign.Family == family && h.sign.Points >= specific && h.sign.Kind != KindTLSStack {
			seen[h.sign.Kind] = true
		}
	}
	return len(seen)
}

// excuse says of each indicator why it did not decide.
func (c *weighing) excuse(benign int) {
	for _, h := range c.hits {
		if h.sign.Class != PossibleC2 {
			continue
		}
		switch {
		case h.sign.Points < medium:
			c.lost[h.rule.ID] = "weak: many innocent programs show it"
		case benign >= namedService:
			c.lost[h.rule.ID] = "something else is named better"
		case h.sign.Points >= specific && !c.repeated(h):
			c.lost[h.rule.ID] = "seen only once"
		default:
			c.lost[h.rule.ID] = "no second kind of evidence agrees"
		}
	}
}

func (c *weighing) loseC2(why string) {
	for _, h := range c.hits {
		if h.sign.Class == PossibleC2 {
			c.lost[h.rule.ID] = why
		}
	}
}

// Indicator returns the exchange of ev that must be made again, a minute later
// or more, because it showed a sign of command and control that could decide:
// without the repetition possible_c2 is not said. nil when there is none.
func (r *Rules) Indicator(ev Evidence) *Exchange {
	for _, h := range r.hits(ev, nil) {
		if h.sign.Class == PossibleC2 && h.sign.Points >= medium && h.sign.Kind != KindTLSStack {
			return &ev.Exchanges[h.exchanges[0]]
		}
	}
	return nil
}
