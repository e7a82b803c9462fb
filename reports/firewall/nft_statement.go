package firewall

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// nftMatch reads the statements of one rule.
type nftMatch struct {
	*nft
	*condition
	rule     *nftRule
	at       hooks       // from where packets come to the chain
	branches []nftBranch // of a verdict map
	text     []string    // the statements as nft writes them
}

// statement reads one statement into the rule.
func (m *nftMatch) statement(kind string, body json.RawMessage, r *Rule) error {
	v, err := decodeAny(body)
	if err != nil {
		return m.errorf(m.rule.line, "JSON: %v", err)
	}
	m.text = append(m.text, nftText(kind, v))
	switch kind {
	case "match":
		return m.match(v)
	case "vmap":
		return m.vmap(v)
	case "counter":
		if c, ok := v.(map[string]any); ok {
			if n, ok := c["packets"].(json.Number); ok {
				if hits, err := strconv.ParseUint(n.String(), 10, 64); err == nil {
					r.Hits = &hits
				}
			}
		}
	case "limit", "quota", "ct count", "meter", "connlimit":
		m.doubt("match " + kind)
	case "set", "map":
		if strings.Contains(string(body), `"stmt"`) {
			m.doubt("a set with limits of its own")
		}
	case "mangle":
		if changed := nftChanged(v); changed != "" {
			m.obscure(r, "the packet is changed: "+changed)
		}
	case "log", "last", "dup", "secmark", "flow", "ct helper", "ct timeout", "ct expectation", "comment", "continue":
	case "xt":
		return m.foreign(v, r)
	case "notrack":
		m.obscure(r, "the connection is not tracked, its states are not known")
	case "dnat", "redirect", "tproxy":
		m.ofFamily(v)
		m.obscure(r, "address translation by "+kind)
	case "snat", "masquerade": // usually after all filters
		m.ofFamily(v)
		r.Action, r.translates = Accept, true
	default:
		action, target, why, err := m.verdict(kind, v)
		switch {
		case err != nil:
			return err
		case why != "":
			m.obscure(r, why)
		default:
			r.Action, r.Target = action, target
		}
	}
	return nil
}

// nftChanged returns the field of a packet that a statement changes, "" for none
// that says where it comes from, where it goes or what it is.
func nftChanged(v any) string {
	body, _ := v.(map[string]any)
	key, _ := body["key"].(map[string]any)
	field := nftValue(key)
	if key["payload"] == nil || slices.Contains([]string{"ip dscp", "ip6 dscp", "ip ecn", "ip6 ecn", "ip ttl", "ip6 hoplimit"}, field) {
		return ""
	}
	return field
}

// ofFamily keeps the packets that a translation is for: with an address those of
// its family, in a table of both.
func (m *nftMatch) ofFamily(v any) {
	body, _ := v.(map[string]any)
	if family := nftFamilyBox(body["family"]); family != nil {
		m.only(false, family...)
	}
}

func (m *nftMatch) obscure(r *Rule, why string) {
	r.Action = Obscure
	m.doubt(why)
}

// foreign reads a part of a rule that iptables made.
func (m *nftMatch) foreign(v any, r *Rule) error {
	x, _ := v.(map[string]any)
	name, _ := x["name"].(string)
	switch kind, _ := x["type"].(string); {
	case kind == "match" && name == "comment":
	case kind == "match":
		m.doubt("match " + shown(name) + " of iptables")
	default:
		m.obscure(r, "a part of iptables, which nft does not show: use iptables-save")
	}
	return nil
}

// verdict reads what a rule or an element of a verdict map does; why is set
// when the effect is not in the file.
func (m *nftMatch) verdict(kind string, v any) (a Action, target *Chain, why string, err error) {
	switch kind {
	case "accept":
		return Accept, nil, "", nil
	case "drop", "reject":
		return Drop, nil, "", nil
	case "continue":
		return Pass, nil, "", nil
	case "return":
		return Return, nil, "", nil
	case "jump", "goto":
		body, _ := v.(map[string]any)
		name, _ := body["target"].(string)
		c := m.chains[nftKey(m.rule.Family, m.rule.Table, name)]
		if c == nil || c.Hook != "" {
			return 0, nil, "", m.errorf(m.rule.line, "%s to chain %q: want a chain of table %q without a hook", kind, shown(name), shown(m.rule.Table))
		}
		if kind == "goto" {
			return Goto, &c.chain, "", nil
		}
		return Jump, &c.chain, "", nil
	default:
		return 0, nil, "the effect of " + shown(kind) + " is not in the file", nil
	}
}

