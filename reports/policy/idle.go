package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// Idle is a rule or a waiver that has no effect. Line is where it stands.
type Idle struct {
	Line int
	Why  string // in words
}

// Idle returns the rules that stand behind one that takes everything they match,
// and the waivers that are over at that moment, in the order of the file. None of
// them is a fault; each may be a mistake.
func (p *Policy) Idle(now time.Time) (idle []Idle) {
	for i, r := range p.Rules {
		if k := slices.IndexFunc(p.Rules[:i], func(before Rule) bool { return before.Match.covers(&r.Match) }); k >= 0 {
			why := fmt.Sprintf("%s never decides: %s comes first and matches all that it does", r.title(), p.Rules[k].title())
			idle = append(idle, Idle{r.Line, why})
		}
	}
	for _, w := range p.Waivers {
		if !now.Before(w.Expires) {
			why := fmt.Sprintf("the waiver of %s ended %s: it tolerates nothing any more", w.Owner, w.lastDay())
			idle = append(idle, Idle{w.Line, why})
		}
	}
	return idle
}

// lastDay is the last one on which the waiver holds.
func (w *Waiver) lastDay() string { return w.Expires.AddDate(0, 0, -1).Format(time.DateOnly) }

// covers reports whether m matches everything that other matches, as far as their
// words tell: of two patterns only that they are the same.
func (m *Match) covers(other *Match) bool {
	return all(m.Addresses, other.Addresses, func(a, b netip.Prefix) bool { return a.Bits() <= b.Bits() && a.Contains(b.Addr()) }) &&
		all(m.Ports, other.Ports, same) && all(m.Verdicts, other.Verdicts, same) &&
		all(m.Products, other.Products, same) && all(m.Vantages, other.Vantages, same)
}

// all reports whether each of narrow is covered by one of wide; an empty list is
// everything.
func all[T any](wide, narrow []T, covers func(wide, narrow T) bool) bool {
	if len(wide) == 0 || len(narrow) == 0 {
		return len(wide) == 0
	}
	return !slices.ContainsFunc(narrow, func(n T) bool {
		return !slices.ContainsFunc(wide, func(w T) bool { return covers(w, n) })
	})
}

func same[T comparable](a, b T) bool { return a == b }
