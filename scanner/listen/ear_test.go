package listen

import (
	"net"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"dormant/registry"
)

// said is one frame of a conversation: from and to are address and port.
type said struct {
	from, to string
	sport    uint16
	dport    uint16
	udp      bool
	flags    string // of TCP: letters of SAFRP
	payload  string
	all      bool // to the broadcast address of the link
	vlan     uint16
}

// frame serializes with gopacket, the second opinion on decode.
func (s said) frame(t testing.TB) []byte {
	t.Helper()
	src, dst := net.ParseIP(s.from), net.ParseIP(s.to)
	eth := &layers.Ethernet{SrcMAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, DstMAC: net.HardwareAddr{2, 0, 0, 0, 0, 2}, EthernetType: layers.EthernetTypeIPv4}
	if s.all {
		eth.DstMAC = layers.EthernetBroadcast
	}
	proto := layers.IPProtocolTCP
	if s.udp {
		proto = layers.IPProtocolUDP
	}
	var ip gopacket.NetworkLayer
	var ipLayer gopacket.SerializableLayer
	if src.To4() != nil {
		l := &layers.IPv4{Version: 4, TTL: 64, Protocol: proto, SrcIP: src, DstIP: dst}
		ip, ipLayer = l, l
	} else {
		eth.EthernetType = layers.EthernetTypeIPv6
		l := &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: proto, SrcIP: src, DstIP: dst}
		ip, ipLayer = l, l
	}
	all := []gopacket.SerializableLayer{eth}
	if s.vlan > 0 {
		all = append(all, &layers.Dot1Q{VLANIdentifier: s.vlan, Type: eth.EthernetType})
		eth.EthernetType = layers.EthernetTypeDot1Q
	}
	all = append(all, ipLayer)
	if s.udp {
		l := &layers.UDP{SrcPort: layers.UDPPort(s.sport), DstPort: layers.UDPPort(s.dport)}
		check(t, l.SetNetworkLayerForChecksum(ip))
		all = append(all, l)
	} else {
		l := &layers.TCP{SrcPort: layers.TCPPort(s.sport), DstPort: layers.TCPPort(s.dport), Window: 1024}
		for _, c := range s.flags {
			switch c {
			case 'S':
				l.SYN = true
			case 'A':
				l.ACK = true
			case 'F':
				l.FIN = true
			case 'R':
				l.RST = true
			case 'P':
				l.PSH = true
			}
		}
		check(t, l.SetNetworkLayerForChecksum(ip))
		all = append(all, l)
	}
	buf := gopacket.NewSerializeBuffer()
	check(t, gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, append(all, gopacket.Payload(s.payload))...))
	return buf.Bytes()
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// announce decodes "LM name", the announcement of these tests.
func announce(to registry.Port, datagram []byte) (Announcement, bool) {
	if to.Number != 1947 || len(datagram) < 4 || string(datagram[:3]) != "LM " {
		return Announcement{}, false
	}
	return Announcement{Host: string(datagram[3:]), Created: unix(1400000000, 0)}, true
}

const c1, c2, srv, far = "10.0.0.5", "10.0.0.6", "10.0.0.9", "93.184.216.34"

