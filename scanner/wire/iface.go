//go:build linux

package wire

import (
	"fmt"
	"net/netip"
	"slices"
	"sync/atomic"

	"github.com/vishvananda/netlink"
)

// iface is one interface that probes leave by and answers come in on.
type iface struct {
	name   string
	index  int
	medium Medium
	mac    [6]byte // zero where there is none
	mtu    int
	noARP  bool         // Ethernet on which nobody is asked for an address
	own    []netip.Addr // IPv6 addresses of this host on it
	v4, v6 bool         // families that are sent by it

	link   Link
	number int     // in Backend.ifaces, if probes leave by it
	lanes  []*lane // over link, at least one; none where nothing is sent

	received, invalid atomic.Uint64 // frames
}

// newIface describes an interface of the kernel. For addresses of this host the
// loopback interface is used as Host.
func newIface(k *kernel, l netlink.Link) (*iface, error) {
	a := l.Attrs()
	f := &iface{name: a.Name, index: a.Index, mtu: a.MTU}
	switch a.EncapType {
	case "ether":
		f.medium = Ethernet
		if len(a.HardwareAddr) != len(f.mac) {
			return nil, fmt.Errorf("wire: interface %q has no Ethernet address: %w", a.Name, ErrInterface)
		}
		f.mac = [6]byte(a.HardwareAddr)
		f.noARP = a.RawFlags&noARPFlag != 0
	case "loopback":
		f.medium = Host
	case "none", "ppp", "ipip", "tunnel6", "sit", "gre", gre6, rawIP:
		f.medium = IP
	default: // foreign input: Infiniband, CAN, …
		return nil, fmt.Errorf("wire: interface %q is of type %q, want Ethernet, a tunnel without link-layer addresses, or loopback; --backend connect can ask by it: %w",
			a.Name, a.EncapType, ErrInterface)
	}
	var err error
	f.own, err = k.addresses(l, true)
	return f, err
}

const (
	noARPFlag = 0x80 // IFF_NOARP
	// Kinds that netlink has no name for.
	rawIP = "unknown519" // ARPHRD_RAWIP: cellular modems
	gre6  = "unknown823" // ARPHRD_IP6GRE
)

// linkLocal returns the interface's own link-local address, if it has one.
func (f *iface) linkLocal() netip.Addr {
	for _, a := range f.own {
		if a.IsLinkLocalUnicast() {
			return a
		}
	}
	return netip.Addr{}
}

// asker returns the address that a neighbour of the given family is asked from,
// when probes to it come from src: src itself, unless it is not an address of
// this link in IPv6, where neighbours need not answer to others.
func (f *iface) asker(src netip.Addr, v6 bool) netip.Addr {
	if !v6 || slices.Contains(f.own, src) {
		return src
	}
	if own := f.linkLocal(); own.IsValid() {
		return own
	}
	return src
}

// withZone gives a link-local address the zone of the interface.
func (f *iface) withZone(addr netip.Addr) netip.Addr {
	if addr.Is6() && addr.IsLinkLocalUnicast() {
		return addr.WithZone(f.name)
	}
	return addr
}
