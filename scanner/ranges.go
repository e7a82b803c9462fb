package scanner

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/netip"
	"slices"
	"strings"

	"go4.org/netipx"

	"dormant/registry"
)

// List is a file with targets or exclusions: any number in a line, separated by
// spaces or commas; # begins a comment.
type List struct {
	Name   string // for messages
	Reader io.Reader
}

// RangeSpec is what the user asked for, as written.
type RangeSpec struct {
	Targets, Exclude          []string
	TargetLists, ExcludeLists []List
	// Lookup resolves a host name, nil to refuse names. net.Resolver's
	// LookupNetIP with network "ip" is one.
	Lookup func(ctx context.Context, name string) ([]netip.Addr, error)
}

// Ranges is the set of addresses to ask: targets minus exclusions. It is not
// changed after ParseRanges.
type Ranges struct {
	set      *netipx.IPSet
	zoned    []netip.Addr // sorted
	names    map[netip.Addr][]string
	notes    []string
	excluded uint64
	taken    []netip.Prefix // what was excluded of the targets
}

// ParseRanges reads all targets and exclusions, resolves names, and takes the
// exclusions away, address by address. The first fault is returned with its
// list, line and value. A CIDR with host bits means its whole network; Notes
// says so. An exclusion that cannot be understood or resolved is a fault too:
// what was meant to be spared must not be asked.
func ParseRanges(ctx context.Context, spec RangeSpec) (*Ranges, error) {
	p := rangeParser{lookup: spec.Lookup, names: map[netip.Addr][]string{}, kind: "target"}
	if err := p.read(ctx, spec.Targets, spec.TargetLists); err != nil {
		return nil, err
	}
	targets := p.taken
	if targets.count == 0 {
		return nil, errors.New("scanner: no target: " + wantForm)
	}
	p.kind, p.taken = "exclusion", gathered{}
	if err := p.read(ctx, spec.Exclude, spec.ExcludeLists); err != nil {
		return nil, err
	}
	return p.subtract(targets, p.taken)
}

// Prefixes returns the disjoint prefixes, sorted, without the addresses of
// Zoned. The caller owns the slice.
func (r *Ranges) Prefixes() []netip.Prefix { return r.set.Prefixes() }

// Zoned returns the link-local addresses with a zone, sorted. The caller owns
// the slice.
func (r *Ranges) Zoned() []netip.Addr { return slices.Clone(r.zoned) }

// Names returns the host names that were given for each address. It is shared
// and must not be changed.
func (r *Ranges) Names() map[netip.Addr][]string { return r.names }

// Notes returns one sentence for each target that was read otherwise than it
// was written.
func (r *Ranges) Notes() []string { return slices.Clone(r.notes) }

// Count returns the number of addresses, at most math.MaxUint64.
func (r *Ranges) Count() uint64 { return count(r.set, r.zoned) }

// Excluded returns how many addresses the exclusions took away.
func (r *Ranges) Excluded() uint64 { return r.excluded }

// ExcludedPrefixes returns what the exclusions took away from the targets,
// sorted and disjoint, link-local addresses with a zone left out. The caller
// owns the slice.
func (r *Ranges) ExcludedPrefixes() []netip.Prefix { return slices.Clone(r.taken) }

// IPv4Count returns the number of IPv4 addresses.
func (r *Ranges) IPv4Count() uint64 {
	n := uint64(0)
	for _, p := range r.set.Prefixes() {
		if p.Addr().Is4() {
			n += size(p)
		}
	}
	return n
}

// Public returns the first prefix that is not set aside for private use, and
// false when there is none.
func (r *Ranges) Public() (netip.Prefix, bool) {
	var b netipx.IPSetBuilder
	b.AddSet(r.set)
	for _, p := range private() {
		b.RemovePrefix(p)
	}
	set, err := b.IPSet()
	if err != nil || len(set.Prefixes()) == 0 {
		return netip.Prefix{}, false // err: only an invalid prefix, and there is none
	}
	return set.Prefixes()[0], true
}

// Plan returns the plan of all addresses with all ports.
func (r *Ranges) Plan(ports []registry.Port, seed uint64) (*Plan, error) {
	var spans []span
	for _, p := range r.set.Prefixes() {
		spans = append(spans, span{prefix: p, first: p.Addr(), count: size(p)})
	}
	for _, addr := range r.zoned {
		spans = append(spans, span{prefix: netip.PrefixFrom(addr.WithZone(""), 128), first: addr, count: 1})
	}
	return newPlan(spans, ports, seed)
}

