package firewall

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"go4.org/netipx"
)

// point is a place on a line on which sets are made: an address, a port.
type point[T any] interface {
	comparable
	Compare(T) int
	Next() T
	Prev() T
}

// Span is all points from First to Last, both included, of one address family.
type Span[T point[T]] struct{ First, Last T }

// Set is a set of points: disjoint spans in ascending order that do not touch.
// The zero value is the empty set. A Set is never changed, so that sets may
// share their spans.
type Set[T point[T]] struct{ spans []Span[T] }

// Addrs is a set of addresses of both families, without zones.
type Addrs = Set[netip.Addr]

// Ports is a set of port numbers.
type Ports = Set[Port]

// Port is a port number on the line of ports.
type Port int32

// Compare orders port numbers.
func (p Port) Compare(q Port) int { return int(p - q) }

// Next returns the following number.
func (p Port) Next() Port { return p + 1 }

// Prev returns the number before.
func (p Port) Prev() Port { return p - 1 }

// NewSet returns the union of spans. Those that end before they begin are
// empty.
func NewSet[T point[T]](spans ...Span[T]) Set[T] {
	all := make([]Span[T], 0, len(spans))
	for _, s := range spans {
		if s.First.Compare(s.Last) <= 0 {
			all = append(all, s)
		}
	}
	slices.SortFunc(all, func(a, b Span[T]) int { return a.First.Compare(b.First) })
	return Set[T]{merge(all)}
}

// merge joins the spans that touch; they are sorted by their first point.
func merge[T point[T]](all []Span[T]) []Span[T] {
	out := all[:0]
	for _, s := range all {
		if n := len(out) - 1; n >= 0 && (s.First.Compare(out[n].Last) <= 0 || out[n].Last.Next() == s.First) {
			if s.Last.Compare(out[n].Last) > 0 {
				out[n].Last = s.Last
			}
			continue
		}
		out = append(out, s)
	}
	return out
}

// Empty reports whether no point is in the set.
func (s Set[T]) Empty() bool { return len(s.spans) == 0 }

// Spans returns the spans. They must not be changed.
func (s Set[T]) Spans() []Span[T] { return s.spans }

// Contains reports whether p is in the set.
func (s Set[T]) Contains(p T) bool {
	_, ok := slices.BinarySearchFunc(s.spans, p, func(s Span[T], p T) int {
		switch {
		case s.Last.Compare(p) < 0:
			return -1
		case s.First.Compare(p) > 0:
			return 1
		default:
			return 0
		}
	})
	return ok
}

// Equal reports whether both hold the same points.
func (s Set[T]) Equal(o Set[T]) bool { return slices.Equal(s.spans, o.spans) }

// Union returns the points of either.
func (s Set[T]) Union(o Set[T]) Set[T] {
	switch {
	case s.Empty():
		return o
	case o.Empty():
		return s
	}
	return NewSet(slices.Concat(s.spans, o.spans)...)
}

// Intersect returns the points of both.
func (s Set[T]) Intersect(o Set[T]) Set[T] {
	if len(s.spans) == 1 && len(o.spans) == 1 && s.spans[0] == o.spans[0] {
		return s
	}
	var out []Span[T]
	for i, j := 0, 0; i < len(s.spans) && j < len(o.spans); {
		a, b := s.spans[i], o.spans[j]
		first, last := a.First, a.Last
		if b.First.Compare(first) > 0 {
			first = b.First
		}
		if b.Last.Compare(last) < 0 {
			last = b.Last
		}
		if first.Compare(last) <= 0 {
			out = append(out, Span[T]{first, last})
		}
		if a.Last.Compare(b.Last) < 0 {
			i++
		} else {
			j++
		}
	}
	return Set[T]{out}
}

// Subtract returns the points of s that are not in o.
func (s Set[T]) Subtract(o Set[T]) Set[T] {
	var out []Span[T]
	j := 0
	for _, a := range s.spans {
		for j < len(o.spans) && o.spans[j].Last.Compare(a.First) < 0 {
			j++
		}
		rest, left := a, true
		for k := j; left && k < len(o.spans) && o.spans[k].First.Compare(rest.Last) <= 0; k++ {
			b := o.spans[k]
			if b.First.Compare(rest.First) > 0 {
				out = append(out, Span[T]{rest.First, b.First.Prev()})
			}
			if left = b.Last.Compare(rest.Last) < 0; left {
				rest.First = b.Last.Next()
			}
		}
		if left {
			out = append(out, rest)
		}
	}
	return Set[T]{out}
}

// Covers reports whether every point of o is in s.
func (s Set[T]) Covers(o Set[T]) bool { return o.Subtract(s).Empty() }

