package firewall

import (
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go4.org/netipx"
)

// randomAddrs is a set of a few ranges among 4,096 addresses on both sides of a
// /20, in both families, and the same as netipx makes it.
func randomAddrs(t *testing.T, r *rand.Rand) (Addrs, *netipx.IPSet) {
	t.Helper()
	var b netipx.IPSetBuilder
	var spans []Span[netip.Addr]
	for range r.IntN(8) {
		base := addr4(0xffffe000)
		if r.IntN(2) == 0 {
			base = netip.MustParseAddr("::")
		}
		first, last := nth(base, r.IntN(4096)), nth(base, r.IntN(4096))
		if base.Is4() && r.IntN(8) == 0 {
			last = netip.MustParseAddr("255.255.255.255") // the end of the line
		}
		spans = append(spans, Span[netip.Addr]{first, last})
		b.AddRange(netipx.IPRangeFrom(first, last)) // nothing, where it ends before it begins
	}
	set, err := b.IPSet()
	if err != nil && set == nil {
		t.Fatal(err)
	}
	return NewSet(spans...), set
}

func nth(a netip.Addr, n int) netip.Addr {
	b := a.AsSlice()
	b[len(b)-1] += byte(n)
	b[len(b)-2] += byte(n >> 8)
	out, _ := netip.AddrFromSlice(b)
	return out
}

// TestSetsAgainstNetipx holds the algebra against the one of netipx.
func TestSetsAgainstNetipx(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	ranges := func(s Addrs) (out []netipx.IPRange) {
		for _, span := range s.Spans() {
			out = append(out, netipx.IPRangeFrom(span.First, span.Last))
		}
		return out
	}
	for range 3000 {
		a, wantA := randomAddrs(t, r)
		b, wantB := randomAddrs(t, r)
		build := func(f func(x *netipx.IPSetBuilder)) []netipx.IPRange {
			var x netipx.IPSetBuilder
			x.AddSet(wantA)
			f(&x)
			set, err := x.IPSet()
			if err != nil {
				t.Fatal(err)
			}
			return set.Ranges()
		}
		for name, pair := range map[string][2][]netipx.IPRange{
			"set":       {ranges(a), wantA.Ranges()},
			"union":     {ranges(a.Union(b)), build(func(x *netipx.IPSetBuilder) { x.AddSet(wantB) })},
			"intersect": {ranges(a.Intersect(b)), build(func(x *netipx.IPSetBuilder) { x.Intersect(wantB) })},
			"subtract":  {ranges(a.Subtract(b)), build(func(x *netipx.IPSetBuilder) { x.RemoveSet(wantB) })},
		} {
			if len(pair[0]) == 0 && len(pair[1]) == 0 {
				continue
			}
			if d := cmp.Diff(pair[1], pair[0], cmp.Comparer(func(x, y netipx.IPRange) bool { return x == y })); d != "" {
				t.Fatalf("%s of %v and %v (-want +got):\n%s", name, AddrWords(a), AddrWords(b), d)
			}
		}
		if x := netip.MustParseAddr("::7:0"); a.Contains(x) != wantA.Contains(x) {
			t.Fatalf("Contains(%v) = %t", x, a.Contains(x))
		}
	}
}

func TestAddrWords(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want []string
	}{
		{"any", []string{"any"}},
		{"0.0.0.0/0", []string{"0.0.0.0/0"}},
		{"10.0.0.9", []string{"10.0.0.9"}},
		{"10.0.0.0/9,10.128.0.0/9", []string{"10.0.0.0/8"}},
		{"10.0.0.1-10.0.0.9, fd00::/8", []string{"10.0.0.1-10.0.0.9", "fd00::/8"}},
		{"10.1.2.3/16", []string{"10.1.0.0/16"}},
	} {
		set, ok := ParseAddrs(tt.in)
		if d := cmp.Diff(tt.want, AddrWords(set)); d != "" || !ok {
			t.Errorf("%q, ok %t (-want +got):\n%s", tt.in, ok, d)
		}
	}
	for _, bad := range []string{"", "10.0.0", "10.0.0.9-10.0.0.1", "10.0.0.1-::1", "fe80::1%eth0", "::ffff:10.0.0.0/104", "host", "10.0.0.0/33", "10.0.0.1,"} {
		if _, ok := ParseAddrs(bad); ok {
			t.Errorf("ParseAddrs(%q) takes it", bad)
		}
	}
}

// FuzzAddrs: what is written reads as the same set.
func FuzzAddrs(f *testing.F) {
	for _, s := range []string{"any", "10.0.0.1-10.0.0.9,10.0.0.10", "fd00::/8", "0.0.0.0/0,::/0", "255.255.255.255"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		set, ok := ParseAddrs(s)
		if !ok {
			return
		}
		var again Addrs
		for _, w := range AddrWords(set) {
			one, ok := ParseAddrs(w)
			if !ok {
				t.Fatalf("%q is written as %q, which does not read", s, w)
			}
			again = again.Union(one)
		}
		if !again.Equal(set) {
			t.Fatalf("%q comes back as %v", s, AddrWords(again))
		}
	})
}

// TestBoxes: the pieces of a subtraction are disjoint, outside of what was
// taken away, and together with the intersection the whole.
func TestBoxes(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	ports := func() Ports {
		a := Port(r.IntN(6))
		return NewSet(Span[Port]{a, a + Port(r.IntN(4))})
	}
	addrs := func() Addrs {
		a := addr4(uint32(r.IntN(6)))
		return NewSet(Span[netip.Addr]{a, addr4(uint32(r.IntN(8)))})
	}
	box := func() Box { return Box{Protos(1 + r.IntN(3)), addrs(), addrs(), ports(), ports()} }
	has := func(b Box, p Protos, src, dst netip.Addr, sport, dport Port) bool {
		return b.Protos&p != 0 && b.Src.Contains(src) && b.Dst.Contains(dst) && b.SrcPorts.Contains(sport) && b.DstPorts.Contains(dport)
	}
	for range 300 {
		a, b := box(), box()
		both, rest := a.Intersect(b), a.Subtract(b)
		for range 300 {
			p, src, dst := Protos(1+r.IntN(2)), addr4(uint32(r.IntN(8))), addr4(uint32(r.IntN(8)))
			sport, dport := Port(r.IntN(9)), Port(r.IntN(9))
			inA, inB := has(a, p, src, dst, sport, dport), has(b, p, src, dst, sport, dport)
			n := 0
			for _, piece := range rest {
				if has(piece, p, src, dst, sport, dport) {
					n++
				}
			}
			want := 0
			if inA && !inB {
				want = 1
			}
			if n != want || has(both, p, src, dst, sport, dport) != (inA && inB) {
				t.Fatalf("a packet in a %t, in b %t is in %d pieces of a - b and in a & b: %t", inA, inB, n, has(both, p, src, dst, sport, dport))
			}
		}
	}
}
