//go:build linux

package afpacket

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"dormant/scanner/wire"
)

// Link carries frames by packet sockets. It implements wire.Link.
type Link struct {
	rings   []*ring
	senders []*sender // one, or for wire.Host one per family
	lanes   []*sender // further ones of an interface, beside senders[0]
	wake    int       // eventfd: written to end ReadFrames

	reading sync.Mutex // held by ReadFrames; Close waits for it

	mu     sync.Mutex // guards what follows
	closed bool
	lost   uint64 // frames dropped by the kernel so far: it forgets what it has told
}

var _ wire.Lanes = (*Link)(nil)

// Open opens the link that spec describes in the network namespace of the
// calling thread. Nothing runs before ReadFrames. A missing privilege gives an
// error that is wire.ErrPrivilege.
func Open(spec wire.LinkSpec) (*Link, error) {
	return newLink(spec.Name, func(l *Link) error {
		if err := l.openRings(spec); err != nil || spec.ListenOnly {
			return err
		}
		return l.openSenders(spec)
	})
}

// newLink returns a link to the named interface with what open puts into it.
func newLink(name string, open func(*Link) error) (*Link, error) {
	l, err := &Link{wake: -1}, error(nil)
	if l.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		err = fmt.Errorf("afpacket: eventfd: %w", err)
	} else {
		err = open(l)
	}
	if err != nil {
		l.free()
		return nil, fmt.Errorf("%w (interface %s)", err, name)
	}
	return l, nil
}

// shape returns the kind of packet socket that carries a medium, and where in its
// frames the IP header begins.
func shape(medium wire.Medium) (sockType int, ip uint32) {
	if medium == wire.Ethernet {
		return unix.SOCK_RAW, 14
	}
	return unix.SOCK_DGRAM, 0
}

// openRings opens one ring for each protocol that answers can come in. One for
// all protocols would be shown every frame that this host sends, too.
func (l *Link) openRings(spec wire.LinkSpec) error {
	sockType, ip := shape(spec.Medium)
	add := func(protocol uint16, filter []bpf.Instruction, room size) error {
		r, err := openRing(spec.Index, sockType, protocol, forUs(spec.Index, filter), room)
		if err == nil {
			l.rings = append(l.rings, r)
		}
		return err
	}
	room := roomFor(spec.Burst)
	if spec.ListenOnly {
		room = small()
	}
	if spec.IPv4 {
		if err := add(unix.ETH_P_IP, filterIPv4(ip, spec.Ports), room); err != nil {
			return err
		}
	}
	if spec.IPv4 && spec.Medium == wire.Ethernet && !spec.ListenOnly {
		if err := add(unix.ETH_P_ARP, filterARP(), small()); err != nil {
			return err
		}
	}
	if spec.IPv6 {
		return add(unix.ETH_P_IPV6, filterIPv6(ip, spec.Ports), room)
	}
	return nil
}

func (l *Link) openSenders(spec wire.LinkSpec) error {
	switch spec.Medium {
	case wire.Ethernet, wire.IP:
		s, err := openInterface(spec)
		if err != nil {
			return err
		}
		l.senders = append(l.senders, s)
		for n := 1; n < spec.Lanes; n++ {
			if s, err = openInterface(spec); err != nil {
				return err
			}
			l.lanes = append(l.lanes, s)
		}
		return nil
	case wire.Host:
		s4, err := openSender(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_RAW)
		if err != nil {
			return err
		}
		s4.address = toIPv4
		l.senders = append(l.senders, s4)
		if !spec.IPv6 {
			return nil
		}
		s6, err := openSender(unix.AF_INET6, unix.SOCK_RAW, unix.IPPROTO_RAW)
		if err != nil {
			return err
		}
		s6.address = toIPv6
		l.senders = append(l.senders, s6)
		return nil
	default: // the zero value
		return fmt.Errorf("afpacket: medium %d is not known", spec.Medium)
	}
}

// openInterface opens a socket that sends by one interface.
func openInterface(spec wire.LinkSpec) (*sender, error) {
	sockType, _ := shape(spec.Medium)
	s, err := openSender(unix.AF_PACKET, sockType, 0) // protocol 0: it receives nothing
	if err != nil {
		return nil, err
	}
	if spec.Medium == wire.IP {
		s.address = toProtocol(spec.Index)
	}
	if err := unix.Bind(s.fd, &unix.SockaddrLinklayer{Ifindex: spec.Index}); err != nil {
		s.close()
		return nil, fmt.Errorf("afpacket: bind: %w", err)
	}
	return s, nil
}

