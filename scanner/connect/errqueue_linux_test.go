package connect

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"

	"dormant/scanner"
)

// message builds one control message as the kernel lays it out.
func message(level, typ int32, data []byte) []byte {
	b := make([]byte, unix.CmsgSpace(len(data)))
	h := (*unix.Cmsghdr)(unsafe.Pointer(&b[0]))
	h.Level, h.Type = level, typ
	h.SetLen(unix.CmsgLen(len(data)))
	copy(b[unix.CmsgLen(0):], data)
	return b
}

func extendedErr(origin, typ, code uint8, offender netip.Addr) []byte {
	b := []byte{111, 0, 0, 0, origin, typ, code, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	if offender.Is4() {
		a := offender.As4()
		b = binary.NativeEndian.AppendUint16(b, unix.AF_INET)
		b = append(append(b, 0, 0), a[:]...)
		return append(b, make([]byte, 8)...)
	}
	a := offender.As16()
	b = binary.NativeEndian.AppendUint16(b, unix.AF_INET6)
	b = append(append(b, 0, 0, 0, 0, 0, 0), a[:]...)
	return append(b, 0, 0, 0, 0)
}

func TestParseControl(t *testing.T) {
	router, router6 := netip.MustParseAddr("10.9.0.1"), netip.MustParseAddr("fd00::1")
	ttl := message(unix.IPPROTO_IP, unix.IP_TTL, []byte{61, 0, 0, 0})
	hops := message(unix.IPPROTO_IPV6, unix.IPV6_HOPLIMIT, []byte{59, 0, 0, 0})
	err4 := func(origin, typ, code uint8) []byte {
		return message(unix.IPPROTO_IP, unix.IP_RECVERR, extendedErr(origin, typ, code, router))
	}
	err6 := func(typ, code uint8) []byte {
		return message(unix.IPPROTO_IPV6, unix.IPV6_RECVERR, extendedErr(unix.SO_EE_ORIGIN_ICMP6, typ, code, router6))
	}
	for _, tt := range []struct {
		name   string
		in     []byte
		want   control
		reason scanner.Reason // 0: none
	}{
		{"nothing", nil, control{}, 0},
		{"ttl of a reply", ttl, control{ttl: 61}, 0},
		{"hop limit of a reply", hops, control{ttl: 59}, 0},
		{"prohibited by a router", append(ttl, err4(unix.SO_EE_ORIGIN_ICMP, 3, 13)...),
			control{61, unix.SO_EE_ORIGIN_ICMP, 3, 13, router}, scanner.ICMPAdminProhibited},
		{"port unreachable", err4(unix.SO_EE_ORIGIN_ICMP, 3, 3), control{0, unix.SO_EE_ORIGIN_ICMP, 3, 3, router}, scanner.ICMPPortUnreachable},
		{"time exceeded", err4(unix.SO_EE_ORIGIN_ICMP, 11, 0), control{0, unix.SO_EE_ORIGIN_ICMP, 11, 0, router}, scanner.ICMPTimeExceeded},
		{"a code that does not exist", err4(unix.SO_EE_ORIGIN_ICMP, 3, 16), control{0, unix.SO_EE_ORIGIN_ICMP, 3, 16, router}, 0},
		{"source quench", err4(unix.SO_EE_ORIGIN_ICMP, 4, 0), control{0, unix.SO_EE_ORIGIN_ICMP, 4, 0, router}, 0},
		{"this host's own", err4(unix.SO_EE_ORIGIN_LOCAL, 0, 0), control{0, unix.SO_EE_ORIGIN_LOCAL, 0, 0, router}, 0},
		{"IPv6 prohibited", append(hops, err6(1, 1)...), control{59, unix.SO_EE_ORIGIN_ICMP6, 1, 1, router6}, scanner.ICMPAdminProhibited},
		{"IPv6 port unreachable", err6(1, 4), control{0, unix.SO_EE_ORIGIN_ICMP6, 1, 4, router6}, scanner.ICMPPortUnreachable},
		{"cut off", err4(unix.SO_EE_ORIGIN_ICMP, 3, 3)[:20], control{}, 0},
		{"too short an error", message(unix.IPPROTO_IP, unix.IP_RECVERR, make([]byte, 15)), control{}, 0},
		{"an error from nobody", message(unix.IPPROTO_IP, unix.IP_RECVERR, []byte{0, 0, 0, 0, 2, 3, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0}),
			control{origin: unix.SO_EE_ORIGIN_ICMP, icmpType: 3, icmpCode: 1}, scanner.ICMPHostUnreachable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := parseControl(tt.in)
			if d := cmp.Diff(tt.want, got, cmp.AllowUnexported(control{}), cmpopts.EquateComparable(netip.Addr{})); d != "" {
				t.Errorf("control (-want +got):\n%s", d)
			}
			if reason, ok := got.reason(); reason != tt.reason || ok != (tt.reason != 0) {
				t.Errorf("reason = %v, %t; want %v", reason, ok, tt.reason)
			}
		})
	}
}

// Whatever the bytes are, a reason comes only from an ICMP origin, and parsing
// what was parsed and written again gives the same.
func FuzzParseControl(f *testing.F) {
	f.Add(message(unix.IPPROTO_IP, unix.IP_TTL, []byte{64, 0, 0, 0}))
	f.Add(message(unix.IPPROTO_IP, unix.IP_RECVERR, extendedErr(unix.SO_EE_ORIGIN_ICMP, 3, 3, netip.MustParseAddr("10.0.0.1"))))
	f.Add(message(unix.IPPROTO_IPV6, unix.IPV6_RECVERR, extendedErr(unix.SO_EE_ORIGIN_ICMP6, 1, 4, netip.MustParseAddr("fd00::1"))))
	f.Fuzz(func(t *testing.T, b []byte) {
		c := parseControl(b)
		_, ok := c.reason()
		if ok && c.origin != unix.SO_EE_ORIGIN_ICMP && c.origin != unix.SO_EE_ORIGIN_ICMP6 {
			t.Errorf("a reason from origin %d", c.origin)
		}
		if !c.offender.IsValid() {
			return
		}
		again := message(unix.IPPROTO_IP, unix.IP_TTL, []byte{c.ttl, 0, 0, 0})
		again = append(again, message(unix.IPPROTO_IP, unix.IP_RECVERR, extendedErr(c.origin, c.icmpType, c.icmpCode, c.offender))...)
		if got := parseControl(again); got != c {
			t.Errorf("parse, write, parse = %+v, want %+v", got, c)
		}
	})
}
