package firewall

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
)

// manyRules is an access list of n entries between a few networks.
func manyRules(n int) string {
	r := rand.New(rand.NewPCG(5, 6))
	var b strings.Builder
	b.WriteString("*filter\n:FORWARD DROP [0:0]\n-A FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT\n")
	for range n {
		fmt.Fprintf(&b, "-A FORWARD -s 10.%d.%d.0/24 -d 10.0.0.%d -p tcp -m tcp --dport %d -j %s\n", r.IntN(256), r.IntN(256), r.IntN(256),
			[]int{1947, 475, 80}[r.IntN(3)], []string{"ACCEPT", "DROP"}[r.IntN(2)])
	}
	return b.String() + "-A FORWARD -d 10.0.0.0/24 -j ACCEPT\nCOMMIT\n"
}

// BenchmarkReach asks 5,000 rules who can use one service.
func BenchmarkReach(b *testing.B) {
	rs, err := Parse("f", []byte(manyRules(5000)), Options{})
	if err != nil {
		b.Fatal(err)
	}
	service, err := parseTarget(netip.MustParseAddr("10.0.0.9").String() + ":1947/tcp")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if len(rs.Reach(Router, AnyIPv4(), service)) == 0 {
			b.Fatal("nobody was asked about")
		}
	}
}

// BenchmarkParse reads 5,000 rules.
func BenchmarkParse(b *testing.B) {
	text := []byte(manyRules(5000))
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse("f", text, Options{}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkShadows looks for rules that no packet reaches among 20,000.
func BenchmarkShadows(b *testing.B) {
	rs, err := Parse("f", []byte(manyRules(20_000)), Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, left := Shadows(rs, Router); left > 0 {
			b.Fatalf("%d rules were not looked at", left)
		}
	}
}
