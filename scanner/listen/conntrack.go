package listen

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"dormant/registry"
)

// conntrack reads "conntrack -L", also with -o extended, and
// /proc/net/nf_conntrack: words, then the tuple of the asking direction, then
// that of the answers. The two differ where addresses are translated; then
// both servers are told, because a firewall may see either.
type conntrack struct{ *flowFile }

// isConntrack tells a line by its transport's or family's name and number.
func isConntrack(words []string) bool {
	return len(words) > 3 && isDigits(words[1]) && slices.ContainsFunc(words, func(w string) bool { return strings.HasPrefix(w, "src=") })
}

func isDigits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// tuple is one direction of a tracked connection, as text.
type tuple struct{ src, dst, sport, dport string }

func (c conntrack) take(line string) error {
	words := strings.Fields(line)
	if words[0] == "conntrack" { // the tool's own closing line, which goes to stderr
		return nil
	}
	if !isConntrack(words) {
		return fmt.Errorf("%s: want a line of conntrack -L", quote(line))
	}
	if words[0] == "ipv4" || words[0] == "ipv6" {
		words = words[2:]
	}
	proto := parseProto(words[0])
	if proto == 0 {
		c.Other++
		return nil
	}
	asked, answers := tuples(words)
	if answers.dport == "" {
		return errors.New("want two tuples of src= dst= sport= dport=")
	}
	client, server, err := parseEnds(asked.src, asked.sport, asked.dst, asked.dport)
	if err != nil {
		return err
	}
	real, err := parseEnd(answers.src, answers.sport)
	if err != nil {
		return err
	}
	x := flow{src: client, dst: server, proto: proto, told: ByFlow, use: conntrackUse(proto, words)}
	wanted := func(a netip.AddrPort) bool {
		return slices.Contains(c.Ports, registry.Port{Number: a.Port(), Proto: proto})
	}
	if real == server || !wanted(real) {
		c.add(x)
		return nil
	}
	if wanted(server) {
		c.hand(x) // the address before translation; the line is counted once
	}
	x.dst = real
	c.add(x)
	return nil
}

// tuples collects the two directions.
func tuples(words []string) (asked, answers tuple) {
	at := &asked
	for _, w := range words {
		switch key, value, _ := strings.Cut(w, "="); key {
		case "src":
			if at.src != "" {
				at = &answers
			}
			at.src = value
		case "dst":
			at.dst = value
		case "sport":
			at.sport = value
		case "dport":
			at.dport = value
		}
	}
	return asked, answers
}

// conntrackUse is how far a tracked connection came.
func conntrackUse(proto registry.Proto, words []string) Use {
	if slices.Contains(words, "[UNREPLIED]") {
		return Attempted
	}
	if proto == registry.UDP {
		return Used
	}
	for _, w := range words {
		switch w {
		case "SYN_SENT", "SYN_SENT2":
			return Attempted
		case "SYN_RECV", "CLOSE": // closed by an RST, after whatever
			return Answered
		case "ESTABLISHED", "FIN_WAIT", "CLOSE_WAIT", "LAST_ACK", "TIME_WAIT":
			return Used
		}
	}
	return Attempted
}
