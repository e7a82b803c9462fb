package firewall

import (
	"encoding/binary"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"golang.org/x/sys/unix"

	"dormant/registry"
	"dormant/scanner/netlab"
)

// kernel is a router in a namespace of its own between a client's and a
// server's namespace, which only send and hear frames.
type kernel struct {
	t                *testing.T
	place            Place // where the rules stand: Router, or Server for newKernelHost
	ears             []int // raw sockets of a host, behind its input hook
	client, server   *netlab.NS
	router           *netlab.NS
	toServer         *netlab.Capture // what arrives behind the router
	toClient         *netlab.Capture
	readServer, read int // frames already looked at
	sockets          [2]int
	macs             [2][2]net.HardwareAddr // of each side: the end's, the router's
}

// The sides of the router.
const (
	clientSide = iota
	serverSide
)

func newKernel(t *testing.T) *kernel {
	k := &kernel{t: t, place: Router, client: netlab.New(t), server: netlab.New(t), router: netlab.New(t)}
	k.router.Sysctl("net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1", "net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.default.rp_filter=0",
		"net.ipv4.conf.all.send_redirects=0")
	for i, end := range []*netlab.NS{k.client, k.server} {
		name := [...]string{"c0", "s0"}[i]
		end.Sysctl("net.ipv6.conf.default.disable_ipv6=1")
		netlab.Join(end, "e0", k.router, name)
		k.macs[i] = [2]net.HardwareAddr{end.MAC("e0"), k.router.MAC(name)}
		gw4, gw6 := fmt.Sprintf("10.9.%d.2", i+1), fmt.Sprintf("fd09:%d::2", i+1)
		k.router.Addr(name, fmt.Sprintf("10.9.%d.1/24", i+1), fmt.Sprintf("fd09:%d::1/64", i+1))
		k.router.Neighbour(name, gw4, end.MAC("e0"))
		k.router.Neighbour(name, gw6, end.MAC("e0"))
		k.router.Route(netlab.Route{Dst: fmt.Sprintf("10.%d.0.0/16", i+1), Via: gw4},
			netlab.Route{Dst: fmt.Sprintf("fd0%d::/32", i+1), Via: gw6})
		k.sockets[i] = k.socket(end)
	}
	k.toServer, k.toClient = k.server.Capture("e0"), k.client.Capture("e0")
	return k
}

// socket returns one that sends frames by e0.
func (k *kernel) socket(ns *netlab.NS) (fd int) {
	k.t.Helper()
	var err error
	ns.Do(func() {
		var ifi *net.Interface
		if ifi, err = net.InterfaceByName("e0"); err != nil {
			return
		}
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err == nil {
			err = unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: ifi.Index})
		}
	})
	if err != nil {
		k.t.Fatalf("open a packet socket: %v", err)
	}
	k.t.Cleanup(func() { _ = unix.Close(fd) })
	return fd
}

// run runs a program inside the router with input and returns its output.
func (k *kernel) run(input string, args ...string) string {
	k.t.Helper()
	out, err := k.try(input, args...)
	if err != nil {
		k.t.Fatalf("%s: %v\n%s\n%s", strings.Join(args, " "), err, out, numbered(input))
	}
	return out
}

func (k *kernel) try(input string, args ...string) (string, error) {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdin = strings.NewReader(input)
	cmd.Env = append(os.Environ(), "XTABLES_LOCKFILE=/dev/null", "LC_ALL=C")
	var out []byte
	var err error
	k.router.Do(func() { out, err = cmd.CombinedOutput() })
	return string(out), err
}

func numbered(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = fmt.Sprintf("%4d  %s", i+1, lines[i])
	}
	return strings.Join(lines[:min(len(lines), 200)], "\n")
}

// flow is one connection of a case: who, whom, and the mark in the traffic
// class by which the rules of the case know it.
type flow struct {
	id       uint32 // in the sequence number or the datagram: how a translated flow is known again
	mark     uint8  // DSCP
	proto    registry.Proto
	src, dst netip.AddrPort
}

