package firewall

import "slices"

// Reason says which rule makes an outcome uncertain, and why.
type Reason struct {
	Rule string `json:"rule,omitempty"`
	Line int    `json:"line,omitempty"`
	Text string `json:"text"`
}

// Outcome is what becomes of a box of packets.
type Outcome struct {
	Box    Box
	Effect Effect
	// Rule decided; nil where the policy of Chain did, or nothing.
	Rule  *Rule
	Chain *Chain
	// Why are the reasons of an unknown, none otherwise.
	Why []Reason
	// Lost is true of an unknown that says nothing about the rest of the flow
	// either: its packets may be others from there on.
	Lost bool
}

// doubt is a verdict that a packet may have met on its way and may not.
type doubt struct {
	effect Effect // Unknown: either
	why    Reason
	// beyond is true when later chains cannot settle it either: the packet may
	// be another one by then.
	beyond bool
	before *doubt
}

// piece is packets on their way through a chain.
type piece struct {
	box   Box
	doubt *doubt // the newest first, shared between pieces
}

// verdict is the end of a piece's way through one base chain.
type verdict struct {
	piece
	effect Effect
	rule   *Rule
}

// The bounds of one evaluation. What lies beyond is unknown, and said to be so.
const (
	maxSteps    = 4_000_000  // of one question, pieces × boxes of rules: one or two seconds
	allSteps    = 40_000_000 // of all questions to a rule set
	fewestSteps = 4_000      // that a question may take in any case
	maxPieces   = 20_000     // held at one time
	// asksInStep is how many boxes are passed over, most of them by their ports,
	// in the time of a step.
	asksInStep = 16
)

// walker goes through chains with pieces at one moment of their flow.
type walker struct {
	phase Phases
	most  int // steps
	box   Box // what came to the base chain
	done  []verdict
	steps int
	// lost is true when packets went where nobody can follow: they may have
	// come to any rule.
	lost bool
	// visit is told which packets a rule matched, nil for nobody. It ends the
	// walk by returning true.
	visit func(r *Rule, box Box) (enough bool)
	ended bool
	near  map[*Chain][]near // what may match what is on its way
}

// Judge says what becomes of the packets in box at the moment phase on their
// way through chains: a partition of box.
func Judge(chains []*Chain, box Box, phase Phases) []Outcome {
	return new(patience).judge(chains, box, phase)
}

// patience bounds what the questions to one rule set cost together. A question
// that takes all the steps it may have, and is given up, leaves half of them to the
// next one, so that a thousand hopeless ones cost as much as a few. The zero value
// has all of it.
type patience struct{ taken, lost int } // steps, and how often they were too few

func (p *patience) judge(chains []*Chain, box Box, phase Phases) []Outcome {
	w := &walker{phase: phase, most: max(min(maxSteps>>p.lost, allSteps-p.taken), fewestSteps)}
	out := w.through(chains, box)
	if p.taken += w.steps; w.steps > w.most {
		p.lost++
	}
	return out
}

// through passes the pieces from base chain to base chain: what one accepts
// goes on to the next.
func (w *walker) through(chains []*Chain, box Box) []Outcome {
	type passing struct {
		piece
		rule  *Rule
		chain *Chain
	}
	var out []Outcome
	in := []passing{{piece: piece{box: box}}}
	for _, c := range chains {
		var next []passing
		for _, p := range in {
			for _, v := range w.base(c, p.box) {
				effect, why := v.settle(c)
				rule, chain := v.rule, c
				ours := rule != nil && rule.ID == "" // the chain does not see these packets
				idle := rule == nil && p.rule != nil || rule != nil && rule.translates && p.chain != nil
				if effect != Deny && (ours || p.doubt != nil || why == nil && idle) {
					rule, chain = p.rule, p.chain // what is unknown stays so; a policy or a translation says less than a rule
				}
				switch {
				case effect == Deny:
					out = append(out, Outcome{Box: v.box, Effect: Deny, Rule: rule, Chain: chain})
				case why != nil && why.final():
					out = append(out, Outcome{v.box, Unknown, rule, chain, join(p.doubt, why).reasons(), true})
				default:
					next = append(next, passing{piece{v.box, join(p.doubt, why)}, rule, chain})
				}
			}
		}
		in = next
	}
	for _, p := range in {
		o := Outcome{Box: p.box, Effect: Allow, Rule: p.rule, Chain: p.chain}
		if p.doubt != nil {
			o.Effect, o.Why = Unknown, p.doubt.reasons()
		}
		out = append(out, o)
	}
	return out
}

// settle weighs a verdict against the doubts before it: Deny when the packets
// are denied in any case, else Allow, with the doubts that speak against it.
func (v *verdict) settle(c *Chain) (e Effect, why *doubt) {
	allow, deny := v.effect != Deny, v.effect != Allow
	for d := v.doubt; d != nil; d = d.before {
		allow = allow || d.effect != Deny
		deny = deny || d.effect != Allow
		if d.effect != v.effect || d.effect == Unknown {
			why = &doubt{d.effect, d.why, d.beyond, why}
		}
	}
	if deny {
		for _, text := range c.Doubts { // the packets may pass the whole chain by
			allow = true
			why = &doubt{Unknown, Reason{Rule: c.Name, Line: c.PolicyLine, Text: text}, false, why}
		}
	}
	switch {
	case !allow:
		return Deny, nil
	case !deny:
		return Allow, nil
	default:
		return Allow, why
	}
}

// final reports whether one of the doubts is beyond settling.
func (d *doubt) final() bool {
	for ; d != nil; d = d.before {
		if d.beyond {
			return true
		}
	}
	return false
}

// join puts the doubts of a later chain, which settle left in their order,
// behind those of the earlier ones.
func join(before, later *doubt) *doubt {
	for d := later; d != nil; d = d.before {
		before = &doubt{d.effect, d.why, d.beyond, before}
	}
	return before
}

