package firewall

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// TestIptablesAgainstKernel loads random iptables rule sets into the kernel and
// finds no packet that goes another way than the model says.
func TestIptablesAgainstKernel(t *testing.T) {
	program(t, "iptables-restore")
	k := newKernel(t)
	r := seed(t)
	var s score
	used := map[flow]bool{}
	for range rounds(t, 4) {
		var rules, chains strings.Builder
		var cases []*kernelCase
		policies := map[uint8]string{}
		for mark := uint8(1); mark < sentinelMark; mark++ {
			g := iptablesGen{Rand: r, mark: mark}
			for _, name := range []string{"", "c1", "c2", "c3"} {
				fmt.Fprintf(&chains, ":case%d%s - [0:0]\n", mark, name)
			}
			policies[mark] = g.one("ACCEPT", "DROP")
			fmt.Fprintf(&rules, "-A FORWARD -m dscp --dscp %d -j case%d\n-A FORWARD -m dscp --dscp %d -j %s\n", mark, mark, mark, policies[mark])
			rules.WriteString(g.rules())
			cases = append(cases, &kernelCase{mark: mark, flows: randomFlows(r, mark, 24, false, used)})
		}
		k.run("*filter\n:FORWARD ACCEPT [0:0]\n"+chains.String()+rules.String()+"COMMIT\n", "iptables-restore")
		listing := k.run("", "iptables-save", "-c")
		for _, c := range cases {
			c.text = ownChains(listing, c.mark, policies[c.mark])
			var o Options
			if r.IntN(3) > 0 {
				o.Assume = zones(t)
			}
			var err error
			if c.rules, err = Parse("rules.v4", []byte(c.text), o); err != nil {
				t.Fatalf("%v\n%s", err, numbered(c.text))
			}
		}
		k.holdAgainst(cases, &s)
		if s.wrong > 0 {
			break
		}
	}
	s.report(t)
}

// ownChains keeps of a listing the chains of one case, the first of them as the
// built-in chain.
func ownChains(listing string, mark uint8, policy string) string {
	own := fmt.Sprintf("case%d", mark)
	var b strings.Builder
	fmt.Fprintf(&b, "*filter\n:FORWARD %s [0:0]\n", policy)
	for line := range strings.Lines(listing) {
		line = strings.TrimSuffix(line, "\n") + " \n"
		words := strings.Fields(line)
		switch {
		case len(words) > 0 && strings.HasPrefix(words[0], ":"+own+"c"):
			b.WriteString(line)
		case len(words) > 2 && words[1] == "-A" && words[2] == own:
			b.WriteString(strings.Replace(line, "-A "+own+" ", "-A FORWARD ", 1))
		case len(words) > 2 && words[1] == "-A" && strings.HasPrefix(words[2], own+"c"):
			b.WriteString(line)
		}
	}
	b.WriteString("COMMIT\n")
	return b.String()
}

// iptablesGen writes random rules.
type iptablesGen struct {
	*rand.Rand
	mark uint8
}

func (g *iptablesGen) one(options ...string) string { return pick(g.Rand, options) }

func (g *iptablesGen) rules() string {
	var b strings.Builder
	for depth, name := range []string{"c3", "c2", "c1", ""} {
		n := g.IntN(4)
		if name == "" {
			n = 1 + g.IntN(8)
		}
		for range n {
			fmt.Fprintf(&b, "-A case%d%s %s\n", g.mark, name, g.rule(depth))
		}
	}
	return b.String()
}

func (g *iptablesGen) rule(depth int) string {
	proto := g.one("", "tcp", "tcp", "udp", "udp")
	var words []string
	if proto != "" {
		words = append(words, "-p "+proto)
	}
	seen := map[string]bool{} // iptables takes most options only once
	for range g.IntN(4) {
		c := g.condition(proto)
		kind := strings.Fields(strings.TrimPrefix(c, "! "))[0]
		if kind == "-m" {
			kind = strings.Fields(c)[1]
		}
		switch kind { // of these, only one
		case "--tcp-flags":
			kind = "--syn"
		case "--sport", "--dport":
			kind = "multiport"
		}
		if !seen[kind] {
			seen[kind] = true
			words = append(words, c)
		}
	}
	targets := []string{"-j ACCEPT", "-j ACCEPT", "-j DROP", "-j REJECT", "-j RETURN", "-j LOG", ""}
	for i := range depth {
		c := fmt.Sprintf("case%d%s", g.mark, []string{"c3", "c2", "c1"}[i])
		targets = append(targets, "-j "+c, "-j "+c, "-g "+c)
	}
	if g.IntN(40) == 0 {
		targets = []string{"-j NFQUEUE --queue-num 7"}
	}
	return strings.Join(append(words, g.one(targets...)), " ")
}

func (g *iptablesGen) addrs(side int) string {
	return g.one(fmt.Sprintf("10.%d.0.%d", side, g.IntN(16)), fmt.Sprintf("10.%d.0.%d/30", side, g.IntN(4)*4),
		fmt.Sprintf("10.%d.0.0/16", side), fmt.Sprintf("10.%d.0.%d/255.255.255.3", side, g.IntN(4)), "10.0.0.0/8")
}

func (g *iptablesGen) condition(proto string) string {
	not := g.one("", "", "! ")
	port := fmt.Sprint(pick(g.Rand, dports()))
	ports := g.one(port, port, "1940:1950", ":1947", "3047:")
	if g.IntN(25) == 0 { // what the model must not guess
		return g.one("-m limit --limit 10000/sec --limit-burst 1000", "-m mark --mark 0", "-m length --length 0:9000", "-m ttl --ttl-gt 3")
	}
	switch n := g.IntN(13); {
	case n < 2:
		return not + "-s " + g.addrs(1+g.IntN(2))
	case n < 4:
		return not + "-d " + g.addrs(1+g.IntN(2))
	case n == 4:
		return not + g.one("-i c0", "-o s0", "-i s0", "-i c+", "-o lo")
	case n == 5:
		return "-m conntrack " + not + "--ctstate " + g.one("NEW", "ESTABLISHED", "RELATED,ESTABLISHED", "NEW,ESTABLISHED", "INVALID")
	case n == 6:
		return "-m state --state " + g.one("NEW", "ESTABLISHED", "RELATED,ESTABLISHED")
	case n == 7:
		return "-m iprange " + not + g.one("--src-range 10.1.0.3-10.1.0.11", "--dst-range 10.2.0.0-10.2.0.7")
	case n == 8:
		return "-m conntrack --ctdir " + g.one("ORIGINAL", "REPLY")
	case n == 9 && proto != "":
		return "-m multiport " + not + g.one("--dports 475,1940:1950,5093", "--ports 1947,1024:30000", "--sports 20000:40000,50000")
	case n == 10 && proto == "tcp":
		return g.one("--syn", "! --syn", "--tcp-flags SYN,ACK SYN", "! --tcp-flags FIN,SYN,RST,ACK SYN", "--tcp-flags ALL ACK")
	case n < 12 && proto != "":
		return not + "--dport " + ports
	case proto != "":
		return not + "--sport " + g.one("1024:20000", "30000:")
	default:
		return "-m comment --comment \"a \\\"quoted\\\" word -j DROP\""
	}
}
