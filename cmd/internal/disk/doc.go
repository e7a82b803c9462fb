// Package disk is what journals need of a disk: records whose torn end is seen,
// files that are replaced as a whole, and a lock that goes with the process.
//
// # Design
//
// A record is its length, a CRC-32C and its body. An append-only file of such
// records can be cut at any byte by a kill: what is whole is known to be, and
// the rest is known not to be. The checkpoints of a scan and the spool of an
// agent are such files.
package disk
