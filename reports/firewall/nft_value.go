package firewall

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// nftKind is what the left side of a match is about.
type nftKind uint8

const (
	nftAddr nftKind = iota + 1
	nftPort
	nftProto  // meta l4proto, ip protocol
	nftFamily // meta nfproto, meta protocol
	nftFace   // interfaces
	nftType   // fib daddr type
	nftPacket // meta pkttype
	nftState
	nftDirection
	nftFlags
	nftStatus   // of a connection, of which only DNAT is known
	nftReverse  // fib saddr . iif oif: the reverse path
	nftFragment // which part of a packet it is, and whether more come
	nftConcat
	nftNever // a field of what is never probed: ICMP types and the like
)

// nftLeft is the left side of a match.
type nftLeft struct {
	kind nftKind
	src  bool // of addresses, ports and interfaces: the sender's
	// family and protos are what the field itself asks for.
	family Addrs
	protos Protos
	mask   uint8     // of flags
	parts  []nftLeft // of a concatenation
	masked *[4]byte  // an address is compared under this mask
}

// implied is the box of the packets that have the field at all.
func (l nftLeft) implied() Box {
	b := Everything()
	if !l.family.Empty() {
		b.Src, b.Dst = l.family, l.family
	}
	if l.protos != 0 {
		b.Protos = l.protos
	}
	for _, part := range l.parts {
		b = b.Intersect(part.implied())
	}
	return b
}

// nftKeyOf reads the left side. why says what of it cannot be judged.
func nftKeyOf(v any) (l nftLeft, why string) {
	unclear := "match " + nftValue(v)
	body, _ := v.(map[string]any)
	if len(body) != 1 {
		return l, unclear
	}
	for kind, inner := range body { // there is one
		fields, _ := inner.(map[string]any)
		key, _ := fields["key"].(string)
		switch kind {
		case "payload":
			return nftPayload(fields, unclear)
		case "meta":
			return nftMeta(key, unclear)
		case "ct":
			switch key {
			case "state":
				return nftLeft{kind: nftState}, ""
			case "direction":
				return nftLeft{kind: nftDirection}, ""
			case "status":
				return nftLeft{kind: nftStatus}, ""
			}
		case "fib":
			return nftFib(fields, unclear)
		case "&":
			return nftMasked(inner, unclear)
		case "concat":
			list, _ := inner.([]any)
			l.kind = nftConcat
			for _, item := range list {
				part, why := nftKeyOf(item)
				if part.kind == nftNever {
					return part, ""
				}
				if why != "" || slices.Contains([]nftKind{nftState, nftDirection, nftFlags, nftStatus, nftReverse, nftFragment, nftConcat}, part.kind) || part.masked != nil {
					return l, unclear
				}
				l.parts = append(l.parts, part)
			}
			if len(l.parts) == 0 {
				return l, unclear
			}
			return l, ""
		}
	}
	return l, unclear
}

func nftPayload(fields map[string]any, unclear string) (l nftLeft, why string) {
	proto, _ := fields["protocol"].(string)
	field, _ := fields["field"].(string)
	switch proto {
	case "ip":
		l.family = AnyIPv4()
	case "ip6":
		l.family = AnyIPv6()
	case "tcp":
		l.protos = ProtoTCP
	case "udp":
		l.protos = ProtoUDP
	case "th":
	case "icmp", "icmpv6", "igmp", "sctp", "dccp", "esp", "ah", "comp", "udplite", "arp": // none of them is probed
		return nftLeft{kind: nftNever}, ""
	default:
		return l, unclear
	}
	l.src = field == "saddr" || field == "sport"
	switch proto + " " + field {
	case "ip saddr", "ip daddr", "ip6 saddr", "ip6 daddr":
		l.kind = nftAddr
	case "ip protocol", "ip6 nexthdr":
		l.kind = nftProto
	case "tcp sport", "tcp dport", "udp sport", "udp dport", "th sport", "th dport":
		l.kind = nftPort
	case "tcp flags":
		l.kind, l.mask = nftFlags, 0xff
	default:
		return l, unclear
	}
	return l, ""
}

// nftFib reads a question to the routing tables.
func nftFib(fields map[string]any, unclear string) (l nftLeft, why string) {
	flags := nftValue(fields["flags"])
	switch result, _ := fields["result"].(string); {
	case result == "type" && (flags == "daddr" || flags == "saddr"):
		return nftLeft{kind: nftType, src: flags == "saddr"}, ""
	case result == "oif" && strings.HasPrefix(flags, "saddr,") && strings.HasSuffix(flags, "iif"):
		return nftLeft{kind: nftReverse}, ""
	}
	return l, unclear
}

func nftMeta(key, unclear string) (nftLeft, string) {
	switch key {
	case "l4proto":
		return nftLeft{kind: nftProto}, ""
	case "nfproto", "protocol":
		return nftLeft{kind: nftFamily}, ""
	case "iif", "iifname":
		return nftLeft{kind: nftFace, src: true}, ""
	case "oif", "oifname":
		return nftLeft{kind: nftFace}, ""
	case "pkttype":
		return nftLeft{kind: nftPacket}, ""
	default:
		return nftLeft{}, unclear
	}
}