// frame is the packet of a flow at a moment; for Reply, the flow is as the
// server saw it.
func (k *kernel) frame(f flow, phase Phases) []byte {
	side, src, dst := clientSide, f.src, f.dst
	if phase == Reply {
		side, src, dst = serverSide, f.dst, f.src
	}
	macs := k.macs[side]
	if k.place == Server { // its own packets are sent without one
		macs = k.macs[clientSide]
	}
	eth := &layers.Ethernet{SrcMAC: macs[0], DstMAC: macs[1], EthernetType: layers.EthernetTypeIPv4}
	var ip gopacket.NetworkLayer
	var ipLayer gopacket.SerializableLayer
	next := layers.IPProtocol(f.proto)
	if src.Addr().Is4() {
		l := &layers.IPv4{Version: 4, TTL: 64, TOS: f.mark << 2, Protocol: next, SrcIP: src.Addr().AsSlice(), DstIP: dst.Addr().AsSlice()}
		ip, ipLayer = l, l
	} else {
		eth.EthernetType = layers.EthernetTypeIPv6
		l := &layers.IPv6{Version: 6, HopLimit: 64, TrafficClass: f.mark << 2, NextHeader: next, SrcIP: src.Addr().AsSlice(), DstIP: dst.Addr().AsSlice()}
		ip, ipLayer = l, l
	}
	all := []gopacket.SerializableLayer{eth, ipLayer}
	if f.proto == registry.UDP {
		udp := &layers.UDP{SrcPort: layers.UDPPort(src.Port()), DstPort: layers.UDPPort(dst.Port())}
		_ = udp.SetNetworkLayerForChecksum(ip)
		all = append(all, udp, gopacket.Payload(binary.BigEndian.AppendUint32(nil, f.id)))
	} else {
		tcp := &layers.TCP{SrcPort: layers.TCPPort(src.Port()), DstPort: layers.TCPPort(dst.Port()), Window: 65535}
		switch phase {
		case First:
			tcp.SYN, tcp.Seq = true, f.id
		case Reply:
			tcp.SYN, tcp.ACK, tcp.Seq, tcp.Ack = true, true, 5000, f.id+1
		default:
			tcp.ACK, tcp.Seq, tcp.Ack = true, f.id+1, 5001
		}
		_ = tcp.SetNetworkLayerForChecksum(ip)
		all = append(all, tcp)
	}
	buf := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, all...); err != nil {
		k.t.Fatal(err)
	}
	return buf.Bytes()
}

// sentinelMark is the traffic class that all rule sets let pass.
const sentinelMark = 63

// pass sends the packet of each flow at a moment and returns those that came
// out on the other side, by their ids and as they were seen there.
func (k *kernel) pass(flows []flow, phase Phases) map[uint32]flow {
	k.t.Helper()
	sentinel := flow{0, sentinelMark, registry.UDP, netip.MustParseAddrPort("10.1.255.1:9"), netip.MustParseAddrPort("10.2.255.1:9")}
	arrived := map[uint32]flow{}
	for i, f := range append(flows[:len(flows):len(flows)], sentinel) {
		k.send(f, phase)
		if i%200 == 199 { // the queue between two namespaces holds 1,000 packets
			time.Sleep(2 * time.Millisecond)
		}
	}
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(2 * time.Millisecond) {
		k.heard(phase, func(frame []byte) {
			if f, ok := flowOf(frame, phase); ok {
				arrived[f.id] = f
			}
		})
		if _, ok := arrived[sentinel.id]; ok {
			return arrived
		}
		if time.Now().After(end) {
			k.t.Fatal("the last packet did not arrive")
		}
	}
}

// flowOf reads a frame back; it reports false for what the router itself sent,
// such as resets.
func flowOf(frame []byte, phase Phases) (f flow, ok bool) {
	if len(frame) < 14+20 {
		return f, false
	}
	p := frame[14:]
	var src, dst netip.Addr
	var rest []byte
	switch binary.BigEndian.Uint16(frame[12:]) {
	case 0x0800:
		f.mark, f.proto = p[1]>>2, registry.Proto(p[9])
		src, dst, rest = netip.AddrFrom4([4]byte(p[12:16])), netip.AddrFrom4([4]byte(p[16:20])), p[20:]
	case 0x86dd:
		if len(p) < 48 {
			return f, false
		}
		f.mark, f.proto = uint8(binary.BigEndian.Uint16(p)>>4)>>2, registry.Proto(p[6])
		src, dst, rest = netip.AddrFrom16([16]byte(p[8:24])), netip.AddrFrom16([16]byte(p[24:40])), p[40:]
	default:
		return f, false
	}
	if f.proto != registry.UDP && f.proto != registry.TCP || len(rest) < 8 {
		return f, false
	}
	switch {
	case f.proto == registry.TCP && (len(rest) < 14 || rest[13]&flagRST != 0):
		return f, false
	case f.proto == registry.UDP && len(rest) < 12:
		return f, false
	case f.proto == registry.UDP:
		f.id = binary.BigEndian.Uint32(rest[8:])
	case phase == First:
		f.id = binary.BigEndian.Uint32(rest[4:])
	case phase == Reply:
		f.id = binary.BigEndian.Uint32(rest[8:]) - 1
	default:
		f.id = binary.BigEndian.Uint32(rest[4:]) - 1
	}
	f.src = netip.AddrPortFrom(src, binary.BigEndian.Uint16(rest))
	f.dst = netip.AddrPortFrom(dst, binary.BigEndian.Uint16(rest[2:]))
	if phase == Reply {
		f.src, f.dst = f.dst, f.src
	}
	return f, true
}

// kernelCase is one random rule set, as the program of the firewall shows it,
// and its flows.
type kernelCase struct {
	mark  uint8
	text  string
	rules *RuleSet
	flows []flow
}

