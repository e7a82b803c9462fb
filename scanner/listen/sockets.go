package listen

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"dormant/registry"
)

// sockets reads "ss -tn", also with -u, -p, -o, -H: the state, two queues, the
// local and the peer's end. Who began a connection is not told.
type sockets struct {
	*flowFile
	netid bool // lines begin with the transport
}

// socketUse is how far a socket in a state of ss came, and false for a word
// that is none; 0 is a socket without a peer.
func socketUse(state string) (Use, bool) {
	switch state {
	case "ESTAB", "FIN-WAIT-1", "FIN-WAIT-2", "TIME-WAIT", "CLOSE-WAIT", "LAST-ACK", "CLOSING":
		return Used, true
	case "SYN-SENT", "SYN-RECV":
		return Attempted, true
	case "LISTEN", "UNCONN", "CLOSED":
		return 0, true
	default: // foreign input
		return 0, false
	}
}

func isSockets(words []string) bool {
	if len(words) < 4 {
		return false
	}
	if words[0] == "State" || words[0] == "Netid" && words[1] == "State" {
		return slices.Contains(words, "Recv-Q")
	}
	_, first := socketUse(words[0])
	_, second := socketUse(words[1])
	return first && isDigits(words[1]) || second && parseProto(words[0]) != 0
}

func (s *sockets) take(line string) error {
	words := strings.Fields(line)
	if words[0] == "State" || words[0] == "Netid" {
		s.netid = words[0] == "Netid"
		return nil
	}
	if strings.HasPrefix(line, "\t") || strings.HasPrefix(line, " ") { // -i and -m add such lines
		return nil
	}
	proto := registry.TCP
	if _, ok := socketUse(words[0]); !ok && len(words) > 1 {
		if _, ok := socketUse(words[1]); ok || s.netid {
			if proto = parseProto(words[0]); proto == 0 { // icmp, unix, …
				s.Other++
				return nil
			}
			words = words[1:]
		}
	}
	use, ok := socketUse(words[0])
	if !ok || len(words) < 5 || !isDigits(words[1]) || !isDigits(words[2]) {
		return fmt.Errorf("%s: want STATE RECV-Q SEND-Q LOCAL:PORT PEER:PORT as ss -tn prints it", quote(line))
	}
	if use == 0 {
		s.Other++
		return nil
	}
	local, err := socketEnd(words[3])
	if err != nil {
		return err
	}
	peer, err := socketEnd(words[4])
	if err != nil {
		return err
	}
	s.addEither(flow{src: local, dst: peer, proto: proto}, func(bool) Use { return use })
	return nil
}

// socketEnd reads 10.0.0.1:22, [::1]:22, 10.0.0.1%eth0:22 and [fe80::1]%eth0:22.
func socketEnd(s string) (netip.AddrPort, error) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return netip.AddrPort{}, fmt.Errorf("%s: want ADDRESS:PORT, in numbers (ss -n)", quote(s))
	}
	addr, _, _ := strings.Cut(s[:i], "%")
	if strings.HasPrefix(addr, "[") {
		addr = strings.TrimSuffix(addr[1:], "]")
	}
	return parseEnd(addr, s[i+1:])
}
