package wire

import (
	"encoding/binary"
	"net/netip"
)

// Lengths in bytes.
const (
	arpFrame     = ethernetHeader + 28
	solicitFrame = ethernetHeader + ipv6Header + 32 // with one option
)

// putARP writes an ARP request (RFC 826) for target into buf and returns the
// frame. Both addresses are IPv4.
func putARP(buf []byte, mac [6]byte, src, target netip.Addr) []byte {
	b := buf[:arpFrame]
	clear(b)
	copy(b, "\xff\xff\xff\xff\xff\xff")
	copy(b[6:], mac[:])
	binary.BigEndian.PutUint16(b[12:], typeARP)
	binary.BigEndian.PutUint64(b[14:], 0x0001_0800_06_04_0001) // Ethernet, IPv4, their lengths, request
	copy(b[22:], mac[:])
	*(*[4]byte)(b[28:]) = src.As4()
	*(*[4]byte)(b[38:]) = target.As4()
	return b
}

// putSolicitation writes a neighbour solicitation (RFC 4861 section 4.3) for
// target into buf and returns the frame. It goes to the target's solicited-node
// multicast address and tells this side's link-layer address. Both addresses
// are IPv6.
func putSolicitation(buf []byte, mac [6]byte, src, target netip.Addr) []byte {
	b := buf[:solicitFrame]
	clear(b)
	wanted := target.As16()
	copy(b, "\x33\x33\xff")
	copy(b[3:], wanted[13:])
	copy(b[6:], mac[:])
	binary.BigEndian.PutUint16(b[12:], typeIPv6)

	ip := b[ethernetHeader:]
	ip[0] = 6 << 4
	binary.BigEndian.PutUint16(ip[4:], solicitFrame-ethernetHeader-ipv6Header)
	ip[6], ip[7] = protoICMPv6, 255 // the hop limit proves that it comes from this link
	*(*[16]byte)(ip[8:]) = src.As16()
	copy(ip[24:], "\xff\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\xff")
	copy(ip[37:], wanted[13:])

	icmp := ip[ipv6Header:]
	icmp[0] = 135
	copy(icmp[8:], wanted[:])
	icmp[24], icmp[25] = 1, 1 // source link-layer address, 8 bytes
	copy(icmp[26:], mac[:])
	binary.BigEndian.PutUint16(icmp[2:], fold(sum(icmp, sum(ip[8:40], uint64(len(icmp)+protoICMPv6)))))
	return b
}
