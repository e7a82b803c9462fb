//go:build linux

package afpacket

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"

	"dormant/scanner/wire"
)

// batch is how many frames one system call sends.
const batch = 64

// mmsghdr is struct mmsghdr of sendmmsg(2).
type mmsghdr struct {
	hdr unix.Msghdr
	n   uint32 // bytes sent, not read
}

// sender sends frames by sendmmsg on one socket. Its memory is reused.
type sender struct {
	fd   int
	msgs [batch]mmsghdr
	iovs [batch]unix.Iovec
	// address writes where a frame goes and returns the length of that, nil
	// where the frame itself says it.
	address func(frame []byte, to *unix.RawSockaddrInet6) uint32
	to      [batch]unix.RawSockaddrInet6 // room for any kind of address used here
}

// openSender opens a socket that sends only.
func openSender(family, sockType, protocol int) (*sender, error) {
	fd, err := unix.Socket(family, sockType|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		return nil, fmt.Errorf("afpacket: open a sending socket: %w", wire.Privilege(err))
	}
	// Room for about a thousand small frames: less than a queue of the usual
	// kind holds, so that this side hears of a full one instead of losing frames
	// in it. Without CAP_NET_ADMIN the default of the host stays.
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 1<<20)
	s := &sender{fd: fd}
	for i := range s.msgs {
		s.msgs[i].hdr.Iov = &s.iovs[i]
		s.msgs[i].hdr.SetIovlen(1)
	}
	return s, nil
}

// WriteFrames implements wire.Writer.
func (s *sender) WriteFrames(frames [][]byte) (int, error) {
	sent := 0
	for sent < len(frames) {
		n, err := s.send(frames[sent:min(len(frames), sent+batch)])
		sent += n
		if err != nil {
			return sent, err
		}
	}
	return sent, nil
}

// send offers at most batch frames in one system call.
func (s *sender) send(frames [][]byte) (int, error) {
	defer clear(s.iovs[:len(frames)]) // retain no frame
	for i, frame := range frames {
		if len(frame) == 0 {
			return 0, errors.New("afpacket: send: empty frame")
		}
		s.iovs[i].Base = &frame[0]
		s.iovs[i].SetLen(len(frame))
		if s.address != nil {
			s.msgs[i].hdr.Name = (*byte)(unsafe.Pointer(&s.to[i]))
			s.msgs[i].hdr.Namelen = s.address(frame, &s.to[i])
		}
	}
	// Raw: the call returns within a tenth of a millisecond, and telling the
	// runtime of each one would cost a quarter of it.
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&s.msgs[0])),
		uintptr(len(frames)), unix.MSG_DONTWAIT, 0, 0)
	switch errno {
	case 0:
		return int(n), nil
	case unix.EINTR:
		return 0, nil
	case unix.ENOBUFS, unix.EAGAIN:
		return 0, wire.ErrBusy
	case unix.ENETDOWN, unix.ENXIO, unix.ENODEV, unix.EBADF:
		return 0, fmt.Errorf("afpacket: send: %v: %w", errno, wire.ErrLinkDown)
	default: // about the first frame alone
		return 0, fmt.Errorf("afpacket: send: %w", errno)
	}
}

func (s *sender) close() { _ = unix.Close(s.fd) }

// toProtocol is for links without a link-layer header: the kernel must be told
// which protocol a frame carries. It wants room for an address of the link, though
// there is none in it, and that of a tunnel over IPv6 has 16 bytes.
func toProtocol(index int) func([]byte, *unix.RawSockaddrInet6) uint32 {
	return func(frame []byte, to *unix.RawSockaddrInet6) uint32 {
		sll := (*unix.RawSockaddrLinklayer)(unsafe.Pointer(to))
		*sll = unix.RawSockaddrLinklayer{Family: unix.AF_PACKET, Ifindex: int32(index), Protocol: htons(unix.ETH_P_IP)}
		if frame[0]>>4 == 6 {
			sll.Protocol = htons(unix.ETH_P_IPV6)
		}
		return unix.SizeofSockaddrInet6
	}
}

// toIPv4 is for raw IP sockets, which route by the address and not by the
// header that they are given.
func toIPv4(frame []byte, to *unix.RawSockaddrInet6) uint32 {
	sa := (*unix.RawSockaddrInet4)(unsafe.Pointer(to))
	*sa = unix.RawSockaddrInet4{Family: unix.AF_INET}
	if len(frame) >= 20 {
		sa.Addr = [4]byte(frame[16:20])
	}
	return unix.SizeofSockaddrInet4
}

func toIPv6(frame []byte, to *unix.RawSockaddrInet6) uint32 {
	*to = unix.RawSockaddrInet6{Family: unix.AF_INET6}
	if len(frame) >= 40 {
		to.Addr = [16]byte(frame[24:40])
	}
	return unix.SizeofSockaddrInet6
}

// htons gives a number the byte order of the network, in this machine's memory.
func htons(v uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], v)
	return binary.NativeEndian.Uint16(b[:])
}
