package scanner

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"go4.org/netipx"
)

// Spared is a set of addresses that are swept like others and spared something
// else, such as a dialogue. It is not changed after ParseSpared and safe for any
// number of goroutines.
type Spared struct {
	set   *netipx.IPSet
	zoned []netip.Addr
}

// ParseSpared reads lists of addresses in every form that a target can have.
// kind names one entry in messages, "fragile host". A list may be empty. The
// first fault is returned with its list, line and value: what cannot be
// understood cannot be spared.
func ParseSpared(ctx context.Context, kind string, lists []List, lookup func(ctx context.Context, name string) ([]netip.Addr, error)) (*Spared, error) {
	p := rangeParser{lookup: lookup, names: map[netip.Addr][]string{}, kind: kind}
	if err := p.read(ctx, nil, lists); err != nil {
		return nil, err
	}
	set, err := p.taken.set.IPSet()
	if err != nil {
		return nil, fmt.Errorf("scanner: %ss: %w", kind, err)
	}
	return &Spared{set: set, zoned: p.taken.zoned}, nil
}

// Contains reports whether addr is in the set. An entry without a zone is meant
// for all zones.
func (s *Spared) Contains(addr netip.Addr) bool {
	addr = addr.Unmap()
	return s.set.Contains(addr.WithZone("")) || slices.Contains(s.zoned, addr)
}

// Prefixes returns the set as disjoint prefixes, sorted, without its addresses
// that have a zone. The caller owns the slice.
func (s *Spared) Prefixes() []netip.Prefix { return s.set.Prefixes() }
