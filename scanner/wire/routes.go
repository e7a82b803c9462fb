//go:build linux

package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sort"
	"strings"
	"sync/atomic"

	"dormant/scanner/ways"
)

// route is one way to targets. Routes are shared by all targets that have the
// same way, and immutable but for via.
type route struct {
	way      ways.Way
	example  netip.Addr // a target of it; the zero Addr for link-local ones
	iface    *iface     // nil: this host sends nothing there
	tcp, udp *template
	// via is the link-layer address of the gateway, nil as long as it is not
	// known and where there is none. Resolve writes it.
	via atomic.Pointer[[6]byte]
}

// onLink reports whether each target has a link-layer address of its own.
func (r *route) onLink() bool {
	return r.iface != nil && r.iface.medium == Ethernet && !r.way.Gateway.IsValid() && !r.iface.noARP
}

// Routed implements scanner.Router.
func (b *Backend) Routed(addr netip.Addr) bool {
	r := b.routes.of(addr)
	return r != nil && r.iface != nil && r.iface.medium != Host && !r.onLink()
}

// routes finds the route of a target: a sorted list of address ranges for each
// family, and one route per zone. It is immutable.
type routes struct {
	v4    []range4
	v6    []range6
	zones map[string]*route
	all   []*route // each once
	// pathless says which prefixes cannot be sent to, and why; "" is none.
	pathless string
}

type range4 struct {
	first, last uint32
	route       *route
}

type range6 struct {
	first, last netip.Addr
	route       *route
}

// of returns the route to addr, nil for an address that was not asked for.
func (rs *routes) of(addr netip.Addr) *route {
	if addr.Is4() {
		b := addr.As4()
		a := binary.BigEndian.Uint32(b[:])
		i := sort.Search(len(rs.v4), func(i int) bool { return rs.v4[i].last >= a })
		if i < len(rs.v4) && rs.v4[i].first <= a {
			return rs.v4[i].route
		}
		return nil
	}
	if addr.Zone() != "" {
		return rs.zones[addr.Zone()]
	}
	i := sort.Search(len(rs.v6), func(i int) bool { return rs.v6[i].last.Compare(addr) >= 0 })
	if i < len(rs.v6) && rs.v6[i].first.Compare(addr) <= 0 {
		return rs.v6[i].route
	}
	return nil
}

// mapper builds routes. It asks once for every part of a target prefix in which
// no routing table tells addresses apart, so that a more specific route inside
// a target prefix is seen, and no address is asked for one by one.
type mapper struct {
	kernel *kernel
	index  int        // of the interface that all must leave by, or 0
	src    netip.Addr // that all must be asked from, or the zero Addr
	log    *slog.Logger

	cuts   []netip.Prefix // of the family at hand, sorted
	byWay  map[ways.Way]*route
	result *routes

	// region is the part of the family's space, around the last prefix that was
	// asked for, that no cut divides; around is its route. IPv4 only: for IPv6 the
	// source address can depend on the very destination.
	region netip.Prefix
	around *route

	lost    uint64   // prefixes that cannot be sent to
	example []string // some of them, with the reason
}

// mapAll returns the routes to all prefixes, which must be masked.
func (m *mapper) mapAll(prefixes []netip.Prefix) (*routes, error) {
	m.byWay, m.result = map[ways.Way]*route{}, &routes{zones: map[string]*route{}}
	for _, v6 := range []bool{false, true} {
		mine := slices.DeleteFunc(slices.Clone(prefixes), func(p netip.Prefix) bool {
			return p.Addr().Is6() != v6 || v6 && p.Addr().IsLinkLocalUnicast() // those need a zone
		})
		if len(mine) == 0 {
			continue
		}
		slices.SortFunc(mine, netip.Prefix.Compare)
		var byPort bool
		var err error
		if m.cuts, byPort, err = m.kernel.prefixes(v6); err != nil {
			return nil, err
		}
		if byPort {
			m.log.Warn("routing rules by port or transport are not followed by raw frames: --backend connect follows them")
		}
		m.region = netip.Prefix{}
		for _, p := range mine {
			if err := m.walk(p); err != nil {
				return nil, err
			}
		}
	}
	if m.lost > 0 {
		m.log.Warn("some targets cannot be sent to", "prefixes", m.lost, "for_example", strings.Join(m.example, ", "))
		m.result.pathless = "no way to " + m.example[0]
		if m.lost > 1 {
			m.result.pathless = fmt.Sprintf("no way to %d prefixes, such as %s", m.lost, m.example[0])
		}
	}
	return m.result, nil
}