// Guard returns a guard that holds exactly these addresses.
func (r *Ranges) Guard() (*Guard, error) {
	all := r.set.Prefixes()
	for _, addr := range r.zoned {
		if p := netip.PrefixFrom(addr.WithZone(""), 128); !slices.Contains(all, p) {
			all = append(all, p)
		}
	}
	return NewGuard(all)
}

// gathered is what one side, targets or exclusions, adds up to.
type gathered struct {
	set   netipx.IPSetBuilder
	zoned []netip.Addr
	count int // of forms
}

// rangeParser reads one side after the other.
type rangeParser struct {
	lookup func(ctx context.Context, name string) ([]netip.Addr, error)
	kind   string // "target" or "exclusion"
	taken  gathered
	names  map[netip.Addr][]string
	notes  []string
}

func (p *rangeParser) read(ctx context.Context, words []string, lists []List) error {
	for _, word := range words {
		for part := range strings.SplitSeq(word, ",") {
			if err := p.take(ctx, "", strings.TrimSpace(part)); err != nil {
				return err
			}
		}
	}
	for _, list := range lists {
		before := p.taken.count
		if err := p.readList(ctx, list); err != nil {
			return err
		}
		if p.kind == "target" && p.taken.count == before {
			return fmt.Errorf("scanner: %s: no target in it: want at least one", list.Name)
		}
	}
	return nil
}

func (p *rangeParser) readList(ctx context.Context, list List) error {
	lines := bufio.NewScanner(list.Reader)
	lines.Buffer(nil, maxLine+2) // and its end
	n := 0
	for lines.Scan() {
		if n++; len(lines.Bytes()) > maxLine {
			return p.tooLong(list, n)
		}
		for i, line := range strings.Split(lines.Text(), "\r") { // some editors end lines with it alone: a comment ends there, too
			if i > 0 {
				n++
			}
			text, _, _ := strings.Cut(strings.TrimPrefix(line, "\ufeff"), "#")
			for word := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' }) {
				if err := p.take(ctx, fmt.Sprintf("%s:%d: ", list.Name, n), word); err != nil {
					return err
				}
			}
		}
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return p.tooLong(list, n+1)
	case err != nil:
		return fmt.Errorf("scanner: %s:%d: read %ss: %w", list.Name, n+1, p.kind, err)
	}
	return nil
}

// maxLine is how long a line of a list may be, in bytes.
const maxLine = 64 << 10

func (p *rangeParser) tooLong(list List, line int) error {
	return fmt.Errorf("scanner: %s:%d: a line with %ss is too long: want at most %d bytes", list.Name, line, p.kind, maxLine)
}

// take adds one form; where says where it stands.
func (p *rangeParser) take(ctx context.Context, where, text string) error {
	fault := func(err error) error { return fmt.Errorf("scanner: %s%s %q %w", where, p.kind, text, err) }
	f, err := parseForm(text)
	if err != nil {
		return fault(err)
	}
	p.taken.count++
	if f.note != "" {
		p.notes = append(p.notes, where+f.note)
	}
	if f.name == "" {
		if err := p.add(f); err != nil {
			return fault(err)
		}
		return nil
	}
	addrs, err := p.resolve(ctx, f.name)
	if err != nil {
		return fault(err)
	}
	for _, addr := range addrs {
		f, err := single(addr)
		if err == nil {
			err = p.add(f)
		}
		if err != nil {
			return fault(fmt.Errorf("resolves to %v, which %w", addr, err))
		}
		if addr = addr.Unmap(); p.kind == "target" && !slices.Contains(p.names[addr], text) {
			p.names[addr] = append(p.names[addr], text)
		}
	}
	return nil
}

