package listen

import "dormant/registry"

// traffic is what a flow record of one direction tells of its packets.
type traffic struct {
	proto          registry.Proto
	packets, bytes uint64 // 0: not told
	flags          uint8  // of TCP, all packets together; 0: not told
	lone           bool   // the flags show that there was nothing but a SYN
}

// emptySegment is how long a TCP segment without data can be on average, in
// bytes with its IP header: IPv6 40, TCP 20, the options of a SYN 20.
const emptySegment = 80

// average is the bytes of a packet, 0 where it is not known.
func (t traffic) average() uint64 {
	if t.packets == 0 {
		return 0
	}
	return t.bytes / t.packets
}

// use is the most that one direction proves. Records of the two directions
// meet in the table, where the greater use wins.
func (t traffic) use(fromClient bool) Use {
	if t.proto == registry.UDP {
		if fromClient {
			return Attempted
		}
		return Used
	}
	data := t.flags&flagPSH != 0 || t.average() > emptySegment
	switch {
	case t.lone:
		return Attempted
	case data:
		return Used
	case !fromClient && t.flags&flagRST != 0 && t.flags&(flagSYN|flagPSH|flagFIN) == 0:
		return Refused
	case !fromClient:
		return Answered
	case t.flags&flagACK != 0 || t.flags&flagFIN != 0: // it had an answer to acknowledge
		return Answered
	default:
		return Attempted
	}
}
