package firewall

import (
	"slices"
	"strconv"
	"strings"
)

// aceReader reads the words of one entry of an access list.
type aceReader struct {
	*cisco
	*condition
	wordReader
	asa  bool
	line int
}

// read reads "permit tcp SRC [PORTS] DST [PORTS] [OPTIONS]" into the rule.
func (r *aceReader) read(rule *Rule) error {
	whole := strings.Join(r.words, " ")
	if r.peek() == "dynamic" { // lock-and-key: holds while a user is logged in
		r.next()
		r.doubt("the dynamic entry " + shown(r.next()))
		if r.peek() == "timeout" {
			r.next()
			r.next()
		}
	}
	switch action := r.next(); action {
	case "permit":
		rule.Action = Accept
	case "deny":
		rule.Action = Drop
	case "evaluate":
		rule.Action = Accept
		r.doubt("the reflexive list " + shown(r.next()))
		rule.Boxes, rule.Phases, rule.Doubts = r.boxes, r.phases, r.doubts
		return nil
	default:
		return r.errorf(r.line, "%q: want permit or deny", shown(whole))
	}
	if err := r.protocol(); err != nil {
		return err
	}
	src, err := r.side(true)
	if err != nil {
		return err
	}
	if err := r.portSide(true); err != nil {
		return err
	}
	dst, err := r.side(false)
	if err != nil {
		return err
	}
	if !src || !dst {
		return r.errorf(r.line, "%q: want any, host A, A MASK, object or object-group, for source and destination", shown(whole))
	}
	if err := r.portSide(false); err != nil {
		return err
	}
	if err := r.options(); err != nil {
		return err
	}
	rule.Boxes, rule.Phases, rule.Doubts = r.boxes, r.phases, r.doubts
	return nil
}

// protocol reads the protocol, or a group of protocols or services.
func (r *aceReader) protocol() error {
	w := r.next()
	if w == "object" || w == "object-group" {
		name := r.next()
		g := r.groups[name]
		if g == nil || g.kind != "service" && g.kind != "protocol" {
			return r.errorf(r.line, "%s %q: want a service or protocol group of this file", w, shown(name))
		}
		r.only(false, g.boxes...)
		return nil
	}
	protos, ok := ciscoProtos(w)
	if !ok {
		return r.errorf(r.line, "protocol %q: want tcp, udp, ip, another protocol or an object group", shown(w))
	}
	r.only(false, protoBox(protos))
	return nil
}

// side reads one address side. It reports false when there is none.
func (r *aceReader) side(src bool) (ok bool, err error) {
	for slices.Contains([]string{"user", "user-group", "object-group-user", "security-group", "object-group-security"}, r.peek()) {
		w := r.next()
		if w == "security-group" {
			w += " " + r.next()
		}
		r.doubt(shown(w + " " + r.next()))
	}
	w := r.next()
	var addrs Addrs
	switch w {
	case "any":
		addrs = AnyAddr()
	case "any4":
		addrs = AnyIPv4()
	case "any6":
		addrs = AnyIPv6()
	case "host":
		if addrs, ok = parseHost(r.named(r.peek())); !ok {
			return false, r.errorf(r.line, "host %q: want an address", shown(r.peek()))
		}
		r.next()
	case "interface":
		name := r.next()
		if addrs, ok = r.behind(name); !ok {
			r.doubt("the address of interface " + shown(name))
			return true, nil
		}
	case "object", "object-group", "addrgroup":
		name := r.next()
		g := r.groups[name]
		if g == nil || g.kind != "network" {
			return false, r.errorf(r.line, "%s %q: want a network group of this file", w, shown(name))
		}
		if len(g.doubts) > 0 {
			r.doubts = append(r.doubts, g.doubts...)
			return true, nil
		}
		addrs = g.addrs
	default:
		if addrs, ok = parseAddrWord(w); ok && strings.Contains(w, "/") {
			break
		}
		var fits bool
		if addrs, ok, fits = parseMasked(r.named(w), r.peek(), !r.asa); !ok {
			return false, nil
		}
		r.next()
		if !fits {
			r.doubt(tooMany)
			return true, nil
		}
	}
	r.only(false, addrBox(src, addrs))
	return true, nil
}

