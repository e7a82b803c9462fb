package ways

import (
	"errors"
	"net/netip"
	"testing"
)

// Of many routes a few are looked at each time, and all of them in turn.
func TestLookInTurn(t *testing.T) {
	asked := map[netip.Addr]int{}
	w := &Watch{ways: map[Way]netip.Addr{}, astray: map[Way]change{}}
	w.route = func(addr netip.Addr) (Way, error) {
		asked[addr]++
		return Way{}, errors.New("no route")
	}
	const count = 3*maxLooks/2 + 1
	for n := range byte(count) {
		w.ways[Way{Index: 7, Gateway: netip.AddrFrom4([4]byte{10, 1, 0, n})}] = netip.AddrFrom4([4]byte{10, 2, 0, n})
	}
	w.ways[Way{Index: 8}] = netip.Addr{} // link-local targets: there is no route to ask for
	w.lookAtRoutes()
	if len(asked) != maxLooks {
		t.Errorf("%d routes looked at the first time, want %d", len(asked), maxLooks)
	}
	w.lookAtRoutes()
	if len(asked) != count || len(w.astray) != count {
		t.Errorf("%d routes looked at and %d found astray after two times, want all %d", len(asked), len(w.astray), count)
	}
}
