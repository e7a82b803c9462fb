package wire

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"dormant/registry"
)

// bySerializing builds the same probe with gopacket alone: the second opinion.
func bySerializing(t *testing.T, medium Medium, mac net.HardwareAddr, src netip.Addr, mtu int, proto registry.Proto, v *variables) []byte {
	t.Helper()
	var stack []gopacket.SerializableLayer
	var network gopacket.NetworkLayer
	if medium == Ethernet {
		kind := layers.EthernetTypeIPv4
		if src.Is6() {
			kind = layers.EthernetTypeIPv6
		}
		stack = append(stack, &layers.Ethernet{SrcMAC: mac, DstMAC: v.mac[:], EthernetType: kind})
	}
	overhead := 20 + 20
	if src.Is4() {
		ip := &layers.IPv4{Version: 4, TTL: 64, Flags: layers.IPv4DontFragment, Id: uint16(v.id), Protocol: layers.IPProtocol(proto), SrcIP: src.AsSlice(), DstIP: v.dst.AsSlice()}
		network, stack = ip, append(stack, ip)
	} else {
		overhead += 20
		ip := &layers.IPv6{Version: 6, HopLimit: 64, FlowLabel: v.id & 0xfffff, NextHeader: layers.IPProtocol(proto), SrcIP: src.AsSlice(), DstIP: v.dst.AsSlice()}
		network, stack = ip, append(stack, ip)
	}
	if proto == registry.UDP {
		udp := &layers.UDP{SrcPort: layers.UDPPort(v.srcPort), DstPort: layers.UDPPort(v.dstPort)}
		if err := udp.SetNetworkLayerForChecksum(network); err != nil {
			t.Fatal(err)
		}
		stack = append(stack, udp, gopacket.Payload(v.payload))
	} else {
		mss := min(mtu-overhead, 65535-overhead+20-20)
		tcp := &layers.TCP{
			SrcPort: layers.TCPPort(v.srcPort), DstPort: layers.TCPPort(v.dstPort), Seq: v.sequence, SYN: true,
			Window: uint16(65535 / mss * mss),
			Options: []layers.TCPOption{
				{OptionType: 2, OptionLength: 4, OptionData: binary.BigEndian.AppendUint16(nil, uint16(mss))},
				{OptionType: 4, OptionLength: 2},
				{OptionType: 8, OptionLength: 10, OptionData: binary.BigEndian.AppendUint64(nil, uint64(v.clock)<<32)},
				{OptionType: 1, OptionLength: 1},
				{OptionType: 3, OptionLength: 3, OptionData: []byte{7}},
			},
		}
		if err := tcp.SetNetworkLayerForChecksum(network); err != nil {
			t.Fatal(err)
		}
		stack = append(stack, tcp)
	}
	buf := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, stack...); err != nil {
		t.Fatal(err)
	}
	b := buf.Bytes()
	if medium == Ethernet { // take off the padding to 60 bytes
		n := ethernetHeader + ipv6Header + int(binary.BigEndian.Uint16(b[ethernetHeader+4:]))
		if src.Is4() {
			n = ethernetHeader + int(binary.BigEndian.Uint16(b[ethernetHeader+2:]))
		}
		b = b[:n]
	}
	return b
}

// randomVariables gives every length of payload its turn, odd ones included.
func randomVariables(r *rand.Rand, v6 bool) *variables {
	v := &variables{
		dst: randomAddr(r, v6), dstPort: uint16(r.Uint32()), srcPort: uint16(r.Uint32()), id: r.Uint32(),
		sequence: r.Uint32(), clock: r.Uint32(), payload: make([]byte, r.IntN(maxDatagram+1)),
	}
	for i := range v.payload {
		v.payload[i] = byte(r.Uint32())
	}
	binary.BigEndian.PutUint32(v.mac[:], r.Uint32())
	return v
}

func TestPatchEqualsGopacket(t *testing.T) {
	mac := net.HardwareAddr{2, 0, 0, 0, 0, 1}
	for _, tt := range []struct {
		name   string
		medium Medium
		src    string
		mtu    int
		proto  registry.Proto
	}{
		{"tcp over ipv4", Ethernet, "10.1.0.9", 1500, registry.TCP},
		{"tcp over ipv6", Ethernet, "fd00:9::1", 1500, registry.TCP},
		{"udp over ipv4", Ethernet, "10.1.0.9", 1500, registry.UDP},
		{"udp over ipv6", Ethernet, "fd00:9::1", 1500, registry.UDP},
		{"tcp over a tunnel", IP, "10.1.0.9", 1420, registry.TCP},
		{"udp over a tunnel", IP, "fd00:9::1", 1420, registry.UDP},
		{"tcp over loopback", Host, "127.0.0.1", 65536, registry.TCP},
		{"tcp over jumbo frames", Ethernet, "10.1.0.9", 9000, registry.TCP},
	} {
		t.Run(tt.name, func(t *testing.T) {
			src := netip.MustParseAddr(tt.src)
			tmpl, err := newTemplate(tt.medium, mac, src, tt.mtu, tt.proto)
			if err != nil {
				t.Fatal(err)
			}
			r := rand.New(rand.NewPCG(3, uint64(tt.proto)))
			buf := make([]byte, maxFrame)
			for range 4000 {
				v := randomVariables(r, src.Is6())
				if tt.proto == registry.TCP {
					v.payload = nil
				}
				got := buf[:tmpl.patch(buf, v)]
				if want := bySerializing(t, tt.medium, mac, src, tt.mtu, tt.proto, v); !bytes.Equal(got, want) {
					t.Fatalf("patched frame for %+v\n got %x\nwant %x", v, got, want)
				}
			}
		})
	}
}

