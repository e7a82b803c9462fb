//go:build linux

package afxdp

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"dormant/scanner/wire"
)

const (
	// slots is how many frames the shared memory has room for, and how many
	// descriptors a ring: a power of two. More gained nothing.
	slots = 512
	// slotSize is the room of one frame in bytes: the longest probe has 318.
	slotSize = 512
	// chunkSize is what the kernel divides the memory into, the smallest that it
	// accepts (XDP_UMEM_MIN_CHUNK_SIZE). A frame may lie anywhere within a chunk.
	chunkSize = 2048
	// bindPatience is how long a queue may be in use by another socket: the
	// kernel frees it some milliseconds after its last socket was closed.
	bindPatience = time.Second
	bindPause    = 10 * time.Millisecond
)

// ErrUnsupported means that frames cannot be sent to this kind of interface by
// AF_XDP.
var ErrUnsupported = errors.New("afxdp: not for this kind of interface")

// ring is one side of a ring that is shared with the kernel. The numbers of
// producer and consumer grow without end, modulo 1<<32.
type ring struct {
	mem                []byte
	producer, consumer *uint32
	desc               uint64 // offset of the first descriptor in mem
}

func (r *ring) produced() uint32     { return atomic.LoadUint32(r.producer) }
func (r *ring) consumed() uint32     { return atomic.LoadUint32(r.consumer) }
func (r *ring) setProduced(n uint32) { atomic.StoreUint32(r.producer, n) }
func (r *ring) setConsumed(n uint32) { atomic.StoreUint32(r.consumer, n) }

// at returns the place of descriptor n, which is size bytes long.
func (r *ring) at(n uint32, size uintptr) unsafe.Pointer {
	return unsafe.Pointer(&r.mem[r.desc+uint64(n%slots)*uint64(size)])
}

const (
	sizeofDesc = unsafe.Sizeof(unix.XDPDesc{})
	sizeofAddr = unsafe.Sizeof(uint64(0))
)

// socket is an AF_XDP socket that only sends.
type socket struct {
	fd       int
	zeroCopy bool
	umem     []byte
	tx       ring // of unix.XDPDesc: this side produces
	done     ring // of addresses in umem: the kernel produces
}

// openSocket opens a socket and binds it to a queue of an interface, for which it
// waits as long as patience if another socket has it.
func openSocket(index int, queue uint32, zeroCopy bool, patience time.Duration) (_ *socket, err error) {
	fd, err := unix.Socket(unix.AF_XDP, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("afxdp: open a socket: %w", privilege(err))
	}
	s := &socket{fd: fd, zeroCopy: zeroCopy}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if err := s.register(); err != nil {
		return nil, err
	}
	if err := s.mapRings(); err != nil {
		return nil, err
	}
	// The default has room for fewer small frames than the ring. Without
	// CAP_NET_ADMIN it stays.
	_ = unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 1<<20)
	mode := uint16(unix.XDP_COPY)
	if zeroCopy {
		mode = unix.XDP_ZEROCOPY
	}
	addr := &unix.SockaddrXDP{Flags: mode | unix.XDP_USE_NEED_WAKEUP, Ifindex: uint32(index), QueueID: queue}
	for end := time.Now().Add(patience); ; time.Sleep(bindPause) {
		err := unix.Bind(s.fd, addr)
		if err == nil {
			return s, nil
		}
		if !errors.Is(err, unix.EBUSY) || time.Now().After(end) {
			return nil, fmt.Errorf("afxdp: bind to queue %d: %w", queue, privilege(err))
		}
	}
}

// register shares the memory and sets the sizes of the rings. The kernel wants
// a fill ring also from sockets that receive nothing.
func (s *socket) register() (err error) {
	const rw, anonymous = unix.PROT_READ | unix.PROT_WRITE, unix.MAP_PRIVATE | unix.MAP_ANONYMOUS
	if s.umem, err = unix.Mmap(-1, 0, slots*slotSize, rw, anonymous); err != nil {
		return fmt.Errorf("afxdp: get %d bytes of memory: %w", slots*slotSize, err)
	}
	region := unix.XDPUmemReg{Addr: uint64(uintptr(unsafe.Pointer(&s.umem[0]))), Len: uint64(len(s.umem)), Size: chunkSize}
	full, least := uint32(slots), uint32(1)
	for _, o := range []struct {
		what  string
		name  uintptr
		value unsafe.Pointer
		size  uintptr
	}{
		{"share memory", unix.XDP_UMEM_REG, unsafe.Pointer(&region), unsafe.Sizeof(region)},
		{"make the fill ring", unix.XDP_UMEM_FILL_RING, unsafe.Pointer(&least), unsafe.Sizeof(least)},
		{"make the completion ring", unix.XDP_UMEM_COMPLETION_RING, unsafe.Pointer(&full), unsafe.Sizeof(full)},
		{"make the send ring", unix.XDP_TX_RING, unsafe.Pointer(&full), unsafe.Sizeof(full)},
	} {
		if _, _, errno := unix.Syscall6(unix.SYS_SETSOCKOPT, uintptr(s.fd), unix.SOL_XDP, o.name, uintptr(o.value), o.size, 0); errno != 0 {
			return fmt.Errorf("afxdp: %s: %w", o.what, errno)
		}
	}
	return nil
}

// mapRings maps the rings that this side uses.
func (s *socket) mapRings() error {
	var off unix.XDPMmapOffsets
	size := uint32(unsafe.Sizeof(off))
	if _, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(s.fd), unix.SOL_XDP, unix.XDP_MMAP_OFFSETS,
		uintptr(unsafe.Pointer(&off)), uintptr(unsafe.Pointer(&size)), 0); errno != 0 {
		return fmt.Errorf("afxdp: read the layout of the rings: %w", errno)
	}
	if size != uint32(unsafe.Sizeof(off)) { // before Linux 5.4 the rings had no flags
		return fmt.Errorf("afxdp: read the layout of the rings: %w", unix.ENOTSUP)
	}
	for _, m := range []struct {
		ring *ring
		page int64
		off  unix.XDPRingOffset
		desc uintptr
	}{
		{&s.tx, unix.XDP_PGOFF_TX_RING, off.Tx, sizeofDesc},
		{&s.done, unix.XDP_UMEM_PGOFF_COMPLETION_RING, off.Cr, sizeofAddr},
	} {
		mem, err := unix.Mmap(s.fd, m.page, int(m.off.Desc)+slots*int(m.desc),
			unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
		if err != nil {
			return fmt.Errorf("afxdp: map a ring: %w", err)
		}
		*m.ring = ring{
			mem: mem, desc: m.off.Desc,
			producer: (*uint32)(unsafe.Pointer(&mem[m.off.Producer])),
			consumer: (*uint32)(unsafe.Pointer(&mem[m.off.Consumer])),
		}
	}
	return nil
}

// close frees the socket. It may be called again.
func (s *socket) close() {
	if s.fd < 0 {
		return
	}
	_ = unix.Close(s.fd)
	s.fd = -1
	for _, mem := range [][]byte{s.tx.mem, s.done.mem, s.umem} {
		if mem != nil {
			_ = unix.Munmap(mem)
		}
	}
}

// privilege makes the error of a missing privilege one that is
// wire.ErrPrivilege.
func privilege(err error) error {
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		return fmt.Errorf("%v: %w", err, wire.ErrPrivilege)
	}
	return err
}
