package firewall

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// ciscoGroup is an object or an object group.
type ciscoGroup struct {
	name, kind string // kind: network, service, protocol, or another that is not read
	line       int
	proto      Protos // of a service group for one transport
	members    []ciscoMember
	state      int // of resolving: 0 not yet, 1 under way, 2 done

	addrs  Addrs // of a network
	boxes  []Box // of a service or protocol
	doubts []string
}

type ciscoMember struct {
	line  int
	words []string
}

// open begins an object or group.
func (c *cisco) open(words []string) error {
	c.in = nil
	if len(words) < 3 {
		return c.errorf(c.n, "%q: want %s TYPE NAME", shown(strings.Join(words, " ")), words[0])
	}
	kind, name := words[1], words[2]
	g := c.groups[name]
	if g == nil {
		g = &ciscoGroup{name: name, kind: kind, line: c.n}
		c.groups[name] = g
	}
	if kind == "service" && words[0] == "object-group" && len(words) > 3 {
		switch words[3] {
		case "tcp":
			g.proto = ProtoTCP
		case "udp":
			g.proto = ProtoUDP
		case "tcp-udp":
			g.proto = BothProto
		default:
			return c.errorf(c.n, "object-group service %s %q: want tcp, udp or tcp-udp", shown(name), shown(words[3]))
		}
	}
	c.in = g
	return nil
}

// takes reports whether a line without indentation can still belong to a group.
func (g *ciscoGroup) takes(word string) bool {
	return slices.Contains([]string{"network-object", "port-object", "service-object", "protocol-object", "group-object", "icmp-object",
		"host", "subnet", "range", "fqdn", "description", "service"}, word)
}

func (c *cisco) member(g *ciscoGroup, words []string) error {
	if words[0] != "description" && words[0] != "nat" {
		g.members = append(g.members, ciscoMember{c.n, slices.Clone(words)})
	}
	return nil
}

// resolve works the groups out.
func (c *cisco) resolve() error {
	for _, name := range slices.Sorted(maps.Keys(c.groups)) {
		if err := c.resolveGroup(c.groups[name]); err != nil {
			return err
		}
	}
	return nil
}

func (c *cisco) resolveGroup(g *ciscoGroup) error {
	switch g.state {
	case 1:
		return c.errorf(g.line, "group %q contains itself", shown(g.name))
	case 2:
		return nil
	}
	g.state = 1
	if addrs, ok := c.given(AssumeGroup, g.name, "are in the group "+shown(g.name)); ok {
		g.addrs, g.members = addrs, nil
	}
	for _, m := range g.members {
		var err error
		switch g.kind {
		case "network":
			err = c.networkMember(g, m)
		case "service":
			err = c.serviceMember(g, m)
		case "protocol":
			err = c.protocolMember(g, m)
		default: // ICMP types, users, security tags: no address and no port
		}
		if err != nil {
			return err
		}
	}
	g.state = 2
	return nil
}

// include adds what another group or object holds.
func (c *cisco) include(g *ciscoGroup, m ciscoMember, name string) error {
	other := c.groups[name]
	if other == nil {
		return c.errorf(m.line, "group %q is not in the file", shown(name))
	}
	if err := c.resolveGroup(other); err != nil {
		return err
	}
	if other.kind != g.kind {
		return c.errorf(m.line, "group %q is of type %s: want %s", shown(name), shown(other.kind), g.kind)
	}
	g.addrs, g.boxes = g.addrs.Union(other.addrs), append(g.boxes, other.boxes...)
	g.doubts = append(g.doubts, other.doubts...)
	return nil
}

func (c *cisco) networkMember(g *ciscoGroup, m ciscoMember) error {
	w := m.words
	if w[0] == "network-object" || w[0] == "subnet" {
		w = w[1:]
	}
	var addrs Addrs
	ok := false
	switch {
	case len(w) == 2 && (w[0] == "group-object" || w[0] == "object"):
		return c.include(g, m, w[1])
	case len(w) >= 1 && w[0] == "fqdn":
		g.doubts = append(g.doubts, "the addresses of the name "+shown(w[len(w)-1]))
		return nil
	case len(w) == 2 && w[0] == "host":
		addrs, ok = parseHost(c.named(w[1]))
	case len(w) == 3 && w[0] == "range":
		addrs, ok = parseAddrWord(c.named(w[1]) + "-" + c.named(w[2]))
	case len(w) == 2 && w[1][0] == '/': // IOS
		addrs, ok = parseAddrWord(w[0] + w[1])
	case len(w) == 2:
		var fits bool
		if addrs, ok, fits = parseMasked(c.named(w[0]), w[1], false); !fits {
			g.doubts = append(g.doubts, tooMany)
		}
	case len(w) == 1:
		addrs, ok = parseAddrWord(w[0])
	}
	if !ok {
		return c.errorf(m.line, "%q: want host A, A MASK, range A B, an object or a group", shown(strings.Join(m.words, " ")))
	}
	g.addrs = g.addrs.Union(addrs)
	return nil
}

