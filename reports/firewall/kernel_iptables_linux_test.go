package firewall

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// TestIptablesAgainstKernel loads random iptables rule sets into the kernel and
// finds no packet that goes another way than the model says.
func TestIptablesAgainstKernel(t *testing.T) {
	program(t, "iptables-restore")
	program(t, "ipset")
	iptablesAgainstKernel(t, newKernel(t), "iptables", 4)
}

// iptablesAgainstKernel does so with the named program. Every chain of a case
// has the flows of its own traffic class.
func iptablesAgainstKernel(t *testing.T, k *kernel, name string, byDefault int) {
	r := seed(t)
	var s score
	used := map[flow]bool{}
	kinds := k.setKinds()
	for range rounds(t, byDefault) {
		var rules, chains, sets strings.Builder
		var cases []*kernelCase
		policies := map[uint8]string{}
		for mark := uint8(1); mark < sentinelMark; mark++ {
			g := iptablesGen{Rand: r, mark: mark, hooks: k.hooks()}
			policies[mark] = g.one("ACCEPT", "DROP")
			for _, chain := range append([]string{"c1", "c2", "c3"}, g.hooks...) {
				fmt.Fprintf(&chains, ":case%d%s - [0:0]\n", mark, chain)
			}
			for _, hook := range g.hooks {
				fmt.Fprintf(&rules, "-A %s -m dscp --dscp %d -j case%d%s\n-A %s -m dscp --dscp %d -j %s\n", hook, mark, mark, hook, hook, mark, policies[mark])
			}
			sets.WriteString(g.makeSets(kinds))
			rules.WriteString(g.rules())
			cases = append(cases, &kernelCase{mark: mark, flows: randomFlows(r, mark, 24, false, used)})
		}
		k.run("*filter\nCOMMIT\n", name+"-restore")
		k.forgetSets()
		k.run(sets.String(), "ipset", "-exist", "restore")
		k.run("*filter\n"+chains.String()+rules.String()+"COMMIT\n", name+"-restore")
		listing, saved := k.run("", name+"-save", "-c", "-t", "filter"), []byte(k.run("", "ipset", "save"))
		for _, c := range cases {
			c.text = ownChains(listing, c.mark, policies[c.mark], k.hooks())
			o := Options{IPSets: saved, IPSetsFile: "sets"}
			if r.IntN(3) > 0 {
				o.Assume = k.assume()
			}
			var err error
			if c.rules, err = Parse("rules.v4", []byte(c.text), o); err != nil {
				t.Fatalf("%v\n%s", err, numbered(c.text))
			}
			c.text += "\n" + ownSets(string(saved), c.mark)
		}
		k.holdAgainst(cases, &s)
		if s.wrong > 0 {
			break
		}
	}
	s.report(t)
}

// ownChains keeps of a listing the chains of one case, those that the built-in
// chains jump to as the built-in chains.
func ownChains(listing string, mark uint8, policy string, hooks []string) string {
	own := fmt.Sprintf("case%d", mark)
	var b strings.Builder
	b.WriteString("*filter\n")
	for _, hook := range hooks {
		fmt.Fprintf(&b, ":%s %s [0:0]\n", hook, policy)
	}
	for line := range strings.Lines(listing) {
		line = strings.TrimSuffix(line, "\n") + " \n"
		words := strings.Fields(line)
		switch {
		case len(words) > 0 && strings.HasPrefix(words[0], ":"+own+"c"):
			b.WriteString(line)
		case len(words) > 2 && words[1] == "-A" && strings.HasPrefix(words[2], own+"c"):
			b.WriteString(line)
		case len(words) > 2 && words[1] == "-A" && slices.ContainsFunc(hooks, func(hook string) bool { return words[2] == own+hook }):
			b.WriteString(strings.Replace(line, "-A "+own, "-A ", 1))
		}
	}
	b.WriteString("COMMIT\n")
	return b.String()
}

// iptablesGen writes random rules.
type iptablesGen struct {
	*rand.Rand
	mark  uint8
	hooks []string // the built-in chains
	sets  []randomSet
}

func (g *iptablesGen) one(options ...string) string { return pick(g.Rand, options) }

func (g *iptablesGen) rules() string {
	var b strings.Builder
	for depth, name := range append([]string{"c3", "c2", "c1"}, g.hooks...) {
		n := g.IntN(4)
		if depth > 2 {
			n, depth = 1+g.IntN(8), 3
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
	if proto == "" {
		words = append(words, g.one("", "", "", "-p ipv6", "! -p ipv6", "! -p tcp", "-p ipencap"))
	} else {
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
		case "set": // of these, several
			kind = c
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
	switch n := g.IntN(15); {
	case n > 12:
		return g.setMatch()
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