// conversations are what an ear hears, a frame a second, and what it makes of
// it. Times are added by the tests.
func TestEar(t *testing.T) {
	for _, tt := range []struct {
		name  string
		said  []said
		want  []Client
		heard Heard // without Frames
	}{
		{
			name: "a session with data",
			said: []said{
				{from: c1, to: srv, sport: 51234, dport: 1947, flags: "S"},
				{from: srv, to: c1, sport: 1947, dport: 51234, flags: "SA"},
				{from: c1, to: srv, sport: 51234, dport: 1947, flags: "A"},
				{from: c1, to: srv, sport: 51234, dport: 1947, flags: "PA", payload: "x"},
				{from: srv, to: c1, sport: 1947, dport: 51234, flags: "PA", payload: "y"},
				{from: srv, to: c1, sport: 1947, dport: 51234, flags: "RA"},
			},
			want:  []Client{client(c1, srv, "1947/tcp", Used, ByAsking, 4, at(0), at(4))},
			heard: Heard{Taken: 4, Stray: 2},
		},
		{
			name: "a scanner: half-open, refused, silent",
			said: []said{
				{from: c1, to: srv, sport: 40000, dport: 1947, flags: "S"},
				{from: srv, to: c1, sport: 1947, dport: 40000, flags: "SA"},
				{from: c1, to: srv, sport: 40000, dport: 1947, flags: "R"},
				{from: c1, to: srv, sport: 40000, dport: 3712, flags: "S"},
				{from: srv, to: c1, sport: 3712, dport: 40000, flags: "RA"},
				{from: c1, to: srv, sport: 40000, dport: 3588, flags: "S"},
			},
			want: []Client{
				client(c1, srv, "1947/tcp", Answered, ByAsking, 2, at(0), at(1)),
				client(c1, srv, "3588/tcp", Attempted, ByAsking, 1, at(5)),
				client(c1, srv, "3712/tcp", Refused, ByAsking, 2, at(3), at(4)),
			},
			heard: Heard{Taken: 5, Stray: 1},
		},
		{
			name:  "only the answer is heard",
			said:  []said{{from: srv, to: c1, sport: 3047, dport: 40000, flags: "SA"}},
			want:  []Client{client(c1, srv, "3047/tcp", Answered, ByAnswer, 1, at(0))},
			heard: Heard{Taken: 1},
		},
		{
			name: "joined in the middle, from either side",
			said: []said{
				{from: srv, to: c1, sport: 475, dport: 40000, flags: "PA", payload: "y"},
				{from: "fd00::5", to: "fd00::9", sport: 40000, dport: 475, flags: "A", payload: "x", vlan: 7},
			},
			want: []Client{
				client(c1, srv, "475/tcp", Used, ByPort, 1, at(0)),
				client("fd00::5", "fd00::9", "475/tcp", Used, ByPort, 1, at(1)),
			},
			heard: Heard{Taken: 2},
		},
		{
			name: "our number is the source port of an outgoing connection",
			said: []said{
				{from: c1, to: far, sport: 3588, dport: 8080, flags: "S"},
				{from: far, to: c1, sport: 8080, dport: 3588, flags: "SA"},
				{from: c1, to: far, sport: 3588, dport: 8080, flags: "PA", payload: "GET"},
				{from: far, to: c1, sport: 8080, dport: 3588, flags: "A", payload: "200"},
				{from: far, to: c2, sport: 8081, dport: 3712, flags: "SA"}, // its SYN was missed
				{from: c2, to: far, sport: 3712, dport: 8081, flags: "PA", payload: "GET"},
				{from: c2, to: far, sport: 3047, dport: 443, flags: "PA", payload: "joined late"},
			},
			heard: Heard{Outgoing: 6, Ambiguous: 1},
		},
		{
			name: "both numbers are ours",
			said: []said{
				{from: c1, to: srv, sport: 3047, dport: 1947, flags: "S"},
				{from: srv, to: c1, sport: 1947, dport: 3047, flags: "SA"},
				{from: srv, to: c1, sport: 1947, dport: 3047, flags: "A", payload: "y"},
				{from: c2, to: srv, sport: 3047, dport: 1947, flags: "A", payload: "joined late"},
				{from: c1, to: srv, sport: 1947, dport: 1947, udp: true, payload: "q"},
				{from: srv, to: c1, sport: 1947, dport: 1947, udp: true, payload: "a"},
			},
			want: []Client{
				client(c1, srv, "1947/tcp", Used, ByAsking, 3, at(0), at(2)),
				client(c1, srv, "1947/udp", Used, ByAsking, 2, at(4), at(5)),
			},
			heard: Heard{Taken: 5, Ambiguous: 1},
		},
		{
			name: "announcements",
			said: []said{
				{from: c1, to: "10.0.0.255", sport: 50000, dport: 1947, udp: true, payload: "LM drawing7", all: true},
				{from: c1, to: "10.0.0.255", sport: 50000, dport: 1947, udp: true, payload: "LM drawing7", all: true},
				{from: c2, to: "255.255.255.255", sport: 50000, dport: 5093, udp: true, payload: "?", all: true},
				{from: "fe80::5", to: "ff02::1", sport: 50000, dport: 475, udp: true, payload: "?", all: true},
				{from: srv, to: c1, sport: 1947, dport: 50000, udp: true, payload: "here"},
			},
			want: func() []Client {
				first := client(c1, "10.0.0.255", "1947/udp", Announced, ByAsking, 2, at(0), at(1))
				first.Name, first.Created = "drawing7", unix(1400000000, 0)
				return []Client{
					client(c1, srv, "1947/udp", Used, ByPort, 1, at(4)),
					first,
					client(c2, "255.255.255.255", "5093/udp", Announced, ByAsking, 1, at(2)),
					client("fe80::5", "ff02::1", "475/udp", Announced, ByAsking, 1, at(3)),
				}
			}(),
			heard: Heard{Taken: 5},
		},
		{
			name: "datagrams",
			said: []said{
				{from: c1, to: srv, sport: 40000, dport: 5093, udp: true, payload: "q"},
				{from: srv, to: c1, sport: 5093, dport: 40000, udp: true, payload: "a"},
				{from: c2, to: srv, sport: 40000, dport: 5093, udp: true, payload: "q"},
				{from: far, to: c1, sport: 53, dport: 3588, udp: true, payload: "answer of DNS"},
				{from: c1, to: far, sport: 40000, dport: 53, udp: true, payload: "DNS"},
				{from: c1, to: srv, sport: 40000, dport: 1947, udp: true, payload: "LM drawing7"},
			},
			want: []Client{
				client(c1, srv, "1947/udp", Attempted, ByAsking, 1, at(5)), // asks this one server, and announces nothing
				client(c1, srv, "5093/udp", Used, ByAsking, 2, at(0), at(1)),
				client(c2, srv, "5093/udp", Attempted, ByAsking, 1, at(2)),
			},
			heard: Heard{Taken: 4, Ambiguous: 1, Other: 1},
		},
		{
			name: "datagrams of system ports are as likely answers of others",
			said: []said{
				{from: c1, to: srv, sport: 1023, dport: 5093, udp: true, payload: "?"},
				{from: srv, to: c1, sport: 5093, dport: 1023, udp: true, payload: "?"},
				{from: srv, to: "10.0.0.255", sport: 5093, dport: 40000, udp: true, payload: "?", all: true},
				{from: c1, to: srv, sport: 1024, dport: 5093, udp: true, payload: "q"},
				{from: c1, to: srv, sport: 1023, dport: 5093, udp: true, payload: "q"}, // it is known by now
				{from: srv, to: c2, sport: 5093, dport: 1024, udp: true, payload: "a"},
			},
			want: []Client{
				client(c1, srv, "5093/udp", Attempted, ByAsking, 2, at(3), at(4)),
				client(c2, srv, "5093/udp", Used, ByPort, 1, at(5)),
			},
			heard: Heard{Taken: 3, Ambiguous: 3},
		},
		{
			name: "a client with a system port, and who is refused by whom",
			said: []said{
				{from: c1, to: srv, sport: 1023, dport: 1947, flags: "A", payload: "joined late"},
				{from: srv, to: c1, sport: 1947, dport: 1023, flags: "A", payload: "joined late"},
				{from: c1, to: srv, sport: 1023, dport: 1947, flags: "S"},
				{from: srv, to: c1, sport: 1947, dport: 1023, flags: "A", payload: "no answer was seen"},
				{from: srv, to: c1, sport: 1947, dport: 1023, flags: "SA"},
				{from: c1, to: srv, sport: 1023, dport: 1947, flags: "A", payload: "q"},
				{from: srv, to: c1, sport: 1947, dport: 1023, flags: "A", payload: "a"},
				{from: srv, to: c2, sport: 1947, dport: 40000, flags: "RA"}, // nobody was seen to ask
				{from: c2, to: srv, sport: 40000, dport: 3588, flags: "S"},
				{from: c2, to: srv, sport: 40000, dport: 3588, flags: "R"}, // the client's own
				{from: c1, to: srv, sport: 1024, dport: 475, flags: "A", payload: "q"},
			},
			want: []Client{
				client(c1, srv, "475/tcp", Used, ByPort, 1, at(10)),
				client(c1, srv, "1947/tcp", Used, ByAsking, 4, at(2), at(6)),
				client(c2, srv, "3588/tcp", Attempted, ByAsking, 1, at(8)),
			},
			heard: Heard{Taken: 6, Ambiguous: 3, Stray: 2},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			table := NewTable(0)
			ear, err := NewEar(Config{Ports: six(), Table: table, Decode: announce, Names: true})
			check(t, err)
			for i, s := range tt.said {
				ear.Hear("x", LinkEthernet, s.frame(t), at(i))
			}
			compareClients(t, tt.want, table.Clients())
			tt.heard.Frames = uint64(len(tt.said))
			if got := ear.Heard(); got != tt.heard {
				t.Errorf("heard = %+v, want %+v", got, tt.heard)
			}
		})
	}
}

