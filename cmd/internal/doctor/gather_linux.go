package doctor

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const refused = syscall.ECONNREFUSED

// RawSockets returns why this process may not open a packet socket, nil if it
// may. The socket is bound to no protocol and so hears nothing.
func RawSockets() error {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return errors.New("no right to raw sockets (CAP_NET_RAW)")
	case err != nil:
		return fmt.Errorf("no raw sockets: %w", err)
	}
	return unix.Close(fd)
}

// inUserNamespace reports whether root here is not the root of the host: the
// first namespace maps every id to itself (user_namespaces(7)).
func inUserNamespace() bool {
	text, err := os.ReadFile("/proc/self/uid_map")
	return err == nil && strings.Join(strings.Fields(string(text)), " ") != "0 0 4294967295"
}

// hop asks the kernel's routing table; no packet is sent.
func hop(addr netip.Addr) Hop {
	h := Hop{To: addr}
	routes, err := netlink.RouteGet(net.IP(addr.AsSlice()))
	switch {
	case errors.Is(err, unix.ENETUNREACH), err == nil && len(routes) == 0:
		h.Err = errors.New("has no route")
		return h
	case err != nil:
		h.Err = fmt.Errorf("cannot be routed: %w", err)
		return h
	}
	r := routes[0]
	h.Local = r.Type == unix.RTN_LOCAL
	h.Gateway = toAddr(r.Gw)
	h.Source = toAddr(r.Src)
	if link, err := net.InterfaceByIndex(r.LinkIndex); err == nil {
		h.Interface = link.Name
	}
	return h
}

func toAddr(ip net.IP) netip.Addr {
	addr, _ := netip.AddrFromSlice(ip) // the zero Addr for none
	return addr.Unmap()
}

// ephemeral reads the range of local ports, which is IPv6's too.
func ephemeral() Span {
	n := numbers("/proc/sys/net/ipv4/ip_local_port_range")
	if len(n) != 2 {
		return Span{}
	}
	return Span{uint16(n[0]), uint16(n[1])}
}

func conntrack() Conntrack {
	used := numbers("/proc/sys/net/netfilter/nf_conntrack_count")
	most := numbers("/proc/sys/net/netfilter/nf_conntrack_max")
	if len(used) != 1 || len(most) != 1 {
		return Conntrack{}
	}
	return Conntrack{used[0], most[0]}
}

// numbers reads a file of numbers below 2^31; nil if it is anything else.
func numbers(path string) []int {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	var all []int
	for _, word := range strings.Fields(string(text)) {
		n, err := strconv.ParseUint(word, 10, 31)
		if err != nil {
			return nil
		}
		all = append(all, int(n))
	}
	return all
}

// unsynced asks the kernel whether anything keeps its clock (adjtimex(2)).
func unsynced() (bad, readable bool) {
	var t unix.Timex // Modes 0: read only
	state, err := unix.Adjtimex(&t)
	if err != nil {
		return false, false
	}
	return state == unix.TIME_ERROR, true
}
