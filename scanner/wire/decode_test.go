package wire

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"dormant/registry"
	"dormant/scanner"
)

func TestDecode(t *testing.T) {
	ex := examples(t)
	tcp := func(k kind, v6 bool) packet {
		us, them := ends(v6)
		p := packet{kind: k, src: them, dst: us, ttl: 57, srcPort: 1947, dstPort: 61441, ack: 0x01020305, mac: themMAC}
		if k == synAck {
			p.window, p.echo, p.hasEcho = 29200, 0xcafebabe, true
		}
		return p
	}
	udp := func(v6 bool, payload string) packet {
		us, them := ends(v6)
		return packet{kind: datagram, src: them, dst: us, ttl: 57, srcPort: 5093, dstPort: 61441, payload: []byte(payload), mac: themMAC}
	}
	icmp := func(v6 bool, reason scanner.Reason, proto registry.Proto) packet {
		us, them := ends(v6)
		p := packet{kind: icmpError, src: them, dst: us, ttl: 57, reason: reason, mac: themMAC,
			about: quote{src: us, dst: them, srcPort: 61441, dstPort: 1947, proto: proto}}
		if proto == registry.TCP {
			p.about.sequence = 0x01020304
		}
		return p
	}
	us4, them4 := ends(false)
	us6, them6 := ends(true)
	fragment := func(offset uint16, more bool) []byte {
		b := bytes.Clone(ex["udp ipv4"])
		if more {
			offset |= 0x2000
		}
		binary.BigEndian.PutUint16(b[20:], offset)
		binary.BigEndian.PutUint16(b[14+20+4:], 4000) // the length of the whole datagram
		return b
	}
	set := func(name string, at int, value ...byte) []byte {
		b := bytes.Clone(ex[name])
		copy(b[at:], value)
		return b
	}
	hops := []byte{0, 0, 1, 4, 0, 0, 0, 0, 0, 0, 1, 4, 0, 0, 0, 0}
	hops[0] = 60 // hop-by-hop, then destination options

	for _, tt := range []struct {
		name  string
		frame []byte
		want  packet // the zero packet: refused
	}{
		{"syn-ack ipv4", ex["syn-ack ipv4"], tcp(synAck, false)},
		{"syn-ack ipv6", ex["syn-ack ipv6"], tcp(synAck, true)},
		{"rst ipv4", ex["rst ipv4"], tcp(reset, false)},
		{"rst ipv6", ex["rst ipv6"], tcp(reset, true)},
		{"udp ipv4 without the padding", ex["udp ipv4"], udp(false, "odd")},
		{"udp ipv6", ex["udp ipv6"], udp(true, "odd")},
		{"empty udp", ex["empty udp ipv4"], udp(false, "")},
		{"vlan tag", ex["vlan"], tcp(synAck, false)},
		{"ipv6 extension headers", extended(ex["syn-ack ipv6"], 0, hops...), tcp(synAck, true)},
		{"ipv6 atomic fragment", extended(ex["syn-ack ipv6"], 44, make([]byte, 8)...), tcp(synAck, true)},
		{"ipv6 later fragment", extended(ex["syn-ack ipv6"], 44, 0, 0, 0, 8, 0, 0, 0, 1), packet{}},
		{"first fragment", fragment(0, true), udp(false, "odd")},
		{"whole datagram that is too short", fragment(0, false), packet{}},
		{"later fragment", fragment(100, true), packet{}},
		{"port unreachable ipv4", ex["port unreachable ipv4"], icmp(false, scanner.ICMPPortUnreachable, registry.UDP)},
		{"admin prohibited", ex["admin prohibited ipv4, shortest quote"], icmp(false, scanner.ICMPAdminProhibited, registry.TCP)},
		{"time exceeded ipv4", ex["time exceeded ipv4"], icmp(false, scanner.ICMPTimeExceeded, registry.TCP)},
		{"port unreachable ipv6", ex["port unreachable ipv6"], icmp(true, scanner.ICMPPortUnreachable, registry.UDP)},
		{"reject route", ex["reject route ipv6"], icmp(true, scanner.ICMPAdminProhibited, registry.TCP)},
		{"packet too big", ex["too big ipv6"], icmp(true, scanner.ICMPFragmentationNeeded, registry.TCP)},
		{"time exceeded ipv6", ex["time exceeded ipv6"], icmp(true, scanner.ICMPTimeExceeded, registry.TCP)},
		{"echo request", icmp4(t, 8, 0, probe(t, false, registry.TCP)), packet{}},
		{"redirect", icmp4(t, 5, 1, probe(t, false, registry.TCP)), packet{}},
		{"quote without ports", icmp4(t, 3, 3, probe(t, false, registry.TCP)[:24]), packet{}},
		{"reassembly time exceeded", icmp4(t, 11, 1, probe(t, false, registry.TCP)), packet{}},
		{"arp reply", ex["arp"], packet{kind: neighbour, src: them4, dst: us4, mac: themMAC}},
		{"arp request", set("arp", 20, 0, 1), packet{}},
		{"advertisement", ex["advertisement"], packet{kind: neighbour, src: them6, dst: us6, ttl: 255, mac: []byte{2, 0, 0, 0, 0, 3}}},
		{"advertisement from elsewhere", advertisement(t, 254), packet{}},
		{"syn without ack", set("syn-ack ipv4", 47, 0x02), packet{}},
		{"rst without ack", set("rst ipv4", 47, 0x04), packet{}},
		{"data offset beyond the segment", set("rst ipv4", 46, 0xf0), packet{}},
		{"cut short by the ring", set("syn-ack ipv4", 16, 0xff, 0xff), tcp(synAck, false)},
		{"udp cut short by the ring", func() []byte { b := set("udp ipv4", 16, 0xff, 0xff); copy(b[38:], "\xff\xeb"); return b[:44] }(), udp(false, "od")},
		{"udp ipv6 cut short by the ring", func() []byte { b := set("udp ipv6", 18, 0xff, 0); copy(b[58:], "\xff\x00"); return b[:64] }(), udp(true, "od")},
		{"cut within the ip header", ex["syn-ack ipv4"][:33], packet{}},
		{"ip options", func() []byte { b := insert(ex["syn-ack ipv4"], 34, 7, 4, 4, 0); b[14] = 0x46; b[17] += 4; return b }(), tcp(synAck, false)},
		{"quote whose length was written to", func() []byte { b := set("port unreachable ipv4", 44, 0, 5); return b }(), icmp(false, scanner.ICMPPortUnreachable, registry.UDP)},
		{"quote of a later fragment", set("port unreachable ipv4", 48, 0, 9), packet{}},
		{"quote ipv6 without ports", icmp6(t, 1, 4, probe(t, true, registry.UDP)[:44]), packet{}},
		{"quote ipv6, shortest", icmp6(t, 1, 4, probe(t, true, registry.TCP)[:48]), icmp(true, scanner.ICMPPortUnreachable, registry.TCP)},
		{"parameter problem ipv6", icmp6(t, 4, 1, probe(t, true, registry.TCP)), icmp(true, scanner.ICMPProtocolUnreachable, registry.TCP)},
		{"extension structure behind the quote", icmp4(t, 3, 3, append(append(probe(t, false, registry.TCP), make([]byte, 128-60)...), 0x20, 0, 0, 0)), icmp(false, scanner.ICMPPortUnreachable, registry.TCP)},
		{"ip length below the header", set("syn-ack ipv4", 16, 0, 19), packet{}},
		{"header length below 20", set("syn-ack ipv4", 14, 0x44), packet{}},
		{"ipv6 in an ipv4 frame", set("syn-ack ipv4", 14, 0x65), packet{}},
		{"option of length 0", set("syn-ack ipv4", 54+5, 9, 0), func() packet { p := tcp(synAck, false); p.echo, p.hasEcho = 0, false; return p }()},
		{"options of a current Linux", func() []byte {
			l := synAckLayer()
			l.Options[1] = layers.TCPOption{OptionType: layers.TCPOptionKindSACKPermitted, OptionLength: 2}
			return serialize(t, append(fromThem(false, layers.IPProtocolTCP), l)...)
		}(), tcp(synAck, false)},
		{"end of options before the timestamp", set("syn-ack ipv4", 54+4, 0), func() packet { p := tcp(synAck, false); p.echo, p.hasEcho = 0, false; return p }()},
		{"service vlan tag", insert(ex["syn-ack ipv4"], 12, 0x88, 0xa8, 0, 5), tcp(synAck, false)},
		{"tag and nothing behind it", ex["vlan"][:18], packet{}},
		{"another ethertype", set("syn-ack ipv4", 12, 0x88, 0xcc), packet{}},
		{"another transport", set("syn-ack ipv4", 23, 47), packet{}},
		{"quote of another transport", set("port unreachable ipv4", 51, 47), packet{}},
		{"ipv6 first fragment", func() []byte {
			b := extended(ex["udp ipv6"], 44, 0, 0, 0, 1, 0, 0, 0, 1)
			copy(b[66:], "\x0f\xa0")
			return b
		}(), udp(true, "odd")},
		{"quote ipv6 whose length was written to", set("port unreachable ipv6", 66, 0, 1), icmp(true, scanner.ICMPPortUnreachable, registry.UDP)},
		{"arp without padding", ex["arp"][:42], packet{kind: neighbour, src: them4, dst: us4, mac: themMAC}},
		{"advertisement from another address", set("advertisement", 22, 0xfe, 0x80), packet{kind: neighbour, src: them6, dst: us6, ttl: 255, mac: []byte{2, 0, 0, 0, 0, 3}}},
		{"advertisement without an option", shortened(ex["advertisement"], 78), packet{kind: neighbour, src: them6, dst: us6, ttl: 255, mac: themMAC}},
		{"advertisement with another option", set("advertisement", 78, 1), packet{kind: neighbour, src: them6, dst: us6, ttl: 255, mac: themMAC}},
		{"advertisement, option of length 0", set("advertisement", 79, 0), packet{}},
		{"advertisement, option beyond the end", set("advertisement", 79, 2), packet{}},
		{"advertisement cut within the target", shortened(ex["advertisement"], 77), packet{}},
		{"nothing", nil, packet{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := packet{kind: 99, ttl: 9, srcPort: 9, ack: 9, window: 9, echo: 9, hasEcho: true, payload: []byte("old"), reason: 9, about: quote{srcPort: 9}}
			if ok := decode(tt.frame, Ethernet, &got); ok != (tt.want.kind != 0) {
				t.Fatalf("decode = %t, want %t", ok, !ok)
			}
			if tt.want.kind == 0 {
				return
			}
			if d := cmp.Diff(tt.want, got, cmp.AllowUnexported(packet{}, quote{}), cmpopts.EquateComparable(netip.Addr{}), cmpopts.EquateEmpty()); d != "" {
				t.Errorf("packet (-want +got):\n%s", d)
			}
			if got.kind == neighbour && got.ttl == 0 || strings.HasSuffix(tt.name, "vlan tag") {
				return
			}
			var bare packet // the same without link-layer header
			if got.mac = nil; got.kind != neighbour && (!decode(tt.frame[14:], IP, &bare) || !cmp.Equal(got, bare, cmp.AllowUnexported(packet{}, quote{}), cmpopts.EquateComparable(netip.Addr{}))) {
				t.Errorf("without an Ethernet header the packet is %+v", bare)
			}
		})
	}
}