// at is the time of the i-th frame.
func at(i int) time.Time { return unix(1700000000+int64(i), 0) }

// TestOutgoingIsBounded: of the conversations to leave out the oldest are forgotten,
// in their order, and no others.
func TestOutgoingIsBounded(t *testing.T) {
	ear, err := NewEar(Config{Ports: six(), Table: NewTable(0)})
	check(t, err)
	hear := func(n int, flags, payload string) Heard {
		before := ear.Heard()
		ear.Hear("x", LinkEthernet, said{from: c1, to: far, sport: 3588, dport: uint16(10_000 + n), flags: flags, payload: payload}.frame(t), at(n))
		got := ear.Heard()
		return Heard{Taken: got.Taken - before.Taken, Outgoing: got.Outgoing - before.Outgoing}
	}
	for n := range maxOutgoing + 3 {
		hear(n, "S", "")
		hear(n, "S", "") // again, of which nothing more is kept
	}
	for n := range maxOutgoing + 3 {
		want := Heard{Outgoing: 1}
		if n < 3 {
			want = Heard{Taken: 1}
		}
		if got := hear(n, "PA", "x"); got != want {
			t.Fatalf("conversation %d of %d: %+v, want %+v", n, maxOutgoing+3, got, want)
		}
	}
	if len(ear.outgoing) != maxOutgoing || len(ear.order) != maxOutgoing {
		t.Errorf("%d, %d are kept, want %d", len(ear.outgoing), len(ear.order), maxOutgoing)
	}
	for _, cfg := range []Config{{Table: NewTable(0)}, {Ports: six()}} {
		if _, err := NewEar(cfg); err == nil {
			t.Errorf("NewEar(%+v) succeeds", cfg)
		}
	}
}