// TestZeroUDPChecksum looks for a datagram whose checksum comes out as zero: it
// must be sent as ffff, since zero says that there is none.
// TestFold holds fold against the definition: carries are added until there are none.
func TestFold(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 9))
	edges := []uint64{0, 1, 0xfffe, 0xffff, 0x10000, 0xffffffff, 0x1_0000_0000, 1<<48 - 1}
	for range 10_000 {
		edges = append(edges, r.Uint64()>>(16+r.IntN(48)), 1<<48-1-r.Uint64N(1<<33))
	}
	for _, s := range edges {
		want := s
		for want > 0xffff {
			want = want>>16 + want&0xffff
		}
		if got := fold(s); got != ^uint16(want) {
			t.Fatalf("fold(%#x) = %#x, want %#x", s, got, ^uint16(want))
		}
	}
}

// TestSYN: the options and the window of a current Linux, for the segment size that
// the interface has room for.
func TestSYN(t *testing.T) {
	for _, tt := range []struct {
		name   string
		mtu    int
		v6     bool
		mss    uint16
		window uint16
	}{
		{"ethernet", 1500, false, 1460, 64240},
		{"ethernet, IPv6", 1500, true, 1440, 64800},
		{"jumbo", 9000, false, 8960, 62720},
		{"the smallest of IPv6", 1280, true, 1220, 64660},
		{"tiny", 68, false, 536, 65392},
		{"loopback", 65536, false, 65495, 65495},
	} {
		us, _ := ends(tt.v6)
		tmpl, err := newTemplate(IP, nil, us, tt.mtu, registry.TCP)
		if err != nil {
			t.Fatal(err)
		}
		tcp := tmpl.head[tmpl.l4:]
		want := []byte{2, 4, byte(tt.mss >> 8), byte(tt.mss), 4, 2, 8, 10, 0, 0, 0, 0, 0, 0, 0, 0, 1, 3, 3, 7}
		if window := uint16(tcp[14])<<8 | uint16(tcp[15]); window != tt.window || !bytes.Equal(tcp[20:], want) || tcp[13] != 2 {
			t.Errorf("%s: flags %#x, window %d, options %x; want %#x, %d, %x", tt.name, tcp[13], window, tcp[20:], 2, tt.window, want)
		}
	}
}

func TestZeroUDPChecksum(t *testing.T) {
	tmpl, err := newTemplate(Ethernet, make(net.HardwareAddr, 6), netip.MustParseAddr("10.0.0.1"), 1500, registry.UDP)
	if err != nil {
		t.Fatal(err)
	}
	buf, found := make([]byte, maxFrame), false
	for port := range 1 << 16 {
		v := &variables{dst: netip.MustParseAddr("10.0.0.2"), dstPort: uint16(port), srcPort: 61440}
		frame := buf[:tmpl.patch(buf, v)]
		switch binary.BigEndian.Uint16(frame[40:]) {
		case 0:
			t.Fatalf("port %d has the checksum zero", port)
		case 0xffff:
			found = true
		}
	}
	if !found {
		t.Error("no port gave the checksum ffff: the case was not met")
	}
}

func BenchmarkPatch(b *testing.B) {
	for _, bb := range []struct {
		name, src, dst string
		proto          registry.Proto
		payload        int
	}{
		{"tcp4", "10.0.0.1", "10.0.0.2", registry.TCP, 0},
		{"tcp6", "fd00::1", "fd00::2", registry.TCP, 0},
		{"udp4-40", "10.0.0.1", "10.0.0.2", registry.UDP, 40},
		{"udp4-256", "10.0.0.1", "10.0.0.2", registry.UDP, 256},
	} {
		b.Run(bb.name, func(b *testing.B) {
			tmpl, err := newTemplate(Ethernet, make(net.HardwareAddr, 6), netip.MustParseAddr(bb.src), 1500, bb.proto)
			if err != nil {
				b.Fatal(err)
			}
			buf := make([]byte, maxFrame)
			v := &variables{dst: netip.MustParseAddr(bb.dst), payload: make([]byte, bb.payload)}
			b.ReportAllocs()
			for b.Loop() {
				v.sequence++
				tmpl.patch(buf, v)
			}
		})
	}
}
