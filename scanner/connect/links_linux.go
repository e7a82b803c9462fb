package connect

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// readTries is how often a list is read that changed meanwhile.
const readTries = 5

var errNoAnswer = errors.New("no answer from the kernel")

// link is what a fault of an interface can be seen from. The zero link is not
// there.
type link struct {
	name     string
	loopback bool
	up       bool
	carrier  bool   // also where the interface does not know
	lost     uint32 // how often it lost its carrier since it was made
	dropped  uint64 // frames that were to be sent
}

// fault says in words what has happened to an interface, "" when nothing has or
// it had no carrier before.
func (l link) fault(now link) string {
	switch {
	case now == link{}:
		return fmt.Sprintf("interface %s is gone", l.name)
	case l.up && !now.up:
		return fmt.Sprintf("interface %s is down", l.name)
	case !l.carrier:
		return ""
	case !now.carrier:
		return fmt.Sprintf("interface %s has lost its carrier", l.name)
	case now.lost != l.lost:
		return fmt.Sprintf("interface %s had lost its carrier for a while", l.name)
	default:
		return ""
	}
}

// readLinks returns the interface of that index, or with 0 all of them.
func readLinks(index int) (map[int]link, error) {
	flags := 0
	if index == 0 {
		flags = unix.NLM_F_DUMP
	}
	var messages [][]byte
	err := whole(func() (err error) {
		request := nl.NewNetlinkRequest(unix.RTM_GETLINK, flags)
		info := nl.NewIfInfomsg(unix.AF_UNSPEC)
		info.Index = int32(index)
		request.AddData(info)
		messages, err = request.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWLINK)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("connect: read the interfaces: %w", err)
	}
	all := map[int]link{}
	for _, m := range messages {
		index, l, err := parseLink(m)
		if err != nil {
			return nil, fmt.Errorf("connect: read the interfaces: %w", err)
		}
		all[index] = l
	}
	return all, nil
}

// parseLink reads the kernel's description of an interface. What the kernel does
// at once, IFLA_CARRIER and the count of losses (Linux 4.16), the netlink package
// does not tell; the operational state follows up to a second later.
func parseLink(message []byte) (index int, l link, err error) {
	described, err := netlink.LinkDeserialize(nil, message)
	if err != nil {
		return 0, link{}, err
	}
	attributes, err := nl.ParseRouteAttr(message[unix.SizeofIfInfomsg:])
	if err != nil {
		return 0, link{}, err
	}
	a := described.Attrs()
	l = link{name: a.Name, loopback: a.Flags&net.FlagLoopback != 0, up: a.Flags&net.FlagUp != 0, carrier: true}
	if a.Statistics != nil {
		l.dropped = a.Statistics.TxDropped
	}
	for _, attribute := range attributes {
		switch v := attribute.Value; {
		case attribute.Attr.Type == unix.IFLA_CARRIER && len(v) == 1:
			l.carrier = v[0] != 0
		case attribute.Attr.Type == unix.IFLA_CARRIER_DOWN_COUNT && len(v) == 4:
			l.lost = binary.NativeEndian.Uint32(v)
		}
	}
	return a.Index, l, nil
}

// home is an address of this host, without zone, and the interface that has it.
type home struct {
	addr  netip.Addr
	index int
}

// readHomes returns this host's addresses.
func readHomes() (map[home]bool, error) {
	var list []netlink.Addr
	err := whole(func() (err error) {
		list, err = netlink.AddrList(nil, netlink.FAMILY_ALL)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("connect: read this host's addresses: %w", err)
	}
	all := map[home]bool{}
	for _, a := range list {
		if addr, ok := netip.AddrFromSlice(a.IP); ok {
			all[home{addr.Unmap(), a.LinkIndex}] = true
		}
	}
	return all, nil
}

// whole reads again what changed while it was read.
func whole(read func() error) (err error) {
	for range readTries {
		if err = read(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	return err
}