// portSide reads the ports of one side, or a group of services there.
func (r *aceReader) portSide(src bool) error {
	if r.peek() == "object-group" && len(r.words) > 1 {
		g := r.groups[r.words[1]]
		if g == nil || g.kind != "service" {
			return nil // the destination, or a fault that side will name
		}
		r.next()
		r.next()
		boxes := slices.Clone(g.boxes)
		for i := range boxes {
			if b := &boxes[i]; src {
				b.SrcPorts, b.DstPorts = b.DstPorts, AnyPort()
			}
		}
		r.only(false, boxes...)
		return nil
	}
	ports, ok, err := r.ports()
	if ok {
		r.only(false, portBox(src, ports))
	}
	return err
}

// ports reads "eq 80", "eq 80 443", "range 1 9", "gt 1023", "lt …", "neq …".
func (r *aceReader) ports() (out Ports, ok bool, err error) {
	op := r.peek()
	if !slices.Contains([]string{"eq", "neq", "gt", "lt", "range"}, op) {
		return Ports{}, false, nil
	}
	r.next()
	port := func() (Port, error) {
		n, ok := portNumber(r.peek())
		if !ok {
			return 0, r.errorf(r.line, "%s %q: want a port number or a name that Cisco knows", op, shown(r.peek()))
		}
		r.next()
		return Port(n), nil
	}
	a, err := port()
	if err != nil {
		return Ports{}, false, err
	}
	switch op {
	case "range":
		b, err := port()
		if err != nil {
			return Ports{}, false, err
		}
		return NewSet(Span[Port]{min(a, b), max(a, b)}), true, nil
	case "gt":
		return NewSet(Span[Port]{a + 1, 65535}), true, nil
	case "lt":
		return NewSet(Span[Port]{0, a - 1}), true, nil
	}
	out = NewSet(Span[Port]{a, a})
	for { // IOS takes several
		n, more := portNumber(r.peek())
		if !more {
			break
		}
		r.next()
		out = out.Union(onePort(n))
	}
	if op == "neq" {
		out = AnyPort().Subtract(out)
	}
	return out, true, nil
}

// options reads what follows the addresses.
func (r *aceReader) options() error {
	for len(r.words) > 0 {
		switch w := r.next(); w {
		case "log", "log-input":
			for len(r.words) > 0 && isLogWord(r.peek()) {
				r.next()
			}
		case "established":
			r.only(false, protoBox(ProtoTCP))
			r.during(false, Reply|Later)
		case "fragments", "inactive": // what is probed is never fragmented
			r.never()
		case "match-all", "match-any":
			r.flags(w)
		case "ack", "rst", "syn", "fin", "psh", "urg":
			any := flagNames()[w] // several: one of them is enough, as in established
			for bit := flagNames()[r.peek()]; bit != 0; bit = flagNames()[r.peek()] {
				any |= bit
				r.next()
			}
			r.tcpFlags(true, any, 0)
		case "reflect", "timeout": // what is allowed is remembered, for evaluate
			r.next()
		case "time-range", "dscp", "precedence", "tos", "ttl", "option":
			r.doubt(shown(w + " " + r.next()))
		default:
			if strings.HasPrefix(w, "0x") || len(r.boxes) == 0 { // a checksum; ICMP types
				continue
			}
			r.doubt("option " + shown(w))
		}
	}
	return nil
}

// flags reads "+syn -ack …".
func (r *aceReader) flags(how string) {
	var mask, want uint8
	n := 0
	for len(r.words) > 0 && (r.peek()[0] == '+' || r.peek()[0] == '-') {
		w := r.next()
		bit := flagNames()[w[1:]]
		mask |= bit
		if w[0] == '+' {
			want |= bit
		}
		n++
	}
	if how == "match-any" && n > 1 {
		r.doubt("match-any of several flags")
		return
	}
	r.tcpFlags(false, mask, want)
}

// isLogWord reports whether a word belongs to log.
func isLogWord(w string) bool {
	if _, err := strconv.Atoi(w); err == nil {
		return true
	}
	return slices.Contains([]string{"interval", "disable", "default", "emergencies", "alerts", "critical", "errors", "warnings",
		"notifications", "informational", "debugging"}, w)
}
