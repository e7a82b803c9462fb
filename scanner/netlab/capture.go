//go:build linux

package netlab

import (
	"encoding/binary"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// Capture holds every frame that came in on an interface, whatever it is.
type Capture struct {
	mu     sync.Mutex
	frames [][]byte
}

// Capture records what the interface receives until the test ends.
func (ns *NS) Capture(name string) *Capture {
	ns.t.Helper()
	index := ns.link(name).Attrs().Index
	var all [2]byte
	binary.BigEndian.PutUint16(all[:], unix.ETH_P_ALL)
	proto := binary.NativeEndian.Uint16(all[:])
	fd, err := -1, error(nil)
	ns.Do(func() { fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0) })
	ns.check("open a packet socket", err)
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20) != nil { // not in a user namespace
		ns.check("enlarge its buffer", unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 64<<20))
	}
	ns.check("set its timeout", unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 20_000}))
	ns.check("bind it", unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: proto, Ifindex: index}))

	c := &Capture{}
	stop, done := make(chan struct{}), make(chan struct{})
	go func() { // ends when stop is closed, below
		defer close(done)
		buf := make([]byte, 1<<16)
		for {
			select {
			case <-stop:
				return
			default:
			}
			n, from, err := unix.Recvfrom(fd, buf, 0)
			if sll, ok := from.(*unix.SockaddrLinklayer); err != nil || !ok || sll.Pkttype == unix.PACKET_OUTGOING {
				continue
			}
			c.mu.Lock()
			c.frames = append(c.frames, slices.Clone(buf[:n]))
			c.mu.Unlock()
		}
	}()
	ns.t.Cleanup(func() { close(stop); <-done; _ = unix.Close(fd) })
	return c
}

// Frames returns what was received so far.
func (c *Capture) Frames() [][]byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.frames)
}
