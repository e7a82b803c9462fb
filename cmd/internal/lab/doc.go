// Package lab plays a small network on loopback: license managers, dev
// servers, common services, an open shell, a tarpit, boxes in the middle, and
// machines where everything is closed. Each machine is one address of a prefix
// inside 127.0.0.0/8, all of which Linux accepts without any set-up, so that a
// scan can be tried without root and without a packet on any wire. Hosts tells
// what each port plays and which verdict a right scan gives it: tests hold
// scans against it, people learn from it.
//
// Everything runs over real sockets and answers byte for byte as the programs
// do, as far as a scanner ever gets: the HTTP front of a license manager, the
// first answer of a database. Nothing received is executed, stored or logged.
//
// # Design
//
// Bounds. A service holds 16 connections at a time, the next wait in the
// kernel's backlog; a connection ends after a minute and 64 KiB read. Only
// prefixes inside 127.0.0.0/8 are accepted: whoever can reach the lab is on
// this machine.
//
// A box that accepts connections on every port has to listen on each of the
// 40,001 ports from which a scanner may draw one that should be closed. That
// was measured as 3 KB of kernel memory a port and half a second for 18,000 of
// them, and it needs more descriptors than many unprivileged processes may
// have. Hence it is there on request only (Config.Everywhere), and two boxes
// stand for the kind otherwise: one that closes every connection at once, as a
// forward to a dead server does, and one that gives the same block page to
// whatever comes.
//
// The answer of a license manager to the search datagram on 1947/udp is not
// public. The lab answers in the layout of the search itself; that a real one
// does is an assumption, here as in the scanner.
//
// The Go server is net/http itself; nginx is played inside a real TLS session
// of crypto/tls, hence with nginx's words but not its TLS stack.
package lab