// AnyIPv4 returns all addresses of IPv4.
func AnyIPv4() Addrs { return prefixSet(netip.MustParsePrefix("0.0.0.0/0")) }

// AnyIPv6 returns all addresses of IPv6.
func AnyIPv6() Addrs { return prefixSet(netip.MustParsePrefix("::/0")) }

// AnyAddr returns all addresses of both families.
func AnyAddr() Addrs { return AnyIPv4().Union(AnyIPv6()) }

// AnyPort returns the ports 0 to 65535.
func AnyPort() Ports { return NewSet(Span[Port]{0, 65535}) }

// onePort returns the set of one port.
func onePort(n uint16) Ports { return NewSet(Span[Port]{Port(n), Port(n)}) }

// oneAddr returns the set of one address.
func oneAddr(a netip.Addr) Addrs { return NewSet(Span[netip.Addr]{a, a}) }

// prefixSet returns the addresses of prefixes.
func prefixSet(prefixes ...netip.Prefix) Addrs {
	spans := make([]Span[netip.Addr], len(prefixes))
	for i, p := range prefixes {
		r := netipx.RangeOfPrefix(p)
		spans[i] = Span[netip.Addr]{r.From(), r.To()}
	}
	return NewSet(spans...)
}

// AddrWords returns the set as people and rules write it: each span as one
// network or, where it is none, as FIRST-LAST; "any" for everything.
func AddrWords(s Addrs) []string {
	if s.Covers(AnyAddr()) {
		return []string{"any"}
	}
	words := []string{}
	for _, span := range s.spans {
		words = append(words, spanWord(span))
	}
	return words
}

func spanWord(s Span[netip.Addr]) string {
	if s.First == s.Last {
		return s.First.String()
	}
	r := netipx.IPRangeFrom(s.First, s.Last)
	if p, ok := r.Prefix(); ok {
		return p.String()
	}
	return s.First.String() + "-" + s.Last.String()
}

// Prefixes returns the fewest networks that are exactly the set.
func Prefixes(s Addrs) []netip.Prefix {
	var out []netip.Prefix
	for _, span := range s.spans {
		out = netipx.IPRangeFrom(span.First, span.Last).AppendPrefixes(out)
	}
	return out
}

// PortWords returns the set as "80,1947,5000-5100", "any" for everything.
func PortWords(s Ports) string {
	if s.Covers(AnyPort()) {
		return "any"
	}
	words := make([]string, len(s.spans))
	for i, span := range s.spans {
		words[i] = strconv.Itoa(int(span.First))
		if span.First != span.Last {
			words[i] += "-" + strconv.Itoa(int(span.Last))
		}
	}
	return strings.Join(words, ",")
}

// ParseAddrs reads an address, a network, a range FIRST-LAST, "any", or several
// of them with commas between. A network may have host bits set, as rules do.
func ParseAddrs(s string) (Addrs, bool) {
	var out Addrs
	for word := range strings.SplitSeq(s, ",") {
		one, ok := parseAddrWord(strings.TrimSpace(word))
		if !ok {
			return Addrs{}, false
		}
		out = out.Union(one)
	}
	return out, true
}

func parseAddrWord(s string) (Addrs, bool) {
	if s == "any" {
		return AnyAddr(), true
	}
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		return oneAddr(a.Unmap()), true
	}
	if p, err := netip.ParsePrefix(s); err == nil && !p.Addr().Is4In6() {
		return prefixSet(p), true
	}
	first, last, ok := strings.Cut(s, "-")
	a, err1 := netip.ParseAddr(strings.TrimSpace(first))
	b, err2 := netip.ParseAddr(strings.TrimSpace(last))
	if !ok || err1 != nil || err2 != nil || a.BitLen() != b.BitLen() || a.Is4In6() || b.Is4In6() || a.Compare(b) > 0 || a.Zone() != "" || b.Zone() != "" {
		return Addrs{}, false
	}
	return NewSet(Span[netip.Addr]{a, b}), true
}

// parsePorts reads a port, a range with sep between its ends, "any", or several
// of them with commas between.
func parsePorts(s, sep string) (Ports, bool) {
	var out Ports
	for word := range strings.SplitSeq(s, ",") {
		word = strings.TrimSpace(word)
		if word == "any" {
			return AnyPort(), true
		}
		first, last, ranged := strings.Cut(word, sep)
		if !ranged {
			last = first
		}
		a, err1 := strconv.ParseUint(first, 10, 16)
		b, err2 := strconv.ParseUint(last, 10, 16)
		if err1 != nil || err2 != nil || a > b {
			return Ports{}, false
		}
		out = out.Union(NewSet(Span[Port]{Port(a), Port(b)}))
	}
	return out, true
}
