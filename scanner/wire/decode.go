package wire

import (
	"encoding/binary"
	"net/netip"

	"dormant/registry"
	"dormant/scanner"
)

// kind is what an incoming frame is to us. The zero value is anything that
// answers no probe.
type kind uint8

const (
	synAck    kind = iota + 1 // SYN and ACK, no RST
	reset                     // RST and ACK: the only RST that a SYN can be answered with
	datagram                  // UDP
	icmpError                 // with the headers of the packet that it is about
	neighbour                 // an ARP reply or a neighbour advertisement
)

// packet is one decoded frame. Slices point into the frame.
type packet struct {
	kind             kind
	src, dst         netip.Addr
	ttl              uint8
	srcPort, dstPort uint16
	ack              uint32 // TCP
	window           uint16 // TCP
	echo             uint32 // TCP: the timestamp echo reply, when hasEcho
	hasEcho          bool
	payload          []byte // UDP; cut short when the datagram came in fragments, or in a frame longer than the ring keeps
	mac              []byte // Ethernet: who sent the frame; neighbour: whose address is told
	reason           scanner.Reason
	about            quote // icmpError
}

// quote is the packet that an ICMP error is about: one that this side sent.
type quote struct {
	src, dst         netip.Addr
	srcPort, dstPort uint16
	proto            registry.Proto
	sequence         uint32 // TCP
}

const (
	typeIPv4 = 0x0800
	typeARP  = 0x0806
	typeVLAN = 0x8100
	typeQinQ = 0x88a8
	typeIPv6 = 0x86dd

	protoICMPv4 = 1
	protoICMPv6 = 58
)

// decode reads one frame into p and reports whether it can be an answer to a
// probe. Checksums are not looked at: the kernel hands over frames of its own
// machine before they have any, and every answer must know a secret.
func decode(frame []byte, medium Medium, p *packet) bool {
	*p = packet{}
	if medium != Ethernet {
		return len(frame) > 0 && p.network(frame, frame[0]>>4)
	}
	if len(frame) < ethernetHeader {
		return false
	}
	p.mac = frame[6:12]
	kind, rest := binary.BigEndian.Uint16(frame[12:]), frame[ethernetHeader:]
	if kind == typeVLAN || kind == typeQinQ {
		if len(rest) < 4 {
			return false
		}
		kind, rest = binary.BigEndian.Uint16(rest[2:]), rest[4:]
	}
	switch kind {
	case typeIPv4:
		return p.network(rest, 4)
	case typeIPv6:
		return p.network(rest, 6)
	case typeARP:
		return p.arp(rest)
	default: // foreign input
		return false
	}
}

// network reads an IP packet of the given version.
func (p *packet) network(b []byte, version uint8) bool {
	var h header
	if !h.parse(b, version, false) {
		return false
	}
	p.src, p.dst, p.ttl = h.src, h.dst, h.ttl
	switch h.proto {
	case uint8(registry.TCP):
		return p.tcp(h.rest)
	case uint8(registry.UDP):
		return p.udp(h.rest, h.cut)
	case protoICMPv4:
		return version == 4 && p.icmpv4(h.rest)
	case protoICMPv6:
		return version == 6 && p.icmpv6(h.rest)
	default: // foreign input
		return false
	}
}

func (p *packet) tcp(b []byte) bool {
	const syn, rst, ack = 2, 4, 16
	if len(b) < 20 {
		return false
	}
	size := int(b[12]>>4) * 4
	if size < 20 || size > len(b) {
		return false
	}
	switch b[13] & (syn | rst | ack) {
	case syn | ack:
		p.kind = synAck
		p.window = binary.BigEndian.Uint16(b[14:])
		p.echo, p.hasEcho = timestampEcho(b[20:size])
	case rst | ack:
		p.kind = reset
	default:
		return false
	}
	p.srcPort, p.dstPort = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	p.ack = binary.BigEndian.Uint32(b[8:])
	return true
}

// timestampEcho looks for the timestamp option (RFC 7323) among TCP options.
func timestampEcho(options []byte) (uint32, bool) {
	const end, nop, timestamps = 0, 1, 8
	for len(options) > 0 && options[0] != end {
		if options[0] == nop {
			options = options[1:]
			continue
		}
		if len(options) < 2 || options[1] < 2 || int(options[1]) > len(options) {
			return 0, false
		}
		if options[0] == timestamps && options[1] == 10 {
			return binary.BigEndian.Uint32(options[6:]), true
		}
		options = options[options[1]:]
	}
	return 0, false
}

// udp reads a datagram. Of one that is cut short what is there is enough to know
// that there was an answer.
func (p *packet) udp(b []byte, cut bool) bool {
	if len(b) < udpHeader {
		return false
	}
	length := int(binary.BigEndian.Uint16(b[4:]))
	if length < udpHeader || length > len(b) && !cut {
		return false
	}
	p.kind = datagram
	p.srcPort, p.dstPort = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	p.payload = b[udpHeader:min(length, len(b))]
	return true
}

// arp reads an ARP reply (RFC 826) for Ethernet and IPv4.
func (p *packet) arp(b []byte) bool {
	const ethernetIPv4Reply = 0x0001_0800_06_04_0002
	if len(b) < 28 || binary.BigEndian.Uint64(b) != ethernetIPv4Reply {
		return false
	}
	p.kind, p.mac = neighbour, b[8:14]
	p.src, p.dst = netip.AddrFrom4([4]byte(b[14:18])), netip.AddrFrom4([4]byte(b[24:28]))
	return true
}
