package firewall

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// randomRules is a list of n random rules in chains, v4 and v6 networks of all
// widths among them.
func randomRules(r *rand.Rand, n int) string {
	var b strings.Builder
	b.WriteString("default: deny\nrules:\n")
	addr := func() string {
		switch r.IntN(6) {
		case 0:
			return "any"
		case 1:
			return fmt.Sprintf("10.%d.0.0/16", r.IntN(4))
		case 2:
			return fmt.Sprintf("[10.0.0.%d, 10.1.%d.0/24, 'fd00::%x']", r.IntN(8), r.IntN(4), r.IntN(4))
		case 3:
			return fmt.Sprintf("10.0.0.%d-10.0.1.%d", r.IntN(8), r.IntN(8))
		case 4:
			return fmt.Sprintf("'fd00::/%d'", 120+r.IntN(8))
		default:
			return fmt.Sprintf("10.0.0.%d", r.IntN(8))
		}
	}
	for i := range n {
		fmt.Fprintf(&b, "  - {id: r%d, action: %s, proto: %s, src: %s, dst: %s, dport: %s}\n", i, []string{"allow", "deny"}[r.IntN(2)],
			[]string{"tcp", "udp", "[tcp, udp]"}[r.IntN(3)], addr(), addr(), []string{"1947", "475", "'400-2000'", "any"}[r.IntN(4)])
	}
	return b.String()
}

// TestIndexLeavesNothingOut holds what an indexed chain says against what the
// same chain says when every rule is asked.
func TestIndexLeavesNothingOut(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for range 60 {
		rs, err := Parse("r.yaml", []byte(randomRules(r, 33+r.IntN(60))), Options{})
		if err != nil {
			t.Fatal(err)
		}
		c := rs.Chains[0]
		if c.index == nil {
			t.Fatal("the chain has no index")
		}
		plain := &Chain{Name: c.Name, Rules: c.Rules, Policy: c.Policy}
		for range 40 {
			box := Everything()
			if r.IntN(4) > 0 {
				box.Dst, _ = ParseAddrs([]string{"10.0.0.1", "10.0.0.7", "10.1.2.3", "fd00::1", "10.0.0.0/24", "10.2.0.0/15", "255.255.255.255", "::"}[r.IntN(8)])
			}
			if r.IntN(4) > 0 {
				box.Src, _ = ParseAddrs([]string{"10.0.0.2", "10.0.1.0/24", "fd00::/64", "0.0.0.0", "10.3.0.0/16"}[r.IntN(5)])
			}
			if d := cmp.Diff(effects(Judge([]*Chain{plain}, box, First)), effects(Judge([]*Chain{c}, box, First))); d != "" {
				t.Fatalf("%v (-every rule +indexed):\n%s", box, d)
			}
		}
		indexed, _ := Shadows(rs, Router)
		for _, c := range rs.Chains {
			c.index = nil
		}
		every, _ := Shadows(rs, Router)
		if d := cmp.Diff(every, indexed, cmpopts.EquateEmpty()); d != "" {
			t.Fatalf("shadows (-every rule +indexed):\n%s", d)
		}
	}
}

// effects is outcomes in a form that can be held against another.
func effects(all []Outcome) (out []string) {
	for _, o := range all {
		out = append(out, fmt.Sprint(o.Box, o.Effect, ruleName(o.Rule), o.Why))
	}
	return out
}

func ruleName(r *Rule) string {
	if r == nil {
		return "a policy"
	}
	return r.ID
}

// TestShadowsSayWhatIsLeft ends the search early, and every output says so.
func TestShadowsSayWhatIsLeft(t *testing.T) {
	var b strings.Builder
	b.WriteString("default: deny\nrules:\n")
	for i := range 100 {
		fmt.Fprintf(&b, "  - {id: r%d, action: allow, src: any, dst: any, dport: %d}\n", i, 1000+i%50)
	}
	rs := parsed(t, "r.yaml", b.String(), Options{})
	if all, left := Shadows(rs, Router); len(all) != 50 || left != 0 {
		t.Errorf("%d rules are shadowed, %d not looked at; want 50 and 0", len(all), left)
	}
	some, left := shadows(rs, Router, 3000)
	if left == 0 || left >= 100 || len(some) >= 50 {
		t.Errorf("with an early end: %d rules are shadowed, %d not looked at", len(some), left)
	}
	m, err := NewImpact(t.Context(), Question{Proposed: rs, Place: Router})
	if err != nil {
		t.Fatal(err)
	}
	m.Unsearched = left
	m.Headline = m.headline()
	want := fmt.Sprintf("%d rules were not looked at", left)
	for name, write := range Writers() {
		var out strings.Builder
		if err := write(&out, m); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(out.String(), want) && !strings.Contains(out.String(), fmt.Sprintf(`"rules_not_searched_for_shadows": %d`, left)) {
			t.Errorf("%s does not say %q:\n%s", name, want, out.String())
		}
	}
}