func (p *rangeParser) add(f form) error {
	if f.zoned.IsValid() {
		p.taken.zoned = append(p.taken.zoned, f.zoned)
		return nil
	}
	linkLocal := netipx.RangeOfPrefix(netip.MustParsePrefix("fe80::/10"))
	for _, r := range f.ranges {
		switch {
		case p.kind != "target" || !r.Overlaps(linkLocal):
		case linkLocal.Contains(r.From()) && linkLocal.Contains(r.To()):
			return errors.New("is link-local: want a zone, one address at a time, as in fe80::1%eth0")
		default:
			return errors.New("contains fe80::/10, whose addresses are link-local and need a zone: want ranges without it")
		}
		p.taken.set.AddRange(r)
	}
	return nil
}

func (p *rangeParser) resolve(ctx context.Context, name string) ([]netip.Addr, error) {
	if p.lookup == nil {
		return nil, errors.New("is a host name, and names are not looked up here: want an address")
	}
	addrs, err := p.lookup(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("does not resolve: %w", err)
	}
	if len(addrs) == 0 {
		return nil, errors.New("does not resolve: the name has no address")
	}
	return addrs, nil
}

// subtract takes the exclusions away and checks what is left.
func (p *rangeParser) subtract(targets, exclusions gathered) (*Ranges, error) {
	all, err := targets.set.IPSet()
	if err != nil {
		return nil, fmt.Errorf("scanner: targets: %w", err)
	}
	out, err := exclusions.set.IPSet()
	if err != nil {
		return nil, fmt.Errorf("scanner: exclusions: %w", err)
	}
	targets.set.RemoveSet(out)
	set, err := targets.set.IPSet()
	if err != nil {
		return nil, fmt.Errorf("scanner: targets minus exclusions: %w", err)
	}
	r := &Ranges{set: set, names: p.names, notes: p.notes}
	if r.taken, err = overlap(all, out); err != nil {
		return nil, fmt.Errorf("scanner: excluded targets: %w", err)
	}
	slices.SortFunc(targets.zoned, netip.Addr.Compare)
	zoned := slices.Compact(targets.zoned)
	for _, addr := range zoned {
		if !out.Contains(addr.WithZone("")) && !slices.Contains(exclusions.zoned, addr) {
			r.zoned = append(r.zoned, addr)
		}
	}
	r.excluded = count(all, zoned) - r.Count()
	for addr := range r.names {
		if !set.Contains(addr) && !slices.Contains(r.zoned, addr) {
			delete(r.names, addr)
		}
	}
	switch {
	case r.Count() > 0:
	case r.excluded == 1:
		return nil, errors.New("scanner: the only address is excluded: nothing is left to ask")
	default:
		return nil, fmt.Errorf("scanner: all %d addresses are excluded: nothing is left to ask", r.excluded)
	}
	for _, p := range notUnicast() {
		if set.OverlapsPrefix(p) {
			return nil, fmt.Errorf("scanner: targets reach into %v, which are no addresses of hosts: want unicast addresses, or exclude it", p)
		}
	}
	return r, nil
}

// overlap returns what is in both sets, as sorted disjoint prefixes.
func overlap(a, b *netipx.IPSet) ([]netip.Prefix, error) {
	var both netipx.IPSetBuilder
	both.AddSet(a)
	both.Intersect(b)
	set, err := both.IPSet()
	if err != nil {
		return nil, err
	}
	return set.Prefixes(), nil
}

// count returns the number of addresses, at most math.MaxUint64.
func count(set *netipx.IPSet, zoned []netip.Addr) uint64 {
	n := uint64(len(zoned))
	for _, p := range set.Prefixes() {
		if p.Addr().BitLen()-p.Bits() >= 64 || n+size(p) < n {
			return math.MaxUint64
		}
		n += size(p)
	}
	return n
}

// private returns the blocks that are no part of the public Internet: RFC 1918,
// 6598, 1122, 3927, 2544, 4193 and 4291.
func private() []netip.Prefix {
	return parsed("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16",
		"198.18.0.0/15", "fc00::/7", "fe80::/10", "::1/128")
}

// notUnicast returns the blocks that hold no host: "this network", multicast,
// reserved with broadcast, and the same in IPv6.
func notUnicast() []netip.Prefix {
	return parsed("0.0.0.0/8", "224.0.0.0/4", "240.0.0.0/4", "::/128", "ff00::/8")
}

func parsed(texts ...string) []netip.Prefix {
	all := make([]netip.Prefix, len(texts))
	for i, text := range texts {
		all[i] = netip.MustParsePrefix(text)
	}
	return all
}
