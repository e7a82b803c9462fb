package scanner

import (
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go4.org/netipx"
)

func newGuard(t testing.TB, in ...string) *Guard {
	t.Helper()
	g, err := NewGuard(prefixes(t, in...))
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestGuardContains(t *testing.T) {
	g := newGuard(t, "10.0.0.4/30", "10.0.1.7/32", "fd00::10/124", "fd00::5/128", "fe80::1/128")
	for _, tt := range []struct {
		addr string
		want bool
	}{
		{"10.0.0.3", false}, {"10.0.0.4", true}, {"10.0.0.7", true}, {"10.0.0.8", false},
		{"10.0.1.6", false}, {"10.0.1.7", true}, {"10.0.1.8", false},
		{"fd00::f", false}, {"fd00::10", true}, {"fd00::1f", true}, {"fd00::20", false},
		{"fd00::4", false}, {"fd00::5", true}, {"fd00::6", false},
		{"::ffff:10.0.0.5", true}, {"::ffff:10.0.0.9", false}, {"fe80::1%eth0", true}, {"::", false},
	} {
		if got := g.Contains(netip.MustParseAddr(tt.addr)); got != tt.want {
			t.Errorf("Contains(%s) = %v, want %v", tt.addr, got, tt.want)
		}
	}
	if g.Contains(netip.Addr{}) {
		t.Error("Contains(zero) = true")
	}
}

// TestGuardAgreesWithNetipx is the second opinion: random sets, random addresses.
func TestGuardAgreesWithNetipx(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	random := func() netip.Addr {
		if rnd.IntN(2) == 0 {
			return netip.AddrFrom4([4]byte{10, 0, byte(rnd.UintN(4)), byte(rnd.UintN(256))})
		}
		return netip.AddrFrom16([16]byte{0: 0xfd, 14: byte(rnd.UintN(4)), 15: byte(rnd.UintN(256))})
	}
	var b netipx.IPSetBuilder
	for range 40 {
		addr := random()
		p := netip.PrefixFrom(addr, addr.BitLen()-rnd.IntN(8)).Masked()
		if b.AddPrefix(p); rnd.IntN(3) == 0 {
			b.Remove(random())
		}
	}
	set, err := b.IPSet()
	if err != nil {
		t.Fatal(err)
	}
	g, err := NewGuard(set.Prefixes())
	if err != nil {
		t.Fatal(err)
	}
	for range 5000 {
		if addr := random(); g.Contains(addr) != set.Contains(addr) {
			t.Fatalf("Contains(%v) = %v, netipx says %v", addr, g.Contains(addr), set.Contains(addr))
		}
	}
}

func TestGuardChecksThePlan(t *testing.T) {
	g := newGuard(t, "10.0.0.0/24")
	if err := g.Check(mustPlan(t, 1, ports("1947/tcp"), "10.0.0.0/25", "10.0.0.255/32")); err != nil {
		t.Errorf("a plan inside: %v", err)
	}
	err := g.Check(mustPlan(t, 1, ports("1947/tcp"), "10.0.0.0/25", "10.0.1.0/31"))
	if err == nil || !strings.Contains(err.Error(), "10.0.1.0 of 10.0.1.0/31 is not among the targets") {
		t.Errorf("a plan that reaches out: %v, want an error", err)
	}
}

// TestGuardLeavesTheTemporaryFolderAlone holds the worst trap shut: folders of
// others that carry the program's name survive, and nothing is left behind.
func TestGuardLeavesTheTemporaryFolderAlone(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(tmp, "x-"+strings.TrimSuffix(filepath.Base(program), filepath.Ext(program)))
	if err := os.Mkdir(other, 0o700); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-30 * 24 * time.Hour)
	if err := os.Chtimes(other, old, old); err != nil {
		t.Fatal(err)
	}
	newGuard(t, "10.0.0.0/24")
	if got := os.Getenv("TMPDIR"); got != tmp {
		t.Errorf("TMPDIR = %q after NewGuard, want %q", got, tmp)
	}
	left, err := os.ReadDir(tmp)
	if err != nil || len(left) != 1 || left[0].Name() != filepath.Base(other) {
		t.Errorf("temporary folder holds %v, %v; want only %s", left, err, other)
	}
}

func TestGuardErrors(t *testing.T) {
	if _, err := NewGuard([]netip.Prefix{netip.MustParsePrefix("10.0.0.1/24")}); err == nil {
		t.Error("a prefix with host bits is taken")
	}
	if _, err := NewGuard([]netip.Prefix{{}}); err == nil {
		t.Error("the zero prefix is taken")
	}
}

// A temporary folder that is not there is replaced, by one that leaves nothing
// behind either.
func TestGuardWithoutATemporaryFolder(t *testing.T) {
	cache := filepath.Join(t.TempDir(), "cache") // not there yet
	t.Setenv("XDG_CACHE_HOME", cache)
	t.Setenv("TMPDIR", filepath.Join(t.TempDir(), "missing"))
	g, err := NewGuard(prefixes(t, "10.0.0.0/24"))
	if err != nil {
		t.Fatal(err)
	}
	if !g.Contains(netip.MustParseAddr("10.0.0.9")) || g.Contains(netip.MustParseAddr("10.0.1.9")) {
		t.Error("the guard does not hold 10.0.0.0/24")
	}
	if left, err := os.ReadDir(cache); err != nil || len(left) > 0 {
		t.Errorf("the user's cache holds %v, %v; want nothing left there", left, err)
	}
	if got := os.Getenv("TMPDIR"); filepath.Base(got) != "missing" {
		t.Errorf("TMPDIR = %q after NewGuard", got)
	}
}

func BenchmarkGuardContains(b *testing.B) {
	g := newGuard(b, "10.0.0.0/16", "fd00::/112")
	addr := netip.MustParseAddr("10.0.77.5")
	b.ReportAllocs()
	for b.Loop() {
		g.Contains(addr)
	}
}