// score counts how the model did against the kernel.
type score struct {
	sets, packets, unknown, flows, unknownFlows, wrong int
	again                                              int            // packets that were sent a second time
	why                                                map[string]int // the reasons of unknown packets
}

// holdAgainst sends all flows of the cases through the kernel, moment by moment,
// and holds each packet's fate against the model.
func (k *kernel) holdAgainst(cases []*kernelCase, s *score) {
	k.t.Helper()
	var all []flow
	byMark := map[uint8]*kernelCase{}
	for _, c := range cases {
		byMark[c.mark] = c
		all = append(all, c.flows...)
		s.sets++
	}
	going, fates, atServer := all, map[flow]Effect{}, map[uint32]flow{}
	for _, phase := range []Phases{First, Reply, Later} {
		judged := map[flow][]Outcome{}
		for _, f := range going {
			path := byMark[f.mark].rules.Paths[k.place].Request
			if phase == Reply {
				path = byMark[f.mark].rules.Paths[k.place].Reply
			}
			judged[f] = Judge(path, packet(f, phase), phase)
		}
		arrived := k.pass(sent(going, phase, atServer), phase)
		// On a busy machine a queue between the namespaces may overrun. What a rule
		// denied is denied again; what was lost arrives.
		lost := slices.DeleteFunc(slices.Clone(going), func(f flow) bool {
			_, ok := arrived[f.id]
			return ok || len(judged[f]) != 1 || judged[f][0].Effect != Allow
		})
		if len(lost) > 0 {
			time.Sleep(100 * time.Millisecond)
			maps.Copy(arrived, k.pass(sent(lost, phase, atServer), phase))
			s.again += len(lost)
		}
		var next []flow
		for _, f := range going {
			fates[f] = fate(f, arrived, phase)
			k.holdPacket(byMark[f.mark], f, phase, fates[f], judged[f], s)
			lost := len(judged[f]) == 1 && judged[f][0].Lost // what the model says of its other packets is of no flow
			if fates[f] == Allow && !lost {
				next = append(next, f)
			}
		}
		if phase == First {
			atServer = arrived
		}
		going = next
	}
	for _, f := range all {
		k.holdFlow(byMark[f.mark], f, fates[f], s)
	}
}

// sent returns the flows as those see them who send at a moment: the server may
// see another client.
func sent(flows []flow, phase Phases, atServer map[uint32]flow) []flow {
	if phase != Reply {
		return flows
	}
	out := make([]flow, len(flows))
	for i, f := range flows {
		out[i] = atServer[f.id]
	}
	return out
}

// fate is what became of the packet of a flow: Unknown where it came to another
// server than the client asked for, or back from another.
func fate(f flow, arrived map[uint32]flow, phase Phases) Effect {
	switch got, ok := arrived[f.id]; {
	case !ok:
		return Deny
	case got.dst != f.dst || phase == Reply && got.src != f.src:
		return Unknown
	default:
		return Allow
	}
}

// holdPacket holds the fate of one packet against what the model says of it.
func (k *kernel) holdPacket(c *kernelCase, f flow, phase Phases, fate Effect, got []Outcome, s *score) {
	s.packets++
	switch {
	case len(got) != 1:
		k.t.Errorf("%v, %v: %d outcomes for one packet", f, phase, len(got))
	case got[0].Effect == Unknown:
		s.unknown++
		if s.why == nil {
			s.why = map[string]int{}
		}
		for _, w := range got[0].Why {
			s.why[w.Text]++
		}
		if len(got[0].Why) == 0 {
			k.t.Errorf("%v: unknown without a reason", f)
		}
	case got[0].Effect != fate:
		if s.wrong++; s.wrong <= 3 {
			k.t.Errorf("%v at moment %d: the model says %v by %v, the kernel %v\n%s",
				f, phase, got[0].Effect, ruleName(got[0].Rule), fate, numbered(c.text))
		}
	}
}

// holdFlow holds the fate of a whole flow against Reach.
func (k *kernel) holdFlow(c *kernelCase, f flow, fate Effect, s *score) {
	s.flows++
	for _, a := range c.rules.Reach(k.place, oneAddr(f.src.Addr()), targetOf(f)) {
		switch {
		case a.Effect == Unknown:
			s.unknownFlows++
		case a.Effect != fate:
			if s.wrong++; s.wrong <= 3 {
				k.t.Errorf("flow %v: Reach says %v by %v, the kernel %v\n%s", f, a.Effect, ruleName(a.Rule), fate, numbered(c.text))
			}
		}
	}
}

// packet is the box of just one packet.
func packet(f flow, phase Phases) Box {
	src, dst := f.src, f.dst
	if phase == Reply {
		src, dst = dst, src
	}
	return Box{protoBit(f.proto), oneAddr(src.Addr()), oneAddr(dst.Addr()), onePort(src.Port()), onePort(dst.Port())}
}
