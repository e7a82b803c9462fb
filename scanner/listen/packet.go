package listen

import (
	"encoding/binary"
	"net/netip"

	"dormant/registry"
)

// LinkType is how a captured frame begins, by the numbers of the registry of
// link-layer header types of the pcap formats.
type LinkType uint32

// The link types that are understood.
const (
	LinkNull     LinkType = 0   // BSD loopback: the family in 4 bytes, host order
	LinkEthernet LinkType = 1   // also the loopback interface of Linux
	LinkRaw      LinkType = 101 // the IP header; also 12, 14, 228 and 229
	LinkLoop     LinkType = 108 // OpenBSD loopback: the family in 4 bytes, network order
	LinkCooked   LinkType = 113 // Linux "any", 16 bytes
	LinkCooked2  LinkType = 276 // the same, version 2, 20 bytes
)

// packet is one TCP segment or UDP datagram.
type packet struct {
	src, dst     netip.Addr // unmapped, without zone
	sport, dport uint16
	proto        registry.Proto
	flags        uint8 // TCP
	toAll        bool  // a broadcast or multicast
	unread       bool  // it could not be read so far that it is known to be of no interest
	// payload is what of the data was captured, size how much there was.
	payload []byte
	size    int
}

// The TCP flags that are looked at (RFC 9293 section 3.1).
const (
	flagFIN, flagSYN, flagRST, flagPSH, flagACK = 1, 2, 4, 8, 16
)

const (
	etherIPv4, etherIPv6            = 0x0800, 0x86dd
	etherVLAN, etherQinQ, etherOldQ = 0x8100, 0x88a8, 0x9100
	etherMPLS, etherMPLSMulti       = 0x8847, 0x8848
	etherPPPoE, pppIPv4, pppIPv6    = 0x8864, 0x0021, 0x0057 // a session, and the kinds of what it carries
)

// decode reads a frame down to TCP or UDP. It is false for everything else,
// for later fragments, and for what was cut before its flags; of that, what may
// have been TCP or UDP is unread.
func decode(link LinkType, frame []byte) (p packet, ok bool) {
	ip, toAll, ok := network(link, frame)
	if !ok {
		return packet{unread: !link.understood()}, false
	}
	if len(ip) == 0 {
		return packet{unread: true}, false
	}
	p.toAll = toAll
	var proto uint8
	var body []byte
	var size int
	switch ip[0] >> 4 {
	case 4:
		proto, body, size, ok = p.ipv4(ip)
	case 6:
		proto, body, size, ok = p.ipv6(ip)
	default: // foreign input
		return packet{}, false
	}
	if ok {
		proto, body, size, ok = p.extensions(proto, body, size)
	}
	if !ok {
		return packet{unread: p.unread}, false
	}
	p.proto = registry.Proto(proto)
	least := 8 // UDP
	switch p.proto {
	case registry.TCP:
		least = 14 // to the flags
	case registry.UDP:
	default: // foreign input
		return packet{}, false
	}
	if len(body) >= 4 {
		p.sport, p.dport = binary.BigEndian.Uint16(body), binary.BigEndian.Uint16(body[2:])
	}
	switch {
	case len(body) < least:
		p.unread = size >= least
		return p, false
	case p.proto == registry.TCP:
		return p.segment(body, size)
	default:
		return p.datagram(body, size)
	}
}

// understood reports whether frames that begin so can be read.
func (l LinkType) understood() bool {
	switch l {
	case LinkEthernet, LinkRaw, 12, 14, 228, 229, LinkNull, LinkLoop, LinkCooked, LinkCooked2:
		return true
	default: // foreign input
		return false
	}
}

// network finds the IP header behind the link's, empty where the frame was cut
// before it, and whether the frame was for all stations.
func network(link LinkType, frame []byte) (ip []byte, toAll, ok bool) {
	header := 0
	switch link {
	case LinkEthernet:
		header = 14
	case LinkNull, LinkLoop: // the version nibble tells the family as well
		header = 4
	case LinkCooked:
		header = 16
	case LinkCooked2:
		header = 20
	}
	if len(frame) < header {
		return nil, false, true
	}
	body := frame[header:]
	switch link {
	case LinkEthernet:
		ip, ok = within(frame[12:], body)
		return ip, frame[0]&1 != 0, ok
	case LinkCooked:
		kind := binary.BigEndian.Uint16(frame)
		ip, ok = within(frame[14:], body)
		return ip, kind == 1 || kind == 2, ok // broadcast, multicast
	case LinkCooked2:
		ip, ok = within(frame, body)
		return ip, frame[10] == 1 || frame[10] == 2, ok
	default:
		return body, false, link.understood()
	}
}

