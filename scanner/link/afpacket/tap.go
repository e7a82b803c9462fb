//go:build linux

package afpacket

import (
	"context"
	"fmt"
	"slices"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"dormant/scanner/wire"
)

// TapSpec says what a Tap hears.
type TapSpec struct {
	Name  string // of the interface
	Index int    // of the interface in the kernel
	// Medium is wire.Ethernet, also for the loopback interface, or wire.IP.
	Medium wire.Medium
	// Loopback is set for the loopback interface, where every frame would be
	// heard leaving and arriving.
	Loopback bool
	// Ports are the TCP and UDP ports of interest, on either side. Frames of
	// others stay in the kernel, unless there are more than 40.
	Ports []uint16
	// Promiscuous also hears what the interface would drop as meant for others.
	Promiscuous bool
}

// Tap hears the frames of an interface, those that this host sends too, and
// can send none. It reads as a Link does.
type Tap struct{ link *Link }

// OpenTap opens a tap in the network namespace of the calling thread. A missing
// privilege gives an error that is wire.ErrPrivilege.
func OpenTap(spec TapSpec) (*Tap, error) {
	l, err := newLink(spec.Name, func(l *Link) error { return l.tap(spec) })
	if err != nil {
		return nil, err
	}
	return &Tap{l}, nil
}

// tap opens the one ring of a tap.
func (l *Link) tap(spec TapSpec) error {
	sockType, ip := shape(spec.Medium)
	r, err := openRing(spec.Index, sockType, unix.ETH_P_ALL, filterPorts(ip, spec.Ports), tapSize())
	if err != nil {
		return err
	}
	l.rings = append(l.rings, r)
	if !spec.Loopback { // openRing asks for what comes in only
		if err := unix.SetsockoptInt(r.fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 0); err != nil {
			return fmt.Errorf("afpacket: ask for outgoing frames: %w", err)
		}
	}
	if spec.Promiscuous {
		m := unix.PacketMreq{Ifindex: int32(spec.Index), Type: unix.PACKET_MR_PROMISC}
		if err := unix.SetsockoptPacketMreq(r.fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &m); err != nil {
			return fmt.Errorf("afpacket: promiscuous mode: %w", err)
		}
	}
	return nil
}

// tapSize is the ring of a tap: 2 MiB, and a frame waits at most 100 ms, which
// lets a listener of days sleep.
func tapSize() size { return size{blocks: 8, block: 1 << 18, retire: 100} }

// ReadFrames calls fn for each frame with the kernel's receive time until ctx
// or the tap ends, and then returns nil. The frame is valid only during fn.
func (t *Tap) ReadFrames(ctx context.Context, fn func(frame []byte, at time.Time)) error {
	return t.link.ReadFrames(ctx, fn)
}

// Drops counts the frames that the kernel dropped because nobody read them.
func (t *Tap) Drops() (uint64, error) { return t.link.Drops() }

// Close ends a running ReadFrames and frees the tap.
func (t *Tap) Close() error { return t.link.Close() }

// maxFiltered is how many ports a filter holds: its jumps reach 255 far.
const maxFiltered = 40

// filterPorts passes TCP and UDP from or to one of the ports, of fragments the
// first; IPv6 with extension headers, and frames with a VLAN tag that the
// interface left in place, as they are. The IP header begins at offset ip.
func filterPorts(ip uint32, ports []uint16) []bpf.Instruction {
	const ipv4, ipv6, vlan, qinq = 0x0800, 0x86dd, 0x8100, 0x88a8
	ports = slices.Compact(slices.Sorted(slices.Values(ports)))
	if len(ports) > maxFiltered {
		ports = nil
	}
	head := []bpf.Instruction{
		bpf.LoadExtension{Num: bpf.ExtProto},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: ipv4, SkipTrue: 3},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: ipv6, SkipTrue: 8},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: vlan, SkipTrue: pass},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: qinq, SkipTrue: pass, SkipFalse: drop},
		bpf.LoadAbsolute{Off: ip + 6, Size: 2}, // ipv4
		bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: 0x1fff, SkipTrue: drop},
		bpf.LoadMemShift{Off: ip},
		bpf.LoadAbsolute{Off: ip + 9, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.IPPROTO_TCP, SkipTrue: 10},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.IPPROTO_UDP, SkipTrue: 9, SkipFalse: drop},
		bpf.LoadConstant{Dst: bpf.RegX, Val: 40}, // ipv6: no extension header, or all passes
		bpf.LoadAbsolute{Off: ip + 6, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.IPPROTO_TCP, SkipTrue: 6},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.IPPROTO_UDP, SkipTrue: 5},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.IPPROTO_HOPOPTS, SkipTrue: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.IPPROTO_ICMPV6, SkipTrue: drop},
		bpf.JumpIf{Cond: bpf.JumpLessOrEqual, Val: unix.IPPROTO_DSTOPTS, SkipTrue: pass, SkipFalse: drop},
		bpf.LoadAbsolute{Off: ip + 40, Size: 1}, // behind hop-by-hop options: not the reports of multicast listeners
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.IPPROTO_ICMPV6, SkipTrue: drop, SkipFalse: pass},
	}
	return append(head, comparePorts(ip, ports)...)
}

// comparePorts passes what has one of the ports on either side; X holds the
// length of the IP header.
func comparePorts(ip uint32, ports []uint16) []bpf.Instruction {
	if len(ports) == 0 {
		return nil // falls through to pass
	}
	var program []bpf.Instruction
	for _, side := range []uint32{0, 2} {
		program = append(program, bpf.LoadIndirect{Off: ip + side, Size: 2})
		for _, p := range ports {
			program = append(program, bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(p), SkipTrue: pass})
		}
	}
	last := program[len(program)-1].(bpf.JumpIf)
	last.SkipFalse = drop
	program[len(program)-1] = last
	return program
}
