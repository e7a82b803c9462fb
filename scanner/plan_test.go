package scanner

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go4.org/netipx"

	"dormant/registry"
)

func prefixes(t testing.TB, in ...string) []netip.Prefix {
	t.Helper()
	var all []netip.Prefix
	for _, s := range in {
		all = append(all, netip.MustParsePrefix(s))
	}
	return all
}

func ports(in ...string) []registry.Port {
	var all []registry.Port
	for _, s := range in {
		var p registry.Port
		if err := p.UnmarshalText([]byte(s)); err != nil {
			panic(err) // a test's own literal
		}
		all = append(all, p)
	}
	return all
}

func mustPlan(t testing.TB, seed uint64, ports []registry.Port, in ...string) *Plan {
	t.Helper()
	p, err := NewPlan(prefixes(t, in...), ports, seed)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPlanIsABijection(t *testing.T) {
	dozen := ports("475/tcp", "1947/tcp", "3047/tcp", "3588/tcp", "3712/tcp", "5093/tcp",
		"475/udp", "1947/udp", "3047/udp", "3588/udp", "3712/udp", "5093/udp")
	for _, tt := range []struct {
		name     string
		prefixes []string
		ports    []registry.Port
		want     uint64
	}{
		{"one target", []string{"10.0.0.9/32"}, ports("1947/tcp"), 1},
		{"two targets", []string{"10.0.0.8/31"}, ports("1947/tcp"), 2},
		{"a power of four", []string{"10.0.0.0/28"}, ports("1947/tcp"), 16},
		{"one above a power of four", []string{"10.0.0.0/28", "10.0.1.0/32"}, ports("1947/tcp"), 17},
		{"both families, unsorted", []string{"fd00::ff00/120", "10.0.2.0/24", "10.0.0.0/30", "fd00::/127"}, dozen, (256 + 256 + 4 + 2) * 12},
		{"the last addresses", []string{"255.255.255.254/31", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffc/126"}, dozen, 6 * 12},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for seed := range uint64(5) {
				p := mustPlan(t, seed*goldenGamma, tt.ports, tt.prefixes...)
				if p.Len() != tt.want {
					t.Fatalf("Len = %d, want %d", p.Len(), tt.want)
				}
				seen := map[Target]bool{}
				for i := range p.Len() {
					target := p.At(i)
					if seen[target] {
						t.Fatalf("seed %d: %v twice", seed, target)
					}
					seen[target] = true
					j, ok := p.Index(target)
					if !ok || p.natural(j) != target || p.order.invert(j) != i {
						t.Fatalf("seed %d: At(%d) = %v, Index = %d, %v; natural(Index) = %v", seed, i, target, j, ok, p.natural(j))
					}
				}
			}
		})
	}
}

func TestPlanShardsAreDisjointAndComplete(t *testing.T) {
	p := mustPlan(t, 7, ports("1947/tcp", "1947/udp"), "10.0.0.0/24", "10.0.7.0/29")
	const shards = 3
	seen := map[Target]int{}
	for shard := range uint64(shards) {
		for i := shard; i < p.Len(); i += shards {
			seen[p.At(i)]++
		}
	}
	if uint64(len(seen)) != p.Len() {
		t.Errorf("shards hold %d targets, want %d", len(seen), p.Len())
	}
	for target, n := range seen {
		if n != 1 {
			t.Errorf("%v is in %d shards", target, n)
		}
	}
}

// TestPlanOrderSpreads holds the order against what a shuffle gives: of 256
// addresses × 12 ports, neighbours in time share an address about once in 256.
func TestPlanOrderSpreads(t *testing.T) {
	for seed := range uint64(8) {
		var all []registry.Port
		for n := range uint16(12) {
			all = append(all, registry.Port{Number: 1000 + n, Proto: registry.TCP})
		}
		p := mustPlan(t, seed, all, "10.0.0.0/24")
		same := 0
		for i := range p.Len() - 1 {
			if p.At(i).Addr == p.At(i+1).Addr {
				same++
			}
		}
		if same > 36 { // expected 12; 36 is seven standard deviations off
			t.Errorf("seed %d: %d neighbours share an address, want about 12 of %d", seed, same, p.Len())
		}
	}
}

