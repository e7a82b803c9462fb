// Package fingerprint finds out what is behind an open port. An Identifier
// holds the dialogue and returns Evidence, the bytes as they were; Rules turn
// evidence into a Verdict. Judging is pure: stored evidence can be judged again
// by newer rules without a packet.
package fingerprint
