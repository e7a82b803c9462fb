package wire

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"dormant/registry"
)

// serialize builds a frame with lengths and checksums.
func serialize(t testing.TB, stack ...gopacket.SerializableLayer) []byte {
	t.Helper()
	var network gopacket.NetworkLayer
	for _, l := range stack {
		if n, ok := l.(gopacket.NetworkLayer); ok && network == nil {
			network = n
		}
		if c, ok := l.(interface {
			SetNetworkLayerForChecksum(gopacket.NetworkLayer) error
		}); ok {
			if err := c.SetNetworkLayerForChecksum(network); err != nil {
				t.Fatal(err)
			}
		}
	}
	buf := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, stack...); err != nil {
		t.Fatal(err)
	}
	return bytes.Clone(buf.Bytes())
}

// The two ends of all frames below, and their link-layer addresses.
var (
	usMAC, themMAC = net.HardwareAddr{2, 0, 0, 0, 0, 1}, net.HardwareAddr{2, 0, 0, 0, 0, 2}
)

func ends(v6 bool) (us, them netip.Addr) {
	if v6 {
		return netip.MustParseAddr("fd01::1"), netip.MustParseAddr("fd01::9")
	}
	return netip.MustParseAddr("10.1.0.1"), netip.MustParseAddr("10.1.0.9")
}

// fromThem returns the Ethernet and IP layers of a frame from them to us.
func fromThem(v6 bool, next layers.IPProtocol) []gopacket.SerializableLayer {
	us, them := ends(v6)
	if v6 {
		return []gopacket.SerializableLayer{
			&layers.Ethernet{SrcMAC: themMAC, DstMAC: usMAC, EthernetType: layers.EthernetTypeIPv6},
			&layers.IPv6{Version: 6, HopLimit: 57, NextHeader: next, SrcIP: them.AsSlice(), DstIP: us.AsSlice()},
		}
	}
	return []gopacket.SerializableLayer{
		&layers.Ethernet{SrcMAC: themMAC, DstMAC: usMAC, EthernetType: layers.EthernetTypeIPv4},
		&layers.IPv4{Version: 4, TTL: 57, Protocol: next, SrcIP: them.AsSlice(), DstIP: us.AsSlice()},
	}
}

func synAckLayer() *layers.TCP {
	return &layers.TCP{
		SrcPort: 1947, DstPort: 61441, Seq: 7, Ack: 0x01020305, SYN: true, ACK: true, Window: 29200,
		Options: []layers.TCPOption{
			{OptionType: layers.TCPOptionKindMSS, OptionLength: 4, OptionData: []byte{5, 180}},
			{OptionType: layers.TCPOptionKindNop, OptionLength: 1},
			{OptionType: layers.TCPOptionKindTimestamps, OptionLength: 10, OptionData: []byte{0, 0, 0, 1, 0xca, 0xfe, 0xba, 0xbe}},
		},
	}
}

// probe is a packet of ours, as an ICMP error quotes it.
func probe(t testing.TB, v6 bool, proto registry.Proto) []byte {
	us, them := ends(v6)
	tmpl, err := newTemplate(IP, nil, us, 1500, proto)
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, maxFrame)
	return buf[:tmpl.patch(buf, &variables{dst: them, dstPort: 1947, srcPort: 61441, sequence: 0x01020304, payload: []byte("question")})]
}

// icmp4 and icmp6 return an error from them about the probe, as far as cut.
func icmp4(t testing.TB, typ, code uint8, quoted []byte) []byte {
	return serialize(t, append(fromThem(false, layers.IPProtocolICMPv4),
		&layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(typ, code)}, gopacket.Payload(quoted))...)
}

func icmp6(t testing.TB, typ, code uint8, quoted []byte) []byte {
	return serialize(t, append(fromThem(true, layers.IPProtocolICMPv6),
		&layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(typ, code)}, gopacket.Payload(append(make([]byte, 4), quoted...)))...)
}

