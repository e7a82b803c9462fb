package firewall

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// ipset is one set of ipset save.
type ipset struct {
	line    int
	kind    string   // hash, bitmap, list
	parts   []string // ip, net, port, …
	members []ipsetMember
	netmask int // -1: none
	unclear string
	built   map[string]ipsetBoxes // by the sides that rules name
}

type ipsetBoxes struct {
	boxes []Box
	why   string
}

type ipsetMember struct {
	words   []string // one for each part
	nomatch bool
}

// maxMembers bounds the members that a set may have.
const maxMembers = 1 << 20

// ipsets are sets by their names.
type ipsets map[string]*ipset

// read adds what ipset save wrote.
func (all ipsets) read(name string, text []byte) error {
	n := 0
	for line := range bytes.Lines(text) {
		n++
		word := strings.TrimSpace(string(line))
		if word == "" || word[0] == '#' {
			continue
		}
		if err := all.line(name, n, word); err != nil {
			return err
		}
	}
	return nil
}

// line adds one create or add line.
func (all ipsets) line(name string, n int, line string) error {
	fault := func(format string, args ...any) error {
		return fmt.Errorf("firewall: %s:%d: %s", name, n, fmt.Sprintf(format, args...))
	}
	words, err := shellWords(line)
	if err != nil {
		return fault("%v", err)
	}
	if len(words) < 3 || words[0] != "create" && words[0] != "add" {
		return fault("%q: want create NAME TYPE … or add NAME MEMBER …", shown(line))
	}
	set, why := all[words[1]], ""
	switch {
	case words[0] == "add" && set == nil:
		return fault("set %q is not there: want create before add", shown(words[1]))
	case words[0] == "add":
		why = set.add(words[2], words[3:])
	case set != nil:
		return fault("set %q is there twice", shown(words[1]))
	default:
		all[words[1]], why = newIPSet(n, words[2], words[3:])
	}
	if why != "" {
		return fault("set %q: %s", shown(words[1]), why)
	}
	return nil
}

// newIPSet reads the type and the options of a set.
func newIPSet(line int, kind string, options []string) (set *ipset, why string) {
	method, parts, ok := strings.Cut(kind, ":")
	set = &ipset{line: line, kind: method, parts: strings.Split(parts, ","), netmask: -1}
	if !ok || !slices.Contains([]string{"hash", "bitmap", "list"}, method) {
		return nil, fmt.Sprintf("type %q: want hash:…, bitmap:… or list:set", shown(kind))
	}
	for i := 0; i+1 < len(options); i++ {
		switch options[i] {
		case "netmask":
			bits, err := strconv.Atoi(options[i+1])
			if err != nil || bits < 1 || bits > 128 {
				return nil, fmt.Sprintf("netmask %q: want 1 to 128", shown(options[i+1]))
			}
			set.netmask = bits
		case "bitmask":
			set.unclear = "its bitmask"
		case "timeout":
			set.unclear = "its members expire"
		}
	}
	for _, part := range set.parts {
		if !slices.Contains([]string{"ip", "net", "port", "set"}, part) {
			set.unclear = "type " + shown(kind)
		}
	}
	return set, ""
}

// add reads one member.
func (s *ipset) add(text string, options []string) (why string) {
	words := strings.Split(text, ",")
	if len(words) != len(s.parts) && s.unclear == "" {
		return fmt.Sprintf("member %q: want %d parts with commas between", shown(text), len(s.parts))
	}
	if len(s.members) == maxMembers {
		return fmt.Sprintf("more than %d members", maxMembers)
	}
	s.members = append(s.members, ipsetMember{words, slices.Contains(options, "nomatch")})
	if slices.Contains(options, "timeout") && s.unclear == "" {
		s.unclear = "its members expire"
	}
	if s.unclear != "" {
		return ""
	}
	for i, word := range words {
		ok := true
		switch s.parts[i] {
		case "ip", "net":
			_, ok = s.addrs(word)
		case "port":
			_, _, ok = ipsetPorts(word)
		}
		if !ok {
			return fmt.Sprintf("member %q: %q is no %s", shown(text), shown(word), s.parts[i])
		}
	}
	return ""
}

