package connect

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"

	"dormant/scanner"
)

// control is what the kernel says beside a message: its TTL, and for one from
// the error queue the ICMP error that made it (ip(7), IP_RECVERR). The zero
// value says nothing.
type control struct {
	ttl                uint8
	origin             uint8 // SO_EE_ORIGIN_…
	icmpType, icmpCode uint8
	offender           netip.Addr // who sent the ICMP error
}

// sizeofExtendedErr is the length of struct sock_extended_err, which stands
// before the offender's socket address.
const sizeofExtendedErr = 16

// parseControl reads the control messages of a recvmsg. What it cannot read
// stays zero.
func parseControl(b []byte) (c control) {
	for len(b) >= unix.SizeofCmsghdr {
		header, data, rest, err := unix.ParseOneSocketControlMessage(b)
		if err != nil {
			return c
		}
		switch {
		case header.Level == unix.IPPROTO_IP && header.Type == unix.IP_TTL,
			header.Level == unix.IPPROTO_IPV6 && header.Type == unix.IPV6_HOPLIMIT:
			if len(data) >= 4 {
				c.ttl = uint8(binary.NativeEndian.Uint32(data))
			}
		case header.Level == unix.IPPROTO_IP && header.Type == unix.IP_RECVERR,
			header.Level == unix.IPPROTO_IPV6 && header.Type == unix.IPV6_RECVERR:
			c.parseExtendedErr(data)
		}
		b = rest
	}
	return c
}

// parseExtendedErr reads errno 4 bytes, origin, type, code and padding one byte
// each, info and data 4 bytes each, then the offender.
func (c *control) parseExtendedErr(b []byte) {
	if len(b) < sizeofExtendedErr {
		return
	}
	c.origin, c.icmpType, c.icmpCode = b[4], b[5], b[6]
	b = b[sizeofExtendedErr:]
	if len(b) < 2 {
		return
	}
	switch family := binary.NativeEndian.Uint16(b); {
	case family == unix.AF_INET && len(b) >= 8: // struct sockaddr_in: port 2 bytes, address 4
		c.offender = netip.AddrFrom4([4]byte(b[4:8]))
	case family == unix.AF_INET6 && len(b) >= 24: // struct sockaddr_in6: port 2, flow 4, address 16
		c.offender = netip.AddrFrom16([16]byte(b[8:24])).Unmap()
	}
}

// reason is what the ICMP error means; false if it was none, or one that says
// nothing about a port.
func (c *control) reason() (scanner.Reason, bool) {
	const unreachable, timeExceeded = 3, 11 // RFC 792
	switch {
	case c.origin == unix.SO_EE_ORIGIN_ICMP && c.icmpType == unreachable:
		return scanner.UnreachableReason(c.icmpCode)
	case c.origin == unix.SO_EE_ORIGIN_ICMP && c.icmpType == timeExceeded:
		return scanner.ICMPTimeExceeded, c.icmpCode == 0
	case c.origin == unix.SO_EE_ORIGIN_ICMP6:
		return scanner.ICMPv6Reason(c.icmpType, c.icmpCode)
	default:
		return 0, false
	}
}