// examples are frames that answer a probe, one of each kind.
func examples(t testing.TB) map[string][]byte {
	all := map[string][]byte{}
	for _, v6 := range []bool{false, true} {
		name := map[bool]string{false: " ipv4", true: " ipv6"}[v6]
		all["syn-ack"+name] = serialize(t, append(fromThem(v6, layers.IPProtocolTCP), synAckLayer())...)
		all["rst"+name] = serialize(t, append(fromThem(v6, layers.IPProtocolTCP), &layers.TCP{SrcPort: 1947, DstPort: 61441, Ack: 0x01020305, RST: true, ACK: true})...)
		all["udp"+name] = serialize(t, append(fromThem(v6, layers.IPProtocolUDP), &layers.UDP{SrcPort: 5093, DstPort: 61441}, gopacket.Payload("odd"))...)
		all["empty udp"+name] = serialize(t, append(fromThem(v6, layers.IPProtocolUDP), &layers.UDP{SrcPort: 5093, DstPort: 61441})...)
	}
	all["port unreachable ipv4"] = icmp4(t, 3, 3, probe(t, false, registry.UDP))
	all["admin prohibited ipv4, shortest quote"] = icmp4(t, 3, 13, probe(t, false, registry.TCP)[:28])
	all["time exceeded ipv4"] = icmp4(t, 11, 0, probe(t, false, registry.TCP))
	all["port unreachable ipv6"] = icmp6(t, 1, 4, probe(t, true, registry.UDP))
	all["reject route ipv6"] = icmp6(t, 1, 6, probe(t, true, registry.TCP))
	all["too big ipv6"] = icmp6(t, 2, 0, probe(t, true, registry.TCP))
	all["time exceeded ipv6"] = icmp6(t, 3, 0, probe(t, true, registry.TCP))
	all["arp"] = serialize(t, &layers.Ethernet{SrcMAC: themMAC, DstMAC: usMAC, EthernetType: layers.EthernetTypeARP},
		&layers.ARP{AddrType: 1, Protocol: 0x0800, HwAddressSize: 6, ProtAddressSize: 4, Operation: 2,
			SourceHwAddress: themMAC, SourceProtAddress: []byte{10, 1, 0, 9}, DstHwAddress: usMAC, DstProtAddress: []byte{10, 1, 0, 1}})
	all["advertisement"] = advertisement(t, 255)
	all["vlan"] = insert(all["syn-ack ipv4"], 12, 0x81, 0, 0, 5)
	return all
}

func advertisement(t testing.TB, hopLimit uint8) []byte {
	stack := fromThem(true, layers.IPProtocolICMPv6)
	stack[1].(*layers.IPv6).HopLimit = hopLimit
	_, them := ends(true)
	return serialize(t, append(stack,
		&layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(136, 0)},
		&layers.ICMPv6NeighborAdvertisement{Flags: 0x60, TargetAddress: them.AsSlice(),
			Options: layers.ICMPv6Options{{Type: layers.ICMPv6OptTargetAddress, Data: []byte{2, 0, 0, 0, 0, 3}}}})...)
}

func insert(b []byte, at int, more ...byte) []byte {
	return append(append(bytes.Clone(b[:at]), more...), b[at:]...)
}

// shortened ends an IPv6 frame at n, as its length tells.
func shortened(frame []byte, n int) []byte {
	b := bytes.Clone(frame[:n])
	binary.BigEndian.PutUint16(b[18:], uint16(n-54))
	return b
}

// extended puts extension headers behind an IPv6 header without changing the
// rest: all is a chain of them, 8 bytes each, the first of kind next.
func extended(frame []byte, next byte, all ...byte) []byte {
	out := insert(frame, 54, all...)
	out[54+len(all)-8] = frame[20] // the last one names the transport
	out[20] = next
	binary.BigEndian.PutUint16(out[18:], binary.BigEndian.Uint16(out[18:])+uint16(len(all)))
	return out
}
