//go:build linux

package wire

import (
	"net"
	"net/netip"
	"slices"
)

// maxEars bounds on how many interfaces beside those that are sent by answers
// are listened for: hosts of containers have hundreds.
const maxEars = 16

// openEars opens a link to every other interface that has an address: an answer
// takes the way that its sender's routes say, which need not be that of the
// probe. An interface that cannot be listened on is said and passed over.
func (b *Backend) openEars(open func(LinkSpec) (Link, error)) error {
	links, err := b.kernel.links()
	if err != nil {
		return err
	}
	spec := LinkSpec{Ports: b.cookies.ports, ListenOnly: true}
	for _, f := range b.ifaces {
		spec.IPv4 = spec.IPv4 || f.v4
		spec.IPv6 = spec.IPv6 || f.v6
	}
	for _, l := range links {
		a := l.Attrs()
		used := slices.ContainsFunc(b.ifaces, func(f *iface) bool { return f.index == a.Index })
		part := a.MasterIndex != 0 && !isVRF(links, a.MasterIndex) // of a bond or a bridge, which hears for it
		if used || part || a.Flags&net.FlagUp == 0 || a.Flags&net.FlagLoopback != 0 {
			continue
		}
		var own []netip.Addr
		for _, v6 := range []bool{false, true} {
			some, err := b.kernel.addresses(l, v6)
			if err != nil {
				return err
			}
			own = append(own, some...)
		}
		f, err := newIface(b.kernel, l)
		if len(own) == 0 || err != nil { // nobody sends to it, or no kind of interface for IP
			continue
		}
		if len(b.ears) == maxEars {
			b.log.Info("answers are listened for on some interfaces only", "interfaces", len(b.ifaces)+maxEars)
			return nil
		}
		spec.Name, spec.Index, spec.Medium = f.name, f.index, f.medium
		link, err := open(spec)
		if err != nil {
			b.log.Warn("answers that come in on another interface are not heard there", "interface", f.name, "error", err)
			continue
		}
		f.link = link
		b.ears = append(b.ears, f)
	}
	return nil
}

// all returns every interface that is listened on.
func (b *Backend) all() []*iface { return slices.Concat(b.ifaces, b.ears) }
