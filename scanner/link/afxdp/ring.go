//go:build linux

package afxdp

import (
	"fmt"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ring is one side of a ring that is shared with the kernel. The numbers of
// producer and consumer grow without end, modulo 1<<32.
type ring struct {
	mem                []byte
	producer, consumer *uint32
	desc               uint64 // offset of the first descriptor in mem
	mask               uint32 // the number of descriptors, a power of two, less one
}

func (r *ring) produced() uint32     { return atomic.LoadUint32(r.producer) }
func (r *ring) consumed() uint32     { return atomic.LoadUint32(r.consumer) }
func (r *ring) setProduced(n uint32) { atomic.StoreUint32(r.producer, n) }
func (r *ring) setConsumed(n uint32) { atomic.StoreUint32(r.consumer, n) }

// at returns the place of descriptor n, which is size bytes long.
func (r *ring) at(n uint32, size uintptr) unsafe.Pointer {
	return unsafe.Pointer(&r.mem[r.desc+uint64(n&r.mask)*uint64(size)])
}

const (
	sizeofDesc = unsafe.Sizeof(unix.XDPDesc{})
	sizeofAddr = unsafe.Sizeof(uint64(0))
)

// kind is which ring of a socket is meant.
type kind uint8

const (
	sends       kind = iota // of unix.XDPDesc: this side produces
	completions             // of addresses in the shared memory: the kernel produces
)

// mapRing maps a ring of size descriptors, which has been made.
func mapRing(fd int, k kind, size uint32) (ring, error) {
	var all unix.XDPMmapOffsets
	length := uint32(unsafe.Sizeof(all))
	if _, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_XDP, unix.XDP_MMAP_OFFSETS,
		uintptr(unsafe.Pointer(&all)), uintptr(unsafe.Pointer(&length)), 0); errno != 0 {
		return ring{}, fmt.Errorf("afxdp: read the layout of the rings: %w", errno)
	}
	if length != uint32(unsafe.Sizeof(all)) { // before Linux 5.4 the rings had no flags
		return ring{}, fmt.Errorf("afxdp: read the layout of the rings: %w", unix.ENOTSUP)
	}
	off, page, desc := all.Tx, int64(unix.XDP_PGOFF_TX_RING), sizeofDesc
	if k == completions {
		off, page, desc = all.Cr, int64(unix.XDP_UMEM_PGOFF_COMPLETION_RING), sizeofAddr
	}
	mem, err := unix.Mmap(fd, page, int(off.Desc)+int(size)*int(desc), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		return ring{}, fmt.Errorf("afxdp: map a ring: %w", err)
	}
	return ring{
		mem: mem, desc: off.Desc, mask: size - 1,
		producer: (*uint32)(unsafe.Pointer(&mem[off.Producer])),
		consumer: (*uint32)(unsafe.Pointer(&mem[off.Consumer])),
	}, nil
}
