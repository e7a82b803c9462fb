// Package doctor says whether a scan can run on this host, by which backend,
// and what to do about what stands in its way. It sends nothing beyond
// loopback: one connect to a closed port of 127.0.0.1.
//
// Gather collects the facts, Examine turns them into checks and is pure, so
// that every verdict has a row in a table test.
//
// # Design
//
// "fail" is kept for what stops every scan or makes its results wrong: only
// then does the command exit with 4. What costs speed, coverage or comfort is
// "warn". What could not be looked at is "skip" and says why; it is never
// counted as good.
//
// The rules of the local firewall are counted, not interpreted. A base chain
// whose policy is to drop is worth a warning, and a list of rules is for a
// person to read.
package doctor
