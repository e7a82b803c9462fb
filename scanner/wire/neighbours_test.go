package wire

import (
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// TestNeighbours holds the table against a map, at every degree of fullness.
func TestNeighbours(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for n := range 200 {
		known, frequency, most := map[netip.Addr][6]byte{}, map[[6]byte]uint64{}, uint64(0)
		for range n {
			addr, mac := randomAddr(r, r.IntN(2) == 0), [6]byte{2, byte(r.IntN(n))}
			known[addr] = mac
			if frequency[mac]++; frequency[mac] > 1 {
				most = max(most, frequency[mac])
			}
		}
		table := newNeighbours(known)
		if d := cmp.Diff(known, table.all(), cmpopts.EquateComparable(netip.Addr{})); d != "" {
			t.Fatalf("table of %d (-want +got):\n%s", n, d)
		}
		for addr, mac := range known {
			if got := table.of(addr); string(got) != string(mac[:]) {
				t.Fatalf("table of %d: %v has %v, want %v", n, addr, got, mac)
			}
		}
		for range 20 {
			if addr := randomAddr(r, r.IntN(2) == 0); table.of(addr) != nil {
				t.Fatalf("table of %d: %v has %v, which is not in it", n, addr, table.of(addr))
			}
		}
		if table.count != uint64(len(known)) || table.most != most || most > 0 && frequency[table.mac] != most {
			t.Fatalf("table of %d: %d addresses, %d of %v; want %d and %d", n, table.count, table.most, table.mac, len(known), most)
		}
	}
}