// nftMasked reads {"&": [left, mask]}.
func nftMasked(v any, unclear string) (nftLeft, string) {
	list, _ := v.([]any)
	if len(list) != 2 {
		return nftLeft{}, unclear
	}
	// Its other bits say that packets must not be fragmented, which depends on the client.
	if _, ok := nftInt(list[1], 0x3fff); ok && nftValue(list[0]) == "ip frag-off" {
		return nftLeft{kind: nftFragment, family: AnyIPv4()}, ""
	}
	l, why := nftKeyOf(list[0])
	if why != "" || l.masked != nil {
		return l, unclear
	}
	switch l.kind {
	case nftFlags:
		mask, ok := nftFlagBits(list[1])
		if l.mask = mask; ok {
			return l, ""
		}
	case nftAddr:
		text, _ := list[1].(string)
		if a, err := netip.ParseAddr(text); err == nil && a.Is4() && l.family.Equal(AnyIPv4()) {
			mask := a.As4()
			l.masked = &mask
			return l, ""
		}
	}
	return l, unclear
}

// nftFlagBits reads "syn", ["syn", "ack"], {"|": [ … ]} or a number.
func nftFlagBits(v any) (bits uint8, ok bool) {
	switch v := v.(type) {
	case string:
		bits, ok = flagNames()[v]
	case json.Number:
		n, fits := nftInt(v, 255)
		bits, ok = uint8(n), fits
	case []any:
		for _, item := range v {
			one, known := nftFlagBits(item)
			if !known {
				return 0, false
			}
			bits |= one
		}
		ok = true
	case map[string]any:
		if list, is := v["|"]; is && len(v) == 1 {
			return nftFlagBits(list)
		}
	}
	return bits, ok
}

func nftInt(v any, limit int) (int, bool) {
	number, ok := v.(json.Number)
	n, err := strconv.Atoi(number.String())
	return n, ok && err == nil && n >= 0 && n <= limit
}

// values reads the right side: a value, a set in place, or a named set.
func (m *nftMatch) values(key nftLeft, v any) (boxes []Box, phases Phases, why string, err error) {
	var list []any
	name, named := v.(string)
	body, _ := v.(map[string]any)
	_, inPlace := body["set"]
	switch words, isList := v.([]any); {
	case named && strings.HasPrefix(name, "@") || inPlace:
		if list, why, err = m.elements(v); why != "" || err != nil {
			return nil, 0, why, err
		}
	case isList: // of flags, as states are
		list = words
	default:
		list = []any{v}
	}
	boxes = make([]Box, 0, len(list))
	for _, item := range list {
		if nftIsRest(item) {
			return []Box{Everything()}, AllPhases, "", nil
		}
		b, p, why, err := m.value(key, item)
		if why != "" || err != nil {
			return nil, 0, why, err
		}
		boxes, phases = append(boxes, b...), phases|p
	}
	return joinSides(key, boxes), phases, "", nil
}

// joinSides makes one box of the many of a set with one part.
func joinSides(key nftLeft, boxes []Box) []Box {
	if len(boxes) < 2 || key.kind != nftAddr && key.kind != nftPort {
		return boxes
	}
	var src, dst []Span[netip.Addr]
	var sport, dport []Span[Port]
	for _, b := range boxes {
		src, dst = append(src, b.Src.spans...), append(dst, b.Dst.spans...)
		sport, dport = append(sport, b.SrcPorts.spans...), append(dport, b.DstPorts.spans...)
	}
	return []Box{{boxes[0].Protos, NewSet(src...), NewSet(dst...), NewSet(sport...), NewSet(dport...)}}
}

// elements returns the elements of a set in place or of a named one.
func (m *nftMatch) elements(v any) (list []any, why string, err error) {
	if name, ok := v.(string); ok && strings.HasPrefix(name, "@") {
		s := m.sets[nftKey(m.rule.Family, m.rule.Table, name[1:])]
		if s == nil {
			return nil, "", m.errorf(m.rule.line, "set %q of table %q is not in the file", shown(name), shown(m.rule.Table))
		}
		if flags := nftValue(s.Flags); strings.Contains(flags, "dynamic") || strings.Contains(flags, "timeout") {
			return nil, "the elements of set " + shown(name) + " come and go", nil
		}
		if s.changed > 0 {
			return nil, "the rule of line " + strconv.Itoa(s.changed) + " changes the set " + shown(name), nil
		}
		return s.Elem, "", nil
	}
	body, _ := v.(map[string]any)
	switch set := body["set"].(type) {
	case []any:
		return set, "", nil
	case nil:
		return nil, "", m.errorf(m.rule.line, "%s: want a set or @NAME", nftValue(v))
	default:
		return []any{set}, "", nil
	}
}

// nftIsRest reports whether an element stands for all that no other holds.
func nftIsRest(v any) bool {
	if body, ok := v.(map[string]any); ok {
		if elem, ok := body["elem"].(map[string]any); ok {
			return nftIsRest(elem["val"])
		}
	}
	return v == "*"
}
