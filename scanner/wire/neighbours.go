package wire

import (
	"encoding/binary"
	"net/netip"
)

// neighbours is a table of link-layer addresses: open addressing, at most half
// full, immutable once built. A look-up costs less than one in a map, and needs
// no lock.
type neighbours struct {
	slots []neighbourSlot // a power of two
	most  uint64          // addresses that share the most frequent MAC, when more than one
	mac   [6]byte         // that one
	count uint64          // addresses
}

type neighbourSlot struct {
	addr netip.Addr // zero: free
	mac  []byte     // 6 bytes; shared with observations, never written to
}

// newNeighbours builds the table of all in known.
func newNeighbours(known map[netip.Addr][6]byte) *neighbours {
	size := 16
	for size < 2*len(known) {
		size *= 2
	}
	t := &neighbours{slots: make([]neighbourSlot, size), count: uint64(len(known))}
	frequency := make(map[[6]byte]uint64)
	for addr, mac := range known {
		*t.slot(addr) = neighbourSlot{addr, mac[:]}
		if frequency[mac]++; frequency[mac] > max(t.most, 1) {
			t.most, t.mac = frequency[mac], mac
		}
	}
	return t
}

// of returns the link-layer address of a neighbour, nil when it is not known.
func (t *neighbours) of(addr netip.Addr) []byte { return t.slot(addr).mac }

// slot returns where addr stands or would stand.
func (t *neighbours) slot(addr netip.Addr) *neighbourSlot {
	b := addr.As16()
	h := binary.LittleEndian.Uint64(b[8:])*0x9e3779b97f4a7c15 ^ binary.LittleEndian.Uint64(b[:8])*0xc2b2ae3d27d4eb4f
	h ^= h >> 29
	for i := h; ; i++ {
		s := &t.slots[i&uint64(len(t.slots)-1)]
		if s.addr == addr || !s.addr.IsValid() {
			return s
		}
	}
}

// all returns what the table was built of.
func (t *neighbours) all() map[netip.Addr][6]byte {
	known := make(map[netip.Addr][6]byte)
	for _, s := range t.slots {
		if s.addr.IsValid() {
			known[s.addr] = [6]byte(s.mac)
		}
	}
	return known
}
