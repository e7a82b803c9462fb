package firewall

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// value reads one value of a key, as the packets that have it.
func (m *nftMatch) value(key nftLeft, v any) (boxes []Box, phases Phases, why string, err error) {
	if body, ok := v.(map[string]any); ok {
		if elem, ok := body["elem"].(map[string]any); ok { // with a timeout, a counter, a comment
			v = elem["val"]
		}
	}
	switch key.kind {
	case nftConcat:
		return m.concat(key, v)
	case nftFace:
		return m.interfaceName(key, v)
	case nftFamily:
		return nftFamilyBox(v), 0, "", nil
	case nftType, nftPacket:
		name, _ := v.(string)
		addrs, why := m.addressType(name, key.src, m.at)
		if key.kind == nftPacket {
			addrs, why = m.packetType(name)
		}
		return []Box{addrBox(key.src, addrs)}, 0, why, nil
	case nftFlags, nftNever:
		return nil, 0, "a set of " + nftValue(v), nil
	}
	box, phases, why, want := key.plain(v)
	switch _, unknown := v.(map[string]any); { // an expression that is not known here
	case want != "" && unknown:
		return nil, 0, "value " + nftValue(v), nil
	case want != "":
		return nil, 0, "", m.errorf(m.rule.line, "value %s: want %s", nftValue(v), want)
	case why != "" || phases != 0 || key.kind == nftState:
		return nil, phases, why, nil
	default:
		return []Box{box}, 0, "", nil
	}
}

// plain reads a value that needs nothing of its rule: the packets or moments
// that have it, why that cannot be judged, or what it should be.
func (l nftLeft) plain(v any) (box Box, phases Phases, why, want string) {
	switch l.kind {
	case nftAddr:
		addrs, ok := nftAddrs(v)
		if !ok {
			return Box{}, 0, "", "an address, a prefix or a range"
		}
		if l.masked != nil {
			if addrs, ok = maskedEqual(addrs, *l.masked); !ok {
				return Box{}, 0, tooMany, ""
			}
		}
		return addrBox(l.src, addrs), 0, "", ""
	case nftPort:
		ports, ok := nftPorts(v)
		if !ok {
			return Box{}, 0, "", "a port or a range"
		}
		return portBox(l.src, ports), 0, "", ""
	case nftProto:
		protos, ok := nftProtos(v)
		if !ok {
			return Box{}, 0, "", "a protocol"
		}
		return protoBox(protos), 0, "", ""
	case nftState:
		text, _ := v.(string)
		phases, ok := statePhases(text)
		if !ok {
			return Box{}, 0, "", "new, established, related, invalid or untracked"
		}
		return Box{}, phases, "", ""
	case nftDirection:
		switch v {
		case "original":
			return Box{}, First | Later, "", ""
		case "reply":
			return Box{}, Reply, "", ""
		}
		return Box{}, 0, "", "original or reply"
	default: // nftKeyOf makes no other
		return Box{}, 0, "match " + nftValue(v), ""
	}
}

// concat reads {"concat": [ … ]}, one value for each part.
func (m *nftMatch) concat(key nftLeft, v any) (boxes []Box, phases Phases, why string, err error) {
	body, _ := v.(map[string]any)
	list, _ := body["concat"].([]any)
	if len(list) != len(key.parts) {
		return nil, 0, "", m.errorf(m.rule.line, "value %s: want %d values in a concat", nftValue(v), len(key.parts))
	}
	boxes = []Box{Everything()}
	for i, part := range key.parts {
		one, _, why, err := m.value(part, list[i])
		if why != "" || err != nil {
			return nil, 0, why, err
		}
		boxes = intersectAll(boxes, one)
	}
	return boxes, 0, "", nil
}

// interfaceName reads the name of an interface.
func (m *nftMatch) interfaceName(key nftLeft, v any) (boxes []Box, phases Phases, why string, err error) {
	name, ok := v.(string)
	if !ok {
		return nil, 0, "interface " + nftValue(v), nil
	}
	box, why := m.face(name, key.src, m.at)
	return []Box{box}, 0, why, nil
}

// nftAddrs reads an address, a prefix or a range.
func nftAddrs(v any) (Addrs, bool) {
	switch v := v.(type) {
	case string:
		return parseHost(v)
	case map[string]any:
		if prefix, ok := v["prefix"].(map[string]any); ok {
			addr, _ := prefix["addr"].(string)
			bits, ok := nftInt(prefix["len"], 128)
			a, err := netip.ParseAddr(addr)
			if !ok || err != nil {
				return Addrs{}, false
			}
			p, err := a.Prefix(bits)
			if err != nil {
				return Addrs{}, false
			}
			return prefixSet(p), true
		}
		if ends, ok := v["range"].([]any); ok && len(ends) == 2 {
			return parseAddrWord(fmt.Sprint(ends[0]) + "-" + fmt.Sprint(ends[1]))
		}
	}
	return Addrs{}, false
}