// Lanes implements wire.Lanes: further sockets of the same interface.
func (l *Link) Lanes() (all []wire.Writer) {
	for _, s := range l.lanes {
		all = append(all, s)
	}
	return all
}

// WriteFrames implements wire.Link.
func (l *Link) WriteFrames(frames [][]byte) (int, error) {
	if len(l.senders) == 1 {
		return l.senders[0].WriteFrames(frames)
	}
	for sent := 0; ; { // runs of one family, so that the order stays
		if sent == len(frames) {
			return sent, nil
		}
		end := sent + 1
		for end < len(frames) && version(frames[end]) == version(frames[sent]) {
			end++
		}
		s := l.senders[0]
		if version(frames[sent]) == 6 {
			s = l.senders[1]
		}
		n, err := s.WriteFrames(frames[sent:end])
		if sent += n; err != nil {
			return sent, err
		}
	}
}

func version(frame []byte) byte {
	if len(frame) == 0 {
		return 0
	}
	return frame[0] >> 4
}

// ReadFrames implements wire.Link.
func (l *Link) ReadFrames(ctx context.Context, fn func(frame []byte, at time.Time)) error {
	l.reading.Lock()
	defer l.reading.Unlock()
	stop := context.AfterFunc(ctx, l.interrupt)
	defer stop()

	fds := []int{l.wake}
	for _, r := range l.rings {
		fds = append(fds, r.fd)
	}
	w, err := newWaiter(fds...)
	if err != nil {
		return err
	}
	defer w.close()
	for !l.isClosed() {
		for _, r := range l.rings {
			r.read(fn)
		}
		if ctx.Err() != nil {
			break
		}
		events, err := w.wait()
		if err != nil {
			return err
		}
		for _, e := range events {
			switch {
			case int(e.Fd) == l.wake:
				l.drain()
			case e.Events&unix.EPOLLERR != 0:
				if err := socketError(int(e.Fd)); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// socketError takes the pending error of a socket: an interface that went down
// leaves ENETDOWN there.
func socketError(fd int) error {
	code, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return fmt.Errorf("afpacket: read the socket's error: %w", err)
	}
	switch errno := unix.Errno(code); errno {
	case 0:
		return nil
	case unix.ENETDOWN, unix.ENODEV, unix.ENXIO:
		return fmt.Errorf("afpacket: receive: %v: %w", errno, wire.ErrLinkDown)
	default:
		return fmt.Errorf("afpacket: receive: %w", errno)
	}
}

// interrupt ends a running ReadFrames.
func (l *Link) interrupt() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.nudge()
	}
}

// nudge lets a waiting poll return.
func (l *Link) nudge() {
	_, _ = unix.Write(l.wake, []byte{1, 0, 0, 0, 0, 0, 0, 1}) // not zero in either byte order
}

func (l *Link) drain() {
	var count [8]byte
	_, _ = unix.Read(l.wake, count[:])
}

func (l *Link) isClosed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closed
}

// Drops implements wire.Link.
func (l *Link) Drops() (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.countDrops()
}

func (l *Link) countDrops() (uint64, error) {
	if l.closed {
		return l.lost, nil
	}
	var failed []error
	for _, r := range l.rings {
		n, err := r.drops()
		l.lost += n
		failed = append(failed, err)
	}
	return l.lost, errors.Join(failed...)
}

// Close implements wire.Link. It waits for a running ReadFrames to return;
// WriteFrames must not run any more.
func (l *Link) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	_, err := l.countDrops()
	l.closed = true
	l.nudge()
	l.mu.Unlock()

	l.reading.Lock()
	defer l.reading.Unlock()
	l.free()
	return err
}

// free gives back what the link holds. Nobody uses the link any more.
func (l *Link) free() {
	for _, r := range l.rings {
		r.close()
	}
	for _, s := range slices.Concat(l.senders, l.lanes) {
		s.close()
	}
	if l.wake >= 0 {
		_ = unix.Close(l.wake)
	}
}
