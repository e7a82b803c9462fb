//go:build linux

package afxdp

import (
	"errors"
	"fmt"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"dormant/scanner/wire"
)

const (
	// bindPatience is how long a queue may be in use by another socket: the
	// kernel frees it some milliseconds after its last socket was closed.
	bindPatience = time.Second
	bindPause    = 10 * time.Millisecond
)

// ErrUnsupported means that frames cannot be sent to this kind of interface by
// AF_XDP.
var ErrUnsupported = errors.New("afxdp: not for this kind of interface")

// queue is a queue of an interface, and how to send to it.
type queue struct {
	index    int    // of the interface
	number   uint32 // 0 is the first
	zeroCopy bool
}

// socket is an AF_XDP socket that only sends.
type socket struct {
	fd     int
	queue  queue
	tx     ring
	memory *memory
	first  uint32 // of its slots in memory
	owns   bool   // it has made the memory
}

// openSocket opens a socket with memory for some sockets and binds it to a queue
// of an interface, for which it waits as long as patience if another program has
// it.
func openSocket(q queue, sockets int, patience time.Duration) (_ *socket, err error) {
	s, err := newSocket(q)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	s.owns = true
	if s.memory, err = newMemory(s.fd, sockets); err != nil {
		return nil, err
	}
	mode := uint16(unix.XDP_COPY)
	if q.zeroCopy {
		mode = unix.XDP_ZEROCOPY
	}
	return s, s.bind(&unix.SockaddrXDP{Flags: mode | unix.XDP_USE_NEED_WAKEUP}, patience)
}

// beside opens the n-th further socket of the same queue, which shares the memory
// of s.
func (s *socket) beside(n int) (_ *socket, err error) {
	other, err := newSocket(s.queue)
	if err != nil {
		return nil, err
	}
	other.memory, other.first = s.memory, uint32(n)*slots
	if err := other.bind(&unix.SockaddrXDP{Flags: unix.XDP_SHARED_UMEM, SharedUmemFD: uint32(s.fd)}, 0); err != nil {
		other.close()
		return nil, err
	}
	return other, nil
}

// newSocket opens a socket with a ring to send from.
func newSocket(q queue) (*socket, error) {
	fd, err := unix.Socket(unix.AF_XDP, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("afxdp: open a socket: %w", wire.Privilege(err))
	}
	s := &socket{fd: fd, queue: q}
	size := uint32(slots)
	o := option{"make the send ring", unix.XDP_TX_RING, unsafe.Pointer(&size), unsafe.Sizeof(size)}
	if err = o.set(fd); err == nil {
		s.tx, err = mapRing(fd, sends, slots)
	}
	if err != nil {
		s.close()
		return nil, err
	}
	// The default has room for fewer small frames than the ring. Without
	// CAP_NET_ADMIN it stays.
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 1<<20)
	return s, nil
}

func (s *socket) bind(to *unix.SockaddrXDP, patience time.Duration) error {
	to.Ifindex, to.QueueID = uint32(s.queue.index), s.queue.number
	for end := time.Now().Add(patience); ; time.Sleep(bindPause) {
		err := unix.Bind(s.fd, to)
		if err == nil {
			return nil
		}
		if !errors.Is(err, unix.EBUSY) || time.Now().After(end) {
			return fmt.Errorf("afxdp: bind to queue %d: %w", s.queue.number, wire.Privilege(err))
		}
	}
}

// option is an option of an AF_XDP socket.
type option struct {
	what  string // setting it does
	name  uintptr
	value unsafe.Pointer
	size  uintptr
}

func (o option) set(fd int) error {
	if _, _, errno := unix.Syscall6(unix.SYS_SETSOCKOPT, uintptr(fd), unix.SOL_XDP, o.name, uintptr(o.value), o.size, 0); errno != 0 {
		return fmt.Errorf("afxdp: %s: %w", o.what, errno)
	}
	return nil
}

// close frees the socket, and the memory if it owns that: then it must be the
// last of those that share it. It may be called again.
func (s *socket) close() {
	if s.fd < 0 {
		return
	}
	_ = unix.Close(s.fd)
	s.fd = -1
	_ = unix.Munmap(s.tx.mem) // refused where there is none
	if s.owns && s.memory != nil {
		s.memory.free()
	}
}