func TestNamesAreLeftOut(t *testing.T) {
	table := NewTable(0)
	ear, err := NewEar(Config{Ports: six(), Table: table, Decode: announce})
	check(t, err)
	ear.Hear("x", LinkEthernet, said{from: c1, to: "10.0.0.255", sport: 5, dport: 1947, udp: true, payload: "LM alice", all: true}.frame(t), at(0))
	want := client(c1, "10.0.0.255", "1947/udp", Announced, ByAsking, 1, at(0))
	want.Created = unix(1400000000, 0)
	compareClients(t, []Client{want}, table.Clients())
}

func TestTableForgetsTheWeakestFirst(t *testing.T) {
	table := NewTable(3)
	table.Add(client("10.0.0.1", srv, "1947/tcp", Used, ByFlow, 1))
	for _, a := range []string{"10.0.1.1", "10.0.1.2", "10.0.1.3", "10.0.1.2", "10.0.1.4"} {
		table.Add(client(a, srv, "1947/tcp", Attempted, ByAsking, 1))
	}
	compareClients(t, []Client{
		client("10.0.0.1", srv, "1947/tcp", Used, ByFlow, 1),
		client("10.0.1.2", srv, "1947/tcp", Attempted, ByAsking, 2),
		client("10.0.1.4", srv, "1947/tcp", Attempted, ByAsking, 1),
	}, table.Clients())
	for _, a := range []string{"10.0.2.1", "10.0.2.2", "10.0.2.3"} {
		table.Add(client(a, srv, "1947/tcp", Used, ByFlow, 1))
	}
	compareClients(t, []Client{
		client("10.0.2.1", srv, "1947/tcp", Used, ByFlow, 1),
		client("10.0.2.2", srv, "1947/tcp", Used, ByFlow, 1),
		client("10.0.2.3", srv, "1947/tcp", Used, ByFlow, 1),
	}, table.Clients())
	if table.Forgotten() != 5 || table.Len() != 3 {
		t.Errorf("forgotten %d, len %d; want 5, 3", table.Forgotten(), table.Len())
	}
}