// maskedEqual returns the addresses that are equal to the one in set under the
// mask: none when it has bits outside of it. It reports false where they are
// too many.
func maskedEqual(set Addrs, mask [4]byte) (Addrs, bool) {
	if len(set.spans) != 1 || set.spans[0].First != set.spans[0].Last || !set.spans[0].First.Is4() {
		return Addrs{}, false
	}
	a := set.spans[0].First
	for i, b := range a.As4() {
		if b&^mask[i] != 0 {
			return Addrs{}, true
		}
	}
	return masked(a, mask)
}

// nftPorts reads a port or a range.
func nftPorts(v any) (Ports, bool) {
	if n, ok := nftInt(v, 65535); ok {
		return onePort(uint16(n)), true
	}
	switch v := v.(type) {
	case string:
		n, ok := portNumber(v)
		return onePort(n), ok
	case map[string]any:
		first, last, ok := nftRange(v, 65535)
		return NewSet(Span[Port]{Port(first), Port(last)}), ok
	}
	return Ports{}, false
}

// nftRange reads {"range": [first, last]}.
func nftRange(v map[string]any, limit int) (first, last int, ok bool) {
	ends, _ := v["range"].([]any)
	if len(ends) != 2 {
		return 0, 0, false
	}
	first, ok1 := nftInt(ends[0], limit)
	last, ok2 := nftInt(ends[1], limit)
	return first, last, ok1 && ok2 && first <= last
}

// nftProtos reads a protocol by name or number, where 0 is no wildcard.
func nftProtos(v any) (Protos, bool) {
	switch v := v.(type) {
	case string:
		if v == "ip" { // the name of number 0 in /etc/protocols
			return 0, true
		}
		return protocol(v)
	case json.Number:
		n, ok := nftInt(v, 255)
		if n == 0 {
			return 0, ok
		}
		bits, _ := protocol(v.String())
		return bits, ok
	case map[string]any:
		first, last, ok := nftRange(v, 255)
		var out Protos
		for n := first; n <= last; n++ {
			bits, _ := nftProtos(json.Number(fmt.Sprint(n)))
			out |= bits
		}
		return out, ok
	}
	return 0, false
}

// nftFamilyBox is the packets of a family; others are not probed.
func nftFamilyBox(v any) []Box {
	box := Everything()
	switch v {
	case "ipv4", "ip":
		box.Src, box.Dst = AnyIPv4(), AnyIPv4()
	case "ipv6", "ip6":
		box.Src, box.Dst = AnyIPv6(), AnyIPv6()
	default:
		return nil
	}
	return []Box{box}
}

// nftText is a statement nearly as nft writes it, for people.
func nftText(kind string, v any) string {
	body, _ := v.(map[string]any)
	switch kind {
	case "match":
		op, _ := body["op"].(string)
		words := []string{nftValue(body["left"]), op, nftValue(body["right"])}
		if op == "==" || op == "in" {
			words = slices.Delete(words, 1, 2)
		}
		return strings.Join(words, " ")
	case "vmap":
		return nftValue(body["key"]) + " vmap " + nftValue(body["data"])
	case "jump", "goto":
		return kind + " " + nftValue(body["target"])
	case "comment":
		return ""
	default:
		return kind
	}
}

// nftValue is an expression nearly as nft writes it.
func nftValue(v any) string {
	join := func(list []any, sep string) string {
		words := make([]string, len(list))
		for i, item := range list {
			words[i] = nftValue(item)
		}
		return strings.Join(words, sep)
	}
	switch v := v.(type) {
	case nil:
		return "nothing"
	case []any:
		return join(v, ",")
	case map[string]any:
		for _, kind := range slices.Sorted(maps.Keys(v)) { // there is one
			inner := v[kind]
			fields, _ := inner.(map[string]any)
			list, _ := inner.([]any)
			switch kind {
			case "payload":
				return fmt.Sprint(fields["protocol"], " ", fields["field"])
			case "meta", "ct":
				return fmt.Sprint(kind, " ", fields["key"])
			case "prefix":
				return fmt.Sprint(fields["addr"], "/", fields["len"])
			case "range":
				return join(list, "-")
			case "concat":
				return join(list, " . ")
			case "&", "|":
				return "(" + join(list, " "+kind+" ") + ")"
			case "set":
				return "{ " + join(list, ", ") + " }"
			case "elem":
				return nftValue(fields["val"])
			case "jump", "goto":
				return kind + " " + nftValue(fields["target"])
			default:
				if inner == nil {
					return shown(kind)
				}
				return shown(kind) + " " + nftValue(inner)
			}
		}
	}
	return shown(fmt.Sprint(v))
}
