//go:build linux

package wire

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"dormant/scanner/ways"
)

// kernel asks this host for routes, interfaces and neighbours, in the network
// namespace in which it was opened.
type kernel struct{ nl *netlink.Handle }

func openKernel() (*kernel, error) {
	nl, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("wire: open netlink: %w", err)
	}
	return &kernel{nl}, nil
}

func (k *kernel) close() { k.nl.Close() }

func family(v6 bool) int {
	if v6 {
		return netlink.FAMILY_V6
	}
	return netlink.FAMILY_V4
}

// prefixes returns every destination prefix that the routing tables and the
// routing rules of a family tell apart, sorted. Between two of them all
// addresses share one route, unless rules go by the port or the transport as well.
func (k *kernel) prefixes(v6 bool) (all []netip.Prefix, byPort bool, err error) {
	routes, err := ways.Whole(func() ([]netlink.Route, error) {
		return k.nl.RouteListFiltered(family(v6), &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
	})
	if err != nil && !unsupported(err) {
		return nil, false, fmt.Errorf("wire: list the routes: %w", err)
	}
	rules, err := ways.Whole(func() ([]netlink.Rule, error) { return k.nl.RuleList(family(v6)) })
	if err != nil && !unsupported(err) {
		return nil, false, fmt.Errorf("wire: list the routing rules: %w", err)
	}
	for _, r := range routes {
		all = appendPrefix(all, r.Dst)
	}
	for _, r := range rules {
		all = appendPrefix(all, r.Dst)
		byPort = byPort || r.Dport != nil || r.Sport != nil || r.IPProto > 0
	}
	slices.SortFunc(all, netip.Prefix.Compare)
	return slices.Compact(all), byPort, nil
}

// unsupported reports whether the kernel lacks what was asked about: a whole
// family, or routing rules. It then has none of it.
func unsupported(err error) bool {
	return errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EAFNOSUPPORT)
}

func appendPrefix(all []netip.Prefix, n *net.IPNet) []netip.Prefix {
	if n == nil {
		return all
	}
	addr, ok := netip.AddrFromSlice(n.IP)
	ones, size := n.Mask.Size()
	if !ok || size == 0 {
		return all
	}
	if size == 32 {
		addr = addr.Unmap()
	}
	return append(all, netip.PrefixFrom(addr, ones).Masked())
}

// hop is the way to an address: through which interface, from which of this
// host's addresses, and to which gateway, if any. It is comparable.
type hop struct {
	index    int        // of the interface
	src      netip.Addr // without zone
	gateway  netip.Addr // without zone; the zero Addr when the target is on the link
	loopback bool       // the address is one of this host
}

// errNoRoute means that this host does not send to an address.
var errNoRoute = errors.New("no route")

// hop asks for the way to addr. index and src, if not zero, bind it to an
// interface and to a source address. An address that this host does not send
// to gives an error that is errNoRoute.
func (k *kernel) hop(addr netip.Addr, index int, src netip.Addr) (hop, error) {
	options := &netlink.RouteGetOptions{}
	if src.IsValid() && src.Is4() == addr.Is4() {
		options.SrcAddr = src.AsSlice()
	}
	if index != 0 {
		if local, err := k.get(addr, options); err == nil && local.Type == unix.RTN_LOCAL {
			return hopOf(local, src, addr)
		}
		// Bound to an interface the kernel takes any address for one on the link;
		// only a route that is really there counts.
		options.OifIndex, options.FIBMatch = index, true
		if _, err := k.get(addr, options); err != nil {
			return hop{}, err
		}
		options.FIBMatch = false
	}
	r, err := k.get(addr, options)
	if err != nil {
		return hop{}, err
	}
	h, err := hopOf(r, src, addr)
	if err != nil || options.SrcAddr != nil || addr.Is6() || h.loopback {
		return h, err
	}
	// As connect(2) does for IPv4, whose routing rules may go by the source: once to
	// select that, and again with it.
	options.SrcAddr = h.src.AsSlice()
	if r, err = k.get(addr, options); err != nil {
		return hop{}, err
	}
	return hopOf(r, h.src, addr)
}

func (k *kernel) get(addr netip.Addr, options *netlink.RouteGetOptions) (netlink.Route, error) {
	routes, err := k.nl.RouteGetWithOptions(addr.AsSlice(), options)
	switch {
	case err == nil && len(routes) > 0:
		return routes[0], nil
	case err == nil:
		return netlink.Route{}, fmt.Errorf("no answer from the kernel: %w", errNoRoute)
	case noWay(err) != "":
		return netlink.Route{}, fmt.Errorf("%s: %w", noWay(err), errNoRoute)
	default:
		return netlink.Route{}, fmt.Errorf("wire: ask for the route to %v: %w", addr, err)
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
	case unsupported(err):
		return "this host does not have the protocol"
	default: // a fault of the question, not of the route
		return ""
	}
}

