//go:build linux

package afpacket

import (
	"fmt"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"dormant/scanner/wire"
)

// snap is how much of a passing frame is kept: all of it.
const snap = 1 << 18

// pass and drop end a program. A jump names one of them or an offset.
const (
	pass = 0xff
	drop = 0xfe
)

// resolve appends the two instructions that end a program and resolves the
// jumps to them.
func resolve(program []bpf.Instruction) []bpf.Instruction {
	atPass := len(program)
	program = append(program, bpf.RetConstant{Val: snap}, bpf.RetConstant{Val: 0})
	offset := func(skip uint8, from int) uint8 {
		switch skip {
		case pass:
			return uint8(atPass - from - 1)
		case drop:
			return uint8(atPass + 1 - from - 1)
		default: // an offset within the program
			return skip
		}
	}
	for i, in := range program {
		if jump, ok := in.(bpf.JumpIf); ok {
			jump.SkipTrue, jump.SkipFalse = offset(jump.SkipTrue, i), offset(jump.SkipFalse, i)
			program[i] = jump
		}
	}
	return program
}

// assemble returns a program in the kernel's form.
func assemble(program []bpf.Instruction) ([]unix.SockFilter, error) {
	raw, err := bpf.Assemble(resolve(program))
	if err != nil {
		return nil, fmt.Errorf("afpacket: filter: %w", err)
	}
	filter := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		filter[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	return filter, nil
}

// forUs drops what the kernel itself takes for another host's: frames to another
// MAC, and those of a VLAN that this host has no interface of, where a machine of
// another network may have the address that is asked for. Their tag is gone by now.
// It also drops what is for an interface that stands on this one, a VLAN's or a
// macvlan: a packet socket of the lower one is shown that, too.
func forUs(index int, program []bpf.Instruction) []bpf.Instruction {
	return append([]bpf.Instruction{
		bpf.LoadExtension{Num: bpf.ExtType},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.PACKET_OTHERHOST, SkipTrue: drop},
		bpf.LoadExtension{Num: bpf.ExtInterfaceIndex},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: uint32(index), SkipTrue: drop},
	}, program...)
}

// filterARP passes ARP replies.
func filterARP() []bpf.Instruction {
	const ethernet, operation, reply = 14, 6, 2
	return []bpf.Instruction{
		bpf.LoadAbsolute{Off: ethernet + operation, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: reply, SkipTrue: pass, SkipFalse: drop},
	}
}

// filterIPv4 passes what can answer a probe that was sent from ports: TCP with
// SYN or RST, UDP, and the ICMP errors; of fragments the first. The IP header
// begins at offset ip.
func filterIPv4(ip uint32, ports wire.SourcePorts) []bpf.Instruction {
	const tcp, udp, icmp = 6, 17, 1
	const synOrRst = 0x02 | 0x04
	return []bpf.Instruction{
		bpf.LoadAbsolute{Off: ip + 6, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: 0x1fff, SkipTrue: drop}, // a later fragment
		bpf.LoadMemShift{Off: ip},
		bpf.LoadAbsolute{Off: ip + 9, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: tcp, SkipTrue: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: udp, SkipTrue: 3},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: icmp, SkipTrue: 5, SkipFalse: drop},
		bpf.LoadIndirect{Off: ip + 13, Size: 1}, // tcp
		bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: synOrRst, SkipFalse: drop},
		bpf.LoadIndirect{Off: ip + 2, Size: 2}, // tcp and udp
		bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: wire.BlockMask},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(ports.First), SkipTrue: pass, SkipFalse: drop},
		bpf.LoadIndirect{Off: ip, Size: 1}, // icmp
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: 3, SkipTrue: pass},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: 11, SkipTrue: pass, SkipFalse: drop},
	}
}

// filterIPv6 does the same for IPv6, and passes neighbour advertisements.
// Packets with extension headers pass as they are: a classic program cannot
// walk over them, and there are few. Only the multicast listener reports of the
// neighbourhood, ICMPv6 behind one short hop-by-hop header, are kept out.
func filterIPv6(ip uint32, ports wire.SourcePorts) []bpf.Instruction {
	const tcp, udp, icmp, hopByHop, routing, fragment, destination = 6, 17, 58, 0, 43, 44, 60
	const synOrRst = 0x02 | 0x04
	const l4 = 40
	return []bpf.Instruction{
		bpf.LoadAbsolute{Off: ip + 6, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: tcp, SkipTrue: 6},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: udp, SkipTrue: 7},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: icmp, SkipTrue: 9},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: hopByHop, SkipTrue: 12},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: routing, SkipTrue: pass},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: fragment, SkipTrue: pass},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: destination, SkipTrue: pass, SkipFalse: drop},
		bpf.LoadAbsolute{Off: ip + l4 + 13, Size: 1}, // tcp
		bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: synOrRst, SkipFalse: drop},
		bpf.LoadAbsolute{Off: ip + l4 + 2, Size: 2}, // tcp and udp
		bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: wire.BlockMask},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(ports.First), SkipTrue: pass, SkipFalse: drop},
		bpf.LoadAbsolute{Off: ip + l4, Size: 1}, // icmp: the errors are 1 to 4
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: 136, SkipTrue: pass},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: 0, SkipTrue: drop},
		bpf.JumpIf{Cond: bpf.JumpLessOrEqual, Val: 4, SkipTrue: pass, SkipFalse: drop},
		bpf.LoadAbsolute{Off: ip + l4, Size: 1}, // hop-by-hop: what follows it
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: icmp, SkipFalse: pass},
		bpf.LoadAbsolute{Off: ip + l4 + 8, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpLessOrEqual, Val: 4, SkipTrue: pass, SkipFalse: drop},
	}
}
