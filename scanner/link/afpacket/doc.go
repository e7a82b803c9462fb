// Package afpacket is the wire.Link that every Linux has: frames go out by
// sendmmsg on one packet socket, 64 in a call, and come in through memory that
// is shared with the kernel (TPACKET_V3).
//
// # Design
//
// One ring for each protocol. A socket that is bound to IPv4, ARP or IPv6 is
// not shown what this host itself sends; one for all protocols is, probe by
// probe, even if it then declines.
//
// The filter is a classic BPF program, which needs no further privilege. It lets
// pass what can be an answer: SYN or RST and UDP to the block of source ports,
// ICMP errors, answers of neighbours; and nothing that is another host's, or of
// another interface that stands on this one.
//
// Sending does not block. A full queue is told as wire.ErrBusy, so that whoever
// paces the probes hears of it and the wait ends with the context. The send
// buffer is kept smaller than the queues of the usual disciplines, some of which
// drop without telling. The discipline itself is not bypassed: it is the host's.
//
// Interfaces without link-layer addresses (tun, wireguard, ppp) are sent to with
// SOCK_DGRAM, which lets the kernel put whatever header there is; addresses of
// this host through raw IP sockets, see wire.Host.
//
// A block of the ring is handed over when it is full or after 4 ms (1 ms for
// ARP); the time of a frame is the kernel's, so that this does not count as
// round-trip time.
package afpacket