// reasons lists the doubts, the first one that was met first, each once.
func (d *doubt) reasons() []Reason {
	var out []Reason
	for ; d != nil; d = d.before {
		if !slices.Contains(out, d.why) {
			out = append(out, d.why)
		}
	}
	slices.Reverse(out)
	return out
}

// base takes packets through a base chain, its policy included.
func (w *walker) base(c *Chain, box Box) []verdict {
	w.done, w.near = nil, map[*Chain][]near{}
	w.box = box
	for _, p := range w.chain(c, []piece{{box: box}}) {
		w.done = append(w.done, verdict{piece: p, effect: c.Policy})
	}
	return w.done
}

// chain takes pieces through a chain. It returns those that come out at its end
// or by a return; the verdicts go to done.
func (w *walker) chain(c *Chain, in []piece) []piece {
	rules, ok := w.near[c]
	if !ok {
		var asked int
		rules, asked = c.near(w.box)
		w.near[c] = rules
		w.steps += asked / asksInStep
	}
	return w.rules(rules, in)
}

// rules takes pieces through the rules of a chain, or through the rest of them.
func (w *walker) rules(rules []near, in []piece) (out []piece) {
	for i, r := range rules {
		if len(in) == 0 || w.ended {
			break
		}
		if r.Action == Pass || r.Phases&w.phase == 0 {
			continue
		}
		if w.steps += len(in) * max(len(r.boxes), 1); w.steps > w.most || len(in)+len(w.done) > maxPieces {
			w.giveUp(r.Rule, in)
			return out
		}
		var rest []piece
		for _, p := range in {
			left := []Box{p.box}
			for _, box := range r.boxes {
				if m := p.box.Intersect(box); m.Empty() {
					continue
				}
				var after []Box
				for _, l := range left {
					m := l.Intersect(box)
					if m.Empty() {
						after = append(after, l)
						continue
					}
					after = append(after, l.Subtract(box)...)
					stay, leave := w.act(r.Rule, rules[i+1:], piece{m, p.doubt})
					rest, out = append(rest, stay...), append(out, leave...)
				}
				left = after
			}
			for _, l := range left {
				rest = append(rest, piece{l, p.doubt})
			}
		}
		in = rest
	}
	return append(out, in...)
}

// giveUp ends the evaluation of pieces that would take too long.
func (w *walker) giveUp(r *Rule, in []piece) {
	w.lost = true
	for _, p := range in {
		p.doubt = &doubt{Unknown, Reason{r.ID, r.Line, "the rules are too intertwined from here on"}, true, p.doubt}
		w.done = append(w.done, verdict{piece: p, effect: Unknown, rule: r})
	}
}

// act does what a rule says with packets that it matches: stay are those that
// go on with the next rule, the first of rest, leave those that leave the chain.
func (w *walker) act(r *Rule, rest []near, p piece) (stay, leave []piece) {
	if w.visit != nil && w.visit(r, p.box) {
		w.ended = true
	}
	if len(r.Doubts) > 0 && r.Action != Obscure {
		return w.perhaps(r, rest, p)
	}
	switch r.Action {
	case Accept:
		w.done = append(w.done, verdict{p, Allow, r})
	case Drop:
		w.done = append(w.done, verdict{p, Deny, r})
	case Obscure:
		w.lost = true
		for _, text := range r.Doubts {
			p.doubt = &doubt{Unknown, Reason{r.ID, r.Line, text}, true, p.doubt}
		}
		w.done = append(w.done, verdict{p, Unknown, r})
	case Jump:
		return w.chain(r.Target, []piece{p}), nil
	case Goto:
		return nil, w.chain(r.Target, []piece{p})
	case Return:
		return nil, []piece{p}
	case Pass: // the caller passes over these
		return []piece{p}, nil
	}
	return nil, nil
}

// perhaps does what a rule would do, for packets that it may match and may not:
// all of them go on, and remember what they may have met. To leave a chain is to
// not go through the rest of it.
func (w *walker) perhaps(r *Rule, rest []near, p piece) (stay, leave []piece) {
	switch r.Action {
	case Accept:
		return []piece{r.mark(p, Allow)}, nil
	case Drop:
		return []piece{r.mark(p, Deny)}, nil
	case Return:
		back, met := w.maybe(r, p, func(in []piece) []piece { return w.rules(rest, in) })
		return nil, append(back, met...)
	case Jump:
		back, met := w.maybe(r, p, func(in []piece) []piece { return w.chain(r.Target, in) })
		return append(back, met...), nil
	case Goto:
		back, met := w.maybe(r, p, func(in []piece) []piece { return w.chain(r.Target, in) })
		for _, p := range back { // they have left this chain, or not
			more, decided := w.maybe(r, p, func(in []piece) []piece { return w.rules(rest, in) })
			leave = append(append(leave, more...), decided...)
		}
		return met, leave
	default: // the others decide nothing
		return []piece{p}, nil
	}
}

// maybe lets a piece go a way that it may go and may not: back are its parts
// that come out at the end, met those that remember a verdict.
func (w *walker) maybe(r *Rule, p piece, way func([]piece) []piece) (back, met []piece) {
	outer := w.done
	w.done = nil
	back = way([]piece{p})
	w.steps += len(w.done)
	for _, v := range w.done {
		met = append(met, r.mark(v.piece, v.effect))
	}
	w.done = outer
	return back, met
}

// mark lets a piece remember a verdict that the rule may have led to.
func (r *Rule) mark(p piece, e Effect) piece {
	for _, text := range r.Doubts {
		p.doubt = &doubt{e, Reason{r.ID, r.Line, text}, false, p.doubt}
	}
	return p
}
