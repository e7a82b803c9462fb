package ways

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// ErrNoRoute means that this host does not send to an address.
var ErrNoRoute = errors.New("no route")

// Route asks for the way to addr as connect(2) finds it. source and index, if not
// zero, bind it to a source address and to an interface; one of the other family
// does not count, nor does a zone. What this process is run in, such as "ip vrf exec",
// can bind it, too. An address that this host does not send to gives an error that is
// ErrNoRoute.
func Route(nl *netlink.Handle, addr, source netip.Addr, index int) (Way, error) {
	source = source.WithZone("")
	if source.Is4() != addr.Is4() {
		source = netip.Addr{}
	}
	options := &netlink.RouteGetOptions{SrcAddr: source.AsSlice()}
	if index != 0 {
		if local, err := get(nl, addr, options); err == nil && local.Type == unix.RTN_LOCAL {
			return wayOf(local, source, addr)
		}
	} else if fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err == nil {
		index = boundTo(fd)
		unix.Close(fd)
	}
	options.OifIndex = index
	r, err := get(nl, addr, options)
	if errors.Is(err, ErrNoRoute) && addr.Is6() && !source.IsValid() && index == 0 {
		// There may be a route for some sources only, to which connect(2) comes by a
		// source that it selects without one.
		if source = selected(addr); source.IsValid() {
			options.SrcAddr = source.AsSlice()
			r, err = get(nl, addr, options)
		}
	}
	if err != nil {
		return Way{}, err
	}
	w, err := wayOf(r, source, addr)
	if err != nil || w.Local {
		return w, err
	}
	if addr.Is4() && !source.IsValid() {
		// Once to select the source, and again with it: routing rules may go by that.
		options.SrcAddr = w.Source.AsSlice()
		if r, err = get(nl, addr, options); err != nil {
			return Way{}, err
		}
		if w, err = wayOf(r, w.Source, addr); err != nil {
			return Way{}, err
		}
	}
	if index == 0 {
		return w, nil
	}
	// Bound to an interface the kernel takes any address for one on the link; only a
	// route that is really there counts.
	options.FIBMatch = true
	if _, err := get(nl, addr, options); errors.Is(err, ErrNoRoute) {
		return Way{}, fmt.Errorf("the interface that was asked for does not lead there: %w", ErrNoRoute)
	} else if err != nil {
		return Way{}, err
	}
	return w, nil
}

// boundTo returns the interface that a socket is bound to, 0 for none. A program of
// its control group can have done that, from which connect(2) has its VRF.
func boundTo(fd int) int {
	index, _ := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_BINDTOIFINDEX) // Linux 5.0
	return index
}

// selected returns the address that the kernel selects to ask addr from, the zero
// Addr if it sends nothing there. Connecting a datagram socket sends nothing. It asks
// in the network namespace of the calling thread.
func selected(addr netip.Addr) netip.Addr {
	c, err := net.DialUDP("udp6", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr, 9)))
	if err != nil {
		return netip.Addr{}
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().WithZone("")
}

func get(nl *netlink.Handle, addr netip.Addr, options *netlink.RouteGetOptions) (netlink.Route, error) {
	routes, err := nl.RouteGetWithOptions(addr.AsSlice(), options)
	switch {
	case err == nil && len(routes) > 0:
		return routes[0], nil
	case err == nil:
		return netlink.Route{}, fmt.Errorf("no answer from the kernel: %w", ErrNoRoute)
	case noWay(err) != "":
		return netlink.Route{}, fmt.Errorf("%s: %w", noWay(err), ErrNoRoute)
	default:
		return netlink.Route{}, fmt.Errorf("ways: ask for the route to %v: %w", addr, err)
	}
}

// noWay says what the kernel means by an error in place of a route, "" when it
// means something else.
func noWay(err error) string {
	switch {
	case errors.Is(err, unix.ENETUNREACH):
		return "no network that has it is known"
	case errors.Is(err, unix.EHOSTUNREACH):
		return "the route says unreachable"
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return "the route says prohibited"
	case errors.Is(err, unix.EINVAL):
		return "the route is a blackhole"
	case errors.Is(err, unix.ENETDOWN), errors.Is(err, unix.ENODEV):
		return "the interface is down or gone"
	case Unsupported(err):
		return "this host does not have the protocol"
	default: // a fault of the question, not of the route
		return ""
	}
}

// Unsupported reports whether the kernel lacks what was asked about: a whole
// family, or routing rules. It then has none of it.
func Unsupported(err error) bool {
	return errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EAFNOSUPPORT)
}

func wayOf(r netlink.Route, source, addr netip.Addr) (Way, error) {
	w := Way{Index: r.LinkIndex, Source: source, Gateway: AddrOf(r.Gw)}
	if !source.IsValid() {
		w.Source = AddrOf(r.Src)
	}
	if via, ok := r.Via.(*netlink.Via); ok && via != nil { // an IPv4 route with an IPv6 gateway
		w.Gateway = AddrOf(via.Addr)
	}
	switch r.Type {
	case unix.RTN_LOCAL, unix.RTN_ANYCAST:
		w.Local = true
		if !w.Source.IsValid() {
			w.Source = addr
		}
	case unix.RTN_UNICAST, unix.RTN_BROADCAST: // a host may have that all the same; only its ARP reply will tell
	default: // multicast, or a kind of route that sends nothing
		return Way{}, fmt.Errorf("%v is not a unicast address: %w", addr, ErrNoRoute)
	}
	if !w.Source.IsValid() {
		return Way{}, fmt.Errorf("this host has no address to ask %v from: %w", addr, ErrNoRoute)
	}
	return w, nil
}

// AddrOf returns an address of the netlink package without a zone, the zero Addr
// for none and for the unspecified one.
func AddrOf(ip net.IP) netip.Addr {
	addr, _ := netip.AddrFromSlice(ip)
	if addr = addr.Unmap(); addr.IsUnspecified() {
		return netip.Addr{}
	}
	return addr
}
