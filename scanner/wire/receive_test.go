//go:build linux

package wire

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"dormant/registry"
	"dormant/scanner"
	"dormant/scanner/ways"
)

// bench is a backend without a kernel below it: one tunnel that everything goes
// through. Frames are put and answers are given by hand.
type bench struct {
	b   *Backend
	f   *iface
	r   *receiver
	out []scanner.Observation
}

func newBench(t testing.TB) *bench {
	t.Helper()
	f := &iface{name: "tun0", medium: IP, mtu: 1500, lanes: []*lane{{}}}
	b := &Backend{ifaces: []*iface{f}, routes: &routes{}, clock: 12345, cookies: cookies{key: [2]uint64{3, 4}, ports: SourcePorts{0xf000}}}
	b.known.Store(newNeighbours(nil))
	for _, v6 := range []bool{false, true} {
		us, _ := ends(v6)
		r := &route{way: ways.Way{Source: us}, iface: f}
		var err error
		if r.tcp, err = newTemplate(IP, nil, us, 1500, registry.TCP); err != nil {
			t.Fatal(err)
		}
		if r.udp, err = newTemplate(IP, nil, us, 1500, registry.UDP); err != nil {
			t.Fatal(err)
		}
		b.routes.all = append(b.routes.all, r)
	}
	b.senders = newSenders(b)
	w := &bench{b: b, f: f}
	w.r = &receiver{backend: b, iface: f, emit: func(o scanner.Observation) { w.out = append(w.out, o) }}
	return w
}

// probe returns the packet that asks p, as if sent at micros.
func (w *bench) probe(p scanner.Probe, micros int64) []byte {
	box := &w.b.senders[0].boxes[0]
	box.n = 0
	route := w.b.routes.all[0]
	if p.Addr.Is6() {
		route = w.b.routes.all[1]
	}
	box.put(w.b, &ahead{route, w.b.cookies.of(route.way.Source, p.Addr, p.Port)}, &p, [6]byte{}, micros)
	return box.frames[0]
}

// answers returns every kind of answer to a probe, made by gopacket from what
// the probe says.
func answers(t testing.TB, probe []byte) map[scanner.Reason][]byte {
	first := layers.LayerTypeIPv4
	if probe[0]>>4 == 6 {
		first = layers.LayerTypeIPv6
	}
	p := gopacket.NewPacket(probe, first, gopacket.Default)
	if p.ErrorLayer() != nil {
		t.Fatal(p.ErrorLayer().Error())
	}
	ip := func(next layers.IPProtocol) gopacket.SerializableLayer {
		if in, ok := p.NetworkLayer().(*layers.IPv4); ok {
			return &layers.IPv4{Version: 4, TTL: 50, Protocol: next, SrcIP: in.DstIP, DstIP: in.SrcIP}
		}
		in := p.NetworkLayer().(*layers.IPv6)
		return &layers.IPv6{Version: 6, HopLimit: 50, NextHeader: next, SrcIP: in.DstIP, DstIP: in.SrcIP}
	}
	all := map[scanner.Reason][]byte{}
	switch l4 := p.TransportLayer().(type) {
	case *layers.TCP:
		back := layers.TCP{SrcPort: l4.DstPort, DstPort: l4.SrcPort, Seq: 99, Ack: l4.Seq + 1, ACK: true, Window: 5000}
		open, closed := back, back
		open.SYN, closed.RST = true, true
		clock := l4.Options[slices.IndexFunc(l4.Options, func(o layers.TCPOption) bool { return o.OptionType == layers.TCPOptionKindTimestamps })].OptionData[:4]
		open.Options = []layers.TCPOption{{OptionType: layers.TCPOptionKindTimestamps, OptionLength: 10, OptionData: append([]byte{9, 9, 9, 9}, clock...)}}
		all[scanner.SynAck] = serialize(t, ip(layers.IPProtocolTCP), &open)
		all[scanner.Rst] = serialize(t, ip(layers.IPProtocolTCP), &closed)
	case *layers.UDP:
		all[scanner.UDPReply] = serialize(t, ip(layers.IPProtocolUDP), &layers.UDP{SrcPort: l4.DstPort, DstPort: l4.SrcPort}, gopacket.Payload("pong"))
	}
	quoted := gopacket.Payload(probe[:len(probe)-len(probe)%4])
	if first == layers.LayerTypeIPv4 {
		all[scanner.ICMPAdminProhibited] = serialize(t, ip(layers.IPProtocolICMPv4), &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(3, 13)}, quoted)
	} else {
		all[scanner.ICMPAdminProhibited] = serialize(t, ip(layers.IPProtocolICMPv6), &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(1, 1)},
			gopacket.Payload(append(make([]byte, 4), quoted...)))
	}
	return all
}

