package history

import (
	"net/netip"

	"dormant/registry"
	"dormant/scanner"
)

// targetSet is a set of targets. One block holds the 256 addresses that differ
// in the last byte, so that a network that answers costs a bit a target, and a
// lone address some hundred bytes.
type targetSet map[block][4]uint64

type block struct {
	addr netip.Addr // with a last byte of zero
	port registry.Port
}

// place returns where the set keeps a target.
func place(t scanner.Target) (b block, word, bit int) {
	b.port = t.Port
	var last byte
	if t.Addr.Is4() {
		a := t.Addr.As4()
		last, a[3] = a[3], 0
		b.addr = netip.AddrFrom4(a)
	} else {
		a := t.Addr.As16()
		last, a[15] = a[15], 0
		b.addr = netip.AddrFrom16(a).WithZone(t.Addr.Zone())
	}
	return b, int(last >> 6), int(last & 63)
}

func (s targetSet) has(t scanner.Target) bool {
	b, word, bit := place(t)
	return s[b][word]>>bit&1 == 1
}

// add adds the target and reports whether it was not there.
func (s targetSet) add(t scanner.Target) bool {
	b, word, bit := place(t)
	bits := s[b]
	if bits[word]>>bit&1 == 1 {
		return false
	}
	bits[word] |= 1 << bit
	s[b] = bits
	return true
}
