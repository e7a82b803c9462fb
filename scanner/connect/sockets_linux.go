package connect

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"dormant/registry"
	"dormant/scanner"
	"dormant/scanner/ways"
)

// sockets asks with sockets of its own, waits in the runtime's poller and
// reads the error queue.
type sockets struct {
	source netip.Addr
	device string
	buffer sync.Pool // *[]byte of MaxPayload

	neighbours neighbours
}

// newSockets returns an asker; index is that of the device, 0 without one.
func newSockets(source netip.Addr, device string, index int) *sockets {
	route := func(addr netip.Addr) (ways.Way, error) { return way(addr, source, index) }
	return &sockets{source: source, device: device, buffer: sync.Pool{New: newBuffer}, neighbours: neighbours{route: route}}
}

func (s *sockets) ask(ctx context.Context, p scanner.Probe, wait time.Duration) (answer, error) {
	if err := sameFamily(s.source, p.Addr); err != nil {
		return answer{}, err
	}
	kind := unix.SOCK_STREAM
	switch p.Port.Proto {
	case registry.TCP:
	case registry.UDP:
		kind = unix.SOCK_DGRAM
	default: // a broken caller
		return answer{}, errProto(p.Port.Proto)
	}
	fd, err := s.open(p.Addr, kind)
	if err != nil {
		return answer{}, err
	}
	t := try{sockets: s, probe: p, started: time.Now()}
	if err := unix.Connect(fd, sockaddr(netip.AddrPortFrom(p.Addr, p.Port.Number))); err != nil && !errors.Is(err, unix.EINPROGRESS) {
		unix.Close(fd)
		if isBroadcast(p.Addr) { // as raw frames find it: nobody answers for it
			return answer{reason: scanner.ARPNoReply, at: time.Now()}, nil
		}
		return t.failed(fmt.Errorf("connect: connect: %w", err))
	}

	f := os.NewFile(uintptr(fd), "probe") // in the poller from here on
	defer f.Close()
	if err := f.SetDeadline(t.started.Add(wait)); err != nil {
		return answer{}, fmt.Errorf("connect: set deadline: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { f.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	conn, err := f.SyscallConn()
	if err != nil {
		return answer{}, fmt.Errorf("connect: %w", err)
	}
	hear := t.handshake
	if kind == unix.SOCK_DGRAM {
		hear = t.datagram
	}
	a, err := hear(conn)
	if a.reason == 0 && err == nil && wait < neighbourPatience && s.neighbours.awaits(p.Addr) {
		a, err = s.hearNeighbour(ctx, &t, f, func() (answer, error) { return hear(conn) })
	}
	if err == nil && a.reason == scanner.SynAck && f.SetReadDeadline(a.at.Add(a.rtt+farewell)) == nil && ctx.Err() == nil {
		s.close(conn)
	}
	return a, err
}

// hearNeighbour goes on hearing while nothing has left this host: it does so, or
// the kernel gives up. Of that it tells fifty sockets at once and no more, for it
// does so by ICMP errors to itself, so its table is looked at, too.
func (s *sockets) hearNeighbour(ctx context.Context, t *try, f *os.File, hear func() (answer, error)) (a answer, err error) {
	for end := t.started.Add(neighbourPatience); a.reason == 0 && err == nil && time.Now().Before(end); {
		if err := f.SetDeadline(time.Now().Add(neighboursFresh)); err != nil {
			return answer{}, fmt.Errorf("connect: set deadline: %w", err)
		}
		if ctx.Err() != nil {
			return answer{}, nil
		}
		if a, err = hear(); a.reason == 0 && err == nil && s.neighbours.lacks(t.probe.Addr, time.Since(t.started)) {
			return s.neighbours.absent(t.probe.Addr)
		}
	}
	return a, err
}

// awaits reports whether addr is not on a link, or waits for the kernel to find it.
func (s *sockets) awaits(addr netip.Addr) bool {
	return s.neighbours.awaits(addr) || s.neighbours.beyond(addr)
}

// open returns a socket towards addr that tells ICMP errors and TTLs, bound to
// the source and the interface if there are any.
func (s *sockets) open(addr netip.Addr, kind int) (fd int, err error) {
	family, level := unix.AF_INET, unix.IPPROTO_IP
	errorQueue, hops := unix.IP_RECVERR, unix.IP_RECVTTL
	if addr.Is6() {
		family, level = unix.AF_INET6, unix.IPPROTO_IPV6
		errorQueue, hops = unix.IPV6_RECVERR, unix.IPV6_RECVHOPLIMIT
	}
	fd, err = unix.Socket(family, kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("connect: socket: %w", err)
	}
	defer func() {
		if err != nil {
			unix.Close(fd)
		}
	}()
	for _, option := range []int{errorQueue, hops} {
		if err := unix.SetsockoptInt(fd, level, option, 1); err != nil {
			return -1, fmt.Errorf("connect: set socket option %d: %w", option, err)
		}
	}
	if err := s.bindToDevice(fd, addr); err != nil {
		return -1, err
	}
	if s.source.IsValid() {
		// Without this the kernel would take a port at once that no other socket
		// could use, even towards another target: 28,000 in all.
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1); err != nil {
			return -1, fmt.Errorf("connect: set socket option %d: %w", unix.IP_BIND_ADDRESS_NO_PORT, err)
		}
		if err := unix.Bind(fd, sockaddr(netip.AddrPortFrom(s.source, 0))); err != nil {
			return -1, fmt.Errorf("connect: bind to %v: %w", s.source, err)
		}
	}
	return fd, nil
}

// bindToDevice binds a socket towards addr to the interface, if there is one. To
// this host itself everything goes by loopback. What the interface does not lead to
// is refused here: the kernel would take it for somebody on its link.
func (s *sockets) bindToDevice(fd int, addr netip.Addr) error {
	if s.device == "" {
		return nil
	}
	to, err := s.neighbours.route(addr)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	if to.Local {
		return nil
	}
	if err := unix.BindToDevice(fd, s.device); err != nil {
		return fmt.Errorf("connect: bind to interface %s: %w", s.device, err)
	}
	return nil
}

// close ends an established connection with a FIN, and hears the server out so
// that the kernel has no reason to send a reset.
func (s *sockets) close(conn syscall.RawConn) {
	buf := s.buffer.Get().(*[]byte)
	defer s.buffer.Put(buf)
	heard, shut := 0, false
	conn.Read(func(fd uintptr) bool { // ends by the read deadline at the latest
		if !shut {
			shut = true
			if unix.Shutdown(int(fd), unix.SHUT_WR) != nil {
				return true
			}
		}
		for heard < maxFarewell {
			n, err := unix.Read(int(fd), *buf)
			if err != nil {
				return !errors.Is(err, unix.EAGAIN)
			}
			if n == 0 {
				return true
			}
			heard += n
		}
		return true
	})
}

// try is one probe on its way.
type try struct {
	*sockets
	probe   scanner.Probe
	started time.Time
	sent    bool // the datagram
}

// handshake waits until the connection is there or has failed.
func (t *try) handshake(conn syscall.RawConn) (a answer, err error) {
	waited := conn.Write(func(fd uintptr) (done bool) {
		a, done, err = t.connected(int(fd))
		return done
	})
	return a, orSilence(waited, err)
}

func (t *try) connected(fd int) (a answer, done bool, err error) {
	errno, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return answer{}, true, fmt.Errorf("connect: read socket error: %w", err)
	}
	if errno != 0 {
		a, err = t.explain(fd, fmt.Errorf("connect: handshake: %w", syscall.Errno(errno)))
		return a, true, err
	}
	peer, err := unix.Getpeername(fd)
	if err != nil {
		return answer{}, false, nil // the poller woke us before there was anything
	}
	if isSelf(fd, peer) {
		return answer{}, true, errSelf
	}
	a = t.answer(scanner.SynAck, t.probe.Addr)
	if info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
		if info.Rtt > 0 {
			a.rtt = time.Duration(info.Rtt) * time.Microsecond // the kernel's, of the handshake
		}
		a.window = uint16(min(info.Snd_wnd, 1<<16-1)) // not scaled yet
	}
	return a, true, nil
}

