// Package firewall says what a change of firewall rules does to the services
// that a scan found and to the clients that were seen using them: who is cut
// off, what becomes reachable, and what cannot be judged. It reads files and
// never touches a firewall.
//
// Every syntax is parsed into one form, RuleSet: chains of rules, each with the
// boxes of packets that it matches. A Box is a product of five sets: transport,
// source, destination, and both ports. Judge takes a whole box of packets
// through the chains and cuts it where rules tell its parts apart. The result
// is exact for every address, because nothing is sampled.
//
// An answer is allow, deny or unknown. A rule with a condition that the file
// cannot settle (a rate limit, a mark, an interface that nobody described) may
// match or not: its packets go on, and remember what they may have met. Only
// where the end is the same in both cases is it an answer; else it is unknown,
// with the rules, lines and reasons.
//
// A client can use a service when the whole flow passes: the first packet, the
// server's answer, and what the client sends then. Conditions on connection
// states and TCP flags are therefore sets of these three moments, not
// conditions on packets.
//
// # Design
//
// Sets of addresses and ports are spans of one generic type. netipx has sets of
// addresses, but none of ports, and its sets are made by builders; here the two
// lines must be cut by the same algebra millions of times. netipx parses and
// splits into prefixes, and is the second opinion in the tests.
//
// The loopback interface matches nothing: what passes between two hosts never
// comes in by it. Client ports are 1024 to 65535. A client that would pass from
// one of them and not from another is unknown.
//
// Address translation, queues and targets that are not in the file make a
// packet unknown for good, whatever later chains say: it may be another packet
// by then. Whatever is still followed has therefore kept its destination, and a
// condition on the state DNAT does not match it. Source translation behind the
// filters changes nothing that they see; where a chain sees it, behind it or as an
// answer before it is undone, what it translates is unknown. The kernel translates
// at priorities of its own, those that chains of type nat name only order them
// among themselves.
//
// To leave a chain, perhaps, is to perhaps not go through its rest: only what the
// rest decides otherwise makes a packet unknown. Filters on the reverse path are
// taken to hold nobody up, and the report says so.
//
// An assumption (--assume) is exact: what it names lies behind an interface,
// and nothing else does. Every assumption that was used is in the report.
//
// The evaluation is bounded, of each question and of all to a rule set together:
// chains that jump to the next one twice double the ways of a packet with each.
// What lies beyond the bound is unknown, and says so. So is the search for rules
// that no packet reaches: what was not looked at is counted in every output. Long
// chains have an index by source and destination, which makes 20,000 rules with
// 10,000 services a matter of seconds.
//
// Whether the model is right was not left to reading: the tests load thousands
// of random rule sets into the kernel, send the packets through it between
// namespaces, and hold what arrives against the model. DORMANT_KERNEL_ROUNDS=60
// makes 3,720 rule sets of each syntax and place instead of 62 to 248.
package firewall
