// Package fakenet is an in-memory network for tests: a scanner.Backend that
// answers after a round-trip time, loses, duplicates, limits its ICMP errors
// and keeps silent as real networks do.
//
// # Design
//
// A fake, not a mock: it has behaviour and no expectations. What a test wants
// to know afterwards it reads from Sent and from the summary of the run. Time
// is that of package time, so under testing/synctest a whole sweep costs no
// real time and ends at an exact moment. All chance comes from one
// seed, see SetSeed.
package fakenet
