package wire

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"dormant/registry"
)

// Lengths in bytes.
const (
	ethernetHeader = 14
	ipv4Header     = 20 // without options
	ipv6Header     = 40
	tcpHeader      = 40 // with the options of our SYN
	udpHeader      = 8
	// maxDatagram is the longest payload that is sent.
	maxDatagram = 256
	// maxFrame is the longest frame that is sent.
	maxFrame = ethernetHeader + ipv6Header + udpHeader + maxDatagram
)

const (
	hopLimit    = 64 // the TTL of a current Linux
	windowScale = 7  // what a Linux with the default buffers (6 MiB) offers
	// timestampAt is where the options hold TSval: behind MSS (4 bytes), SACK
	// permitted (2), and kind and length of the timestamp option itself.
	timestampAt = 20 + 4 + 2 + 2
)

// template is the part of a probe that is the same for all targets of a route
// and a transport, with the sums of it, so that a probe is a copy and a few
// words of arithmetic. It is immutable once built.
type template struct {
	head         []byte // link, network and transport header, options included
	ip, l4       int    // where the network and the transport header begin
	v6, udp      bool
	ipSum, l4Sum uint64 // of the template, patched fields being zero
}

// variables are what differs from probe to probe.
type variables struct {
	mac      [6]byte    // of the next hop, on Ethernet
	dst      netip.Addr // of the template's family
	dstPort  uint16
	srcPort  uint16
	id       uint32 // the IPv4 identification (16 bits) or the IPv6 flow label (20 bits)
	sequence uint32 // TCP
	clock    uint32 // TCP: the timestamp value
	payload  []byte // UDP: at most maxDatagram bytes
}

// newTemplate builds the probe of one transport from src over medium. mac is
// this side's link-layer address on Ethernet; mtu gives the segment size that
// the SYN offers.
func newTemplate(medium Medium, mac net.HardwareAddr, src netip.Addr, mtu int, proto registry.Proto) (*template, error) {
	t := &template{v6: src.Is6(), udp: proto == registry.UDP}
	var stack []gopacket.SerializableLayer
	zero := net.IP(netip.IPv6Unspecified().AsSlice())
	if !t.v6 {
		zero = net.IP(netip.IPv4Unspecified().AsSlice())
	}
	var network gopacket.NetworkLayer
	if medium == Ethernet {
		kind := layers.EthernetTypeIPv4
		if t.v6 {
			kind = layers.EthernetTypeIPv6
		}
		t.ip = ethernetHeader
		stack = append(stack, &layers.Ethernet{SrcMAC: mac, DstMAC: make(net.HardwareAddr, 6), EthernetType: kind})
	}
	if t.v6 {
		ip := &layers.IPv6{Version: 6, HopLimit: hopLimit, NextHeader: layers.IPProtocol(proto), SrcIP: src.AsSlice(), DstIP: zero}
		t.l4 = t.ip + ipv6Header
		network, stack = ip, append(stack, ip)
	} else {
		ip := &layers.IPv4{Version: 4, TTL: hopLimit, Flags: layers.IPv4DontFragment, Protocol: layers.IPProtocol(proto), SrcIP: src.AsSlice(), DstIP: zero}
		t.l4 = t.ip + ipv4Header
		network, stack = ip, append(stack, ip)
	}
	if t.udp {
		udp := &layers.UDP{}
		if err := udp.SetNetworkLayerForChecksum(network); err != nil {
			return nil, fmt.Errorf("wire: template: %w", err)
		}
		stack = append(stack, udp)
	} else {
		tcp := newSYN(mtu, t.l4-t.ip)
		if err := tcp.SetNetworkLayerForChecksum(network); err != nil {
			return nil, fmt.Errorf("wire: template: %w", err)
		}
		stack = append(stack, tcp)
	}
	buf := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, stack...); err != nil {
		return nil, fmt.Errorf("wire: template: %w", err)
	}
	size := t.l4 + tcpHeader
	if t.udp {
		size = t.l4 + udpHeader
	}
	t.head = append([]byte(nil), buf.Bytes()[:size]...) // without the padding to 60 bytes, which must not be summed
	t.prepare()
	return t, nil
}

