package lab

import (
	"context"
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// everywhere accepts connections on a range of ports of one address and closes
// them. It uses bare descriptors and one epoll set: 3 KB of kernel
// memory a port, and no goroutine for each.
type everywhere struct {
	epoll int
	fds   []int
	ended atomic.Bool
}

// listenEverywhere opens all ports from first to last, or none.
func listenEverywhere(addr netip.Addr, first, last uint16) (*everywhere, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	e := &everywhere{epoll: epoll}
	for port := int(first); port <= int(last); port++ {
		if err := e.listen(addr, port); err != nil {
			e.release()
			return nil, fmt.Errorf("listen on ports %d to %d of %v, at %d: %w", first, last, addr, port, err)
		}
	}
	return e, nil
}

func (e *everywhere) listen(addr netip.Addr, port int) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	e.fds = append(e.fds, fd)
	// Connections of an earlier lab that wait for their end do not hold the port.
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return err
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Port: port, Addr: addr.As4()}); err != nil {
		return err
	}
	if err := unix.Listen(fd, maxConns); err != nil {
		return err
	}
	return unix.EpollCtl(e.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)})
}

// run accepts until close, which it notices within a tenth of a second.
func (e *everywhere) run(context.Context) {
	defer e.release()
	const look = 100 * time.Millisecond
	events := make([]unix.EpollEvent, 64)
	for !e.ended.Load() {
		n, err := unix.EpollWait(e.epoll, events, int(look.Milliseconds()))
		if err != nil { // interrupted by a signal
			continue
		}
		for _, ev := range events[:n] {
			fd, _, err := unix.Accept4(int(ev.Fd), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
			if err != nil { // the client is gone, or there is no descriptor left: it waits
				time.Sleep(time.Millisecond)
				continue
			}
			_ = unix.Close(fd) // nothing was written that could be lost
		}
	}
}

// close makes run end; before run it only has to be followed by run or release.
func (e *everywhere) close() { e.ended.Store(true) }

func (e *everywhere) release() {
	for _, fd := range append(e.fds, e.epoll) {
		_ = unix.Close(fd) // it is open, and holds nothing
	}
}
