package fingerprint

import (
	"net"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// tcpInfo asks the kernel about a connection; nil when it is none of its own.
func tcpInfo(c net.Conn) *TCPInfo {
	s, ok := c.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return nil
	}
	var info unix.TCPInfo
	var size uint32
	if err := raw.Control(func(fd uintptr) { size = getTCPInfo(fd, &info) }); err != nil || size == 0 {
		return nil
	}
	has := func(offset, width uintptr) bool { return uintptr(size) >= offset+width }
	out := &TCPInfo{
		Unacked:      info.Unacked,
		Retrans:      info.Total_retrans,
		RTT:          time.Duration(info.Rtt) * time.Microsecond,
		ZeroWinProbe: info.Probes > 0,
	}
	if has(unsafe.Offsetof(info.Bytes_acked), unsafe.Sizeof(info.Bytes_acked)) { // Linux 4.1
		out.BytesAcked = info.Bytes_acked
	}
	if has(unsafe.Offsetof(info.Snd_wnd), unsafe.Sizeof(info.Snd_wnd)) { // Linux 5.4
		out.SendWindow, out.HasSendWnd = info.Snd_wnd, true
	}
	return out
}

// getTCPInfo fills info and returns how many bytes of it the kernel knows, 0
// on an error. unix.GetsockoptTCPInfo does not tell the length, and without it
// an old kernel's missing field looks like a window of zero.
func getTCPInfo(fd uintptr, info *unix.TCPInfo) uint32 {
	size := uint32(unsafe.Sizeof(*info))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.IPPROTO_TCP, unix.TCP_INFO,
		uintptr(unsafe.Pointer(info)), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return 0
	}
	return size
}
