package scanner

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/bits"
	"net/netip"
	"slices"

	"dormant/registry"
)

// MaxTargets is the largest plan that is accepted, in address × port pairs.
// A run keeps half a byte per target (its state, and whether it was asked in the
// round), so the largest plan costs 512 MiB: a /8 with 64 ports.
const MaxTargets = 1 << 30

// Plan is what is asked, and in which order: every address with every port,
// shuffled by a key. It holds no state of a run and is safe for concurrent use.
type Plan struct {
	spans []span
	ends  []uint64 // ends[x] counts the addresses of spans[:x+1]
	ports []registry.Port
	seed  uint64
	order feistel
	width divider // by the number of ports
}

// span is a run of addresses, one prefix or one zoned address.
type span struct {
	prefix netip.Prefix // without zone
	first  netip.Addr   // with zone
	count  uint64
}

// NewPlan returns the plan of all addresses in prefixes with all ports, in the
// order that seed chooses. The prefixes may come in any order but must not
// overlap; ports must be distinct. Neither slice is retained. It fails on an
// empty plan and on more than MaxTargets targets.
func NewPlan(prefixes []netip.Prefix, ports []registry.Port, seed uint64) (*Plan, error) {
	spans := make([]span, 0, len(prefixes))
	for _, p := range prefixes {
		if !p.IsValid() || p != p.Masked() || p.Addr().Is4In6() {
			return nil, fmt.Errorf("scanner: plan: prefix %v: want a masked IPv4 or IPv6 prefix", p)
		}
		spans = append(spans, span{prefix: p, first: p.Addr(), count: size(p)})
	}
	return newPlan(spans, ports, seed)
}

func newPlan(spans []span, ports []registry.Port, seed uint64) (*Plan, error) {
	p := &Plan{spans: spans, ports: slices.Clone(ports), seed: seed}
	slices.SortFunc(p.spans, func(a, b span) int { return a.first.Compare(b.first) })
	slices.SortFunc(p.ports, registry.Port.Compare)
	if len(p.spans) == 0 || len(p.ports) == 0 {
		return nil, errors.New("scanner: plan: no address or no port to ask")
	}
	for i, port := range p.ports {
		if port.Number == 0 || port.Proto != registry.TCP && port.Proto != registry.UDP {
			return nil, fmt.Errorf("scanner: plan: port %v: want 1 to 65535, tcp or udp", port)
		}
		if i > 0 && port == p.ports[i-1] {
			return nil, fmt.Errorf("scanner: plan: port %v stands twice", port)
		}
	}
	limit, total := uint64(MaxTargets/len(p.ports)), uint64(0)
	for i, s := range p.spans {
		if i > 0 && s.first.Zone() == p.spans[i-1].first.Zone() && s.prefix.Overlaps(p.spans[i-1].prefix) {
			return nil, fmt.Errorf("scanner: plan: %v and %v overlap", p.spans[i-1].prefix, s.prefix)
		}
		if s.count > limit-total {
			return nil, fmt.Errorf("scanner: plan: more than %d addresses with %d ports each: want at most %d targets, split the job",
				limit, len(p.ports), MaxTargets)
		}
		total += s.count
		p.ends = append(p.ends, total)
	}
	p.order = newFeistel(total*uint64(len(p.ports)), seed)
	p.width = newDivider(uint64(len(p.ports)))
	return p, nil
}

// Len returns the number of targets, at least 1 and at most MaxTargets.
func (p *Plan) Len() uint64 { return p.order.n }

// NumAddrs returns the number of addresses, at least 1.
func (p *Plan) NumAddrs() uint64 { return p.ends[len(p.ends)-1] }

// Seed returns the key of the order.
func (p *Plan) Seed() uint64 { return p.seed }

// Ports returns the ports, sorted. The caller owns the slice.
func (p *Plan) Ports() []registry.Port { return slices.Clone(p.ports) }

// Prefixes returns the disjoint prefixes, sorted, zones left out. The caller
// owns the slice.
func (p *Plan) Prefixes() []netip.Prefix {
	all := make([]netip.Prefix, len(p.spans))
	for i, s := range p.spans {
		all[i] = s.prefix
	}
	return all
}

// At returns the i-th target in scan order. It is pure: order, shard and resume
// are arithmetic on i. It panics if i >= p.Len().
func (p *Plan) At(i uint64) Target { return p.natural(p.position(i)) }

