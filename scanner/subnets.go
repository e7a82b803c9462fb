package scanner

import (
	"math"
	"math/bits"
	"net/netip"
	"slices"
)

// Subnet is what was covered of one /24, or /120 in IPv6.
type Subnet struct {
	Prefix  netip.Prefix `json:"subnet"` // without zone
	Targets uint64       `json:"targets"`
	// Probed counts the targets that got a probe, Answered those that answered,
	// also with an ICMP error, Open those of them that are open.
	Probed      uint64 `json:"probed"`
	Answered    uint64 `json:"answered"`
	Open        uint64 `json:"open"`
	Unreachable uint64 `json:"unreachable"`
	LocalErrors uint64 `json:"local_errors"`
	// Excluded counts targets that were asked for and excluded, and
	// ExcludedAddresses their addresses, of the whole plan also in a shard of it.
	// See Summary.Exclude.
	Excluded          uint64 `json:"excluded,omitempty"`
	ExcludedAddresses uint64 `json:"excluded_addresses,omitempty"`
	// EstLoss is Loss.Rate of this subnet alone, nil when nothing can be said.
	EstLoss *float64 `json:"est_loss,omitempty"`
}

// subnetBits is how many bits of an address count within its subnet.
const subnetBits = 8

// subnetOf returns the subnet of an address, and false for the zero Addr.
func subnetOf(addr netip.Addr) (netip.Prefix, bool) {
	prefix, err := addr.WithZone("").Prefix(max(0, addr.BitLen()-subnetBits))
	return prefix, err == nil && prefix.IsValid()
}

// cover adds a target with its final state, 0 for none, to the subnet of addr. Targets come sorted.
func (s *Summary) cover(addr netip.Addr, state State, probed, answered bool) {
	prefix, ok := subnetOf(addr)
	if !ok {
		return
	}
	if n := len(s.Subnets); n == 0 || s.Subnets[n-1].Prefix != prefix {
		s.Subnets = append(s.Subnets, Subnet{Prefix: prefix})
	}
	sub := &s.Subnets[len(s.Subnets)-1]
	sub.Targets++
	if probed {
		sub.Probed++
	}
	if answered {
		sub.Answered++
	}
	switch state {
	case Open:
		sub.Open++
	case Unreachable:
		sub.Unreachable++
	case Unknown:
		sub.LocalErrors++
	case Closed, Filtered, OpenFiltered: // measured
	}
}

// Exclude adds to the subnets what was excluded of the targets, with so many
// ports each: the engine does not know it. What is excluded as a whole gets a
// subnet without targets, which can be a shorter prefix. The prefixes do not
// overlap each other and the plan.
func (s *Summary) Exclude(prefixes []netip.Prefix, ports int) {
	at := map[netip.Prefix]int{}
	for i, sub := range s.Subnets {
		at[sub.Prefix] = i
	}
	for _, p := range prefixes {
		subnet := p
		if p.Bits() > p.Addr().BitLen()-subnetBits {
			subnet, _ = subnetOf(p.Addr())
		}
		i, ok := at[subnet]
		if !ok {
			i = len(s.Subnets)
			at[subnet] = i
			s.Subnets = append(s.Subnets, Subnet{Prefix: subnet})
		}
		sub := &s.Subnets[i]
		sub.ExcludedAddresses += size(p)
		if high, low := bits.Mul64(size(p), uint64(ports)); high > 0 {
			sub.Excluded = math.MaxUint64
		} else {
			sub.Excluded += low
		}
	}
	slices.SortStableFunc(s.Subnets, func(a, b Subnet) int { return a.Prefix.Compare(b.Prefix) })
}