// within walks from an EtherType and what it announces over at most eight VLAN
// tags, MPLS labels and headers of PPPoE to the IP header. It is false for what
// holds no IP.
func within(ether, b []byte) (ip []byte, ok bool) {
	kind := binary.BigEndian.Uint16(ether)
	for range 8 {
		switch kind {
		case etherIPv4, etherIPv6:
			return b, true
		case etherVLAN, etherQinQ, etherOldQ:
			if len(b) < 4 {
				return nil, true
			}
			kind, b = binary.BigEndian.Uint16(b[2:]), b[4:]
		case etherMPLS, etherMPLSMulti:
			if len(b) < 4 {
				return nil, true
			}
			if b[2]&1 != 0 { // the last label; what follows says only by its version what it is
				kind = etherIPv4
			}
			b = b[4:]
		case etherPPPoE:
			if len(b) < 8 {
				return nil, true
			}
			if kind = binary.BigEndian.Uint16(b[6:]); kind != pppIPv4 && kind != pppIPv6 {
				return nil, false
			}
			kind, b = etherIPv4, b[8:]
		default: // foreign input
			return nil, false
		}
	}
	return nil, false
}

// ipv4 takes the addresses. size is how long the body was on the wire; more
// behind it is the padding of a short Ethernet frame.
func (p *packet) ipv4(b []byte) (proto uint8, body []byte, size int, ok bool) {
	if len(b) < 20 {
		p.unread = true
		return 0, nil, 0, false
	}
	header, total := int(b[0]&0xf)*4, int(binary.BigEndian.Uint16(b[2:]))
	if total == 0 { // segmentation offload: the length was too large for the field
		total = len(b)
	}
	if p.unread = header > len(b); p.unread || header < 20 || total < header || binary.BigEndian.Uint16(b[6:])&0x1fff != 0 {
		return 0, nil, 0, false
	}
	p.src, p.dst = netip.AddrFrom4([4]byte(b[12:])), netip.AddrFrom4([4]byte(b[16:]))
	p.toAll = p.toAll || p.dst.IsMulticast() || p.dst == netip.AddrFrom4([4]byte{255, 255, 255, 255})
	return b[9], b[header:min(total, len(b))], total - header, true
}

// ipv6 takes the addresses.
func (p *packet) ipv6(b []byte) (proto uint8, body []byte, size int, ok bool) {
	if len(b) < 40 {
		p.unread = true
		return 0, nil, 0, false
	}
	p.src, p.dst = netip.AddrFrom16([16]byte(b[8:])).Unmap(), netip.AddrFrom16([16]byte(b[24:])).Unmap()
	p.toAll = p.toAll || p.dst.IsMulticast()
	size = int(binary.BigEndian.Uint16(b[4:]))
	if size == 0 { // a jumbogram, or segmentation offload
		size = len(b) - 40
	}
	return b[6], b[40:min(40+size, len(b))], size, true
}

// extensions walks over at most eight extension headers. IPv4 knows that of
// authentication alone, and has no other meaning for the numbers of the others.
func (p *packet) extensions(proto uint8, body []byte, size int) (uint8, []byte, int, bool) {
	for range 8 {
		n := 0
		switch proto {
		case 0, 43, 51, 60: // hop-by-hop, routing, authentication, destination options
			if len(body) < 2 {
				p.unread = size >= 2
				return 0, nil, 0, false
			}
			n = 8 + int(body[1])*8
			if proto == 51 {
				n = 8 + int(body[1])*4 // RFC 4302 section 2.2
			}
		case 44: // fragment: only the first holds the ports
			if n = 8; len(body) >= n && binary.BigEndian.Uint16(body[2:])&0xfff8 != 0 {
				return 0, nil, 0, false
			}
		default:
			return proto, body, size, true
		}
		if len(body) < n || size < n {
			p.unread = size >= n
			return 0, nil, 0, false
		}
		proto, body, size = body[0], body[n:], size-n
	}
	return 0, nil, 0, false
}

func (p packet) segment(b []byte, size int) (packet, bool) {
	p.flags = b[13]
	header := int(b[12]>>4) * 4
	if header < 20 || size < header {
		return packet{}, false
	}
	p.size = size - header
	p.payload = b[min(header, len(b)):]
	return p, true
}

func (p packet) datagram(b []byte, size int) (packet, bool) {
	if size < 8 {
		return packet{}, false
	}
	p.payload, p.size = b[8:], size-8
	if length := int(binary.BigEndian.Uint16(b[4:])); length >= 8 && length-8 < p.size {
		p.size = length - 8
		p.payload = p.payload[:min(p.size, len(p.payload))]
	}
	return p, true
}