// named returns the address of a name, and any other word as it is.
func (c *cisco) named(word string) string { return cmp.Or(c.names[word], word) }

// parseHost reads one address.
func parseHost(word string) (Addrs, bool) {
	a, err := netip.ParseAddr(word)
	if err != nil || a.Zone() != "" || a.Is4In6() {
		return Addrs{}, false
	}
	return oneAddr(a), true
}

// parseMasked reads an address and a mask; in a wildcard mask the bits that are
// set are free. fits is false where they stand for too many networks.
func parseMasked(addr, mask string, wildcard bool) (set Addrs, ok, fits bool) {
	a, err1 := netip.ParseAddr(addr)
	m, err2 := netip.ParseAddr(mask)
	if err1 != nil || err2 != nil || !a.Is4() || !m.Is4() {
		return Addrs{}, false, true
	}
	bits := m.As4()
	if wildcard {
		for i := range bits {
			bits[i] = ^bits[i]
		}
	}
	set, fits = masked(a, bits)
	return set, true, fits
}

func (c *cisco) serviceMember(g *ciscoGroup, m ciscoMember) error {
	w := m.words
	if len(w) == 2 && w[0] == "group-object" || len(w) == 3 && w[0] == "service-object" && w[1] == "object" {
		return c.include(g, m, w[len(w)-1])
	}
	if w[0] == "port-object" { // of a group for one transport
		r := aceReader{cisco: c, condition: newCondition(), line: m.line, wordReader: wordReader{w[1:]}}
		ports, ok, err := r.ports()
		if err != nil {
			return err
		}
		if !ok || len(r.words) > 0 || g.proto == 0 {
			return c.errorf(m.line, "%q: want port-object eq PORT or range A B, in a group of tcp, udp or tcp-udp", shown(strings.Join(w, " ")))
		}
		box := portBox(false, ports)
		box.Protos = g.proto
		g.boxes = append(g.boxes, box)
		return nil
	}
	if w[0] == "service-object" || w[0] == "service" {
		w = w[1:]
	}
	if len(w) == 0 {
		return c.errorf(m.line, "want a protocol and ports")
	}
	box := Everything()
	var ok bool
	if box.Protos, ok = ciscoProtos(w[0]); !ok {
		return c.errorf(m.line, "protocol %q: want tcp, udp, tcp-udp, ip or another protocol", shown(w[0]))
	}
	r := aceReader{cisco: c, condition: newCondition(), line: m.line, wordReader: wordReader{w[1:]}}
	if box.Protos == 0 { // ICMP types and the like
		r.words = nil
	}
	for len(r.words) > 0 {
		side := &box.DstPorts
		switch r.words[0] {
		case "source":
			side = &box.SrcPorts
			r.next()
		case "destination":
			r.next()
		}
		if n, ok := portNumber(r.peek()); ok { // IOS takes it without eq
			*side = onePort(n)
			r.next()
			continue
		}
		ports, ok, err := r.ports()
		if err != nil {
			return err
		}
		if !ok {
			return c.errorf(m.line, "%q: want [source|destination] eq, neq, lt, gt or range", shown(strings.Join(m.words, " ")))
		}
		*side = ports
	}
	if box.Protos != 0 {
		g.boxes = append(g.boxes, box)
	}
	return nil
}

func (c *cisco) protocolMember(g *ciscoGroup, m ciscoMember) error {
	if len(m.words) != 2 {
		return c.errorf(m.line, "%q: want protocol-object NAME", shown(strings.Join(m.words, " ")))
	}
	if m.words[0] == "group-object" {
		return c.include(g, m, m.words[1])
	}
	protos, ok := ciscoProtos(m.words[1])
	if !ok {
		return c.errorf(m.line, "protocol %q: want a name or a number", shown(m.words[1]))
	}
	if protos != 0 {
		g.boxes = append(g.boxes, protoBox(protos))
	}
	return nil
}

// ciscoProtos reads a protocol.
func ciscoProtos(word string) (Protos, bool) {
	if word == "tcp-udp" {
		return BothProto, true
	}
	return protocol(word)
}
