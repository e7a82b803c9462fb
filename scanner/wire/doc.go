// Package wire is the scanner's Backend over raw frames: the fast way to ask,
// for those who may.
//
// Open asks the kernel for the way to every target: through which interface,
// from which of this host's addresses, to which gateway. For each way it builds
// one TCP and one UDP probe, and for each interface it opens a Link. Resolve
// then finds out who is there: on-link targets are asked for their link-layer
// address, and one that nobody has gets no probe at all. Send copies a template,
// writes the destination, the cookie and the checksums into it, and hands frames
// to the link in batches. Receive reads what comes in on all links, and lets
// pass what knows the cookie.
//
//	template, checksum   one probe, built by gopacket, patched ever after
//	cookie, siphash      the secret of each target, and its recognition
//	decode, iphdr, icmp  frames, by hand and within bounds
//	kernel, routes       which way, by netlink
//	solicit, asking, neighbours, resolve   who is on the link
//	gateways             those that probes are handed to
//	backend, iface, lane, ears, send, receive, witness   the whole
//	link                 what carries frames: afpacket, or another
//
// What a probe costs beside the kernel's part of sending it is in BenchmarkSend,
// what an answer costs in BenchmarkReceive; both allocate nothing.
//
// # Design
//
// Cookie. A SipHash of both addresses, the port and the transport, under a key
// that lives as long as the run, gives the source port and the TCP sequence
// number. An answer must bring them back: a SYN-ACK or RST in its
// acknowledgement, a datagram in its destination port, an ICMP error in the
// headers that it quotes. So nothing is remembered of what was sent, and nobody
// who does not see the probes can invent an answer. For UDP the secret has ten
// bits only, since a datagram has no other place for it.
//
// Attempts. Each of the first four attempts has a source port and a sequence
// number of its own, neighbours in the block. A retry with the same ones would
// be taken for a retransmission by whatever keeps state on the way, and one with
// the same port and another number for an attack; a fresh one gets a fresh
// chance, another path among several included. The fifth uses the ports of the
// first again.
//
// Source ports. A block of 4,096 that the kernel gives to nobody (61440 to 65535
// on a usual Linux), and in which no port is asked. A block at a multiple of its
// size is one comparison in the filter. This host's own connections thus keep
// out of the way; the kernel answers a SYN-ACK to such a port with an RST, which
// is what ends the half-open connection, and a datagram with an ICMP error,
// which is the price of asking without a socket.
//
// Round-trip times. The timestamp option of the SYN holds the time of sending,
// and a SYN-ACK brings it back. RSTs, datagrams and ICMP errors do not; for them
// a table of fixed size remembers the latest 65,536 probes, newer ones writing
// over older ones. Low bits of the sequence number would do without the table,
// but cost half the cookie for a clock of a millisecond, and UDP has no such
// number. An entry that is gone means an unknown time, nothing else.
//
// Ears. An answer takes the way that its sender's routes say. So every interface
// with an address is listened on, also those that nothing is sent by, with small
// rings; on hosts with hundreds of interfaces sixteen of them.
//
// Payloads are not part of the templates. Copying and summing 40 bytes costs
// some 10 ns, a template for each port and route would have to be looked up.
//
// Routes are asked for by prefix. In a part of a target prefix in which no
// routing table and no rule has a prefix of its own all addresses share one
// route, so one question is enough; a prefix with a more specific one inside is
// halved until that holds; where a route has several next hops, they share one of
// those. The kernel is asked twice, as connect(2) asks, since
// its rules can go by the source address that it selects; those that go by port or
// transport are not followed, which is said.
// A host route, a blackhole or an own address inside a target net is seen. A
// route that changes during the run is not followed, but told at its end, and
// makes it incomplete; so do an address that was asked from and is gone, a lost
// carrier (package ways), and frames that an interface threw away: where the
// program behind a tun device does not keep up every send succeeds, and only the
// interface's counter shows it. That can count frames of other programs.
//
// What cannot be sent to. No route, one that says unreachable or prohibit, and a
// gateway that does not answer are faults of this side: Unknown, LocalError. A
// neighbour that does not answer is a fact about the target: Unreachable,
// ARPNoReply. The broadcast address of a net is asked for like any other: some
// host may have it, and if none has, no frame is broadcast but the request.
//
// Neighbours are resolved here and not by the kernel, whose table holds 1,024 of
// them for all programs together, and whose patience is three seconds for each.
// Its table is read first; only what it has confirmed lately counts, since with
// a stale entry a host that is gone would look like one that filters. A gateway
// is asked all the same, and what the kernel knows of it, stale entries included, is
// the last resort. After every round those that have answered are asked again
// (scanner.Checker): behind one that has died in between everything looks filtered.
// Six requests in a row that nobody answers make the run incomplete. Another MAC is
// followed, with a warning, since several routers may share the address. A router that
// answers no requests at all is not held to it; one that answers them and forwards
// nothing is not noticed.
//
// An address that nobody has costs one request and no probe, where it can be known
// that no requests get lost: the neighbours that have answered, ten or more, are
// asked again, two hundred times in all, and every time one of them answers. Who
// kept silent tells nothing about that, who answered does. Else everybody silent is
// asked twice, and a third time unless a hundred have answered and none of them
// needed the second request.
//
// This host's own addresses go through raw IP sockets and not through frames:
// what is injected below the loopback interface comes without a route and is
// dropped as a martian.
//
// Lanes. Most of what a probe costs is the kernel's part of sending it, so where
// a link has several ways out, a long batch is divided between as many senders,
// each with its own part, its own lane and, but for the first, its own goroutine.
// Everything above stays as it is: one order, one pace, one set of books, kept by
// the goroutine that called Send. Two engines with half of the plan each would
// have shared all their tables. When one sender fails, Send waits for the others
// and returns the number of probes before which nothing is missing; what was sent
// beyond them is asked again by whoever resumes.
//
// Receive calls emit under a lock: several links are read by a goroutine each,
// and the engine is promised one call at a time. Goroutines:
//
//	one per link   started by Receive   reads frames         ends with its context
//	one            started by Receive   passes on faults     ends with its context
//	one per sender started by Send      sends its parts      ends with Close; none for the first
//
// Checksums of what comes in are not verified: frames of the same machine have
// none yet when they pass by, and the cookie is the better proof. Of a datagram
// in fragments the first is enough: it shows that the port answers, and Payload
// holds what was in it. So with a frame that the ring has cut short, be it jumbo, of
// this host itself or one that the kernel has put together from several.
package wire