// TestDecodeCut cuts every example everywhere: no cut frame panics, and what
// is still accepted says nothing else than the whole.
func TestDecodeCut(t *testing.T) {
	for name, frame := range examples(t) {
		var whole packet
		if !decode(frame, Ethernet, &whole) {
			t.Fatalf("%s is refused", name)
		}
		for n := range frame {
			var p packet
			if decode(bytes.Clone(frame[:n]), Ethernet, &p) && (p.kind != whole.kind || p.src != whole.src || p.srcPort != whole.srcPort || p.about != whole.about) {
				t.Errorf("%s cut to %d bytes is %+v", name, n, p)
			}
		}
	}
}

// FuzzDecode holds decode against gopacket: what both accept they must
// understand alike. It is never to panic.
func FuzzDecode(f *testing.F) {
	for _, frame := range examples(f) {
		f.Add(frame, true)
		f.Add(frame[14:], false)
	}
	f.Add([]byte{}, false)
	f.Fuzz(func(t *testing.T, frame []byte, ethernet bool) {
		medium, first := IP, gopacket.Decoder(layers.LayerTypeIPv4)
		if ethernet {
			medium, first = Ethernet, layers.LayerTypeEthernet
		} else if len(frame) > 0 && frame[0]>>4 == 6 {
			first = layers.LayerTypeIPv6
		}
		var p packet
		ok := decode(frame, medium, &p)
		if !ok {
			return
		}
		if p.kind == 0 {
			t.Fatal("accepted without a kind")
		}
		second := gopacket.NewPacket(frame, first, gopacket.DecodeOptions{NoCopy: true})
		compare(t, &p, second)
	})
}