// walk maps one prefix, or its halves.
func (m *mapper) walk(p netip.Prefix) error {
	if divided(m.cuts, p) {
		low, high := halves(p)
		if err := m.walk(low); err != nil {
			return err
		}
		return m.walk(high)
	}
	r := m.around
	if !m.region.IsValid() || !m.region.Contains(p.Addr()) {
		to, err := m.kernel.way(p.Addr(), m.src, m.index)
		if err != nil && !errors.Is(err, ways.ErrNoRoute) {
			return err
		}
		if err != nil && len(m.example) < 3 {
			m.example = append(m.example, fmt.Sprintf("%v: %v", p, err))
		}
		r = m.share(to, p.Addr()) // all that cannot be sent to share the route without an interface
		if p.Addr().Is4() {
			m.region, m.around = m.grow(p), r
		}
	}
	if r.way == (ways.Way{}) {
		m.lost++
	}
	m.add(p, r)
	return nil
}

// grow returns the largest prefix around p that no cut divides.
func (m *mapper) grow(p netip.Prefix) netip.Prefix {
	for p.Bits() > 0 {
		larger := netip.PrefixFrom(p.Addr(), p.Bits()-1).Masked()
		if divided(m.cuts, larger) {
			break
		}
		p = larger
	}
	return p
}

// share returns the one route of a way, of which addr is a target.
func (m *mapper) share(to ways.Way, addr netip.Addr) *route {
	r := m.byWay[to]
	if r == nil {
		r = &route{way: to, example: addr}
		m.byWay[to] = r
		m.result.all = append(m.result.all, r)
	}
	return r
}

// add appends a range, or makes the last one longer.
func (m *mapper) add(p netip.Prefix, r *route) {
	first, last := p.Addr(), lastOf(p)
	if first.Is4() {
		f, l := first.As4(), last.As4()
		next := range4{binary.BigEndian.Uint32(f[:]), binary.BigEndian.Uint32(l[:]), r}
		if n := len(m.result.v4); n > 0 && m.result.v4[n-1].route == r && m.result.v4[n-1].last+1 == next.first {
			m.result.v4[n-1].last = next.last
			return
		}
		m.result.v4 = append(m.result.v4, next)
		return
	}
	if n := len(m.result.v6); n > 0 && m.result.v6[n-1].route == r && m.result.v6[n-1].last.Next() == first {
		m.result.v6[n-1].last = last
		return
	}
	m.result.v6 = append(m.result.v6, range6{first, last, r})
}

// divided reports whether a cut lies inside p, p itself not counted. cuts are
// sorted.
func divided(cuts []netip.Prefix, p netip.Prefix) bool {
	i := sort.Search(len(cuts), func(i int) bool { return cuts[i].Addr().Compare(p.Addr()) >= 0 })
	for ; i < len(cuts) && p.Contains(cuts[i].Addr()); i++ {
		if cuts[i].Bits() > p.Bits() {
			return true
		}
	}
	return false
}

// halves splits a prefix of more than one address.
func halves(p netip.Prefix) (low, high netip.Prefix) {
	bits := p.Bits() + 1
	b := p.Addr().AsSlice()
	b[p.Bits()/8] |= 0x80 >> (p.Bits() % 8)
	upper, _ := netip.AddrFromSlice(b)
	return netip.PrefixFrom(p.Addr(), bits), netip.PrefixFrom(upper, bits)
}

// lastOf returns the last address of a prefix.
func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < 8*len(b); i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	last, _ := netip.AddrFromSlice(b)
	return last
}
