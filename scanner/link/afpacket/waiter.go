//go:build linux

package afpacket

import (
	"fmt"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// waiter waits for sockets by the runtime's own poller. A thread that waits in
// poll(2) would cost more processor time at low rates than all the probes: the
// runtime takes it for busy and looks after it 50 times a millisecond.
type waiter struct {
	file *os.File // the epoll instance that the sockets are in
	conn syscall.RawConn
	got  [8]unix.EpollEvent
}

// newWaiter returns a waiter for input on fds.
func newWaiter(fds ...int) (*waiter, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("afpacket: make an epoll instance: %w", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil { // so that os hands it to the poller
		_ = unix.Close(fd)
		return nil, fmt.Errorf("afpacket: set an epoll instance up: %w", err)
	}
	w := &waiter{file: os.NewFile(uintptr(fd), "epoll")}
	for _, in := range fds {
		event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(in)}
		if err := unix.EpollCtl(fd, unix.EPOLL_CTL_ADD, in, &event); err != nil {
			w.close()
			return nil, fmt.Errorf("afpacket: watch a socket: %w", err)
		}
	}
	if w.conn, err = w.file.SyscallConn(); err != nil {
		w.close()
		return nil, fmt.Errorf("afpacket: watch the sockets: %w", err)
	}
	return w, nil
}

// wait returns what there is to do as soon as there is something. The slice is
// valid until the next call.
func (w *waiter) wait() ([]unix.EpollEvent, error) {
	n, failed := 0, error(nil)
	err := w.conn.Read(func(fd uintptr) bool {
		n, failed = look(fd, w.got[:])
		return n > 0 || failed != nil && failed != unix.EINTR
	})
	if err == nil {
		err = failed
	}
	if err != nil {
		return nil, fmt.Errorf("afpacket: wait for frames: %w", err)
	}
	return w.got[:n], nil
}

// look is epoll_wait(2) without a wait. Raw: the runtime would wake its monitor at
// each of them, for the case that it takes long.
func look(fd uintptr, got []unix.EpollEvent) (int, error) {
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, fd, uintptr(unsafe.Pointer(&got[0])), uintptr(len(got)), 0, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

func (w *waiter) close() { _ = w.file.Close() }
