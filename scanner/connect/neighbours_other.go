//go:build !linux

package connect

import "net/netip"

// NoNeighbour reports whether addr is on-link and the kernel asks for it, or
// asked lately, in vain. This system's kernel is not asked.
func NoNeighbour(netip.Addr) bool { return false }