// TestTableKeepsWhoGotAnAnswer: a client that asked first and was answered later
// is as strong as any, whatever passes by.
func TestTableKeepsWhoGotAnAnswer(t *testing.T) {
	table := NewTable(3)
	table.Add(client("10.0.0.1", srv, "1947/tcp", Attempted, ByAsking, 1))
	table.Add(client("10.0.0.1", srv, "1947/tcp", Used, ByPort, 1))
	table.Add(client("10.0.0.2", srv, "1947/tcp", Answered, ByAnswer, 1))
	for _, a := range []string{"10.0.1.1", "10.0.1.2", "10.0.1.3"} {
		table.Add(client(a, srv, "1947/tcp", Refused, ByAsking, 1))
	}
	compareClients(t, []Client{
		client("10.0.0.1", srv, "1947/tcp", Used, ByAsking, 2),
		client("10.0.0.2", srv, "1947/tcp", Answered, ByAnswer, 1),
		client("10.0.1.3", srv, "1947/tcp", Refused, ByAsking, 1),
	}, table.Clients())
}

// TestUnread: what was cut before it told anything is counted apart from what
// is of no interest.
func TestUnread(t *testing.T) {
	ear, err := NewEar(Config{Ports: []registry.Port{{Number: 1947, Proto: registry.TCP}}, Table: NewTable(10)})
	if err != nil {
		t.Fatal(err)
	}
	ours := said{from: c1, to: srv, sport: 40000, dport: 1947, flags: "S"}.frame(t)
	other := said{from: c1, to: srv, sport: 40000, dport: 80, flags: "S"}.frame(t)
	six := said{from: "fd00::5", to: "fd00::9", sport: 40000, dport: 1947, flags: "S"}.frame(t)
	arp := append(append([]byte{}, ours[:12]...), 0x08, 0x06, 0, 1)
	for _, tt := range []struct {
		frame []byte
		want  Heard
	}{
		{ours[:47], Heard{Frames: 1, Unread: 1}}, // one byte before the flags
		{ours[:48], Heard{Frames: 1, Taken: 1}},
		{ours[:36], Heard{Frames: 1, Unread: 1}},
		{other[:47], Heard{Frames: 1, Other: 1}},
		{other[:36], Heard{Frames: 1, Unread: 1}}, // before its ports
		{six[:50], Heard{Frames: 1, Unread: 1}},
		{arp, Heard{Frames: 1, Other: 1}},
	} {
		ear.heard = Heard{}
		ear.Hear("x", LinkEthernet, tt.frame, time.Unix(1, 0))
		if got := ear.Heard(); got != tt.want {
			t.Errorf("%d bytes: heard %+v, want %+v", len(tt.frame), got, tt.want)
		}
	}
}

func BenchmarkHear(b *testing.B) {
	ear, err := NewEar(Config{Ports: six(), Table: NewTable(0)})
	check(b, err)
	frame := said{from: c1, to: srv, sport: 51234, dport: 1947, flags: "PA", payload: "x"}.frame(b)
	b.ReportAllocs()
	for b.Loop() {
		ear.Hear("x", LinkEthernet, frame, at(0))
	}
}
