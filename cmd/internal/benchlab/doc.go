// Command benchlab measures dormant against the scanners that Debian has, in a
// network that it makes itself: two namespaces and a veth pair, with no way
// out. It needs root, or a user namespace as bin/isolate gives one.
//
//	scan (scan0 10.66.0.1)  –veth–  far (net0 10.66.0.2, the router and all hosts)
//	10.77.0.0/16  655 addresses answer, three of the six ports open, the others closed; the rest is silent
//	10.88.0.0/14  nobody
//
// # Design
//
// The programs take turns in every run, every other run backwards, so that a
// machine that gets slower hits all alike. Packets are counted where they
// arrive, by the counters of the far end: no program is asked how fast it was.
// The sending rate is that between the first and the last hundredth of the
// packets, without start-up and waiting. Processor time is that of the process,
// a million packets; on veth it holds the far end's share of receiving, too,
// which is a floor for all alike. Memory is told twice: the largest resident set
// holds the touched pages of the program's file, which all processes share and
// which are most of it for a large one, and the rings of packets that the kernel
// allocates; the private part is what the process has of its own. The ratios are
// between medians.
//
// Probes that nobody is to answer are dropped where they come in by an nftables
// rule, if there is nft, and else by a route: that takes the kernel longer, for
// all alike, and makes the ratios smaller.
//
// The far end sends a datagram to a closed port of the scanner every 50 ms:
// masscan ends its waiting only when something arrives.
package main
