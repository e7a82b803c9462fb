package main

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"dormant/registry"
	"dormant/scanner"
)

// TestMergeIsRight draws plans, shard counts and subsets of the shards, and
// holds the proof against counting every target.
func TestMergeIsRight(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		ports := []registry.Port{{Number: 1, Proto: registry.TCP}, {Number: 2, Proto: registry.UDP}, {Number: 3, Proto: registry.TCP}}[:1+rnd.IntN(3)]
		prefix := netip.PrefixFrom(netip.MustParseAddr("10.0.0.0"), 32-rnd.IntN(6))
		plan, err := scanner.NewPlan([]netip.Prefix{prefix}, ports, rnd.Uint64())
		if err != nil {
			t.Fatal(err)
		}
		shards := 1 + rnd.Uint64N(9)
		times := make([]int, plan.Len())
		var parts []part
		for i := range shards {
			for range rnd.IntN(6)/2*rnd.IntN(2)*rnd.IntN(2) + min(1, rnd.IntN(12)) {
				p := part{name: "x", plan: plan.Hash(), shard: shardValue{i + 1, shards}, whole: plan.Len(), complete: true}
				for place := i; place < plan.Len(); place += shards { // as the engine walks
					j, _ := plan.Index(plan.At(place))
					times[j]++
					p.targets++
				}
				parts = append(parts, p)
			}
		}
		if len(parts) == 0 {
			continue
		}
		twice, never := false, false
		for _, n := range times {
			twice, never = twice || n > 1, never || n == 0
		}
		missing, err := merge(parts)
		if err == nil && twice || err == nil && len(missing) == 0 && never {
			t.Errorf("%d of %d shards of %d targets: merge = %q, %v; but twice %t, never %t", len(parts), shards, plan.Len(), missing, err, twice, never)
		}
		if err == nil && len(missing) == 0 && uint64(len(parts)) != shards {
			t.Errorf("%d of %d shards are called whole", len(parts), shards)
		}
	}
}

func TestMergeSaysWhatIsWrong(t *testing.T) {
	shard := func(i, n uint64) part {
		return part{name: "m", plan: "p", shard: shardValue{i, n}, whole: 10, targets: shardSize(10, shardValue{i, n}), complete: true}
	}
	with := func(p part, change func(*part)) part {
		change(&p)
		return p
	}
	of := func(whole uint64, p part) part {
		p.whole, p.targets = whole, whole/p.shard.Count
		return p
	}
	for _, tt := range []struct {
		name  string
		parts []part
		apart bool
		want  string // in what is said, "" for whole
	}{
		{"whole", []part{shard(2, 3), shard(1, 3), shard(3, 3)}, false, ""},
		{"a target each", []part{of(2, shard(1, 2)), of(2, shard(2, 2))}, false, ""},
		{"one is all", []part{shard(1, 1)}, false, ""},
		{"more shards than targets", []part{shard(12, 12)}, false, "shards 1 to 11 of 12 are missing"},
		{"missing", []part{shard(1, 3), shard(2, 3)}, false, "shard 3/3 is missing"},
		{"missing here and there", []part{shard(2, 7), shard(4, 7)}, false, "shard 1/7 is missing; shard 3/7 is missing; shards 5 to 7 of 7 are missing"},
		{"incomplete", []part{shard(1, 2), with(shard(2, 2), func(p *part) { p.complete, p.why = false, []string{"interrupted"} })}, false, "incomplete (interrupted)"},
		{"twice", []part{shard(1, 2), shard(1, 2)}, true, "both shard 1/2"},
		{"other plan", []part{shard(1, 2), with(shard(2, 2), func(p *part) { p.plan = "q" })}, true, "another plan"},
		{"other count", []part{shard(1, 2), shard(2, 3)}, true, "one of 3 shards"},
		{"wrong size", []part{with(shard(1, 2), func(p *part) { p.targets = 4 })}, true, "has 5"},
	} {
		missing, err := merge(tt.parts)
		said := strings.Join(missing, "; ")
		if err != nil {
			said = err.Error()
		}
		if errors.Is(err, errApart) != tt.apart || !strings.Contains(said, tt.want) || tt.want == "" && said != "" {
			t.Errorf("%s: said %q; want %q, apart %t", tt.name, said, tt.want, tt.apart)
		}
	}
}

func TestEstimateOfParts(t *testing.T) {
	one, two := part{estimate: &scanner.Estimate{First: 10, Second: 9, Both: 8}}, part{estimate: &scanner.Estimate{First: 5, Second: 5, Both: 4}}
	if got, want := together([]part{one, two}), scanner.Chapman(15, 14, 12); got == nil || *got != want {
		t.Errorf("together = %+v, want %+v", got, want)
	}
	if got := together([]part{one, {}}); got != nil {
		t.Errorf("together = %+v; want none, when a part has none", got)
	}
}
