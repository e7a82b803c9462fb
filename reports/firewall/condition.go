package firewall

import (
	"encoding/binary"
	"fmt"
	"net/netip"
)

// condition collects what the matches of one rule come down to.
type condition struct {
	boxes  []Box
	phases Phases
	doubts []string
	// untracked is true where packets come before conntrack: they have no state
	// yet, or the state of being invalid.
	untracked bool
}

func newCondition() *condition { return &condition{boxes: []Box{Everything()}, phases: AllPhases} }

// only keeps the packets that are in one of the boxes, or in none of them.
func (c *condition) only(not bool, boxes ...Box) {
	switch {
	case len(c.boxes)*len(boxes) > maxProduct:
		c.doubt(fmt.Sprintf("sets with %d and %d members of several parts at once", len(c.boxes), len(boxes)))
	case not:
		c.boxes = subtractAll(c.boxes, boxes)
	default:
		c.boxes = intersectAll(c.boxes, boxes)
	}
}

// maxProduct bounds the pairs of boxes that are intersected for one condition.
const maxProduct = 1 << 22

// during keeps moments, or the others.
func (c *condition) during(not bool, phases Phases) {
	if not {
		phases = AllPhases &^ phases
	}
	c.phases &= phases
}

// inState keeps the moments at which conntrack says something, or the others.
func (c *condition) inState(not bool, phases Phases) {
	if c.untracked {
		c.doubt(notTracked)
		return
	}
	c.during(not, phases)
}

// notTracked is the doubt about states before conntrack.
const notTracked = "connections are not tracked yet where this chain stands"

// doubt adds a condition that cannot be judged.
func (c *condition) doubt(text string) { c.doubts = append(c.doubts, text) }

// never makes the rule match nothing that is probed.
func (c *condition) never() { c.boxes = nil }

// The boxes of one side.

func protoBox(p Protos) Box {
	b := Everything()
	b.Protos = p
	return b
}

func srcBox(a Addrs) Box {
	b := Everything()
	b.Src = a
	return b
}

func dstBox(a Addrs) Box {
	b := Everything()
	b.Dst = a
	return b
}

func addrBox(src bool, a Addrs) Box {
	if src {
		return srcBox(a)
	}
	return dstBox(a)
}

func portBox(src bool, p Ports) Box {
	b := Everything()
	if src {
		b.SrcPorts = p
	} else {
		b.DstPorts = p
	}
	return b
}

// The flags of TCP, RFC 9293 section 3.1.
const (
	flagFIN = 1 << iota
	flagSYN
	flagRST
	flagPSH
	flagACK
	flagURG
	flagECE
	flagCWR
)

// flagNames returns the bits by the names that rules use.
func flagNames() map[string]uint8 {
	return map[string]uint8{"fin": flagFIN, "syn": flagSYN, "rst": flagRST, "psh": flagPSH, "ack": flagACK,
		"urg": flagURG, "ecn": flagECE, "ece": flagECE, "cwr": flagCWR}
}

// tcpFlags adds the condition that of the flags in mask just those in want are
// set, or that they are not. Rules for it match TCP only.
func (c *condition) tcpFlags(not bool, mask, want uint8) {
	c.only(false, protoBox(ProtoTCP))
	var phases Phases
	if flagSYN&mask == want != not {
		phases |= First
	}
	if (flagSYN|flagACK)&mask == want != not {
		phases |= Reply
	}
	plain, pushed := flagACK&mask == want != not, (flagACK|flagPSH)&mask == want != not
	if plain || pushed {
		phases |= Later
	}
	if plain != pushed {
		c.doubt("later segments differ in the flag PSH")
	}
	if mask&(flagECE|flagCWR) != 0 {
		c.doubt("the flags of ECN depend on the client's system")
	}
	c.during(false, phases)
}

// maxMasked is the largest number of spans that an address mask with holes may
// stand for.
const maxMasked = 1 << 14

// tooMany is the doubt about other masks.
const tooMany = "a mask with holes that stands for too many networks"

// masked returns the addresses that are equal to a in the bits that are set in
// mask. It reports false where they fall into too many spans.
func masked(a netip.Addr, mask [4]byte) (Addrs, bool) {
	b := a.As4()
	care, value := binary.BigEndian.Uint32(mask[:]), binary.BigEndian.Uint32(b[:])
	free := ^care
	low := uint32(1) // the run of free bits at the end is one span
	for free&low != 0 {
		low <<= 1
	}
	low-- // all ones below the lowest fixed bit; all of them when none is fixed
	high := free &^ low
	var spans []Span[netip.Addr]
	for sub := uint32(0); ; sub = (sub - high) & high { // all subsets of high, ascending
		first := value&care | sub
		spans = append(spans, Span[netip.Addr]{addr4(first), addr4(first | low)})
		if len(spans) > maxMasked {
			return Addrs{}, false
		}
		if sub == high {
			return NewSet(spans...), true
		}
	}
}

func addr4(n uint32) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], n)
	return netip.AddrFrom4(b)
}
