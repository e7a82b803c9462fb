package wire

import (
	"encoding/binary"
	"net/netip"
)

// header is an IP header, IPv6 extension headers included, and what follows.
type header struct {
	src, dst netip.Addr
	ttl      uint8
	proto    uint8
	cut      bool   // rest is cut short: the first of several fragments, or a frame longer than the ring keeps
	rest     []byte // up to the length that the header tells
}

// parse reads the header of an IP packet. Fragments but for the first one have no
// transport header, and are refused. What a packet that is quoted in an ICMP error
// says of its length does not count: the quote may be cut anywhere behind the header,
// and some who quote have written to it.
func (h *header) parse(b []byte, version uint8, quoted bool) bool {
	if len(b) == 0 || b[0]>>4 != version {
		return false
	}
	if version == 4 {
		return h.ipv4(b, quoted)
	}
	return version == 6 && h.ipv6(b, quoted)
}

func (h *header) ipv4(b []byte, quoted bool) bool {
	if len(b) < ipv4Header {
		return false
	}
	size, length := int(b[0]&15)*4, int(binary.BigEndian.Uint16(b[2:]))
	if size < ipv4Header || size > len(b) {
		return false
	}
	if quoted {
		length = len(b)
	}
	const more, offset = 0x2000, 0x1fff
	fragment := binary.BigEndian.Uint16(b[6:])
	if length < size || fragment&offset != 0 {
		return false
	}
	h.cut = fragment&more != 0 || length > len(b)
	h.ttl, h.proto = b[8], b[9]
	h.src, h.dst = netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
	h.rest = b[size:min(length, len(b))]
	return true
}

func (h *header) ipv6(b []byte, quoted bool) bool {
	if len(b) < ipv6Header {
		return false
	}
	length := ipv6Header + int(binary.BigEndian.Uint16(b[4:]))
	if quoted {
		length = len(b)
	}
	h.cut = length > len(b)
	h.ttl, h.proto = b[7], b[6]
	h.src, h.dst = netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
	h.rest = b[ipv6Header:min(length, len(b))]
	return h.extensions()
}

// maxExtensions is how many IPv6 extension headers are walked through: twice
// as many as RFC 8200 section 4.1 has kinds of them for one packet.
const maxExtensions = 14

// extensions walks over IPv6 extension headers (RFC 8200 section 4) to the
// transport header.
func (h *header) extensions() bool {
	const hopByHop, routing, fragment, destination = 0, 43, 44, 60
	for range maxExtensions {
		switch h.proto {
		case hopByHop, routing, destination:
			if len(h.rest) < 8 {
				return false
			}
			size := 8 + int(h.rest[1])*8
			if size > len(h.rest) {
				return false
			}
			h.proto, h.rest = h.rest[0], h.rest[size:]
		case fragment:
			if len(h.rest) < 8 {
				return false
			}
			place := binary.BigEndian.Uint16(h.rest[2:])
			if place>>3 != 0 {
				return false
			}
			h.cut = h.cut || place&1 != 0
			h.proto, h.rest = h.rest[0], h.rest[8:]
		default: // a transport, or foreign input
			return true
		}
	}
	return false
}
