package scanner

import (
	"net/netip"
	"time"
)

// State is what a probe said about a port. The zero value means "not set".
type State uint8

// The states, in the words of every output.
const (
	Open         State = iota + 1 // a SYN-ACK, or a UDP reply
	Closed                        // an RST, or ICMP port unreachable from the target itself
	Filtered                      // TCP: silence, or an ICMP error that names a filter
	OpenFiltered                  // UDP: silence
	Unreachable                   // no neighbour, or ICMP host or network unreachable
	Unknown                       // this side failed: nothing is known about the port
)

// Reason is the one event that decided the state. The zero value means "not set".
type Reason uint8

// The reasons, in the words of every output; ICMP reasons carry their IPv4
// type and code, IPv6 errors are mapped to the IPv4 code of the same meaning.
const (
	SynAck Reason = iota + 1
	Rst
	UDPReply
	NoResponse
	ARPNoReply
	LocalError
	ICMPNetUnreachable      // icmp-3-0
	ICMPHostUnreachable     // icmp-3-1
	ICMPProtocolUnreachable // icmp-3-2
	ICMPPortUnreachable     // icmp-3-3
	ICMPFragmentationNeeded // icmp-3-4
	ICMPSourceRouteFailed   // icmp-3-5
	ICMPNetUnknown          // icmp-3-6
	ICMPHostUnknown         // icmp-3-7
	ICMPSourceIsolated      // icmp-3-8
	ICMPNetProhibited       // icmp-3-9
	ICMPHostProhibited      // icmp-3-10
	ICMPNetTOS              // icmp-3-11
	ICMPHostTOS             // icmp-3-12
	ICMPAdminProhibited     // icmp-3-13
	ICMPPrecedenceViolation // icmp-3-14
	ICMPPrecedenceCutoff    // icmp-3-15
	ICMPTimeExceeded        // icmp-11-0: a routing loop or a TTL that was too small
	LocalSocket             // local-socket: this host's own table of sockets, no packet
	OtherReason             // other: a word of a later version of this program, see UnmarshalText
)

// Observation is what one target answered, or that it did not.
type Observation struct {
	Target
	State  State
	Reason Reason
	// From is who answered: the target itself, or the router or firewall that
	// sent an ICMP error. The zero Addr when nobody answered.
	From netip.Addr
	TTL  uint8         // of the answer, as received; 0 when unknown
	RTT  time.Duration // 0 when it could not be measured
	// At is the kernel's receive time where the link has one, else the time of
	// the call that received it; for silence, the time it was given up.
	At time.Time
	// Payload is the UDP reply, at most MaxPayload bytes. The receiver owns it.
	Payload []byte
	// MAC is the answering neighbour's address, on-link targets only, else nil.
	MAC []byte
	// Window is the window of the SYN-ACK, before scaling; 0 elsewhere.
	Window uint16
	// Attempt is the retry that was answered where the backend can tell, else 0.
	Attempt uint8
	// Sent counts the probes to this target, where the engine knows it.
	Sent uint8
}

// MaxPayload is the longest UDP reply that is kept, in bytes: the largest
// datagram that a Sentinel RMS server is documented to send.
const MaxPayload = 13012
