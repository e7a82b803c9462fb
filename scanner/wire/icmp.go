package wire

import (
	"encoding/binary"
	"net/netip"

	"dormant/registry"
	"dormant/scanner"
)

// icmpv4 reads an ICMP error (RFC 792): destination unreachable, or time
// exceeded in transit.
func (p *packet) icmpv4(b []byte) bool {
	const unreachable, timeExceeded = 3, 11
	if len(b) < 8 {
		return false
	}
	var ok bool
	switch b[0] {
	case unreachable:
		p.reason, ok = scanner.UnreachableReason(b[1])
	case timeExceeded:
		p.reason, ok = scanner.ICMPTimeExceeded, b[1] == 0
	default: // foreign input
	}
	return ok && p.quoted(b[8:], 4)
}

// icmpv6 reads an ICMPv6 error (RFC 4443) or a neighbour advertisement.
func (p *packet) icmpv6(b []byte) bool {
	const advertisement = 136
	if len(b) < 8 {
		return false
	}
	if b[0] == advertisement {
		return p.advertised(b)
	}
	reason, ok := scanner.ICMPv6Reason(b[0], b[1])
	p.reason = reason
	return ok && p.quoted(b[8:], 6)
}

// quoted reads the headers of the packet that an ICMP error is about. Eight
// bytes of the transport header must be there (RFC 792): the ports, and for
// TCP the sequence number.
func (p *packet) quoted(b []byte, version uint8) bool {
	var h header
	if !h.parse(b, version, true) || len(h.rest) < 8 {
		return false
	}
	p.about = quote{
		src: h.src, dst: h.dst, proto: registry.Proto(h.proto),
		srcPort: binary.BigEndian.Uint16(h.rest), dstPort: binary.BigEndian.Uint16(h.rest[2:]),
	}
	switch p.about.proto {
	case registry.TCP:
		p.about.sequence = binary.BigEndian.Uint32(h.rest[4:])
	case registry.UDP:
	default: // foreign input
		return false
	}
	p.kind = icmpError
	return true
}

// advertised reads a neighbour advertisement (RFC 4861 section 4.4). The hop
// limit of 255 proves that it was sent on this link.
func (p *packet) advertised(b []byte) bool {
	const targetLinkAddress = 2
	if len(b) < 24 || b[1] != 0 || p.ttl != 255 {
		return false
	}
	mac := p.mac
	for options := b[24:]; len(options) >= 8; {
		size := int(options[1]) * 8
		if size == 0 || size > len(options) {
			return false
		}
		if options[0] == targetLinkAddress && size == 8 {
			mac = options[2:8]
		}
		options = options[size:]
	}
	if mac == nil {
		return false
	}
	p.kind, p.mac = neighbour, mac
	p.src = netip.AddrFrom16([16]byte(b[8:24]))
	return true
}