// position returns the natural index of the i-th target in scan order.
func (p *Plan) position(i uint64) uint64 {
	if i >= p.order.n {
		panic("scanner: Plan.At: index out of range")
	}
	return p.order.apply(i)
}

// natural returns the target with the natural index j: sorted by address,
// then transport, then port.
func (p *Plan) natural(j uint64) Target {
	k, port := p.width.split(j)
	return Target{Addr: p.addr(k), Port: p.ports[port]}
}

// addr returns the k-th address.
func (p *Plan) addr(k uint64) netip.Addr {
	x := 0
	if len(p.ends) > 1 {
		x, _ = slices.BinarySearch(p.ends, k+1)
	}
	s := &p.spans[x]
	return add(s.first, k-(p.ends[x]-s.count))
}

// Index returns the natural index of t, a number below p.Len() that grows with
// address, transport and port, and false when t is not in the plan.
func (p *Plan) Index(t Target) (uint64, bool) {
	port, ok := slices.BinarySearchFunc(p.ports, t.Port, registry.Port.Compare)
	if !ok {
		return 0, false
	}
	k, ok := p.AddrIndex(t.Addr)
	return k*uint64(len(p.ports)) + uint64(port), ok
}

// Place returns where t stands in scan order, and false when t is not in the
// plan: At(Place(t)) is t, and t belongs to shard Place(t) modulo the number of
// shards.
func (p *Plan) Place(t Target) (uint64, bool) {
	j, ok := p.Index(t)
	if !ok {
		return 0, false
	}
	return p.order.invert(j), true
}

// AddrIndex returns how many addresses of the plan are below addr, and false
// when addr is not in the plan. An address with a zone is another one than the
// same address without.
func (p *Plan) AddrIndex(addr netip.Addr) (uint64, bool) {
	x, exact := slices.BinarySearchFunc(p.spans, addr, func(s span, a netip.Addr) int { return s.first.Compare(a) })
	if !exact {
		x--
	}
	if x < 0 || p.spans[x].first.Zone() != addr.Zone() || !p.spans[x].prefix.Contains(addr.WithZone("")) {
		return 0, false
	}
	s := &p.spans[x]
	return p.ends[x] - s.count + distance(s.first, addr), true
}

// Addresses yields every address once, sorted.
func (p *Plan) Addresses() iter.Seq[netip.Addr] {
	return func(yield func(netip.Addr) bool) {
		for _, s := range p.spans {
			addr := s.first
			for range s.count {
				if !yield(addr) {
					return
				}
				addr = addr.Next()
			}
		}
	}
}

// Hash returns the SHA-256 of prefixes, zones, ports and seed in hex: two plans
// with the same hash ask the same targets in the same order.
func (p *Plan) Hash() string {
	h := sha256.New()
	for _, s := range p.spans {
		fmt.Fprintf(h, "%v %q\n", s.prefix, s.first.Zone())
	}
	for _, port := range p.ports {
		_, _ = io.WriteString(h, port.String()+"\n") // a hash never fails
	}
	fmt.Fprintf(h, "seed %d\n", p.seed)
	return hex.EncodeToString(h.Sum(nil))
}

// size returns the number of addresses of p, at most 1<<63.
func size(p netip.Prefix) uint64 {
	return 1 << min(p.Addr().BitLen()-p.Bits(), 63)
}

// add returns the address n after a, with a's zone. The sum must exist.
func add(a netip.Addr, n uint64) netip.Addr {
	if a.Is4() {
		b := a.As4()
		binary.BigEndian.PutUint32(b[:], binary.BigEndian.Uint32(b[:])+uint32(n))
		return netip.AddrFrom4(b)
	}
	b := a.As16()
	low, carry := bits.Add64(binary.BigEndian.Uint64(b[8:]), n, 0)
	binary.BigEndian.PutUint64(b[8:], low)
	binary.BigEndian.PutUint64(b[:8], binary.BigEndian.Uint64(b[:8])+carry)
	sum := netip.AddrFrom16(b)
	if zone := a.Zone(); zone != "" {
		return sum.WithZone(zone)
	}
	return sum
}

// distance returns how far b is behind a. Both are of one family and less than
// 1<<64 apart.
func distance(a, b netip.Addr) uint64 {
	if a.Is4() {
		x, y := a.As4(), b.As4()
		return uint64(binary.BigEndian.Uint32(y[:]) - binary.BigEndian.Uint32(x[:]))
	}
	x, y := a.As16(), b.As16()
	return binary.BigEndian.Uint64(y[8:]) - binary.BigEndian.Uint64(x[8:])
}