// datagram sends the payload and waits for the reply or an error.
func (t *try) datagram(conn syscall.RawConn) (a answer, err error) {
	waited := conn.Read(func(fd uintptr) (done bool) {
		if !t.sent {
			t.sent = true
			if err = t.send(int(fd)); err != nil {
				return true
			}
		}
		a, done, err = t.receive(int(fd))
		return done
	})
	return a, orSilence(waited, err)
}

func (t *try) send(fd int) error {
	peer, err := unix.Getpeername(fd)
	if err == nil && isSelf(fd, peer) {
		return errSelf
	}
	if err := unix.Send(fd, t.probe.Payload, 0); err != nil {
		return fmt.Errorf("connect: send: %w", err)
	}
	return nil
}

func (t *try) receive(fd int) (a answer, done bool, err error) {
	buf := t.buffer.Get().(*[]byte)
	defer t.buffer.Put(buf)
	var control [128]byte
	n, controls, _, _, err := unix.Recvmsg(fd, *buf, control[:], 0)
	switch {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
		return answer{}, false, nil
	case err != nil:
		a, err = t.explain(fd, fmt.Errorf("connect: receive: %w", err))
		return a, true, err
	}
	a = t.answer(scanner.UDPReply, t.probe.Addr)
	a.ttl = parseControl(control[:controls]).ttl
	a.payload = append([]byte{}, (*buf)[:n]...)
	return a, true, nil
}

