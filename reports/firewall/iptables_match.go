package firewall

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// iptablesMatch reads the words of one rule.
type iptablesMatch struct {
	*iptables
	*condition
	wordReader
	line   int
	at     hooks // from where packets come to the chain
	not    bool  // a ! stands before the option
	target string
	leave  bool // -g
	// unknown is the module whose options are not known, "" for none.
	unknown string
}

// read takes options until the target, and passes over the target's own.
func (m *iptablesMatch) read() error {
	for len(m.words) > 0 {
		word := m.next()
		if word == "!" {
			m.not = true
			continue
		}
		if word == "-j" || word == "-g" || word == "--jump" || word == "--goto" {
			m.target, m.leave = m.next(), word == "-g" || word == "--goto"
			return nil // what follows are options of the target
		}
		if err := m.option(word); err != nil {
			return err
		}
		m.not = false
	}
	return nil
}

// value takes the value of an option; an old syntax has the ! before it.
func (m *iptablesMatch) value() string {
	if len(m.words) > 1 && m.peek() == "!" {
		m.not = !m.not
		m.next()
	}
	return m.next()
}

func (m *iptablesMatch) option(word string) error {
	switch word {
	case "-s", "--source", "-d", "--destination":
		return m.address(word, m.value())
	case "-p", "--protocol":
		v := m.value()
		protos, ok := protocol(v)
		if !ok {
			return m.errorf(m.line, "protocol %q: want a name or a number", shown(v))
		}
		m.only(m.not, protoBox(protos))
	case "-i", "--in-interface", "-o", "--out-interface":
		m.interfaceName(word, m.value())
	case "-f", "--fragment":
		if !m.not { // what is probed is never fragmented
			m.never()
		}
	case "-m", "--match":
		m.module(m.next())
	case "--sport", "--source-port", "--dport", "--destination-port":
		return m.ports(word, m.value())
	case "--sports", "--source-ports", "--dports", "--destination-ports", "--ports":
		return m.ports(word, m.value())
	case "--syn":
		m.tcpFlags(m.not, flagSYN|flagRST|flagACK|flagFIN, flagSYN)
	case "--tcp-flags":
		return m.flags(m.value(), m.next())
	case "--state", "--ctstate":
		return m.states(m.value())
	case "--ctdir":
		m.direction(m.value())
	case "--src-range", "--dst-range":
		return m.address(word, m.value())
	case "--match-set":
		return m.matchSet(m.value(), m.next())
	case "--comment":
		m.next()
	case "--dst-type", "--src-type":
		m.addressTypes(m.value(), word == "--src-type")
	case "--pkt-type":
		addrs, why := m.packetType(m.value())
		if why != "" {
			m.doubt(why)
			return nil
		}
		m.only(m.not, dstBox(addrs))
	case "--invert": // of rpfilter
		m.never()
	case "--loose", "--validmark", "--accept-local":
	default:
		m.other(word)
	}
	return nil
}

// module notes which module's options follow.
func (m *iptablesMatch) module(name string) {
	m.unknown = ""
	if !slices.Contains([]string{"tcp", "udp", "multiport", "state", "conntrack", "iprange", "set", "comment", "addrtype", "icmp", "icmp6", "rpfilter", "pkttype"}, name) {
		m.unknown = name
		m.doubt("match " + shown(name))
	}
	if name == "rpfilter" {
		m.reversePath()
	}
}

// other passes over an option that is not known and its values.
func (m *iptablesMatch) other(word string) {
	var values []string
	for len(m.words) > 0 && !strings.HasPrefix(m.words[0], "-") && m.words[0] != "!" {
		values = append(values, m.next())
	}
	if word == "--icmp-type" || word == "--icmpv6-type" { // the protocol says it all
		return
	}
	text := strings.Join(append([]string{word}, values...), " ")
	if m.unknown != "" && len(m.doubts) > 0 {
		m.doubts[len(m.doubts)-1] += " " + shown(text)
		return
	}
	m.doubt("match " + shown(text))
}

// address reads -s, -d and the ranges of iprange.
func (m *iptablesMatch) address(option, v string) error {
	var addrs Addrs
	for word := range strings.SplitSeq(v, ",") {
		one, ok := parseAddrWord(word)
		if p, err := netip.ParsePrefix(word); err == nil { // mapped ones of IPv6, too
			one, ok = prefixSet(p), true
		}
		if addr, mask, cut := strings.Cut(word, "/"); !ok && cut {
			a, err1 := netip.ParseAddr(addr)
			b, err2 := netip.ParseAddr(mask)
			switch {
			case err1 != nil || err2 != nil || a.BitLen() != b.BitLen():
			case a.Is6(): // ip6tables prints a mask that is no prefix so
				m.doubt("match " + option + " " + shown(v))
				return nil
			default:
				if one, ok = masked(a, b.As4()); !ok {
					m.doubt(tooMany)
					return nil
				}
			}
		}
		if !ok || word == "any" {
			return m.errorf(m.line, "%s %q: want an address, ADDRESS/LENGTH or ADDRESS/MASK, or FIRST-LAST", option, shown(v))
		}
		addrs = addrs.Union(one)
	}
	m.only(m.not, addrBox(option == "-s" || option == "--source" || option == "--src-range", addrs))
	return nil
}