// match reads {"op": …, "left": …, "right": …}.
func (m *nftMatch) match(v any) error {
	body, ok := v.(map[string]any)
	if !ok {
		return m.errorf(m.rule.line, "match: want op, left and right")
	}
	op, _ := body["op"].(string)
	key, why := nftKeyOf(body["left"])
	if why != "" {
		m.doubt(why)
		return nil
	}
	switch key.kind {
	case nftNever:
		m.never()
		return nil
	case nftFlags:
		return m.flags(key, op, body["right"])
	case nftStatus:
		m.status(op, body)
		return nil
	case nftReverse:
		m.reverse(op, body)
		return nil
	case nftFragment:
		m.fragment(key, op, body)
		return nil
	default:
		return m.compare(key, op, body)
	}
}

// status reads a condition on the status of a connection. What is translated on
// its way in is unknown from there on; nothing else has the status dnat.
func (m *nftMatch) status(op string, body map[string]any) {
	if m.translates && (op == "in" || op == "==") && body["right"] == "dnat" {
		m.never()
		return
	}
	m.doubt("match " + nftText("match", body))
}

// reverse reads a filter on the reverse path: that there is no way back by the
// incoming interface, or that there is one.
func (m *nftMatch) reverse(op string, body map[string]any) {
	there, ok := body["right"].(bool)
	if _, none := nftInt(body["right"], 0); none { // interface 0 is none
		ok = true
	}
	switch {
	case !ok || op != "==" && op != "!=":
		m.doubt("match " + nftText("match", body))
		return
	case there != (op == "=="):
		m.never()
	}
	m.reversePath()
}

// fragment reads a condition on fragments: what is probed is whole, which is 0.
func (m *nftMatch) fragment(key nftLeft, op string, body map[string]any) {
	n, ok := nftInt(body["right"], 0xffff)
	if !ok || op != "==" && op != "!=" {
		m.doubt("match " + nftText("match", body))
		return
	}
	m.only(false, key.implied())
	if (n == 0) != (op == "==") {
		m.never()
	}
}

// compare reads a match of a key that has values.
func (m *nftMatch) compare(key nftLeft, op string, body map[string]any) error {
	not := op == "!=" || op == "!" // "! established": none of these bits, and a state is one bit
	if !slices.Contains([]string{"==", "!=", "!", "in", "<", ">", "<=", ">="}, op) {
		return m.errorf(m.rule.line, "operator %q: want ==, !=, !, <, >, <=, >= or in", shown(op))
	}
	if strings.ContainsAny(op, "<>") {
		if key.kind != nftPort {
			m.doubt("match " + nftText("match", body))
			return nil
		}
		return m.order(key, op, body["right"])
	}
	m.only(false, key.implied()) // "ip saddr != x" is still about IPv4
	boxes, phases, why, err := m.values(key, body["right"])
	switch {
	case err != nil:
		return err
	case why != "":
		m.doubt(why)
	case key.kind == nftState || key.kind == nftDirection:
		m.inState(not, phases)
	case not && len(boxes) > maxNegated:
		m.doubt(fmt.Sprintf("the opposite of a set with %d elements of several parts", len(boxes)))
	default:
		m.only(not, boxes...)
	}
	return nil
}

// order reads a comparison of ports.
func (m *nftMatch) order(key nftLeft, op string, right any) error {
	n, ok := nftInt(right, 65535)
	if !ok {
		return m.errorf(m.rule.line, "%s %v: want a port", op, right)
	}
	first, last := Port(0), Port(65535)
	switch op {
	case "<":
		last = Port(n) - 1
	case "<=":
		last = Port(n)
	case ">":
		first = Port(n) + 1
	default:
		first = Port(n)
	}
	m.only(false, key.implied())
	m.only(false, portBox(key.src, NewSet(Span[Port]{first, last})))
	return nil
}

// flags reads the conditions on TCP flags: equal, masked and equal, one of.
func (m *nftMatch) flags(key nftLeft, op string, right any) error {
	want, ok := nftFlagBits(right)
	if !ok {
		m.doubt("match tcp flags " + op + " " + nftValue(right))
		return nil
	}
	switch op {
	case "==":
		m.tcpFlags(false, key.mask, want)
	case "!=":
		m.tcpFlags(true, key.mask, want)
	case "in": // one of them at least
		m.tcpFlags(true, want, 0)
	case "!": // none of them
		m.tcpFlags(false, want, 0)
	default:
		m.doubt("match tcp flags " + op + " " + nftValue(right))
	}
	return nil
}
