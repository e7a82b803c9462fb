//go:build linux

package afxdp

import (
	"fmt"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// slots is how many frames a socket has room for, and how many descriptors
	// its send ring: a power of two. More gained nothing.
	slots = 512
	// slotSize is the room of one frame in bytes: the longest probe has 318.
	slotSize = 512
	// chunkSize is what the kernel divides the memory into, the smallest that it
	// accepts (XDP_UMEM_MIN_CHUNK_SIZE). A frame may lie anywhere within a chunk.
	chunkSize = 2048
)

// memory is what the sockets of one queue share with the kernel: room for
// frames, slots of it for each socket, and the ring on which the kernel tells
// that it has done with one. Several goroutines use it.
type memory struct {
	frames []byte
	size   uint32 // in slots: a power of two

	mu   sync.Mutex
	done ring   // of addresses in frames: the kernel produces
	used []bool // slots that the kernel may still read
}

// newMemory gets the memory for some sockets and registers it with the one that
// is to own it. The kernel wants a fill ring also from sockets that receive
// nothing.
func newMemory(fd, sockets int) (_ *memory, err error) {
	m := &memory{size: slots}
	for m.size < slots*uint32(sockets) {
		m.size *= 2
	}
	m.used = make([]bool, m.size)
	const rw, anonymous = unix.PROT_READ | unix.PROT_WRITE, unix.MAP_PRIVATE | unix.MAP_ANONYMOUS
	if m.frames, err = unix.Mmap(-1, 0, int(m.size)*slotSize, rw, anonymous); err != nil {
		return nil, fmt.Errorf("afxdp: get %d bytes of memory: %w", m.size*slotSize, err)
	}
	region := unix.XDPUmemReg{Addr: uint64(uintptr(unsafe.Pointer(&m.frames[0]))), Len: uint64(len(m.frames)), Size: chunkSize}
	least := uint32(1)
	for _, o := range []option{
		{"share memory", unix.XDP_UMEM_REG, unsafe.Pointer(&region), unsafe.Sizeof(region)},
		{"make the fill ring", unix.XDP_UMEM_FILL_RING, unsafe.Pointer(&least), unsafe.Sizeof(least)},
		{"make the completion ring", unix.XDP_UMEM_COMPLETION_RING, unsafe.Pointer(&m.size), unsafe.Sizeof(m.size)},
	} {
		if err := o.set(fd); err != nil {
			m.free()
			return nil, err
		}
	}
	if m.done, err = mapRing(fd, completions, m.size); err != nil {
		m.free()
		return nil, err
	}
	return m, nil
}

// take returns how many of the next slots of a socket are free, at most want,
// and takes them. First is the socket's first slot, next the number of its next
// descriptor.
func (m *memory) take(first, next uint32, want int) (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reap()
	for n < want && !m.used[first+(next+uint32(n))%slots] {
		m.used[first+(next+uint32(n))%slots] = true
		n++
	}
	return n
}

// reap takes back the slots that the kernel has done with.
func (m *memory) reap() {
	from, end := m.done.consumed(), m.done.produced()
	for n := from; n != end; n++ {
		m.used[*(*uint64)(m.done.at(n, sizeofAddr))/slotSize] = false
	}
	if from != end {
		m.done.setConsumed(end)
	}
}

// at returns a slot.
func (m *memory) at(slot uint32) []byte {
	return m.frames[slot*slotSize : (slot+1)*slotSize]
}

// free gives the memory back. No socket uses it any more.
func (m *memory) free() {
	_ = unix.Munmap(m.done.mem) // refused where there is none
	_ = unix.Munmap(m.frames)
}