// newSYN returns the segment that opens a connection as a current Linux sends
// it: the same options in the same order, and as window the largest multiple
// of the segment size below 64 KiB.
func newSYN(mtu, network int) *layers.TCP {
	mss := min(max(mtu-network-20, 536), 65535-network-20) // 536: RFC 9293 section 3.7.1
	mssBytes := binary.BigEndian.AppendUint16(nil, uint16(mss))
	return &layers.TCP{
		SYN: true, Window: uint16(65535 / mss * mss),
		Options: []layers.TCPOption{
			{OptionType: layers.TCPOptionKindMSS, OptionLength: 4, OptionData: mssBytes},
			{OptionType: layers.TCPOptionKindSACKPermitted, OptionLength: 2},
			{OptionType: layers.TCPOptionKindTimestamps, OptionLength: 10, OptionData: make([]byte, 8)},
			{OptionType: layers.TCPOptionKindNop, OptionLength: 1},
			{OptionType: layers.TCPOptionKindWindowScale, OptionLength: 3, OptionData: []byte{windowScale}},
		},
	}
}

// prepare clears the checksums and sums what stays: for TCP and UDP with the
// pseudo header, in which the UDP length counts twice and is added by patch.
func (t *template) prepare() {
	l4 := t.head[t.l4:]
	if t.udp {
		clear(l4[4:8])
	} else {
		clear(l4[16:18])
	}
	var pseudo uint64
	if t.v6 {
		pseudo = sum(t.head[t.ip+8:t.ip+24], 0)
	} else {
		ip := t.head[t.ip:t.l4]
		clear(ip[10:12])
		if t.udp {
			clear(ip[2:4])
		}
		t.ipSum = sum(ip, 0)
		pseudo = sum(ip[12:16], 0)
	}
	proto := uint64(registry.TCP)
	if t.udp {
		proto = uint64(registry.UDP)
	} else {
		pseudo += uint64(len(l4))
	}
	t.l4Sum = sum(l4, pseudo+proto)
}

// patch writes the probe with the given variables into buf, which holds at
// least maxFrame bytes, and returns its length.
func (t *template) patch(buf []byte, v *variables) int {
	n := copy(buf, t.head)
	if t.ip == ethernetHeader {
		*(*[6]byte)(buf) = v.mac
	}
	if t.udp {
		n += copy(buf[n:], v.payload)
	}
	var dst uint64
	if t.v6 {
		dst = t.patchIPv6(buf[t.ip:], v, n-t.l4)
	} else {
		dst = t.patchIPv4(buf[t.ip:], v, n-t.ip)
	}
	l4 := buf[t.l4:n]
	binary.BigEndian.PutUint16(l4, v.srcPort)
	binary.BigEndian.PutUint16(l4[2:], v.dstPort)
	s := t.l4Sum + dst + uint64(v.srcPort) + uint64(v.dstPort)
	if t.udp {
		binary.BigEndian.PutUint16(l4[4:], uint16(len(l4)))
		c := fold(sum(v.payload, s+2*uint64(len(l4))))
		if c == 0 {
			c = 0xffff // zero says "no checksum" (RFC 768)
		}
		binary.BigEndian.PutUint16(l4[6:], c)
		return n
	}
	binary.BigEndian.PutUint32(l4[4:], v.sequence)
	binary.BigEndian.PutUint32(l4[timestampAt:], v.clock)
	binary.BigEndian.PutUint16(l4[16:], fold(s+uint64(v.sequence)+uint64(v.clock)))
	return n
}

// patchIPv4 returns the sum of the destination address.
func (t *template) patchIPv4(ip []byte, v *variables, length int) uint64 {
	*(*[4]byte)(ip[16:]) = v.dst.As4()
	dst := uint64(binary.BigEndian.Uint32(ip[16:]))
	binary.BigEndian.PutUint16(ip[4:], uint16(v.id))
	s := t.ipSum + dst + uint64(uint16(v.id))
	if t.udp {
		binary.BigEndian.PutUint16(ip[2:], uint16(length))
		s += uint64(length)
	}
	binary.BigEndian.PutUint16(ip[10:], fold(s))
	return dst
}

// patchIPv6 returns the sum of the destination address.
func (t *template) patchIPv6(ip []byte, v *variables, length int) uint64 {
	*(*[16]byte)(ip[24:]) = v.dst.As16()
	binary.BigEndian.PutUint32(ip, 6<<28|v.id&(1<<20-1))
	if t.udp {
		binary.BigEndian.PutUint16(ip[4:], uint16(length))
	}
	return sum(ip[24:40], 0)
}
