package scanner

import "math"

// Estimate is what two independent passes over the same targets say of the open
// ports that neither of them saw.
type Estimate struct {
	// First and Second count the open ports of each pass, Both those of both.
	First  uint64 `json:"first"`
	Second uint64 `json:"second"`
	Both   uint64 `json:"both"`
	// Missed is the expected number of open ports that no pass saw; with a chance
	// of 95 % there are at least Low and at most High of them. With few open ports
	// it is less: of ten of which each pass misses a fifth, the truth lies between
	// them in 80 cases of a hundred (TestChapmanCovers).
	Missed float64 `json:"missed"`
	Low    float64 `json:"missed_low"`
	High   float64 `json:"missed_high"`
	// MissRate is the share of all open ports that one pass misses, as the second
	// pass shows it of the first: 0 to 1.
	MissRate float64 `json:"miss_rate"`
}

// z95 is how many standard deviations hold 95 % of a normal distribution.
const z95 = 1.959964

// Chapman estimates from two passes (capture and recapture; D. G. Chapman, 1951,
// with the variance of G. A. F. Seber, 1970). It takes every open port to be as
// easy to miss as any other: one that never answers is not in it. Both is at
// most First and Second.
func Chapman(first, second, both uint64) Estimate {
	n1, n2, m := float64(first), float64(second), float64(both)
	seen := n1 + n2 - m
	all := (n1+1)*(n2+1)/(m+1) - 1
	spread := z95 * math.Sqrt((n1+1)*(n2+1)*(n1-m)*(n2-m)/((m+1)*(m+1)*(m+2)))
	e := Estimate{First: first, Second: second, Both: both,
		Missed: max(0, all-seen), Low: max(0, all-spread-seen), High: max(0, all+spread-seen)}
	if second > 0 {
		e.MissRate = (n2 - m) / n2
	}
	return e
}

// Outcome returns the final state of a target after Run, also for silent ones,
// and false for one that the run did not cover.
func (e *Engine) Outcome(t Target) (State, bool) {
	r := e.current.Load()
	if r == nil {
		return 0, false
	}
	j, ok := r.plan.Index(t)
	if !ok || !r.inShard(j) {
		return 0, false
	}
	state := State(r.states.get(j))
	if !answers(state) {
		state, _ = r.silence(j, state, r.skip != nil && r.skip.get(r.addr(j)))
	}
	return state, true
}

// Recount moves one target of the summary from a state to Open.
func (s *Summary) Recount(from State) {
	*s.count(from)--
	s.Open++
}
