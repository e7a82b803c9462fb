package firewall

import (
	"net/netip"
	"slices"
)

// index finds the rules of a long chain that concern some packets without
// asking every rule: by their source or by their destination, whichever leaves
// fewer. It only leaves out rules that match none of the packets, so what comes
// out of the chain is the same.
type index struct{ src, dst side }

// side is the line of addresses, cut where a rule begins or ends.
type side struct {
	starts []netip.Addr // of the segments; the first begins with the least address
	rules  [][]int32    // by segment, ascending: those that hold all of it
	wide   []int32      // those that hold more than maxSegments: always asked
}

const (
	minIndexed  = 32  // rules; a shorter chain is asked as it is
	maxSegments = 64  // of one rule, or of one question
	maxEntries  = 1e7 // of one index: 40 MB
)

// newIndex returns the index of a chain, nil for a short one.
func newIndex(rules []*Rule) *index {
	if len(rules) < minIndexed {
		return nil
	}
	return &index{
		src: newSide(rules, func(b Box) Addrs { return b.Src }),
		dst: newSide(rules, func(b Box) Addrs { return b.Dst }),
	}
}

func newSide(rules []*Rule, of func(Box) Addrs) (s side) {
	s.starts = append(s.starts, netip.Addr{}) // less than every address
	for _, r := range rules {
		if len(r.Boxes) > maxSegments {
			continue
		}
		for _, b := range r.Boxes {
			for _, span := range of(b).spans {
				s.starts = append(s.starts, span.First)
				if next := span.Last.Next(); next.IsValid() {
					s.starts = append(s.starts, next)
				} else if span.Last.Is4() { // behind the last IPv4 address comes the first of IPv6
					s.starts = append(s.starts, netip.IPv6Unspecified())
				}
			}
		}
	}
	slices.SortFunc(s.starts, netip.Addr.Compare)
	s.starts = slices.Compact(s.starts)
	s.rules = make([][]int32, len(s.starts))
	entries := 0
	for i, r := range rules {
		at, ok := []int{}, len(r.Boxes) <= maxSegments && entries < maxEntries
		for _, b := range r.Boxes {
			if ok {
				at, ok = s.segments(at, of(b))
			}
		}
		if !ok {
			s.wide = append(s.wide, int32(i))
			continue
		}
		slices.Sort(at)
		for _, k := range slices.Compact(at) {
			s.rules[k] = append(s.rules[k], int32(i))
			entries++
		}
	}
	return s
}

// segments appends the segments that hold some of the addresses, and reports
// false when they are too many.
func (s *side) segments(at []int, addrs Addrs) ([]int, bool) {
	for _, span := range addrs.spans {
		lo, hi := s.segment(span.First), s.segment(span.Last)
		if len(at)+hi-lo+1 > maxSegments {
			return at, false
		}
		for k := lo; k <= hi; k++ {
			at = append(at, k)
		}
	}
	return at, true
}

// segment returns the one that holds an address.
func (s *side) segment(a netip.Addr) int {
	k, exact := slices.BinarySearchFunc(s.starts, a, netip.Addr.Compare)
	if exact {
		return k
	}
	return k - 1 // the first start is less than every address
}

// near returns the rules that may hold some of the addresses, and false when
// all of them may.
func (s *side) near(addrs Addrs) (rules []int32, ok bool) {
	at, ok := s.segments(nil, addrs)
	if !ok {
		return nil, false
	}
	rules = slices.Clone(s.wide)
	for _, k := range at {
		rules = append(rules, s.rules[k]...)
	}
	slices.Sort(rules)
	return slices.Compact(rules), true
}

// near is a rule with those of its boxes that hold some packets.
type near struct {
	*Rule
	boxes []Box
}

// maxOffHand is how many boxes of a rule are asked without an index.
const maxOffHand = 64

// split makes the index of the boxes of a rule with many of them, as that of a
// chain with a rule for each.
func (r *Rule) split() {
	if len(r.Boxes) <= maxOffHand || r.parts != nil {
		return
	}
	one := make([]Rule, len(r.Boxes))
	r.parts = &Chain{Rules: make([]*Rule, len(r.Boxes))}
	for i := range r.Boxes {
		one[i].Boxes = r.Boxes[i : i+1]
		r.parts.Rules[i] = &one[i]
	}
	r.parts.index = newIndex(r.parts.Rules)
}

// near returns the rules of a chain that may match some of the packets in box,
// in their order, and how many boxes it asked for that.
func (c *Chain) near(box Box) (out []near, asked int) {
	for _, r := range c.concerned(box) {
		boxes := r.Boxes
		if r.parts != nil {
			some := r.parts.concerned(box)
			asked += len(some)
			boxes = nil
			for _, part := range some {
				if b := part.Boxes[0]; !b.Intersect(box).Empty() {
					boxes = append(boxes, b)
				}
			}
		}
		out = append(out, near{r, boxes})
	}
	return out, asked
}

// concerned asks the index.
func (c *Chain) concerned(box Box) []*Rule {
	if c.index == nil {
		return c.Rules
	}
	best, ok := c.index.dst.near(box.Dst)
	if some, narrow := c.index.src.near(box.Src); narrow && (!ok || len(some) < len(best)) {
		best, ok = some, true
	}
	if !ok {
		return c.Rules
	}
	out := make([]*Rule, len(best))
	for i, k := range best {
		out[i] = c.Rules[k]
	}
	return out
}
