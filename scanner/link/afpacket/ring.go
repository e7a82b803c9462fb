//go:build linux

package afpacket

import (
	"fmt"
	"os"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"dormant/scanner/wire"
)

// size is the shape of a ring: how many blocks of how many bytes, and after
// how many milliseconds a block that is not full is handed over.
type size struct{ blocks, block, retire int }

// blocksOf is how many blocks a ring has. A block that is not full is handed over
// after its time, however little is in it, so that blocks times retire is how long
// a ring bears a reader who gets no processor: with eight blocks that was 32 ms,
// and a busy machine lost answers in an empty ring.
const blocksOf = 64

// ringOf returns the shape of a ring of at least so many bytes.
func ringOf(bytes, retire int) size {
	page := os.Getpagesize() // a block is of whole pages
	return size{blocks: blocksOf, block: (bytes/blocksOf + page - 1) / page * page, retire: retire}
}

// small holds the answers of neighbours, which are waited for, and those that
// come in where nothing is sent: frames longer than 8 KiB are cut short there.
func small() size { return ringOf(1<<19, 2) }

// roomFor holds burst answers to probes, in 1 MiB to 8 MiB. With the former a block
// holds the longest datagram that is kept, scanner.MaxPayload, also in one frame;
// what is longer than a block is cut short by the kernel. The latter is a tenth of a
// second at half a million small answers a second. Half of it lost answers where all
// of a network answered and other programs wanted the processors. Burst 0 is "not
// known".
func roomFor(burst int) size {
	const step, least, most = 1 << 18, 4, 32
	const answer = 160 // bytes of the ring: a reset, or a SYN-ACK with options, behind the header of a frame
	if burst == 0 {
		return ringOf(most*step, 8)
	}
	return ringOf(max(least, min(burst/(step/answer)+1, most))*step, 8)
}

// ring is a packet socket whose received frames the kernel writes into memory
// that is shared with it (TPACKET_V3).
type ring struct {
	fd   int
	mem  []byte
	size size
	next int // the block to be read next; the reader's
}

// openRing opens a ring for one protocol of one interface. No frame comes in
// before the filter stands and the socket is bound.
func openRing(index int, sockType int, protocol uint16, program []bpf.Instruction, s size) (_ *ring, err error) {
	filter, err := assemble(program)
	if err != nil {
		return nil, err
	}
	fd, err := unix.Socket(unix.AF_PACKET, sockType|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("afpacket: open a receiving socket: %w", wire.Privilege(err))
	}
	r := &ring{fd: fd, size: s}
	defer func() {
		if err != nil {
			r.close()
		}
	}()
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &prog); err != nil {
		return nil, fmt.Errorf("afpacket: attach the filter: %w", err)
	}
	// Kernels before 4.20 lack the option; the socket hears one protocol only,
	// and such sockets are not shown what this host sends anyway.
	_ = unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1)
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VERSION, unix.TPACKET_V3); err != nil {
		return nil, fmt.Errorf("afpacket: ask for TPACKET_V3: %w", err)
	}
	const frame = 2048 // bytes; with TPACKET_V3 only a measure: frames lie behind each other in a block
	req := unix.TpacketReq3{
		Block_size: uint32(s.block), Block_nr: uint32(s.blocks),
		Frame_size: frame, Frame_nr: uint32(s.blocks * s.block / frame),
		Retire_blk_tov: uint32(s.retire),
	}
	if err := unix.SetsockoptTpacketReq3(fd, unix.SOL_PACKET, unix.PACKET_RX_RING, &req); err != nil {
		return nil, fmt.Errorf("afpacket: make a ring of %d bytes: %w", s.blocks*s.block, err)
	}
	if r.mem, err = unix.Mmap(fd, 0, s.blocks*s.block, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		return nil, fmt.Errorf("afpacket: map the ring: %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: htons(protocol), Ifindex: index}); err != nil {
		return nil, fmt.Errorf("afpacket: bind: %w", err)
	}
	return r, nil
}

// read hands out the frames of the blocks that the kernel has finished, at most
// one round of the ring.
func (r *ring) read(fn func(frame []byte, at time.Time)) {
	for range r.size.blocks {
		block := r.mem[r.next*r.size.block:][:r.size.block]
		desc := (*unix.TpacketHdrV1)(unsafe.Pointer(&block[8])) // behind version and offset, 4 bytes each
		if atomic.LoadUint32(&desc.Block_status)&unix.TP_STATUS_USER == 0 {
			return
		}
		at := desc.Offset_to_first_pkt
		for range desc.Num_pkts {
			h := (*unix.Tpacket3Hdr)(unsafe.Pointer(&block[at]))
			from := at + uint32(h.Mac)
			fn(block[from:from+h.Snaplen], time.Unix(int64(h.Sec), int64(h.Nsec)))
			at += h.Next_offset
		}
		atomic.StoreUint32(&desc.Block_status, unix.TP_STATUS_KERNEL)
		if r.next++; r.next == r.size.blocks {
			r.next = 0
		}
	}
}

// drops returns how many frames found no room since the last call.
func (r *ring) drops() (uint64, error) {
	s, err := unix.GetsockoptTpacketStatsV3(r.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	if err != nil {
		return 0, fmt.Errorf("afpacket: read the drop counter: %w", err)
	}
	return uint64(s.Drops), nil
}

func (r *ring) close() {
	_ = unix.Munmap(r.mem) // refused where there is none
	_ = unix.Close(r.fd)
}
