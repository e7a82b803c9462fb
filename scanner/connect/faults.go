package connect

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"syscall"

	"dormant/registry"
	"dormant/scanner"
)

// errSelf is a socket that was connected to itself: the kernel chose the asked
// port as the source port. Another try gets another one.
var errSelf = errors.New("connect: source port is the asked port")

// errProto is a probe that is neither TCP nor UDP.
func errProto(p registry.Proto) error { return fmt.Errorf("connect: transport %v: want tcp or udp", p) }

// transient reports whether a fault of this side passes by itself.
func transient(err error) bool {
	if errors.Is(err, errSelf) {
		return true
	}
	errno, ok := errors.AsType[syscall.Errno](err)
	return ok && slices.Contains(transientErrnos(), errno)
}

// rootCause is what two faults of the same kind have in common.
func rootCause(err error) string {
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return errno.Error()
	}
	return err.Error()
}

// reasonOfErrno is what an error that came back over the network means where
// nothing but its errno is known; false for every other error.
func reasonOfErrno(err error, proto registry.Proto) (scanner.Reason, bool) {
	errno, ok := errors.AsType[syscall.Errno](err)
	if !ok {
		return 0, false
	}
	switch e := networkErrnos(); {
	case slices.Contains(e.refused, errno) && proto == registry.TCP:
		return scanner.Rst, true
	case slices.Contains(e.reset, errno) && proto == registry.TCP:
		return scanner.SynAck, true // the handshake was over by then
	case slices.Contains(e.refused, errno), slices.Contains(e.reset, errno):
		return scanner.ICMPPortUnreachable, true
	case slices.Contains(e.host, errno):
		return scanner.ICMPHostUnreachable, true
	case slices.Contains(e.protocol, errno):
		return scanner.ICMPProtocolUnreachable, true
	default:
		return 0, false
	}
}

// errnos are one system's numbers of the errors that the network gives.
type errnos struct {
	refused  []syscall.Errno // a reset instead of a handshake, or ICMP port unreachable
	reset    []syscall.Errno // a reset after the handshake; ICMP port unreachable on Windows
	host     []syscall.Errno // ICMP host unreachable
	protocol []syscall.Errno // ICMP protocol unreachable
	timeout  []syscall.Errno // the system gave up before us: silence
}

// isTimeout reports whether the system itself gave up waiting.
func isTimeout(err error) bool {
	errno, ok := errors.AsType[syscall.Errno](err)
	return ok && slices.Contains(networkErrnos().timeout, errno)
}

// sameFamily refuses a source address that cannot send to addr.
func sameFamily(source, addr netip.Addr) error {
	if source.IsValid() && source.Is4() != addr.Is4() {
		return fmt.Errorf("connect: source %v cannot send to %v: not the same address family", source, addr)
	}
	return nil
}