func TestPlanSortedNaturalOrder(t *testing.T) {
	p := mustPlan(t, 1, ports("5093/udp", "1947/udp", "1947/tcp"), "fd00::/126", "10.0.0.0/30", "9.0.0.0/32")
	var got []Target
	for j := range p.Len() {
		got = append(got, p.natural(j))
	}
	if !slices.IsSortedFunc(got, Target.Compare) {
		t.Errorf("natural order is not sorted: %v", got)
	}
	want := slices.Collect(p.Addresses())
	if uint64(len(want)) != p.NumAddrs() {
		t.Errorf("Addresses yields %d, NumAddrs = %d", len(want), p.NumAddrs())
	}
	for k, addr := range want {
		if i, ok := p.AddrIndex(addr); !ok || i != uint64(k) {
			t.Errorf("AddrIndex(%v) = %d, %v; want %d", addr, i, ok, k)
		}
	}
}

func TestPlanIndexRefuses(t *testing.T) {
	p := mustPlan(t, 1, ports("1947/tcp"), "10.0.0.4/30", "10.0.0.16/30", "fd00::/126")
	for _, tt := range []struct{ addr, port string }{
		{"10.0.0.3", "1947/tcp"}, {"10.0.0.8", "1947/tcp"}, {"10.0.0.20", "1947/tcp"}, {"0.0.0.0", "1947/tcp"},
		{"255.255.255.255", "1947/tcp"}, {"10.0.0.5", "1947/udp"}, {"10.0.0.5", "1946/tcp"},
		{"fd00::4", "1947/tcp"}, {"fd00::1%eth0", "1947/tcp"}, {"::", "1947/tcp"}, {"::ffff:10.0.0.5", "1947/tcp"},
	} {
		target := Target{Addr: netip.MustParseAddr(tt.addr), Port: ports(tt.port)[0]}
		if j, ok := p.Index(target); ok {
			t.Errorf("Index(%v) = %d, true; want false", target, j)
		}
	}
	if _, ok := p.AddrIndex(netip.Addr{}); ok {
		t.Error("AddrIndex(zero) = true, want false")
	}
}

func TestPlanErrors(t *testing.T) {
	one := ports("1947/tcp")
	for _, tt := range []struct {
		name     string
		prefixes []netip.Prefix
		ports    []registry.Port
		want     string
	}{
		{"no prefix", nil, one, "no address"},
		{"no port", prefixes(t, "10.0.0.0/24"), nil, "no port"},
		{"too large", prefixes(t, "10.0.0.0/8", "64.0.0.0/2"), one, "at most 1073741824 targets"},
		{"too large in IPv6", prefixes(t, "fd00::/64"), one, "at most"},
		{"largest IPv6", prefixes(t, "::/0"), one, "at most"},
		{"overlap", prefixes(t, "10.0.0.0/24", "10.0.0.128/25"), one, "overlap"},
		{"host bits", prefixes(t, "10.0.0.1/24"), one, "masked"},
		{"mapped", prefixes(t, "::ffff:10.0.0.0/120"), one, "IPv4 or IPv6"},
		{"port 0", prefixes(t, "10.0.0.0/24"), []registry.Port{{Proto: registry.TCP}}, "want 1 to 65535"},
		{"no transport", prefixes(t, "10.0.0.0/24"), []registry.Port{{Number: 1}}, "tcp or udp"},
		{"port twice", prefixes(t, "10.0.0.0/24"), ports("1/tcp", "1/tcp"), "twice"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := NewPlan(tt.prefixes, tt.ports, 1); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("NewPlan = %v, want an error with %q", err, tt.want)
			}
		})
	}
}

