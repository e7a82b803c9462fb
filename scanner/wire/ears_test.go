//go:build linux

package wire

import (
	"testing"

	"github.com/vishvananda/netlink"
)

// What comes in on a port of a bond or bridge belongs to that; an interface of a VRF
// keeps its own, so answers are listened for on it.
func TestPartOf(t *testing.T) {
	links := []netlink.Link{
		&netlink.Bond{LinkAttrs: netlink.LinkAttrs{Index: 2}},
		&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Index: 3}},
		&netlink.Vrf{LinkAttrs: netlink.LinkAttrs{Index: 4}},
	}
	for master, want := range []bool{2: true, 3: true, 4: false, 5: false} {
		if got := partOf(links, master); got != want {
			t.Errorf("part of master %d: %v, want %v", master, got, want)
		}
	}
}
