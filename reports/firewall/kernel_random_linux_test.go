package firewall

import (
	"maps"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"testing"

	"dormant/registry"
)

// randomFlows makes flows between the few addresses and ports that the random
// rules speak of, each only once in a test.
func randomFlows(r *rand.Rand, mark uint8, n int, six bool, used map[flow]bool) []flow {
	var out []flow
	for len(out) < n {
		f := flow{proto: registry.TCP}
		if r.IntN(2) == 0 {
			f.proto = registry.UDP
		}
		src, dst := netip.AddrFrom4([4]byte{10, 1, 0, byte(r.IntN(16))}), netip.AddrFrom4([4]byte{10, 2, 0, byte(r.IntN(16))})
		if six && r.IntN(3) == 0 {
			src = netip.AddrFrom16([16]byte{0xfd, 1, 15: byte(r.IntN(16))})
			dst = netip.AddrFrom16([16]byte{0xfd, 2, 15: byte(r.IntN(16))})
		}
		f.src = netip.AddrPortFrom(src, uint16(1024+r.IntN(64000)))
		f.dst = netip.AddrPortFrom(dst, pick(r, dports()))
		if used[f] {
			continue
		}
		used[f] = true
		f.mark, f.id = mark, uint32(len(used))
		out = append(out, f)
	}
	return out
}

func dports() []uint16 { return []uint16{475, 1947, 1946, 3047, 5093, 5100} }

func pick[T any](r *rand.Rand, list []T) T { return list[r.IntN(len(list))] }

// rounds is how many loads of sixty rule sets a test makes: DORMANT_KERNEL_ROUNDS
// or the default.
func rounds(t *testing.T, byDefault int) int {
	if s := os.Getenv("DORMANT_KERNEL_ROUNDS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatalf("DORMANT_KERNEL_ROUNDS=%q: want a number", s)
		}
		return n
	}
	return byDefault
}

// seed is DORMANT_KERNEL_SEED or a new one, which is logged.
func seed(t *testing.T) *rand.Rand {
	n := rand.Uint64()
	if s := os.Getenv("DORMANT_KERNEL_SEED"); s != "" {
		var err error
		if n, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatalf("DORMANT_KERNEL_SEED=%q: want a number", s)
		}
	}
	t.Logf("DORMANT_KERNEL_SEED=%d", n)
	return rand.New(rand.NewPCG(n, 0))
}

// program skips the test, or fails it, where a program is missing.
func program(t *testing.T, name string) {
	t.Helper()
	if _, err := exec.LookPath(name); err == nil {
		return
	}
	if os.Getenv("DORMANT_REQUIRE_PROGRAMS") != "" {
		t.Fatalf("%s is not installed, and DORMANT_REQUIRE_PROGRAMS is set", name)
	}
	t.Skipf("%s is not installed", name)
}

// report logs the score and fails a model that evades. What may be translated
// is unknown more often.
func (s *score) report(t *testing.T, nat bool) {
	t.Helper()
	limit := 15.0 // %
	if nat {
		limit = 40
	}
	share := func(n, of int) float64 { return 100 * float64(n) / float64(max(of, 1)) }
	t.Logf("%d rule sets, %d packets (%.1f %% unknown), %d flows (%.1f %% unknown), %d disagreements, %d packets sent twice",
		s.sets, s.packets, share(s.unknown, s.packets), s.flows, share(s.unknownFlows, s.flows), s.wrong, s.again)
	for _, why := range slices.SortedFunc(maps.Keys(s.why), func(a, b string) int { return s.why[b] - s.why[a] })[:min(len(s.why), 8)] {
		t.Logf("%6d unknown: %s", s.why[why], why)
	}
	if s.packets == 0 || share(s.unknown, s.packets) > limit {
		t.Errorf("%d of %d packets are unknown: want less than %v %%", s.unknown, s.packets, limit)
	}
}