// explain tells what stands behind the error of a socket: the ICMP error in
// its queue if there is one.
func (t *try) explain(fd int, cause error) (answer, error) {
	var quoted [1]byte
	var control [512]byte
	_, n, _, _, err := unix.Recvmsg(fd, quoted[:], control[:], unix.MSG_ERRQUEUE|unix.MSG_DONTWAIT)
	if err != nil {
		return t.failed(cause) // nothing queued: a reset, a timeout, or a fault of this side
	}
	c := parseControl(control[:n])
	reason, ok := c.reason()
	if !ok {
		return answer{}, fmt.Errorf("connect: this host's own error (origin %d): %w", c.origin, cause)
	}
	if c.offender == t.probe.Addr.WithZone("") {
		c.offender = t.probe.Addr
	} else if local, err := unix.Getsockname(fd); err == nil && c.offender == addrOf(local) {
		if reason != scanner.ICMPHostUnreachable {
			return answer{}, fmt.Errorf("connect: this host's own firewall or route (%v): %w", reason, cause)
		}
		return t.neighbours.absent(t.probe.Addr)
	}
	a := t.answer(reason, c.offender)
	a.ttl = c.ttl
	return a, nil
}

// failed tells what an errno alone means. EHOSTUNREACH without an ICMP error in
// the queue is this host's own route.
func (t *try) failed(cause error) (answer, error) {
	reason, ok := reasonOfErrno(cause, t.probe.Port.Proto)
	switch {
	case ok && reason != scanner.ICMPHostUnreachable:
		return t.answer(reason, t.probe.Addr), nil
	case isTimeout(cause):
		return answer{}, nil
	default:
		return answer{}, cause
	}
}

func (t *try) answer(reason scanner.Reason, from netip.Addr) answer {
	now := time.Now()
	return answer{reason: reason, from: from, rtt: now.Sub(t.started), at: now}
}

// orSilence is the fault of a try: what waiting for the socket gave, unless it
// was that the time was over.
func orSilence(waited, err error) error {
	if waited != nil && !errors.Is(waited, os.ErrDeadlineExceeded) {
		return fmt.Errorf("connect: wait: %w", waited)
	}
	return err
}

// isSelf reports whether the socket's own end is its peer.
func isSelf(fd int, peer unix.Sockaddr) bool {
	local, err := unix.Getsockname(fd)
	return err == nil && addrOf(local) == addrOf(peer) && portOf(local) == portOf(peer)
}

// sockaddr is what the kernel takes for ap.
func sockaddr(ap netip.AddrPort) unix.Sockaddr {
	if ap.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(ap.Port()), Addr: ap.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(ap.Port()), Addr: ap.Addr().As16(), ZoneId: zoneID(ap.Addr().Zone())}
}

// zoneID is the interface's index of an IPv6 zone, by number or by name; 0 for
// none, which the kernel refuses for a link-local address.
func zoneID(zone string) uint32 {
	if zone == "" {
		return 0
	}
	if n, err := strconv.ParseUint(zone, 10, 32); err == nil {
		return uint32(n)
	}
	ifi, err := net.InterfaceByName(zone)
	if err != nil {
		return 0
	}
	return uint32(ifi.Index)
}

// addrOf is the address of a kernel's socket address, without a zone.
func addrOf(sa unix.Sockaddr) netip.Addr {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrFrom4(sa.Addr)
	case *unix.SockaddrInet6:
		return netip.AddrFrom16(sa.Addr)
	default:
		return netip.Addr{}
	}
}

func portOf(sa unix.Sockaddr) int {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return sa.Port
	case *unix.SockaddrInet6:
		return sa.Port
	default:
		return 0
	}
}