// compare reports where gopacket, if it understood the frame, differs from p.
func compare(t *testing.T, p *packet, second gopacket.Packet) {
	if ip, ok := second.NetworkLayer().(*layers.IPv4); ok {
		if p.src.String() != ip.SrcIP.String() || p.dst.String() != ip.DstIP.String() || p.ttl != ip.TTL {
			t.Errorf("IPv4 header %v > %v, TTL %d; gopacket has %v > %v, TTL %d", p.src, p.dst, p.ttl, ip.SrcIP, ip.DstIP, ip.TTL)
		}
	}
	if ip, ok := second.NetworkLayer().(*layers.IPv6); ok && p.kind != neighbour {
		if !bytes.Equal(p.src.AsSlice(), ip.SrcIP) || !bytes.Equal(p.dst.AsSlice(), ip.DstIP) || p.ttl != ip.HopLimit {
			t.Errorf("IPv6 header %v > %v, hop limit %d; gopacket has %v > %v, %d", p.src, p.dst, p.ttl, ip.SrcIP, ip.DstIP, ip.HopLimit)
		}
	}
	if tcp, ok := second.TransportLayer().(*layers.TCP); ok && (p.kind == synAck || p.kind == reset) {
		if p.srcPort != uint16(tcp.SrcPort) || p.dstPort != uint16(tcp.DstPort) || p.ack != tcp.Ack ||
			(p.kind == synAck) != (tcp.SYN && tcp.ACK && !tcp.RST) || (p.kind == reset) != (tcp.RST && tcp.ACK && !tcp.SYN) ||
			p.kind == synAck && p.window != tcp.Window {
			t.Errorf("segment %+v; gopacket has %+v", p, tcp)
		}
		for _, o := range tcp.Options {
			if o.OptionType != layers.TCPOptionKindTimestamps || len(o.OptionData) != 8 || p.kind != synAck {
				continue
			}
			if !p.hasEcho || p.echo != binary.BigEndian.Uint32(o.OptionData[4:]) {
				t.Errorf("timestamp echo %x, %t; gopacket has %x", p.echo, p.hasEcho, o.OptionData)
			}
			break
		}
	}
	if udp, ok := second.TransportLayer().(*layers.UDP); ok && p.kind == datagram {
		if p.srcPort != uint16(udp.SrcPort) || p.dstPort != uint16(udp.DstPort) || !bytes.Equal(p.payload, udp.Payload) {
			t.Errorf("datagram %+v; gopacket has %+v", p, udp)
		}
	}
	if arp, ok := second.Layer(layers.LayerTypeARP).(*layers.ARP); ok && p.dst.Is4() {
		if arp.Operation != layers.ARPReply || !bytes.Equal(p.src.AsSlice(), arp.SourceProtAddress) || !bytes.Equal(p.mac, arp.SourceHwAddress) {
			t.Errorf("ARP %+v; gopacket has %+v", p, arp)
		}
	}
}

