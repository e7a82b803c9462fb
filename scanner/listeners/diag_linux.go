package listeners

import (
	"encoding/binary"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// bounds is what /proc does not tell of a socket: the interface that it is
// bound to, 0 for none, and whether one of IPv6 takes no IPv4.
type bounds struct {
	device uint32
	v6only bool
}

// loopback is the index of the loopback interface, in every namespace
// (LOOPBACK_IFINDEX of the kernel).
const loopback = 1

// diagnose asks the kernel for the sockets without a peer of the thread's
// network namespace, by inode (sock_diag(7)). What cannot be asked is left out.
func diagnose() map[uint64]bounds {
	all := map[uint64]bounds{}
	for _, proto := range []uint8{unix.IPPROTO_TCP, unix.IPPROTO_UDP} {
		for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
			r := nl.NewNetlinkRequest(nl.SOCK_DIAG_BY_FAMILY, unix.NLM_F_DUMP)
			r.AddData(diagRequest{family, proto})
			answers, err := r.Execute(unix.NETLINK_INET_DIAG, 0)
			if err != nil {
				continue // a kernel without it
			}
			for _, a := range answers {
				if inode, b, ok := parseDiag(a); ok {
					all[inode] = b
				}
			}
		}
	}
	return all
}

// diagRequest is struct inet_diag_req_v2.
type diagRequest struct{ family, proto uint8 }

// Len is its length in bytes.
func (diagRequest) Len() int { return 56 }

// Serialize writes it: family, protocol, the states as bits in the order of the
// host; no socket in particular.
func (r diagRequest) Serialize() []byte {
	b := make([]byte, r.Len())
	b[0], b[1] = r.family, r.proto
	binary.NativeEndian.PutUint32(b[4:], 1<<stateListen|1<<stateClose)
	return b
}

// parseDiag reads struct inet_diag_msg and its attributes.
func parseDiag(b []byte) (inode uint64, out bounds, ok bool) {
	const device, number, attributes = 40, 68, 72 // where they stand
	const attrV6Only = 11                         // INET_DIAG_SKV6ONLY
	if len(b) < attributes {
		return 0, bounds{}, false
	}
	out.device = binary.NativeEndian.Uint32(b[device:])
	for rest := b[attributes:]; len(rest) >= 4; { // nl.ParseRouteAttr panics on one that is not padded
		n := int(binary.NativeEndian.Uint16(rest))
		if n < 4 || n > len(rest) {
			return 0, bounds{}, false
		}
		if binary.NativeEndian.Uint16(rest[2:]) == attrV6Only && n > 4 {
			out.v6only = rest[4] != 0
		}
		rest = rest[min((n+3)&^3, len(rest)):]
	}
	return uint64(binary.NativeEndian.Uint32(b[number:])), out, true
}
