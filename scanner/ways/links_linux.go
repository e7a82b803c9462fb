package ways

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

var errMessage = errors.New("not a message of the kernel")

// link is what a fault of an interface can be seen from. The zero link is not
// there.
type link struct {
	name    string
	mac     string // its link-layer address, as bytes; "" where it has none
	up      bool
	carrier bool   // also where the interface does not know
	lost    uint32 // how often it lost its carrier since it was made
	dropped uint64 // frames that were to be sent
	failed  uint64 // frames that could not be sent, as by a tunnel without a way to its other end
}

// fault says in words what has happened to an interface, "" when nothing has or
// it had no carrier before.
func (l link) fault(now link) string {
	switch {
	case now == link{}:
		return fmt.Sprintf("interface %s is gone", l.name)
	case l.up && !now.up:
		return fmt.Sprintf("interface %s is down", l.name)
	case now.mac != l.mac: // answers to the old one are no longer taken
		return fmt.Sprintf("interface %s has another link-layer address now", l.name)
	case !l.carrier:
		return ""
	case !now.carrier:
		return fmt.Sprintf("interface %s has lost its carrier", l.name)
	case now.lost != l.lost:
		return fmt.Sprintf("interface %s had lost its carrier for a while", l.name)
	case now.failed > l.failed: // by whatever program
		return fmt.Sprintf("interface %s could not send %d frames", l.name, now.failed-l.failed)
	default:
		return ""
	}
}

// links returns the interface of that index, or with 0 all of them.
func (k Kernel) links(index int) (map[int]link, error) {
	flags := 0
	if index == 0 {
		flags = unix.NLM_F_DUMP
	}
	question := nl.NewIfInfomsg(unix.AF_UNSPEC)
	question.Index = int32(index)
	messages, err := k.read(unix.RTM_GETLINK, unix.RTM_NEWLINK, flags, question)
	if err != nil {
		return nil, fmt.Errorf("ways: read the interfaces: %w", err)
	}
	all := map[int]link{}
	for _, m := range messages {
		index, l, err := parseLink(m)
		if err != nil {
			return nil, fmt.Errorf("ways: read the interfaces: %w", err)
		}
		all[index] = l
	}
	return all, nil
}

// parseLink reads the kernel's description of an interface. What the kernel does
// at once, IFLA_CARRIER and the count of losses (Linux 4.16), the netlink package
// does not tell; the operational state follows up to a second later.
func parseLink(message []byte) (index int, l link, err error) {
	attributes, err := attributesOf(message, unix.SizeofIfInfomsg)
	if err != nil {
		return 0, link{}, err
	}
	described, err := netlink.LinkDeserialize(nil, message)
	if err != nil {
		return 0, link{}, err
	}
	a := described.Attrs()
	l = link{name: a.Name, mac: string(a.HardwareAddr), up: a.Flags&net.FlagUp != 0, carrier: true}
	if a.Statistics != nil {
		l.dropped, l.failed = a.Statistics.TxDropped, a.Statistics.TxErrors
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

// homes returns this host's addresses and when each was made, in hundredths
// of a second since the system started, 0 if the kernel does not say.
func (k Kernel) homes() (map[home]uint32, error) {
	messages, err := k.read(unix.RTM_GETADDR, unix.RTM_NEWADDR, unix.NLM_F_DUMP, nl.NewIfAddrmsg(unix.AF_UNSPEC))
	if err != nil {
		return nil, fmt.Errorf("ways: read this host's addresses: %w", err)
	}
	all := map[home]uint32{}
	for _, m := range messages {
		h, made, err := parseHome(m)
		if err != nil {
			return nil, fmt.Errorf("ways: read this host's addresses: %w", err)
		}
		if h.addr.IsValid() {
			all[h] = made
		}
	}
	return all, nil
}

// parseHome reads the kernel's description of an address. IFA_ADDRESS is the
// other end's where IFA_LOCAL is there, too.
func parseHome(message []byte) (h home, made uint32, err error) {
	attributes, err := attributesOf(message, unix.SizeofIfAddrmsg)
	if err != nil {
		return home{}, 0, err
	}
	h.index = int(nl.DeserializeIfAddrmsg(message).Index)
	for _, attribute := range attributes {
		switch v := attribute.Value; {
		case attribute.Attr.Type == unix.IFA_LOCAL, attribute.Attr.Type == unix.IFA_ADDRESS && !h.addr.IsValid():
			h.addr = AddrOf(v)
		case attribute.Attr.Type == unix.IFA_CACHEINFO && len(v) >= unix.SizeofIfaCacheinfo:
			made = nl.DeserializeIfaCacheInfo(v).Cstamp
		}
	}
	return h, made, nil
}

// attributesOf returns what follows the header of a message, which is padded to
// four bytes (netlink(7)); nl.ParseRouteAttr relies on that.
func attributesOf(message []byte, header int) ([]syscall.NetlinkRouteAttr, error) {
	if len(message) < header || len(message)%unix.NLMSG_ALIGNTO != 0 {
		return nil, errMessage
	}
	return nl.ParseRouteAttr(message[header:])
}
