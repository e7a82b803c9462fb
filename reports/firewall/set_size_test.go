package firewall

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// pairs is ipset save of a set with n random members of three parts.
func pairs(r *rand.Rand, name string, n int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "create %s hash:ip,port,net family inet\n", name)
	for range n {
		fmt.Fprintf(&b, "add %s 10.1.%d.%d,tcp:%d,10.2.%d.0/24\n", name, r.IntN(4), r.IntN(8), 1947+r.IntN(3), r.IntN(4))
	}
	return b.String()
}

// TestSplitLeavesNothingOut holds what a rule with an index of its boxes says
// against what it says without.
func TestSplitLeavesNothingOut(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	for range 20 {
		text := iptablesText("-A FORWARD -m set --match-set a src,dst,dst -j RETURN", "-A FORWARD -m set ! --match-set b src,dst,dst -j ACCEPT")
		rs, err := Parse("rules", []byte(text), Options{IPSets: []byte(pairs(r, "a", 300) + pairs(r, "b", 100))})
		if err != nil {
			t.Fatal(err)
		}
		chains := rs.Paths[Router].Request
		ask := func() (out [][]string) {
			for i := range 32 {
				service := target(t, fmt.Sprintf("10.2.%d.1:%d/tcp", i%4, 1947+i/4%4))
				box := Box{ProtoTCP, AnyIPv4(), oneAddr(service.Addr), clientPorts(), onePort(service.Port.Number)}
				out = append(out, effects(Judge(chains, box, First)))
			}
			return out
		}
		split := ask()
		n := 0
		for _, c := range rs.Chains {
			for _, rule := range c.Rules {
				if rule.parts != nil {
					n++
				}
				rule.parts = nil
			}
		}
		if n == 0 {
			t.Fatal("no rule is split")
		}
		if d := cmp.Diff(ask(), split); d != "" {
			t.Fatalf("(-every box +split):\n%s", d)
		}
	}
}

// TestSetsTooLargeTogether: two conditions on large sets of pairs in one rule are
// a doubt, and reading them takes no more than reading the sets.
func TestSetsTooLargeTogether(t *testing.T) {
	var a, b strings.Builder
	a.WriteString("create a hash:ip,port family inet\n")
	b.WriteString("create b hash:ip,port family inet\n")
	for i := range 3000 {
		fmt.Fprintf(&a, "add a 10.1.%d.%d,tcp:1947\n", i>>8, i&255)
		fmt.Fprintf(&b, "add b 10.2.%d.%d,tcp:1947\n", i>>8, i&255)
	}
	rs, err := Parse("rules", []byte(iptablesText("-A FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT",
		"-A FORWARD -m set --match-set a src,dst -m set --match-set b dst,dst -j ACCEPT")),
		Options{IPSets: []byte(a.String() + b.String())})
	if err != nil {
		t.Fatal(err)
	}
	client := netip.MustParseAddr("10.1.0.5")
	got := of(rs.Reach(Router, oneAddr(client), target(t, "10.2.0.1:1947/tcp")), client)
	want := []Reason{{Rule: "FORWARD:2", Line: 6, Text: "sets with 3000 and 3000 members of several parts at once"}}
	if d := cmp.Diff(want, got.Why); got.Effect != Unknown || d != "" {
		t.Errorf("%v, reasons (-want +got):\n%s", got.Effect, d)
	}
}

// TestImpactEndsWithItsContext: who interrupts does not wait for all services.
func TestImpactEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	rs, err := Parse("rules", []byte("default: deny\nrules: []\n"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewImpact(ctx, Question{Proposed: rs, Findings: found(t, "10.0.1.20:1947/tcp license_manager"), Now: now()}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want that it was canceled", err)
	}
}
