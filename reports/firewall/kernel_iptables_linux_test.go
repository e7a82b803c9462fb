package firewall

import (
	"fmt"
	"maps"
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
	iptablesAgainstKernel(t, newKernel(t), "iptables", 4, false)
}

// iptablesAgainstKernel does so with the named program. Every chain of a case
// has the flows of its own traffic class. With nat, the rules also translate
// addresses, and stand before and behind that.
func iptablesAgainstKernel(t *testing.T, k *kernel, name string, byDefault int, nat bool) {
	r := seed(t)
	var s score
	used := map[flow]bool{}
	kinds := k.setKinds()
	for range rounds(t, byDefault) {
		rules := map[string]string{} // by table
		var sets strings.Builder
		var cases []*kernelCase
		generators := map[uint8]*iptablesGen{}
		for mark := uint8(1); mark < sentinelMark; mark++ {
			g := &iptablesGen{Rand: r, mark: mark}
			sets.WriteString(g.makeSets(kinds))
			g.tables = k.tables(g.Rand, nat)
			for _, table := range g.tables {
				rules[table.name] += g.rules(table)
			}
			generators[mark] = g
			cases = append(cases, &kernelCase{mark: mark, flows: randomFlows(r, mark, 24, false, used)})
		}
		empty := ""
		for _, table := range []string{"raw", "mangle", "nat", "filter"} {
			empty += "*" + table + "\nCOMMIT\n"
		}
		k.run(empty, name+"-restore")
		k.forgetSets()
		k.run(sets.String(), "ipset", "-exist", "restore")
		script := ""
		for table, text := range rules {
			script += "*" + table + "\n" + text + "COMMIT\n"
		}
		k.run(script, name+"-restore")
		listing, saved := k.run("", name+"-save", "-c"), []byte(k.run("", "ipset", "save"))
		for _, c := range cases {
			c.text = generators[c.mark].own(listing)
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
	s.report(t, nat)
}

// randomTable is a table of one case: its built-in chains and their policies.
type randomTable struct {
	name     string
	policies map[string]string
}

// tables returns the tables that a case has.
func (k *kernel) tables(r *rand.Rand, nat bool) []randomTable {
	filter := randomTable{"filter", map[string]string{}}
	for _, hook := range k.hooks() {
		filter.policies[hook] = pick(r, []string{"ACCEPT", "DROP"})
	}
	if !nat {
		return []randomTable{filter}
	}
	all := []randomTable{filter, {"nat", map[string]string{"PREROUTING": "ACCEPT", "POSTROUTING": "ACCEPT", "INPUT": "ACCEPT", "OUTPUT": "ACCEPT"}}}
	hooks := append([]string{"PREROUTING", "POSTROUTING"}, k.hooks()...)
	for _, name := range []string{"raw", "mangle"} {
		hook := pick(r, hooks)
		if name == "raw" && hook != "OUTPUT" { // it has these two
			hook = "PREROUTING"
		}
		if r.IntN(2) == 0 {
			all = append(all, randomTable{name, map[string]string{hook: pick(r, []string{"ACCEPT", "ACCEPT", "ACCEPT", "DROP"})}})
		}
	}
	return all
}

// own keeps of a listing the chains of one case, those that the built-in chains
// jump to as the built-in chains.
func (g *iptablesGen) own(listing string) string {
	own := fmt.Sprintf("case%d", g.mark)
	var b strings.Builder
	var policies map[string]string
	for line := range strings.Lines(listing) {
		line = strings.TrimSuffix(line, "\n") + " \n"
		words := strings.Fields(line)
		switch {
		case len(words) == 0:
		case words[0][0] == '*':
			policies = nil
			for _, table := range g.tables {
				if words[0][1:] == table.name {
					policies = table.policies
					b.WriteString(words[0] + "\n")
				}
			}
			for hook, policy := range policies {
				fmt.Fprintf(&b, ":%s %s [0:0]\n", hook, policy)
			}
		case words[0] == "COMMIT" && policies != nil:
			b.WriteString("COMMIT\n")
		case strings.HasPrefix(words[0], ":"+own+"c"):
			b.WriteString(line)
		case len(words) > 2 && words[1] == "-A" && strings.HasPrefix(words[2], own+"c"):
			b.WriteString(line)
		case len(words) > 2 && words[1] == "-A" && strings.HasPrefix(words[2], own) && policies[strings.TrimPrefix(words[2], own)] != "":
			b.WriteString(strings.Replace(line, "-A "+own, "-A ", 1))
		}
	}
	return b.String()
}

// iptablesGen writes random rules.
type iptablesGen struct {
	*rand.Rand
	mark   uint8
	tables []randomTable
	sets   []randomSet
}

func (g *iptablesGen) one(options ...string) string { return pick(g.Rand, options) }

// rules writes the chains and rules of a case in one table.
func (g *iptablesGen) rules(table randomTable) string {
	var chains, rules strings.Builder
	hooks := slices.Sorted(maps.Keys(table.policies))
	for depth, name := range append([]string{"c3", "c2", "c1"}, hooks...) {
		n := g.IntN(4)
		if depth > 2 {
			n, depth = 1+g.IntN(8), 3
		}
		if table.name != "filter" { // most packets go on to the filters
			n = min(n, 3)
		}
		fmt.Fprintf(&chains, ":case%d%s - [0:0]\n", g.mark, name)
		for range n {
			proto, conditions := "", ""
			if table.name != "nat" || g.IntN(3) > 0 {
				proto, conditions = g.conditions()
			}
			fmt.Fprintf(&rules, "-A case%d%s %s %s\n", g.mark, name, conditions, g.target(table.name, name, proto, depth))
		}
	}
	for _, hook := range hooks {
		fmt.Fprintf(&rules, "-A %s -m dscp --dscp %d -j case%d%s\n-A %s -m dscp --dscp %d -j %s\n", hook, g.mark, g.mark, hook, hook, g.mark, table.policies[hook])
	}
	return chains.String() + rules.String()
}

// conditions writes those of one rule.
func (g *iptablesGen) conditions() (proto, text string) {
	proto = g.one("", "tcp", "tcp", "udp", "udp")
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
	return proto, strings.Join(words, " ")
}

// target writes what a rule does; depth says which chains it may jump to: those
// below.
func (g *iptablesGen) target(table, chain, proto string, depth int) string {
	targets := []string{"-j ACCEPT", "-j ACCEPT", "-j RETURN", "-j LOG", ""}
	switch table {
	case "filter":
		targets = append(targets, "-j DROP", "-j REJECT")
	case "nat":
		targets = append(targets, g.translation(chain, proto), g.translation(chain, proto))
	default:
		targets = append(targets, "-j DROP")
	}
	for i := range depth {
		c := fmt.Sprintf("case%d%s", g.mark, []string{"c3", "c2", "c1"}[i])
		targets = append(targets, "-j "+c, "-j "+c, "-g "+c)
	}
	if g.IntN(40) == 0 && table == "filter" {
		targets = []string{"-j NFQUEUE --queue-num 7"}
	}
	return g.one(targets...)
}

// translation writes a target of table nat that the chain may have; those of no
// hook may be called from each and translate nothing.
func (g *iptablesGen) translation(chain, proto string) string {
	port := ""
	if proto != "" && g.IntN(2) == 0 {
		port = g.one("1947", "5093", "475")
	}
	to := func(addr string) string {
		if port != "" {
			return addr + ":" + port
		}
		return addr
	}
	switch chain {
	case "PREROUTING":
		if port != "" && g.IntN(3) == 0 {
			return "-j REDIRECT --to-ports " + port
		}
		return g.one("-j REDIRECT", "-j DNAT --to-destination "+to(fmt.Sprintf("10.2.0.%d", g.IntN(16))), "-j NETMAP --to 10.2.0.0/28")
	case "POSTROUTING":
		if port != "" && g.IntN(3) == 0 {
			return "-j MASQUERADE --to-ports 2000-60000"
		}
		fallthrough
	case "INPUT":
		if port != "" { // not just one: the kernel drops what it finds no free port for
			port = "2000-60000"
		}
		return g.one("-j SNAT --to-source "+to(fmt.Sprintf("10.1.0.%d", g.IntN(32))), "-j SNAT --to-source 10.1.0.4-10.1.0.20")
	case "OUTPUT":
		return g.one("-j REDIRECT", "-j DNAT --to-destination "+to(fmt.Sprintf("10.1.0.%d", g.IntN(16))))
	default:
		return "-j ACCEPT"
	}
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
		return g.one("-m limit --limit 10000/sec --limit-burst 1000", "-m mark --mark 0", "-m length --length 0:9000", "-m ttl --ttl-gt 3", "-m conntrack "+not+"--ctstate DNAT", "-m conntrack "+not+"--ctstate ESTABLISHED,DNAT")
	}
	switch n := g.IntN(16); {
	case n == 15 && g.IntN(3) == 0:
		return "-m pkttype " + not + "--pkt-type " + g.one("unicast", "broadcast", "multicast")
	case n == 15:
		return "-m addrtype " + not + g.one("--dst-type LOCAL", "--src-type LOCAL", "--dst-type MULTICAST", "--dst-type BROADCAST", "--dst-type LOCAL,MULTICAST")
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
