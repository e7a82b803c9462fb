//go:build linux

package wire

import (
	"fmt"
	"net/netip"
	"slices"
	"sync/atomic"

	"github.com/vishvananda/netlink"
)

// thrown is how many frames an interface threw away that were to be sent. An
// interface without a carrier, or a tun device whose program does not keep up,
// says of none that it did: only its counter shows it.
type thrown struct {
	before uint64        // when the backend was opened
	since  atomic.Uint64 // as last seen: it stays when the interface is gone
}

// lookAt reads the counter of an interface.
func (t *thrown) lookAt(l netlink.Link) uint64 {
	if s := l.Attrs().Statistics; s != nil && s.TxDropped > t.before {
		t.since.Store(s.TxDropped - t.before)
	}
	return t.since.Load()
}

// linkDrops returns what all interfaces have thrown away since Open, which can
// be frames of other programs.
func (b *Backend) linkDrops() (n uint64) {
	for _, f := range b.ifaces {
		if l, err := b.kernel.nl.LinkByIndex(f.index); err == nil {
			f.thrown.lookAt(l)
		}
		n += f.thrown.since.Load()
	}
	return n
}

// Faults implements scanner.Witness. Of each way one target stands for all.
func (b *Backend) Faults() (faults []string) {
	if b.routes.pathless != "" {
		faults = append(faults, b.routes.pathless)
	}
	for _, gateway := range b.silent {
		faults = append(faults, fmt.Sprintf("the gateway %v does not answer", gateway))
	}
	for _, f := range b.ifaces {
		l, err := b.kernel.nl.LinkByIndex(f.index)
		switch {
		case err != nil:
			faults = append(faults, fmt.Sprintf("interface %s is gone", f.name))
		case !carries(l) && f.carried:
			faults = append(faults, fmt.Sprintf("interface %s has lost its carrier", f.name))
		}
	}
	for _, r := range b.routes.all {
		if r.iface == nil || !r.example.IsValid() {
			continue
		}
		if fault := b.changed(r); fault != "" {
			faults = append(faults, fault)
		}
	}
	return faults
}

// changed says how the way of a route's example has changed, "" when it has not.
func (b *Backend) changed(r *route) string {
	now, err := b.kernel.hop(r.example, b.bound, b.source)
	switch {
	case err != nil:
		return fmt.Sprintf("the route to %v that stood at the start is gone: %v", r.example, err)
	case now.index != r.hop.index || now.gateway != r.hop.gateway || now.loopback != r.hop.loopback:
		return fmt.Sprintf("the route to %v is another one than at the start", r.example)
	case now.src != r.hop.src && !b.has(r.hop.src): // which of several it prefers may change
		return fmt.Sprintf("the address %v that was asked from is gone", r.hop.src)
	default:
		return ""
	}
}

// has reports whether addr is an address of this host.
func (b *Backend) has(addr netip.Addr) bool {
	own, err := b.kernel.addresses(nil, addr.Is6())
	return err != nil || slices.Contains(own, addr)
}

// carries reports whether an interface has a carrier. Many kinds do not know.
func carries(l netlink.Link) bool {
	state := l.Attrs().OperState
	return state != netlink.OperDown && state != netlink.OperLowerLayerDown && state != netlink.OperNotPresent
}