// TestOnlyOurProbesAreAnswered sends thousands of probes and answers each in
// every way: the observation must tell the target, the attempt and the time. A
// frame that differs from the answer in any bit of addresses, ports or numbers
// must not pass, but for the four source ports that one target has.
func TestOnlyOurProbesAreAnswered(t *testing.T) {
	w, r := newBench(t), rand.New(rand.NewPCG(7, 8))
	forged, passed := 0, 0
	for i := range 2000 {
		addr := randomAddr(r, i%2 == 0)
		p := scanner.Probe{Target: scanner.Target{Addr: addr, Port: registry.Port{Number: uint16(r.Uint32()), Proto: registry.TCP}}, Attempt: uint8(r.IntN(7))}
		if i%4 < 2 {
			p.Port.Proto, p.Payload = registry.UDP, []byte("what are you?")
		}
		sent := time.UnixMicro(1_700_000_000_000_000 + r.Int64N(1<<40))
		for reason, frame := range answers(t, w.probe(p, sent.UnixMicro())) {
			w.out = nil
			w.r.frame(frame, sent.Add(1234*time.Microsecond))
			if len(w.out) != 1 {
				t.Fatalf("%v to %v: %d observations, want 1", reason, p, len(w.out))
			}
			o := w.out[0]
			if o.Target != p.Target || o.Reason != reason || o.Attempt != p.Attempt || o.RTT != 1234*time.Microsecond || o.TTL != 50 || o.From != addr {
				t.Fatalf("%v to %+v became %+v", reason, p, o)
			}
			w.out = nil
			places := secrets(frame, reason)
			frame[places[r.IntN(len(places))]] ^= 1 << r.IntN(8)
			w.r.frame(frame, sent)
			if forged++; p.Port.Proto == registry.TCP && len(w.out) > 0 {
				t.Errorf("a forged %v to %+v passed", reason, p)
			}
			passed += len(w.out)
		}
	}
	// Of a UDP answer only the source port is secret: 4 of 4,096 pass by chance,
	// and a change of the lowest bits hits another attempt of the same target.
	if passed > forged/20 {
		t.Errorf("%d of %d forged frames passed", passed, forged)
	}
	if got := w.f.invalid.Load(); got != uint64(forged-passed) {
		t.Errorf("%d frames counted as invalid, want %d", got, forged-passed)
	}
}

// secrets returns the offsets of the bytes that only the asked one can know:
// addresses, ports, and the number that is acknowledged or quoted.
func secrets(frame []byte, reason scanner.Reason) (all []int) {
	add := func(from, to int) {
		for ; from < to; from++ {
			all = append(all, from)
		}
	}
	packet, proto := 0, 0 // where the packet begins that has the secrets
	if reason == scanner.ICMPAdminProhibited {
		packet = 28
		if frame[0]>>4 == 6 {
			packet = 48
		}
	}
	l4 := packet + 20
	if frame[0]>>4 == 4 {
		add(packet+12, packet+20)
		proto = int(frame[packet+9])
	} else {
		l4 = packet + 40
		add(packet+8, packet+40)
		proto = int(frame[packet+6])
	}
	add(l4, l4+4)
	switch {
	case proto == 6 && packet > 0:
		add(l4+4, l4+8)
	case proto == 6:
		add(l4+8, l4+12)
	}
	return all
}

// TestOldProbesHaveNoTime: what was sent too long ago for the table still
// answers, only its round-trip time is not known, unless the answer brings it.
func TestOldProbesHaveNoTime(t *testing.T) {
	w := newBench(t)
	for _, tt := range []struct {
		proto  registry.Proto
		reason scanner.Reason
		want   time.Duration
	}{
		{registry.UDP, scanner.UDPReply, 0},
		{registry.TCP, scanner.Rst, 0},
		{registry.TCP, scanner.SynAck, 99 * time.Microsecond},
	} {
		p := scanner.Probe{Target: scanner.Target{Addr: netip.MustParseAddr("10.9.9.9"), Port: registry.Port{Number: 5093, Proto: tt.proto}}}
		frame := answers(t, w.probe(p, 1))[tt.reason]
		clear(w.b.times[:])
		w.out = nil
		w.r.frame(frame, time.UnixMicro(100))
		if len(w.out) != 1 || w.out[0].RTT != tt.want || w.out[0].Reason != tt.reason {
			t.Errorf("%v: observations %+v, want one after %v", tt.reason, w.out, tt.want)
		}
	}
}

func BenchmarkReceive(b *testing.B) {
	w := newBench(b)
	p := scanner.Probe{Target: scanner.Target{Addr: netip.MustParseAddr("10.9.9.9"), Port: registry.Port{Number: 1947, Proto: registry.TCP}}}
	frame := answers(b, w.probe(p, 1))[scanner.SynAck]
	w.r.emit = func(scanner.Observation) {}
	at := time.UnixMicro(100)
	b.ReportAllocs()
	for b.Loop() {
		w.r.frame(frame, at)
	}
}
