//go:build linux

package afpacket

import (
	"testing"

	"golang.org/x/net/bpf"
)

func TestFilterPorts(t *testing.T) {
	const other = 50000
	both := func(b []byte, from uint16) []byte { // sets the source port
		b[0], b[1] = byte(from>>8), byte(from)
		return b
	}
	many := make([]uint16, 100)
	for i := range many {
		many[i] = uint16(i + 1)
	}
	for _, tt := range []struct {
		name   string
		ports  []uint16
		packet []byte
		pass   bool
	}{
		{"tcp to", []uint16{475, 1947}, ipv4(20, 6, 0, segment(1947, 2)...), true},
		{"tcp from", []uint16{475, 1947}, ipv4(24, 6, 0, both(segment(other, 2), 475)...), true},
		{"udp to", []uint16{475, 1947}, ipv4(20, 17, 0, datagram(1947)...), true},
		{"udp of others", []uint16{475, 1947}, ipv4(20, 17, 0, both(datagram(other), 53)...), false},
		{"a later fragment", []uint16{475, 1947}, ipv4(20, 17, 1, datagram(1947)...), false},
		{"icmp", []uint16{475, 1947}, ipv4(20, 1, 0, datagram(1947)...), false},
		{"tcp to, IPv6", []uint16{475, 1947}, ipv6(6, segment(475, 2)...), true},
		{"udp from, IPv6", []uint16{475, 1947}, ipv6(17, both(datagram(other), 475)...), true},
		{"udp of others, IPv6", []uint16{475, 1947}, ipv6(17, datagram(other)...), false},
		{"extension header", []uint16{475, 1947}, ipv6(0, append([]byte{17, 0, 0, 0, 0, 0, 0, 0}, datagram(other)...)...), true},
		{"listener report", []uint16{475, 1947}, ipv6(0, append([]byte{58, 0, 5, 2, 0, 0, 0, 0}, icmp(143)...)...), false},
		{"icmpv6", []uint16{475, 1947}, ipv6(58, datagram(1947)...), false},
		{"ospf, IPv6", []uint16{475, 1947}, ipv6(89, datagram(1947)...), false},
		{"too many ports for a filter", many, ipv4(20, 17, 0, datagram(other)...), true},
		{"as many as fit, the first", many[:maxFiltered], ipv4(20, 17, 0, both(datagram(other), 1)...), true},
		{"as many as fit, the last", many[:maxFiltered], ipv6(17, datagram(maxFiltered)...), true},
		{"as many as fit, none", many[:maxFiltered], ipv6(17, datagram(other)...), false},
	} {
		for _, header := range []int{0, 14} {
			program := filterPorts(uint32(header), tt.ports)
			// The test's machine has no extensions: the EtherType is put in.
			ether := uint32(0x0800)
			if tt.packet[0]>>4 == 6 {
				ether = 0x86dd
			}
			if _, err := assemble(filterPorts(uint32(header), tt.ports)); err != nil {
				t.Fatal(err)
			}
			program[0] = bpf.LoadConstant{Dst: bpf.RegA, Val: ether}
			if got := run(t, program, append(make([]byte, header), tt.packet...)); got != tt.pass {
				t.Errorf("%s behind %d bytes of link header: passed = %t, want %t", tt.name, header, got, tt.pass)
			}
		}
	}
}
