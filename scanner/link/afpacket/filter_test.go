//go:build linux

package afpacket

import (
	"encoding/binary"
	"testing"

	"golang.org/x/net/bpf"

	"dormant/scanner/wire"
)

// ours is the first source port of the tests.
const ours = 0xf000

// ipv4 returns an IPv4 packet with a header of the given size.
func ipv4(size int, proto byte, fragment uint16, payload ...byte) []byte {
	b := make([]byte, size, size+len(payload))
	b[0], b[9] = 0x40|byte(size/4), proto
	binary.BigEndian.PutUint16(b[2:], uint16(size+len(payload)))
	binary.BigEndian.PutUint16(b[6:], fragment)
	return append(b, payload...)
}

func ipv6(next byte, payload ...byte) []byte {
	b := make([]byte, 40, 40+len(payload))
	b[0], b[6] = 0x60, next
	return append(b, payload...)
}

// segment and datagram go to port to, icmp has a type.
func segment(to uint16, flags byte) []byte {
	b := make([]byte, 20)
	binary.BigEndian.PutUint16(b[2:], to)
	b[12], b[13] = 5<<4, flags
	return b
}

func datagram(to uint16) []byte {
	b := make([]byte, 8)
	binary.BigEndian.PutUint16(b[2:], to)
	return b
}

func icmp(typ byte) []byte { return []byte{typ, 0, 0, 0, 0, 0, 0, 0} }

func TestFilters(t *testing.T) {
	const syn, rst, ack, fin = 2, 4, 16, 1
	ports := wire.SourcePorts{First: ours}
	for _, tt := range []struct {
		name   string
		packet []byte
		pass   bool
	}{
		{"syn-ack", ipv4(20, 6, 0x4000, segment(ours, syn|ack)...), true},
		{"syn-ack to the last port", ipv4(20, 6, 0, segment(ours+4095, syn|ack)...), true},
		{"syn-ack behind ip options", ipv4(40, 6, 0, segment(ours, syn|ack)...), true},
		{"rst", ipv4(20, 6, 0, segment(ours, rst|ack)...), true},
		{"syn-ack to another port", ipv4(20, 6, 0, segment(ours-1, syn|ack)...), false},
		{"data", ipv4(20, 6, 0, segment(ours, ack)...), false},
		{"fin", ipv4(20, 6, 0, segment(ours, fin|ack)...), false},
		{"datagram", ipv4(20, 17, 0, datagram(ours+77)...), true},
		{"datagram behind ip options", ipv4(24, 17, 0, datagram(ours+77)...), true},
		{"datagram to another port", ipv4(20, 17, 0, datagram(53)...), false},
		{"first fragment", ipv4(20, 17, 0x2000, datagram(ours)...), true},
		{"later fragment", ipv4(20, 17, 0x2005, datagram(ours)...), false},
		{"last fragment", ipv4(20, 17, 0x0005, datagram(ours)...), false},
		{"icmp unreachable", ipv4(20, 1, 0, icmp(3)...), true},
		{"icmp time exceeded", ipv4(20, 1, 0, icmp(11)...), true},
		{"echo reply", ipv4(20, 1, 0, icmp(0)...), false},
		{"igmp", ipv4(24, 2, 0, icmp(3)...), false},
		{"cut header", ipv4(20, 6, 0)[:9], false},
		{"syn-ack ipv6", ipv6(6, segment(ours, syn|ack)...), true},
		{"data ipv6", ipv6(6, segment(ours, ack)...), false},
		{"syn-ack to another port ipv6", ipv6(6, segment(22, syn|ack)...), false},
		{"datagram ipv6", ipv6(17, datagram(ours)...), true},
		{"datagram to another port ipv6", ipv6(17, datagram(5353)...), false},
		{"icmpv6 type 0", ipv6(58, icmp(0)...), false},
		{"icmpv6 unreachable", ipv6(58, icmp(1)...), true},
		{"icmpv6 parameter problem", ipv6(58, icmp(4)...), true},
		{"icmpv6 echo", ipv6(58, icmp(129)...), false},
		{"neighbour solicitation", ipv6(58, icmp(135)...), false},
		{"neighbour advertisement", ipv6(58, icmp(136)...), true},
		{"router advertisement", ipv6(58, icmp(134)...), false},
		{"hop-by-hop, tcp", ipv6(0, append([]byte{6, 0, 0, 0, 0, 0, 0, 0}, segment(ours, syn|ack)...)...), true},
		{"listener report", ipv6(0, append([]byte{58, 0, 5, 2, 0, 0, 0, 0}, icmp(143)...)...), false},
		{"icmpv6 error behind hop-by-hop", ipv6(0, append([]byte{58, 0, 0, 0, 0, 0, 0, 0}, icmp(1)...)...), true},
		{"routing header", ipv6(43, segment(ours, syn|ack)...), true},
		{"fragment header", ipv6(44, segment(ours, syn|ack)...), true},
		{"destination options", ipv6(60, segment(ours, syn|ack)...), true},
		{"another protocol ipv6", ipv6(89, segment(ours, syn|ack)...), false},
	} {
		for _, header := range []int{0, 14} {
			program := filterIPv4(uint32(header), ports)
			if tt.packet[0]>>4 == 6 {
				program = filterIPv6(uint32(header), ports)
			}
			if got := run(t, program, append(make([]byte, header), tt.packet...)); got != tt.pass {
				t.Errorf("%s behind %d bytes of link header: passed = %t, want %t", tt.name, header, got, tt.pass)
			}
		}
	}
	for operation, want := range map[byte]bool{1: false, 2: true} {
		frame := make([]byte, 42)
		frame[21] = operation
		if got := run(t, filterARP(), frame); got != want {
			t.Errorf("ARP operation %d: passed = %t, want %t", operation, got, want)
		}
	}
}

// run runs a program as the kernel would.
func run(t *testing.T, program []bpf.Instruction, frame []byte) bool {
	t.Helper()
	if _, err := assemble(append([]bpf.Instruction(nil), program...)); err != nil {
		t.Fatal(err)
	}
	vm, err := bpf.NewVM(resolve(program))
	if err != nil {
		t.Fatal(err)
	}
	n, err := vm.Run(frame)
	if err != nil {
		t.Fatal(err)
	}
	return n > 0
}
