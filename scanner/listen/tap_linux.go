package listen

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/vishvananda/netlink"

	"dormant/registry"
	"dormant/scanner/link/afpacket"
	"dormant/scanner/ways"
	"dormant/scanner/wire"
)

// Interfaces returns the names of the interfaces that are up and heard when
// none is named: not the loopback, and not what only carries another
// interface's frames, as a port of a bridge or bond, where everything would be
// heard twice.
func Interfaces() ([]string, error) {
	links, err := ways.Whole(netlink.LinkList)
	if err != nil {
		return nil, fmt.Errorf("listen: list the interfaces: %w", err)
	}
	var names []string
	for _, l := range links {
		a := l.Attrs()
		if a.Flags&net.FlagUp != 0 && a.Flags&net.FlagLoopback == 0 && a.MasterIndex == 0 {
			names = append(names, a.Name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// OpenTap opens a tap on an interface of the calling thread's network
// namespace. promiscuous also hears what is not meant for this host.
func OpenTap(name string, ports []registry.Port, promiscuous bool) (Tap, error) {
	l, err := netlink.LinkByName(name)
	if err != nil {
		if _, ok := errors.AsType[netlink.LinkNotFoundError](err); ok {
			return nil, fmt.Errorf("listen: interface %q: %w", name, ErrDown)
		}
		return nil, fmt.Errorf("listen: interface %q: %w", name, err)
	}
	a := l.Attrs()
	spec := afpacket.TapSpec{Name: name, Index: a.Index, Medium: wire.IP, Promiscuous: promiscuous, Loopback: a.Flags&net.FlagLoopback != 0}
	link := LinkRaw
	if spec.Loopback || a.EncapType == "ether" {
		spec.Medium, link = wire.Ethernet, LinkEthernet
	}
	for _, p := range ports {
		spec.Ports = append(spec.Ports, p.Number)
	}
	t, err := afpacket.OpenTap(spec)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	return &tap{t, name, link}, nil
}

// IsPrivilege reports whether an error of OpenTap is a missing privilege.
func IsPrivilege(err error) bool { return errors.Is(err, wire.ErrPrivilege) }

type tap struct {
	*afpacket.Tap
	name string
	link LinkType
}

func (t *tap) Name() string { return t.name }

func (t *tap) Listen(ctx context.Context, hear func(source string, link LinkType, frame []byte, at time.Time)) error {
	err := t.ReadFrames(ctx, func(frame []byte, at time.Time) { hear(t.name, t.link, frame, at) })
	if errors.Is(err, wire.ErrLinkDown) {
		return fmt.Errorf("listen: interface %q: %w", t.name, ErrDown)
	}
	return err
}
