//go:build linux

package afxdp

import (
	"fmt"

	"github.com/vishvananda/netlink"

	"dormant/scanner/wire"
)

// suited reports why frames should not be sent to an interface by AF_XDP.
//
// AF_XDP hands frames to the driver past all queues. Interfaces that stand on
// another one (VLAN, bond, bridge) have queues below them that throw frames
// away when they are full, and need to know the protocol of a frame, which
// AF_XDP does not tell them.
func suited(spec wire.LinkSpec) error {
	link, err := netlink.LinkByIndex(spec.Index)
	if err != nil {
		return fmt.Errorf("afxdp: find interface %s: %w", spec.Name, err)
	}
	switch kind := link.Type(); kind {
	case "device", "veth": // a card of metal or of the hypervisor; the end of a cable between namespaces
		return nil
	default: // foreign input
		return fmt.Errorf("%w: %s is of kind %s", ErrUnsupported, spec.Name, kind)
	}
}