func TestPlanHash(t *testing.T) {
	a := mustPlan(t, 1, ports("1947/tcp", "475/udp"), "10.0.0.0/24", "10.0.2.0/24").Hash()
	for _, tt := range []struct {
		name string
		plan *Plan
		same bool
	}{
		{"other order of the same", mustPlan(t, 1, ports("475/udp", "1947/tcp"), "10.0.2.0/24", "10.0.0.0/24"), true},
		{"seed", mustPlan(t, 2, ports("1947/tcp", "475/udp"), "10.0.0.0/24", "10.0.2.0/24"), false},
		{"port", mustPlan(t, 1, ports("1947/tcp", "475/tcp"), "10.0.0.0/24", "10.0.2.0/24"), false},
		{"prefix", mustPlan(t, 1, ports("1947/tcp", "475/udp"), "10.0.0.0/24", "10.0.3.0/24"), false},
	} {
		if got := tt.plan.Hash(); (got == a) != tt.same {
			t.Errorf("%s: hash %s, want same %v as %s", tt.name, got, tt.same, a)
		}
	}
}

// FuzzPlan cuts random prefixes out of a random range and checks that no target
// of the plan stands in what was cut out, by the algebra of netipx.
func FuzzPlan(f *testing.F) {
	f.Add(uint64(1), uint8(24), uint8(30), uint32(0x0a000000))
	f.Add(uint64(9), uint8(20), uint8(32), uint32(0xfffffff0))
	f.Fuzz(func(t *testing.T, seed uint64, bits, hole uint8, base uint32) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], base)
		whole := netip.PrefixFrom(netip.AddrFrom4(b), 20+int(bits%13)).Masked()
		var set netipx.IPSetBuilder
		var holes []netip.Prefix
		set.AddPrefix(whole)
		for range 4 {
			h := netip.PrefixFrom(add(whole.Addr(), rnd.Uint64N(size(whole))), 20+int(hole%13)).Masked()
			holes = append(holes, h)
			set.RemovePrefix(h)
		}
		rest, err := set.IPSet()
		if err != nil || len(rest.Prefixes()) == 0 {
			return
		}
		p, err := NewPlan(rest.Prefixes(), ports("1947/tcp", "5093/udp", "475/tcp"), seed)
		if err != nil {
			t.Fatal(err)
		}
		seen := make([]bool, p.Len())
		for i := range p.Len() {
			target := p.At(i)
			if !rest.Contains(target.Addr) || slices.ContainsFunc(holes, func(h netip.Prefix) bool { return h.Contains(target.Addr) }) {
				t.Fatalf("At(%d) = %v is excluded by %v", i, target, holes)
			}
			j, ok := p.Index(target)
			if !ok || seen[j] || p.order.invert(j) != i {
				t.Fatalf("At(%d) = %v: Index = %d, %v; seen %v", i, target, j, ok, seen[j])
			}
			seen[j] = true
		}
	})
}

func TestPlanAtAllocatesNothing(t *testing.T) {
	p := mustPlan(t, 3, ports("1947/tcp", "1947/udp"), "10.0.0.0/16", "10.2.0.0/17", "fd00::/112")
	i := uint64(0)
	got := testing.AllocsPerRun(1000, func() {
		if _, ok := p.Index(p.At(i % p.Len())); !ok {
			t.Fatal("lost a target")
		}
		i++
	})
	if d := cmp.Diff(0.0, got); d != "" {
		t.Errorf("allocations per At and Index (-want +got):\n%s", d)
	}
}

func BenchmarkPlanAt(b *testing.B) {
	p := mustPlan(b, 3, ports("1947/tcp", "1947/udp"), "10.0.0.0/16", "10.2.0.0/17", "fd00::/112")
	b.ReportAllocs()
	i := uint64(0)
	for b.Loop() {
		p.At(i % p.Len())
		i++
	}
}

func TestPlaceIsTheInverseOfAt(t *testing.T) {
	p := mustPlan(t, 3, twelve(), "10.0.0.0/25", "fd00::/124")
	for i := range p.Len() {
		if place, ok := p.Place(p.At(i)); !ok || place != i {
			t.Fatalf("Place(At(%d)) = %d, %v", i, place, ok)
		}
	}
	if _, ok := p.Place(Target{Addr: netip.MustParseAddr("10.0.1.0"), Port: twelve()[0]}); ok {
		t.Error("a target outside the plan has a place")
	}
}
