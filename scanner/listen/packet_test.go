package listen

import (
	"encoding/binary"
	"slices"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// TestDecodeLinks holds every link type against the same packet.
func TestDecodeLinks(t *testing.T) {
	frame := said{from: c1, to: srv, sport: 40000, dport: 1947, udp: true, payload: "q"}.frame(t)
	raw := frame[14:]
	cooked := append([]byte{0, 1, 0, 1, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0}, raw...)
	cooked2 := append([]byte{8, 0, 0, 0, 0, 0, 0, 2, 0, 1, 1, 6, 0, 0, 0, 0, 0, 0, 0, 0}, raw...)
	for _, tt := range []struct {
		name  string
		link  LinkType
		frame []byte
		toAll bool
	}{
		{"ethernet", LinkEthernet, frame, false},
		{"raw", LinkRaw, raw, false},
		{"null", LinkNull, append([]byte{2, 0, 0, 0}, raw...), false},
		{"loop", LinkLoop, append([]byte{0, 0, 0, 2}, raw...), false},
		{"cooked, broadcast", LinkCooked, cooked, true},
		{"cooked version 2, broadcast", LinkCooked2, cooked2, true},
	} {
		p, ok := decode(tt.link, tt.frame)
		if !ok || p.src != ip(c1) || p.dst != ip(srv) || p.sport != 40000 || p.dport != 1947 || string(p.payload) != "q" || p.size != 1 || p.toAll != tt.toAll {
			t.Errorf("%s: decode = %+v, %t", tt.name, p, ok)
		}
		for _, keep := range []int{12, 19, 27} { // in the header of IP, and before the end of that of UDP
			if p, ok := decode(tt.link, tt.frame[:len(tt.frame)-len(raw)+keep]); ok || !p.unread {
				t.Errorf("%s: decode of %d bytes = %+v, %t, want unread", tt.name, keep, p, ok)
			}
		}
	}
	if p, ok := decode(9, frame); ok || !p.unread {
		t.Errorf("decode of an unknown link type = %+v, %t, want unread", p, ok)
	}
}

// TestDecodeWithin holds what stands between the header of a frame and that of
// IP against gopacket, which wrote it; where a frame was cut in between, nobody
// knows whether it was of interest.
func TestDecodeWithin(t *testing.T) {
	for _, family := range []struct {
		from, to string
		ether    layers.EthernetType
		ppp      layers.PPPType
	}{
		{c1, srv, layers.EthernetTypeIPv4, layers.PPPTypeIPv4},
		{"fd00::5", "fd00::9", layers.EthernetTypeIPv6, layers.PPPTypeIPv6},
	} {
		raw := said{from: family.from, to: family.to, sport: 40000, dport: 1947, flags: "PA", payload: "q"}.frame(t)[14:]
		for _, tt := range []struct {
			name   string
			ether  layers.EthernetType
			within []gopacket.SerializableLayer
			want   bool
		}{
			{"nothing", family.ether, nil, true},
			{"two tags", layers.EthernetTypeQinQ, []gopacket.SerializableLayer{
				&layers.Dot1Q{VLANIdentifier: 7, Type: layers.EthernetTypeDot1Q}, &layers.Dot1Q{VLANIdentifier: 8, Type: family.ether}}, true},
			{"labels", layers.EthernetTypeMPLSUnicast, []gopacket.SerializableLayer{
				&layers.MPLS{Label: 16, TTL: 9}, &layers.MPLS{Label: 17, TTL: 9, StackBottom: true}}, true},
			{"labels of a multicast", layers.EthernetTypeMPLSMulticast, []gopacket.SerializableLayer{&layers.MPLS{Label: 16, StackBottom: true}}, true},
			{"PPPoE in a VLAN", layers.EthernetTypeDot1Q, []gopacket.SerializableLayer{
				&layers.Dot1Q{VLANIdentifier: 7, Type: layers.EthernetTypePPPoESession},
				&layers.PPPoE{Version: 1, Type: 1, SessionId: 3, Length: uint16(len(raw) + 2)}, &layers.PPP{PPPType: family.ppp}}, true},
			{"PPPoE, but of its own", layers.EthernetTypePPPoESession, []gopacket.SerializableLayer{
				&layers.PPPoE{Version: 1, Type: 1, SessionId: 3, Length: uint16(len(raw) + 2)}, &layers.PPP{PPPType: 0xc021}}, false},
			{"more tags than any network has", layers.EthernetTypeDot1Q, slices.Repeat([]gopacket.SerializableLayer{
				&layers.Dot1Q{VLANIdentifier: 7, Type: layers.EthernetTypeDot1Q}}, 9), false},
			{"a length where Ethernet II has the type", layers.EthernetType(family.ppp), nil, false},
		} {
			buf := gopacket.NewSerializeBuffer()
			check(t, gopacket.SerializeLayers(buf, gopacket.SerializeOptions{}, append(tt.within, gopacket.Payload(raw))...))
			ether, body := []byte{byte(tt.ether >> 8), byte(tt.ether)}, buf.Bytes()
			for name, frame := range map[string]struct {
				link LinkType
				head []byte
			}{
				"ethernet": {LinkEthernet, append(make([]byte, 12), ether...)},
				"cooked":   {LinkCooked, append(make([]byte, 14), ether...)},
				"cooked 2": {LinkCooked2, append(slices.Clone(ether), make([]byte, 18)...)},
			} {
				whole := slices.Concat(frame.head, body)
				p, ok := decode(frame.link, whole)
				if ok != tt.want || p.unread || ok && (p.src != ip(family.from) || p.dst != ip(family.to) || p.dport != 1947 || string(p.payload) != "q") {
					t.Errorf("%s, %s, %s: decode = %+v, %t, want %t", family.from, name, tt.name, p, ok, tt.want)
				}
				for n := range len(whole) - len(raw) + 20 {
					if p, ok := decode(frame.link, whole[:n]); tt.want && (ok || !p.unread) {
						t.Errorf("%s, %s, %s, the first %d bytes: decode = %+v, %t, want unread", family.from, name, tt.name, n, p, ok)
					}
				}
			}
		}
	}
}

// TestDecodeAuthenticated: behind the authentication header of IPv4 stands the
// same segment.
func TestDecodeAuthenticated(t *testing.T) {
	raw := said{from: c1, to: srv, sport: 40000, dport: 1947, flags: "PA", payload: "q"}.frame(t)[14:55] // without the padding
	frame := slices.Concat(raw[:20], []byte{6, 4}, make([]byte, 22), raw[20:])
	frame[9] = 51
	binary.BigEndian.PutUint16(frame[2:], uint16(len(frame)))
	if p, ok := decode(LinkRaw, frame); !ok || p.src != ip(c1) || p.dport != 1947 || string(p.payload) != "q" || p.size != 1 {
		t.Errorf("decode = %+v, %t", p, ok)
	}
	for n := range len(frame) - 21 + 14 {
		if p, ok := decode(LinkRaw, frame[:n]); ok || !p.unread {
			t.Errorf("decode of %d bytes = %+v, %t, want unread", n, p, ok)
		}
	}
}

// TestDecodeExtensions: behind the extension headers of IPv6 stands the same
// datagram; only the first fragment has its ports, and eight headers are enough.
func TestDecodeExtensions(t *testing.T) {
	raw := said{from: "fd00::5", to: "fd00::9", sport: 40000, dport: 1947, udp: true, payload: "q"}.frame(t)[14:]
	header := func(kind byte, b ...byte) []byte { return append([]byte{kind}, b...) } // kind, and the header but for its first byte
	options := []byte{0, 1, 4, 0, 0, 0, 0}
	for _, tt := range []struct {
		name    string
		headers [][]byte
		want    bool
	}{
		{"none", nil, true},
		{"hop-by-hop and destination options", [][]byte{header(0, options...), header(60, options...)}, true},
		{"routing", [][]byte{header(43, append([]byte{2, 4}, make([]byte, 21)...)...)}, true},
		{"authentication", [][]byte{header(51, append([]byte{4}, make([]byte, 22)...)...)}, true},
		{"the first fragment", [][]byte{header(44, 0, 0, 1, 0, 0, 0, 9)}, true},
		{"a later fragment", [][]byte{header(44, 0, 0, 9, 0, 0, 0, 9)}, false},
		{"seven", slices.Repeat([][]byte{header(60, options...)}, 7), true},
		{"eight", slices.Repeat([][]byte{header(60, options...)}, 8), false},
	} {
		frame, at := slices.Clone(raw[:40]), 6 // where the kind of the next header stands
		for _, h := range tt.headers {
			frame[at], at = h[0], len(frame)
			frame = append(append(frame, 0), h[1:]...)
		}
		frame[at] = 17
		frame = append(frame, raw[40:]...)
		binary.BigEndian.PutUint16(frame[4:], uint16(len(frame)-40))
		p, ok := decode(LinkRaw, frame)
		if ok != tt.want || ok && (p.sport != 40000 || p.dport != 1947 || string(p.payload) != "q" || p.size != 1) {
			t.Errorf("%s: decode = %+v, %t, want %t", tt.name, p, ok, tt.want)
		}
		if p, ok := decode(LinkRaw, frame[:len(frame)-10]); tt.want && (ok || !p.unread) {
			t.Errorf("%s, cut: decode = %+v, %t, want unread", tt.name, p, ok)
		}
	}
}

// FuzzDecode holds decode against gopacket: where both see TCP or UDP without
// trouble, they see the same.
func FuzzDecode(f *testing.F) {
	for _, s := range []said{
		{from: c1, to: srv, sport: 1, dport: 1947, flags: "PA", payload: "x"},
		{from: "fd00::5", to: "fd00::9", sport: 1, dport: 1947, flags: "S", vlan: 4},
		{from: "fd00::5", to: "ff02::1", sport: 1, dport: 1947, udp: true, payload: "q"},
	} {
		f.Add(s.frame(f))
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		got, ok := decode(LinkEthernet, frame)
		for link := LinkType(0); link < 300; link++ {
			decode(link, frame) // must not panic
		}
		if !ok || len(frame) > 1<<16 {
			return
		}
		if !got.src.IsValid() || len(got.payload) > len(frame) || got.size < 0 {
			t.Fatalf("decode = %+v", got)
		}
		second := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.NoCopy)
		if second.ErrorLayer() != nil {
			return // it is stricter about what is cut and about options
		}
		if tcp, ok := second.TransportLayer().(*layers.TCP); ok && second.Metadata().Truncated == false {
			if uint16(tcp.SrcPort) != got.sport || uint16(tcp.DstPort) != got.dport || tcp.SYN != (got.flags&flagSYN != 0) || string(tcp.Payload) != string(got.payload) {
				t.Fatalf("decode = %+v, gopacket: %+v", got, tcp)
			}
		}
		if udp, ok := second.TransportLayer().(*layers.UDP); ok && second.Metadata().Truncated == false {
			if uint16(udp.SrcPort) != got.sport || uint16(udp.DstPort) != got.dport {
				t.Fatalf("decode = %+v, gopacket: %+v", got, udp)
			}
		}
	})
}