// addrs reads an address, network or range, widened to the netmask.
func (s *ipset) addrs(word string) (Addrs, bool) {
	set, ok := parseAddrWord(word)
	if !ok || word == "any" || s.netmask < 0 {
		return set, ok && word != "any"
	}
	var prefixes []netip.Prefix
	for _, p := range Prefixes(set) {
		wide, err := p.Addr().Prefix(min(s.netmask, p.Bits()))
		if err != nil {
			return Addrs{}, false
		}
		prefixes = append(prefixes, wide)
	}
	return prefixSet(prefixes...), true
}

// ipsetPorts reads "80", "tcp:80", "udp:1-9"; other protocols concern nothing
// that is probed.
func ipsetPorts(word string) (Protos, Ports, bool) {
	proto, list, ok := strings.Cut(word, ":")
	if !ok {
		proto, list = "tcp", word
	}
	bits, known := protocol(proto)
	if !known {
		return 0, Ports{}, false
	}
	if bits == 0 {
		return 0, AnyPort(), true
	}
	ports, ok := parsePorts(list, "-")
	return bits, ports, ok && list != "any"
}

// boxes returns the packets that are in the set by the given sides, or why that
// cannot be said.
func (s *ipset) boxes(sides []string, sets ipsets) ([]Box, string) {
	key := strings.Join(sides, ",")
	built, ok := s.built[key]
	if !ok {
		built.boxes, built.why = s.build(sides, sets)
		if s.built == nil {
			s.built = map[string]ipsetBoxes{}
		}
		s.built[key] = built
	}
	return built.boxes, built.why
}

func (s *ipset) build(sides []string, sets ipsets) (out []Box, why string) {
	switch {
	case s.unclear != "":
		return nil, s.unclear
	case s.kind == "list":
		return s.listed(sides, sets)
	case len(sides) < len(s.parts):
		return nil, fmt.Sprintf("it has %d parts and the rule names %d sides", len(s.parts), len(sides))
	case len(s.parts) == 1 && s.parts[0] != "port":
		return []Box{addrBox(sides[0] == "src", s.nested())}, ""
	case slices.ContainsFunc(s.members, func(m ipsetMember) bool { return m.nomatch }):
		return nil, "exceptions in a set with several parts"
	}
	for _, m := range s.members {
		box := Everything()
		for i, word := range m.words {
			part := Everything()
			if s.parts[i] == "port" {
				part.Protos, part.DstPorts, _ = ipsetPorts(word)
				if sides[i] == "src" {
					part.SrcPorts, part.DstPorts = part.DstPorts, AnyPort()
				}
				if s.kind == "bitmap" { // bitmap:port is of no transport
					part.Protos = BothProto
				}
			} else {
				addrs, _ := s.addrs(word)
				part = addrBox(sides[i] == "src", addrs)
			}
			box = box.Intersect(part)
		}
		if !box.Empty() {
			out = append(out, box)
		}
	}
	return out, ""
}

// nested is the addresses of a set of networks in which the narrowest network
// that holds an address decides.
func (s *ipset) nested() Addrs {
	type entry struct {
		prefix  netip.Prefix
		nomatch bool
	}
	var all []entry
	exceptions := false
	var plain []Span[netip.Addr]
	for _, m := range s.members {
		addrs, _ := s.addrs(m.words[0])
		exceptions = exceptions || m.nomatch
		plain = append(plain, addrs.spans...)
		for _, p := range Prefixes(addrs) {
			all = append(all, entry{p, m.nomatch})
		}
	}
	if !exceptions {
		return NewSet(plain...)
	}
	slices.SortStableFunc(all, func(a, b entry) int { return a.prefix.Bits() - b.prefix.Bits() })
	var out Addrs
	for _, e := range all {
		if e.nomatch {
			out = out.Subtract(prefixSet(e.prefix))
		} else {
			out = out.Union(prefixSet(e.prefix))
		}
	}
	return out
}

// listed is the union of the sets that a list names, of those that have as many
// parts as the rule names sides.
func (s *ipset) listed(sides []string, sets ipsets) (out []Box, why string) {
	for _, m := range s.members {
		member := sets[m.words[0]]
		if member == nil || member.kind == "list" {
			return nil, "its member " + shown(m.words[0]) + " is not at hand"
		}
		if len(member.parts) > len(sides) {
			continue
		}
		boxes, why := member.boxes(sides, sets)
		if why != "" {
			return nil, why
		}
		out = append(out, boxes...)
	}
	return out, ""
}
