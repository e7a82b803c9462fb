package server

import (
	"math/bits"
	"net/netip"

	"go4.org/netipx"
)

// cut divides prefixes, which must be disjoint and sorted, into parts of at most
// size addresses each: several small prefixes together, a big one in pieces. A
// piece is a subnet of at most 256 addresses where size allows it.
func cut(prefixes []netip.Prefix, size uint64) [][]netip.Prefix {
	piece := min(powerOfTwo(max(size, 1)), 256)
	var parts [][]netip.Prefix
	var part netipx.IPSetBuilder
	held := uint64(0)
	flush := func() {
		if held == 0 {
			return
		}
		set, err := part.IPSet()
		if err != nil {
			return // cannot be: prefixes are valid
		}
		parts, part, held = append(parts, set.Prefixes()), netipx.IPSetBuilder{}, 0
	}
	for _, p := range prefixes {
		length := max(p.Bits(), p.Addr().BitLen()-bits.Len64(piece)+1)
		n := uint64(1) << (p.Addr().BitLen() - length)
		for addr := p.Masked().Addr(); addr.IsValid() && p.Contains(addr); {
			if held+n > size {
				flush()
			}
			sub := netip.PrefixFrom(addr, length)
			part.AddPrefix(sub)
			held += n
			addr = netipx.PrefixLastIP(sub).Next()
		}
	}
	flush()
	return parts
}

// powerOfTwo is the largest one that is not above n, which is at least 1.
func powerOfTwo(n uint64) uint64 { return 1 << (bits.Len64(n) - 1) }
