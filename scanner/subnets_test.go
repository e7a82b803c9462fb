package scanner_test

import (
	"math"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"dormant/scanner"
	"dormant/scanner/fakenet"
)

// TestExcludedIsInTheSubnets: what was taken off the targets is told where it
// would have been, in a subnet of its own where nothing is left.
func TestExcludedIsInTheSubnets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ranges, err := scanner.ParseRanges(t.Context(), scanner.RangeSpec{
			Targets: []string{"10.0.0.0/20", "fd00::/119", "2001:db8::/32"},
			Exclude: []string{"10.0.1.7", "10.0.1.16/28", "10.0.4.0/22", "10.0.9.0/24", "172.16.0.0/12", "fd00::100/120", "2001:db8::/32"},
		})
		if err != nil {
			t.Fatal(err)
		}
		p, err := ranges.Plan(dozen(), 1)
		if err != nil {
			t.Fatal(err)
		}
		_, s, err := run(t, t.Context(), fakenet.New(nil, time.Millisecond), scanner.Config{Rate: 1e6, HostRate: 1e6, Subnets: true}, p)
		if err != nil {
			t.Fatal(err)
		}
		s.Exclude(ranges.ExcludedPrefixes(), len(p.Ports()))
		var want []scanner.Subnet
		add := func(prefix string, targets, addresses uint64) {
			want = append(want, scanner.Subnet{Prefix: netip.MustParsePrefix(prefix), Targets: 12 * targets, Probed: 12 * targets,
				Excluded: 12 * addresses, ExcludedAddresses: addresses})
		}
		add("10.0.0.0/24", 256, 0)
		add("10.0.1.0/24", 239, 17)
		add("10.0.2.0/24", 256, 0)
		add("10.0.3.0/24", 256, 0)
		add("10.0.4.0/22", 0, 1024)
		add("10.0.8.0/24", 256, 0)
		add("10.0.9.0/24", 0, 256)
		for _, last := range []string{"10", "11", "12", "13", "14", "15"} {
			add("10.0."+last+".0/24", 256, 0)
		}
		want = append(want, scanner.Subnet{Prefix: netip.MustParsePrefix("2001:db8::/32"), Excluded: math.MaxUint64, ExcludedAddresses: 1 << 63})
		add("fd00::/120", 256, 0)
		add("fd00::100/120", 0, 256)
		if d := cmp.Diff(want, s.Subnets, cmpopts.EquateComparable(netip.Prefix{})); d != "" {
			t.Errorf("subnets (-want +got):\n%s", d)
		}
	})
}
