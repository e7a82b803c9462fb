package scanner

import "fmt"

func stateNames() [7]string {
	return [...]string{"", "open", "closed", "filtered", "open_filtered", "unreachable", "unknown"}
}

// String returns the word that every output uses, "" for the zero value.
func (s State) String() string {
	names := stateNames()
	if int(s) >= len(names) {
		return fmt.Sprintf("state(%d)", uint8(s))
	}
	return names[s]
}

// ParseState reads a word that String returns, except the empty one.
func ParseState(word string) (State, error) {
	for s, name := range stateNames() {
		if s > 0 && name == word {
			return State(s), nil
		}
	}
	return 0, fmt.Errorf("scanner: state %q: want open, closed, filtered, open_filtered, unreachable or unknown", word)
}

// MarshalText returns the word.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the word.
func (s *State) UnmarshalText(text []byte) (err error) {
	*s, err = ParseState(string(text))
	return err
}

func reasonNames() [26]string {
	return [...]string{
		"", "syn-ack", "rst", "udp-reply", "no-response", "arp-no-reply", "local-error",
		"icmp-3-0", "icmp-3-1", "icmp-3-2", "icmp-3-3", "icmp-3-4", "icmp-3-5", "icmp-3-6", "icmp-3-7",
		"icmp-3-8", "icmp-3-9", "icmp-3-10", "icmp-3-11", "icmp-3-12", "icmp-3-13", "icmp-3-14", "icmp-3-15",
		"icmp-11-0", "local-socket", "other",
	}
}

// String returns the word that every output uses, "" for the zero value.
func (r Reason) String() string {
	names := reasonNames()
	if int(r) >= len(names) {
		return fmt.Sprintf("reason(%d)", uint8(r))
	}
	return names[r]
}

// ParseReason reads a word that String returns, except the empty one.
func ParseReason(word string) (Reason, error) {
	for r, name := range reasonNames() {
		if r > 0 && name == word {
			return Reason(r), nil
		}
	}
	return 0, fmt.Errorf("scanner: reason %q is not one of syn-ack, rst, udp-reply, no-response, arp-no-reply, local-error, local-socket, icmp-TYPE-CODE, other", word)
}

// MarshalText returns the word.
func (r Reason) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads the word. One that is not known here is of a later version,
// as from an agent that was upgraded before its server: OtherReason, so that an
// answer is not lost for how it is told. The empty word is an error.
func (r *Reason) UnmarshalText(text []byte) (err error) {
	*r, err = ParseReason(string(text))
	if err != nil && len(text) > 0 {
		*r, err = OtherReason, nil
	}
	return err
}

// UnreachableReason returns the reason of an ICMP destination-unreachable code
// (RFC 792 and RFC 1812 section 5.2.7.1), 0 to 15, and false for any other.
func UnreachableReason(code uint8) (Reason, bool) {
	if code > 15 {
		return 0, false
	}
	return ICMPNetUnreachable + Reason(code), true
}

// ICMPv6Reason returns the reason of an ICMPv6 error (RFC 4443 section 3) with
// the meaning nearest to it in IPv4, and false for what is no error about a
// destination.
func ICMPv6Reason(typ, code uint8) (Reason, bool) {
	switch [2]uint8{typ, code} {
	case [2]uint8{1, 0}, [2]uint8{1, 2}: // no route; beyond the source's scope
		return ICMPNetUnreachable, true
	case [2]uint8{1, 3}:
		return ICMPHostUnreachable, true
	case [2]uint8{1, 4}:
		return ICMPPortUnreachable, true
	case [2]uint8{1, 1}, [2]uint8{1, 5}, [2]uint8{1, 6}: // section 3.1: 5 and 6 are subsets of 1
		return ICMPAdminProhibited, true
	case [2]uint8{2, 0}:
		return ICMPFragmentationNeeded, true
	case [2]uint8{3, 0}:
		return ICMPTimeExceeded, true
	case [2]uint8{4, 1}: // next header not known
		return ICMPProtocolUnreachable, true
	default: // foreign input
		return 0, false
	}
}

// StateOf says what an answer's reason means for a port. fromTarget tells
// whether the answer came from the asked address itself: a router that says
// "port unreachable" for somebody else is a filter.
func StateOf(r Reason, fromTarget bool) State {
	switch r {
	case SynAck, UDPReply:
		return Open
	case Rst:
		return Closed
	case ICMPPortUnreachable:
		if fromTarget {
			return Closed
		}
		return Filtered
	case ICMPNetUnreachable, ICMPHostUnreachable, ICMPNetUnknown, ICMPHostUnknown, ICMPSourceIsolated, ARPNoReply, ICMPTimeExceeded:
		return Unreachable
	case ICMPProtocolUnreachable, ICMPFragmentationNeeded, ICMPSourceRouteFailed, ICMPNetProhibited, ICMPHostProhibited,
		ICMPNetTOS, ICMPHostTOS, ICMPAdminProhibited, ICMPPrecedenceViolation, ICMPPrecedenceCutoff:
		return Filtered
	default: // no-response depends on the transport, local-error says nothing
		return Unknown
	}
}