// TestSolicitations holds the neighbour requests against gopacket.
func TestSolicitations(t *testing.T) {
	us4, them4 := ends(false)
	us6, them6 := netip.MustParseAddr("fe80::1"), netip.MustParseAddr("fd01::aabb:ccdd:eeff")
	buf := bytes.Repeat([]byte{0xaa}, solicitFrame) // a buffer that was used before

	arp := serialize(t, &layers.Ethernet{SrcMAC: usMAC, DstMAC: layers.EthernetBroadcast, EthernetType: layers.EthernetTypeARP},
		&layers.ARP{AddrType: 1, Protocol: 0x0800, HwAddressSize: 6, ProtAddressSize: 4, Operation: 1,
			SourceHwAddress: usMAC, SourceProtAddress: us4.AsSlice(), DstHwAddress: make([]byte, 6), DstProtAddress: them4.AsSlice()})
	if got := putARP(buf, [6]byte(usMAC), us4, them4); !bytes.Equal(got, arp[:arpFrame]) {
		t.Errorf("ARP request\n got %x\nwant %x", got, arp[:arpFrame])
	}

	solicitation := serialize(t,
		&layers.Ethernet{SrcMAC: usMAC, DstMAC: net.HardwareAddr{0x33, 0x33, 0xff, 0xdd, 0xee, 0xff}, EthernetType: layers.EthernetTypeIPv6},
		&layers.IPv6{Version: 6, HopLimit: 255, NextHeader: layers.IPProtocolICMPv6, SrcIP: us6.AsSlice(), DstIP: net.ParseIP("ff02::1:ffdd:eeff")},
		&layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(135, 0)},
		&layers.ICMPv6NeighborSolicitation{TargetAddress: them6.AsSlice(),
			Options: layers.ICMPv6Options{{Type: layers.ICMPv6OptSourceAddress, Data: usMAC}}})
	if got := putSolicitation(buf, [6]byte(usMAC), us6, them6); !bytes.Equal(got, solicitation) {
		t.Errorf("neighbour solicitation\n got %x\nwant %x", got, solicitation)
	}
}

