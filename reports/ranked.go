package reports

import "slices"

// ranked holds a bounded number of values: those of breaches of the policy
// before all others, each in the order in which they came. What does not fit is
// counted; a breach never goes before another finding does.
type ranked[T any] struct {
	limit       int
	first, rest []T
	more        uint64
}

// add takes the value, and that of another finding leaves for a breach.
func (r *ranked[T]) add(v T, breach bool) {
	switch full := len(r.first)+len(r.rest) >= r.limit; {
	case full && (!breach || len(r.rest) == 0):
		r.more++
		return
	case full:
		r.more++
		r.rest = r.rest[:len(r.rest)-1]
	}
	if breach {
		r.first = append(r.first, v)
	} else {
		r.rest = append(r.rest, v)
	}
}

// all returns the values, the breaches first.
func (r *ranked[T]) all() []T { return slices.Concat(r.first, r.rest) }
