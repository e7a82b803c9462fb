// Package connect is the scanner.Backend that needs no privilege: it asks with
// the sockets that every program may open. A TCP probe is a connect, a UDP
// probe a datagram from a connected socket, and what the kernel learns about
// either – handshake, reset, ICMP error, reply – becomes the observation.
//
// One try is one goroutine, from socket to close, read from top to bottom in
// sockets_linux.go. Receive starts them, counts them and hears them out; Send
// hands a probe over and therefore blocks while InFlight of them are under
// way. When the context of Receive ends, every try is cut short and waited for.
//
// # What an outcome means
//
//   - the handshake completes: open, syn-ack. The connection is closed in order:
//     our FIN, then up to 64 KiB that the server had to say, its FIN, close. A
//     server that keeps silent for 250 ms more than a round trip is left; the
//     observation follows the close, so that whoever identifies the service next
//     is again the only one connected to the host.
//   - a reset: closed, rst. A reset after the handshake: open.
//   - an ICMP error: its own type and code, and who sent it, from the socket's
//     error queue (Linux; ip(7), IP_RECVERR). "Port unreachable" from the target
//     is closed; from somebody else it is a filter.
//   - an ICMP error that this host sent to itself: "host unreachable" is a
//     neighbour who did not answer, unless that is a gateway; anything else is this
//     host's own firewall or route, and so a local-error.
//   - silence: nothing. The engine knows what it asked for.
//   - no descriptor, no buffer, no source port: wait, for five seconds at most,
//     then local-error. No route, no permission: local-error at once. Never
//     "closed".
//
// # Design
//
// Why not an event loop of our own: the runtime's poller is one. A goroutine
// per try costs about 5 KB while it waits, which for the 8,192 tries that may
// be in flight is less than what the kernel holds for their sockets, and it
// keeps a try readable as one function. The kernel's part of a connect and not
// the goroutine is what takes the time: of BenchmarkClosedTCP's 32 to 48 µs a
// probe, both ends on one 2-core machine, system calls are three quarters.
//
// Why not net.Dialer on Linux: it closes a failed socket before the error queue
// can be read, and an errno cannot tell a router's "administratively prohibited"
// from the target's "port unreachable", nor who said so. Elsewhere there is no
// such queue, and dialer.go does with net.Dialer what an errno can tell: the
// reason is the errno's ICMP code of the same meaning, "port unreachable" is
// taken as the target's own and "host unreachable" as nobody's, and ENETUNREACH
// counts as the local "no route" that it nearly always is.
//
// Why 900 ms: the kernel sends the SYN a second time after the initial
// retransmission timeout of 1 s (RFC 6298 section 2). A first try that ends
// before is exactly one segment on the wire, so the engine's rate and counts
// are true. Each retry waits as long again, 900 ms, 1.8 s, 2.7 s, up to 3.6 s,
// so that a path slower than the first patience is still heard; from the first
// retry on the kernel may add a SYN of its own.
// The end of a run cuts tries short. It comes two round trips after the last probe,
// but behind gateways and tunnels not before 3.2 s (scanner.Router): near hosts say
// nothing of how far the others there are.
//
// While the kernel still asks for the neighbour, the target or the gateway to it,
// nothing has left this host, and the end of a try's patience is no silence. Such a
// try goes on until the kernel has found the neighbour or given up, three seconds
// after it began to ask; the engine is told to wait for that (scanner.Router). A
// gateway that does not answer is a fault of this side: local-error.
//
// A cable that is pulled makes every target silent. So what the probes leave by,
// interface, source address and route, is watched from the first probe on
// (scanner.Witness, package ways), on Linux. Only that: a container that is
// stopped takes its interface away, and an IPv6 address that nobody asked from may
// expire. For that the kernel is asked for the way of each address, but of 16,384
// at most, which in a plan's shuffled order are a sample of all: 49 µs each
// (BenchmarkAim), 0.8 s in all.
//
// An interface that was asked for is not taken at its word: a socket that is bound to
// one without a route to the target would take that for somebody on the link, and be
// silent on lo or a tunnel. Such targets are local-errors, as with raw frames.
//
// A connection from a port to itself, which TCP allows and a sweep of this
// host's own ephemeral ports will meet, is not an open port. The try is made
// again from another port, before a byte is sent.
//
// A connected UDP socket hears the target only from the port that was asked. A
// server that replies from another one looks silent, as it does to raw frames, whose
// cookie is of the port that was asked.
//
// TTL is known for UDP replies and ICMP errors on Linux; the kernel does not
// tell the TTL of a SYN-ACK. RTT and Window of a SYN-ACK are the kernel's own
// (tcp(7), TCP_INFO), other round trips are measured from the call that sent to
// the call that received.
package connect
