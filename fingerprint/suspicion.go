package fingerprint

import (
	"slices"
	"time"
)

// suspicion is what speaks for one family of possible_c2.
type suspicion struct {
	points   int  // C: the best of each kind, summed, weak kinds capped
	kinds    int  // K: the kinds with a sign of medium strength or more
	specific int  // those with a specific one; a TLS stack is none
	best     hit  // the strongest sign; where again is set, of those that were seen again
	again    bool // a specific sign was
}

// possibleC2 needs one specific sign that was seen twice, or two kinds that
// agree; a clean canary; and no better innocent name. It is never reached by
// any number of weak hints, and a person must look in any case.
func (c *weighing) possibleC2() (Verdict, bool) {
	var best suspicion // what was seen again counts more than what was not
	for _, family := range c.families() {
		s := c.suspect(family)
		if s.again && !best.again || s.again == best.again && s.points > best.points {
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
	confidence := 45 // two kinds, one of them only medium: low
	switch {
	case best.specific >= 2:
		confidence = 85
	case alone && best.kinds >= 2:
		confidence = 75
	case alone:
		confidence = 60
	}
	return c.verdict(best.best.sign, confidence), true
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
	var s suspicion
	best := map[Kind]int{}
	for _, h := range c.hits {
		if h.sign.Class != PossibleC2 || h.sign.Family != family {
			continue
		}
		best[h.sign.Kind] = max(best[h.sign.Kind], h.sign.Points)
		if s.best.rule == nil {
			s.best = h
		}
		if h.sign.Points >= specific && h.sign.Kind != KindTLSStack && c.repeated(h) && !s.again {
			s.best, s.again = h, true
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
		if points >= specific {
			s.specific++
		}
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

// indicator returns the exchange of ev that must be made again, a minute later
// or more, because it showed a sign of command and control that could decide:
// without the repetition possible_c2 is not said. nil when there is none.
func (r *Rules) indicator(ev Evidence) *Exchange {
	for _, h := range r.hits(ev, nil) {
		if h.sign.Class == PossibleC2 && h.sign.Points >= medium && h.sign.Kind != KindTLSStack {
			return &ev.Exchanges[h.exchanges[0]]
		}
	}
	return nil
}
