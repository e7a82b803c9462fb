//go:build linux

package wire

import (
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

// way asks for the way to addr, see ways.Route. What this host itself answers in a
// VRF does not come by the loopback interface.
func (k *kernel) way(addr, source netip.Addr, index int) (ways.Way, error) {
	w, err := ways.Route(k.nl, addr, source, index)
	if err != nil || !w.Local {
		return w, err
	}
	links, err := k.links()
	if err == nil && isVRF(links, w.Index) {
		w, err = ways.Way{}, fmt.Errorf("an address of this host in a VRF, which --backend connect under ip vrf exec can ask: %w", ways.ErrNoRoute)
	}
	return w, err
}

// isVRF reports whether the interface of an index is a VRF.
func isVRF(links []netlink.Link, index int) bool {
	return slices.ContainsFunc(links, func(l netlink.Link) bool { return l.Attrs().Index == index && l.Type() == "vrf" })
}

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
	if err != nil && !ways.Unsupported(err) {
		return nil, false, fmt.Errorf("wire: list the routes: %w", err)
	}
	rules, err := ways.Whole(func() ([]netlink.Rule, error) { return k.nl.RuleList(family(v6)) })
	if err != nil && !ways.Unsupported(err) {
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
// nil, on all; without those that the kernel does not use because another host may
// have them (RFC 4862 section 5.4), or has been seen to have them.
func (k *kernel) addresses(l netlink.Link, v6 bool) ([]netip.Addr, error) {
	list, err := ways.Whole(func() ([]netlink.Addr, error) { return k.nl.AddrList(l, family(v6)) })
	if err != nil && !ways.Unsupported(err) {
		return nil, fmt.Errorf("wire: list this host's addresses: %w", err)
	}
	var all []netip.Addr
	for _, a := range list {
		tentative := a.Flags&unix.IFA_F_TENTATIVE != 0 && a.Flags&unix.IFA_F_OPTIMISTIC == 0
		if addr := ways.AddrOf(a.IP); addr.IsValid() && !tentative {
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
		if addr := ways.AddrOf(n.IP); n.State&want != 0 && len(n.HardwareAddr) == 6 && addr.IsValid() {
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