func TestDecodeAllocatesNothing(t *testing.T) {
	for name, frame := range examples(t) {
		var p packet
		if n := testing.AllocsPerRun(100, func() { decode(frame, Ethernet, &p) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, name := range []string{"syn-ack ipv4", "syn-ack ipv6", "udp ipv4", "port unreachable ipv4"} {
		b.Run(name, func(b *testing.B) {
			frame := examples(b)[name]
			var p packet
			b.ReportAllocs()
			for b.Loop() {
				if !decode(frame, Ethernet, &p) {
					b.Fatal("refused")
				}
			}
		})
	}
}

func TestTimestampEcho(t *testing.T) {
	for _, tt := range []struct {
		name    string
		options []byte
		echo    uint32
		ok      bool
	}{
		{"none", nil, 0, false},
		{"alone", []byte{8, 10, 1, 1, 1, 1, 2, 3, 4, 5}, 0x02030405, true},
		{"behind others", []byte{2, 4, 5, 180, 4, 2, 1, 8, 10, 1, 1, 1, 1, 2, 3, 4, 5}, 0x02030405, true},
		{"behind the end", []byte{0, 8, 10, 1, 1, 1, 1, 2, 3, 4, 5}, 0, false},
		{"of another length", []byte{8, 9, 1, 1, 1, 1, 2, 3, 4, 1}, 0, false},
		{"another option of its length", []byte{5, 10, 1, 1, 1, 1, 2, 3, 4, 5}, 0, false},
		{"cut", []byte{8, 10, 1, 1, 1, 1, 2, 3, 4}, 0, false},
		{"a length of zero", []byte{2, 0, 8, 10, 1, 1, 1, 1, 2, 3, 4, 5}, 0, false},
		{"a kind without a length", []byte{1, 2}, 0, false},
	} {
		if echo, ok := timestampEcho(tt.options); echo != tt.echo || ok != tt.ok {
			t.Errorf("%s: timestampEcho(%v) = %#x, %t; want %#x, %t", tt.name, tt.options, echo, ok, tt.echo, tt.ok)
		}
	}
}