func hopOf(r netlink.Route, src, addr netip.Addr) (hop, error) {
	h := hop{index: r.LinkIndex, src: addrOf(r.Src), gateway: addrOf(r.Gw)}
	if src.IsValid() && src.Is4() == addr.Is4() {
		h.src = src
	}
	if via, ok := r.Via.(*netlink.Via); ok && via != nil { // an IPv4 route with an IPv6 gateway
		h.gateway = addrOf(via.Addr)
	}
	switch r.Type {
	case unix.RTN_LOCAL, unix.RTN_ANYCAST:
		h.loopback, h.gateway = true, netip.Addr{}
		if !h.src.IsValid() {
			h.src = addr
		}
	case unix.RTN_UNICAST, unix.RTN_UNSPEC:
	case unix.RTN_BROADCAST:
		// A host may have it all the same; only its ARP reply will tell.
		h.gateway = netip.Addr{}
	default: // multicast, or a kind of route that sends nothing
		return hop{}, fmt.Errorf("%v is not a unicast address: %w", addr, errNoRoute)
	}
	if !h.src.IsValid() {
		return hop{}, fmt.Errorf("this host has no address to ask %v from: %w", addr, errNoRoute)
	}
	return h, nil
}

func addrOf(ip net.IP) netip.Addr {
	addr, _ := netip.AddrFromSlice(ip)
	if addr.Is4In6() || len(ip) == net.IPv4len {
		addr = addr.Unmap()
	}
	if addr.IsUnspecified() {
		return netip.Addr{}
	}
	return addr
}

// links returns all interfaces.
func (k *kernel) links() ([]netlink.Link, error) {
	links, err := ways.Whole(k.nl.LinkList)
	if err != nil {
		return nil, fmt.Errorf("wire: list the interfaces: %w", err)
	}
	return links, nil
}

// loopback returns the loopback interface.
func (k *kernel) loopback() (netlink.Link, error) {
	links, err := k.links()
	if err != nil {
		return nil, err
	}
	for _, l := range links {
		if l.Attrs().Flags&net.FlagLoopback != 0 {
			return l, nil
		}
	}
	return nil, fmt.Errorf("there is no loopback interface: %w", ErrInterface)
}

// byName returns the interface that the user or a zone names.
func (k *kernel) byName(name string) (netlink.Link, error) {
	l, err := k.nl.LinkByName(name)
	if err != nil {
		return nil, fmt.Errorf("interface %q does not exist: %w", name, ErrInterface)
	}
	if l.Attrs().Flags&net.FlagUp == 0 {
		return nil, fmt.Errorf("interface %q is down: %w", name, ErrInterface)
	}
	return l, nil
}

// addresses returns this host's addresses of a family, on one interface or, with
// nil, on all.
func (k *kernel) addresses(l netlink.Link, v6 bool) ([]netip.Addr, error) {
	list, err := ways.Whole(func() ([]netlink.Addr, error) { return k.nl.AddrList(l, family(v6)) })
	if err != nil && !unsupported(err) {
		return nil, fmt.Errorf("wire: list this host's addresses: %w", err)
	}
	var all []netip.Addr
	for _, a := range list {
		if addr := addrOf(a.IP); addr.IsValid() {
			all = append(all, addr)
		}
	}
	return all, nil
}

// neighbours returns what the kernel knows of the neighbours on an interface:
// with fresh only those that it has heard from lately.
func (k *kernel) neighbours(index int, v6, fresh bool) (map[netip.Addr][6]byte, error) {
	list, err := ways.Whole(func() ([]netlink.Neigh, error) { return k.nl.NeighList(index, family(v6)) })
	if err != nil {
		return nil, fmt.Errorf("wire: read the neighbour table: %w", err)
	}
	want := netlink.NUD_REACHABLE | netlink.NUD_PERMANENT
	if !fresh {
		want |= netlink.NUD_STALE | netlink.NUD_DELAY | netlink.NUD_PROBE
	}
	all := map[netip.Addr][6]byte{}
	for _, n := range list {
		if addr := addrOf(n.IP); n.State&want != 0 && len(n.HardwareAddr) == 6 && addr.IsValid() {
			all[addr] = [6]byte(n.HardwareAddr)
		}
	}
	return all, nil
}

// solicit makes the kernel itself ask for a neighbour.
func (k *kernel) solicit(index int, addr netip.Addr) error {
	n := &netlink.Neigh{LinkIndex: index, Family: family(addr.Is6()), State: netlink.NUD_NONE, Flags: netlink.NTF_USE, IP: addr.AsSlice()}
	if err := k.nl.NeighSet(n); err != nil {
		return fmt.Errorf("wire: let the kernel ask for %v: %w", addr, err)
	}
	return nil
}

// ephemeral returns the range of ports that the kernel gives to this host's own
// sockets, and the default of Linux where it cannot be read.
func ephemeral() (low, high uint16) {
	b, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err == nil {
		if _, err := fmt.Sscan(string(b), &low, &high); err == nil {
			return low, high
		}
	}
	return 32768, 60999
}
