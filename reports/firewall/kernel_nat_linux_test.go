package firewall

import (
	"fmt"
	"strings"
	"testing"
)

// TestIptablesTranslationAgainstKernel holds rule sets that translate addresses
// against the kernel, on a router and on a host: what reaches another server
// than the client asked for is neither allowed nor denied.
func TestIptablesTranslationAgainstKernel(t *testing.T) {
	for _, name := range []string{"iptables-restore", "ipset", "nft"} {
		program(t, name)
	}
	t.Run("router", func(t *testing.T) { iptablesAgainstKernel(t, newKernel(t), "iptables", 2, true) })
	t.Run("host", func(t *testing.T) { iptablesAgainstKernel(t, newKernelHost(t), "iptables", 2, true) })
}

// TestNftTranslationAgainstKernel does so for nft, whose chains translate at
// other priorities than they name.
func TestNftTranslationAgainstKernel(t *testing.T) {
	program(t, "nft")
	t.Run("router", func(t *testing.T) { nftAgainstKernel(t, newKernel(t), 1, true) })
	t.Run("host", func(t *testing.T) { nftAgainstKernel(t, newKernelHost(t), 1, true) })
}

// translation writes chains that translate, and some that stand before or
// behind them.
func (g *nftGen) translation(family string) string {
	var b strings.Builder
	ip := ""
	if family == "inet" {
		ip = "ip "
	}
	port := func() string { return g.one("", ":475", ":1947") }
	destination := func(side int) string {
		return g.one("redirect to :1947", fmt.Sprintf("dnat %sto 10.%d.0.%d%s", ip, side, g.IntN(16), port()))
	}
	source := func(int) string {
		return g.one("masquerade", fmt.Sprintf("snat %sto 10.1.0.%d", ip, g.IntN(32)), "snat "+ip+"to 10.1.0.4-10.1.0.20:2000-60000")
	}
	hooks := []struct {
		name        string
		side        int
		translate   func(side int) string
		nat, filter []string // priorities
	}{
		{"prerouting", 2, destination, []string{"-150", "-100", "0", "50"}, []string{"-150", "-100", "-50", "10"}},
		{"postrouting", 1, source, []string{"-50", "100", "300"}, []string{"-50", "50", "100", "150", "310"}},
		{"input", 1, source, []string{"-50", "100", "300"}, []string{"-50", "50", "100", "150", "310"}},
		{"output", 1, destination, []string{"-150", "-100", "0", "50"}, []string{"-150", "-100", "-50", "10"}},
	}
	for i, h := range hooks {
		for j := range g.IntN(3) {
			g.chain(&b, fmt.Sprintf("nat%d%d { type nat hook %s priority %s", i, j, h.name, g.one(h.nat...)), family, func() string {
				if g.IntN(2) == 0 {
					return g.one("accept", "return", "drop")
				}
				return "meta l4proto " + g.one("tcp ", "udp ", "{ tcp, udp } ") + h.translate(h.side)
			})
		}
		if g.IntN(3) == 0 {
			g.chain(&b, fmt.Sprintf("beside%d { type filter hook %s priority %s", i, h.name, g.one(h.filter...)), family, func() string { return g.one("accept", "drop") })
		}
	}
	return b.String()
}

// chain writes a base chain of few rules that mostly do what act says.
func (g *nftGen) chain(b *strings.Builder, head, family string, act func() string) {
	fmt.Fprintf(b, "chain %s; policy accept;\nip dscp != %d accept comment \"guard\"\n", head, g.mark)
	if family == "inet" {
		fmt.Fprintf(b, "ip6 dscp != %d accept comment \"guard\"\nicmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept comment \"guard\"\n", g.mark)
	}
	for range 1 + g.IntN(2) {
		condition := g.one("", fmt.Sprintf("ip saddr %s ", g.addrs()), fmt.Sprintf("ip daddr %s ", g.addrs()), g.condition()+" ")
		fmt.Fprintf(b, "%s%s\n", condition, act())
	}
	b.WriteString("}\n")
}