// interfaceName reads -i and -o.
func (m *iptablesMatch) interfaceName(option, name string) {
	if name == "+" { // every interface
		if m.not {
			m.never()
		}
		return
	}
	box, why := m.face(name, option == "-i" || option == "--in-interface", m.at)
	if why != "" {
		m.doubt(why)
		return
	}
	m.only(m.not, box)
}

// ports reads the port options of tcp, udp and multiport.
func (m *iptablesMatch) ports(option, v string) error {
	var ports Ports
	for word := range strings.SplitSeq(v, ",") {
		if strings.HasPrefix(word, ":") {
			word = "0" + word
		}
		if strings.HasSuffix(word, ":") {
			word += "65535"
		}
		one, ok := parsePorts(word, ":")
		if !ok || word == "any" {
			return m.errorf(m.line, "%s %q: want port numbers, or FIRST:LAST", option, shown(v))
		}
		ports = ports.Union(one)
	}
	boxes := []Box{portBox(strings.HasPrefix(option, "--s"), ports)}
	if option == "--ports" { // of either side
		boxes = append(boxes, portBox(true, ports))
	}
	m.only(m.not, boxes...)
	return nil
}

// flags reads --tcp-flags.
func (m *iptablesMatch) flags(mask, want string) error {
	bits := func(list string) (out uint8, ok bool) {
		for word := range strings.SplitSeq(strings.ToLower(list), ",") {
			switch bit, known := flagNames()[word]; {
			case word == "all":
				out |= flagFIN | flagSYN | flagRST | flagPSH | flagACK | flagURG
			case word == "none":
			case !known:
				return 0, false
			default:
				out |= bit
			}
		}
		return out, true
	}
	a, ok1 := bits(mask)
	b, ok2 := bits(want)
	if !ok1 || !ok2 {
		return m.errorf(m.line, "--tcp-flags %s %s: want two lists of FIN, SYN, RST, PSH, ACK, URG, ALL or NONE", shown(mask), shown(want))
	}
	m.tcpFlags(m.not, a, b)
	return nil
}

// states reads the states of conntrack.
func (m *iptablesMatch) states(list string) error {
	phases, ok := statePhases(strings.ToLower(list))
	if !ok {
		return m.errorf(m.line, "state %q: want NEW, ESTABLISHED, RELATED, INVALID, UNTRACKED, SNAT or DNAT", shown(list))
	}
	// What is translated on its way in is unknown from there on; nothing else is
	// in the state DNAT.
	if strings.Contains(list, "SNAT") || strings.Contains(list, "DNAT") && m.chains["nat/PREROUTING"] == nil {
		m.doubt("state " + shown(list) + " depends on address translation")
		return nil
	}
	m.inState(m.not, phases)
	return nil
}

// statePhases says at which moments a flow without faults has one of the states.
func statePhases(list string) (phases Phases, ok bool) {
	for word := range strings.SplitSeq(list, ",") {
		switch word {
		case "new":
			phases |= First
		case "established":
			phases |= Reply | Later
		case "related", "invalid", "untracked", "snat", "dnat":
		default:
			return 0, false
		}
	}
	return phases, true
}

func (m *iptablesMatch) direction(v string) {
	switch strings.ToUpper(v) {
	case "ORIGINAL":
		m.inState(m.not, First|Later)
	case "REPLY":
		m.inState(m.not, Reply)
	default:
		m.doubt("match --ctdir " + shown(v))
	}
}

// addressTypes reads --dst-type and --src-type.
func (m *iptablesMatch) addressTypes(list string, src bool) {
	var addrs Addrs
	for name := range strings.SplitSeq(list, ",") {
		one, why := m.addressType(name, src, m.at)
		if why != "" {
			m.doubt(why)
			return
		}
		addrs = addrs.Union(one)
	}
	m.only(m.not, addrBox(src, addrs))
}

// matchSet reads -m set --match-set NAME src,dst.
func (m *iptablesMatch) matchSet(name, sides string) error {
	dims := strings.Split(sides, ",")
	for _, side := range dims {
		if side != "src" && side != "dst" {
			return m.errorf(m.line, "--match-set %s %q: want src or dst, as often as the set has parts", shown(name), shown(sides))
		}
	}
	if len(dims) == 1 {
		if addrs, ok := m.given(AssumeGroup, name, "are in the set "+shown(name)); ok {
			m.only(m.not, addrBox(dims[0] == "src", addrs))
			return nil
		}
	}
	set := m.sets[name]
	if set == nil {
		m.doubt("set " + shown(name) + " is not at hand: give the output of ipset save with --ipset")
		return nil
	}
	boxes, why := set.boxes(dims, m.sets)
	if why != "" {
		m.doubt("set " + shown(name) + " of line " + strconv.Itoa(set.line) + ": " + why)
		return nil
	}
	if m.not && len(boxes) > maxNegated {
		m.doubt("the opposite of set " + shown(name) + " with " + strconv.Itoa(len(boxes)) + " members of several parts")
		return nil
	}
	m.only(m.not, boxes...)
	return nil
}

// maxNegated bounds the boxes of which the opposite is worked out.
const maxNegated = 512
