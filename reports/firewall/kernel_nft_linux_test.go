package firewall

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"dormant/registry"
	"dormant/scanner"
)

func targetOf(f flow) scanner.Target {
	return scanner.Target{Addr: f.dst.Addr(), Port: registry.Port{Number: f.dst.Port(), Proto: f.proto}}
}

// TestNftAgainstKernel loads random nft rule sets into the kernel and finds no
// packet that goes another way than the model says.
func TestNftAgainstKernel(t *testing.T) {
	program(t, "nft")
	nftAgainstKernel(t, newKernel(t), 4, false)
}

func nftAgainstKernel(t *testing.T, k *kernel, byDefault int, nat bool) {
	r := seed(t)
	var s score
	used := map[flow]bool{}
	for range rounds(t, byDefault) {
		k.run("flush ruleset\n", "nft", "-f", "-")
		if k.place == Server {
			k.quiet()
		}
		var script strings.Builder
		var cases []*kernelCase
		for mark := uint8(1); mark < sentinelMark; mark++ {
			g := nftGen{Rand: r, mark: mark, place: k.place}
			script.WriteString(g.table(nat))
			cases = append(cases, &kernelCase{mark: mark, flows: randomFlows(r, mark, 24, k.place == Router, used)})
		}
		k.load(script.String())
		listing := k.run("", "nft", "-j", "list", "ruleset")
		for _, c := range cases {
			c.text = ownTable(t, listing, fmt.Sprintf("case%d", c.mark))
			var o Options
			if r.IntN(3) > 0 {
				o.Assume = k.assume()
			}
			var err error
			if c.rules, err = Parse("ruleset.json", []byte(c.text), o); err != nil {
				t.Fatalf("%v\n%s", err, numbered(c.text))
			}
		}
		k.holdAgainst(cases, &s)
		if s.wrong > 0 {
			break
		}
	}
	s.report(t, nat)
}

// load loads a script without the rules that nft refuses, such as those with
// conditions of two families.
func (k *kernel) load(script string) {
	k.t.Helper()
	lines := strings.Split(script, "\n")
	fault := regexp.MustCompile(`(?m)^(?:/dev/stdin|-):(\d+):`)
	for range 20 {
		out, err := k.try(strings.Join(lines, "\n"), "nft", "-f", "-")
		if err == nil {
			return
		}
		found := fault.FindAllStringSubmatch(out, -1)
		for _, m := range found {
			n, _ := strconv.Atoi(m[1])
			lines[n-1] = ""
		}
		if len(found) == 0 {
			k.t.Fatalf("nft: %v\n%s", err, out)
		}
	}
	k.t.Fatal("nft refuses every script")
}

// assume says what lies behind the interfaces.
func (k *kernel) assume() (a Assume) {
	said := []string{"zone=c0:10.1.0.0/16,fd01::/32", "zone=s0:10.2.0.0/16,fd02::/32"}
	if k.place == Server {
		said = []string{"zone=c0:10.1.0.0/16", "zone=s0:10.3.0.0/16", "self:10.2.0.0/16"}
	}
	for _, z := range said {
		if err := a.Set(z); err != nil {
			k.t.Fatal(err)
		}
	}
	return a
}

// ownTable keeps of a listing what one table holds, without the rules that let
// the packets of other cases pass.
func ownTable(t *testing.T, listing, name string) string {
	t.Helper()
	var all struct {
		Nftables []map[string]json.RawMessage `json:"nftables"`
	}
	if err := json.Unmarshal([]byte(listing), &all); err != nil {
		t.Fatal(err)
	}
	var keep []string
	for _, object := range all.Nftables {
		for kind, body := range object {
			var of struct{ Table, Comment, Name string }
			if json.Unmarshal(body, &of) == nil && of.Table == name && of.Comment != "guard" {
				if device, ok := strings.CutPrefix(of.Name, "on_"); ok && !bytes.Contains(body, []byte(`"dev"`)) { // nft 1.0.6 leaves it out
					body = bytes.Replace(body, []byte(`"hook"`), fmt.Appendf(nil, `"dev": %q, "hook"`, device), 1)
				}
				keep = append(keep, fmt.Sprintf("{%q: %s}", kind, body))
			}
		}
	}
	return "{\"nftables\": [\n" + strings.Join(keep, ",\n") + "\n]}"
}

// nftGen writes a random table.
type nftGen struct {
	*rand.Rand
	mark  uint8
	place Place
}

func (g *nftGen) one(options ...string) string { return pick(g.Rand, options) }

func (g *nftGen) table(nat bool) string {
	var b strings.Builder
	family := g.one("inet", "inet", "ip")
	fmt.Fprintf(&b, "table %s case%d {\n", family, g.mark)
	fmt.Fprintf(&b, "set addrs { type ipv4_addr; flags interval; elements = { %s } }\n", g.some(4, g.addr))
	fmt.Fprintf(&b, "set ports { type inet_service; flags interval; elements = { %s } }\n", g.some(3, g.port))
	fmt.Fprintf(&b, "set pairs { type ipv4_addr . inet_service; elements = { %s } }\n", g.some(6, func() string { return g.addr() + " . " + g.port() }))
	for i, name := range []string{"c3", "c2", "c1"} {
		fmt.Fprintf(&b, "chain %s {\n", name)
		for range g.IntN(4) {
			b.WriteString(g.rule(i))
		}
		b.WriteString("}\n")
	}
	hooks := []string{"forward"}
	if g.place == Server {
		hooks = []string{"input", "output"}
	}
	if g.IntN(3) == 0 {
		hooks = append(hooks, hooks[g.IntN(len(hooks))], g.one("prerouting", "postrouting"))[:len(hooks)+1+g.IntN(2)]
	}
	if g.IntN(8) == 0 { // before conntrack, and by way of another chain
		fmt.Fprintf(&b, "chain e1 {\nct state %s %s\n}\n", g.one("invalid", "new", "established", "untracked"), g.one("accept", "drop"))
		fmt.Fprintf(&b, "chain early { type filter hook prerouting priority raw; policy accept;\nip dscp == %d %s jump e1\n}\n", g.mark, g.addrs4("saddr"))
	}
	for i, hook := range hooks {
		fmt.Fprintf(&b, "chain base%d { type filter hook %s priority %d; policy %s;\n", i, hook, i*10, g.one("accept", "drop"))
		fmt.Fprintf(&b, "ip dscp != %d accept comment \"guard\"\n", g.mark)
		if family == "inet" {
			fmt.Fprintf(&b, "ip6 dscp != %d accept comment \"guard\"\n", g.mark)
		}
		b.WriteString("icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept comment \"guard\"\n")
		for range 1 + g.IntN(8) {
			b.WriteString(g.rule(3))
		}
		b.WriteString("}\n")
	}
	if nat {
		b.WriteString(g.translation(family))
	}
	b.WriteString("}\n")
	if g.IntN(6) == 0 {
		b.WriteString(g.devices())
	}
	if family == "ip" {
		return strings.ReplaceAll(b.String(), "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept comment \"guard\"\n", "")
	}
	return b.String()
}

// devices is a table of what comes in or goes out by a device.
func (g *nftGen) devices() string {
	device := "c0"
	if g.place == Router {
		device = g.one("c0", "s0")
	}
	var b strings.Builder
	fmt.Fprintf(&b, "table netdev case%d {\nchain on_%s { type filter hook %s device %q priority 0; policy accept;\n", g.mark, device, g.one("ingress", "ingress", "egress"), device)
	fmt.Fprintf(&b, "ip dscp != %d accept comment \"guard\"\nip6 dscp != %d accept comment \"guard\"\n", g.mark, g.mark)
	b.WriteString("meta protocol { arp } accept comment \"guard\"\nicmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept comment \"guard\"\n")
	for range 1 + g.IntN(3) {
		fmt.Fprintf(&b, "%s %s\n", g.one("ip saddr "+g.addrs(), "ip daddr "+g.addrs(), "tcp dport "+g.ports(), "udp sport >= 20000", "meta pkttype host tcp dport 1947"), g.one("accept", "drop"))
	}
	b.WriteString("}\n}\n")
	return b.String()
}

func (g *nftGen) addr() string { return fmt.Sprintf("10.%d.0.%d", 1+g.IntN(2), g.IntN(16)) }

// addrs is an address, a prefix or a range.
func (g *nftGen) addrs() string {
	side := 1 + g.IntN(2)
	switch g.IntN(4) {
	case 0:
		return fmt.Sprintf("10.%d.0.%d/%d", side, g.IntN(4)*4, 30)
	case 1:
		return fmt.Sprintf("10.%d.0.%d-10.%d.0.%d", side, g.IntN(8), side, 8+g.IntN(8))
	case 2:
		return fmt.Sprintf("10.%d.0.0/16", side)
	default:
		return g.addr()
	}
}

// addrs4 is a condition on an address, or none.
func (g *nftGen) addrs4(field string) string { return g.one("", "ip "+field+" "+g.addrs()) }

func (g *nftGen) port() string { return fmt.Sprint(pick(g.Rand, dports())) }

func (g *nftGen) ports() string {
	switch g.IntN(3) {
	case 0:
		return g.one("1940-1950", "1-1947", "475-5093", "3047-65535")
	default:
		return g.port()
	}
}

// some joins up to n different elements.
func (g *nftGen) some(n int, element func() string) string {
	seen := map[string]bool{}
	var out []string
	for range 1 + g.IntN(n) {
		if e := element(); !seen[e] {
			seen[e] = true
			out = append(out, e)
		}
	}
	return strings.Join(out, ", ")
}

// rule is one line; depth says which chains it may jump to: those below.
func (g *nftGen) rule(depth int) string {
	var words []string
	compared := false
	for range g.IntN(3) {
		c := g.condition()
		// "sport < 1 sport > 2", which nothing matches, is listed by nft 1.0.6 as
		// "sport != 1-2", which nearly everything does: only one such condition.
		if strings.ContainsAny(c, "<>") && strings.Contains(c, "sport") {
			if compared {
				continue
			}
			compared = true
		}
		words = append(words, c)
	}
	if g.IntN(12) == 0 {
		words = append(words, g.vmap(depth))
		return strings.Join(words, " ") + "\n"
	}
	if g.IntN(3) == 0 {
		words = append(words, "counter")
	}
	verdicts := []string{"accept", "accept", "drop", "drop", "return", "continue", "log", "counter"}
	for i := range depth {
		c := []string{"c3", "c2", "c1"}[i]
		verdicts = append(verdicts, "jump "+c, "jump "+c, "goto "+c)
	}
	if g.IntN(40) == 0 {
		verdicts = []string{"queue num 7", "meta mark set 5", "ct mark set 5 accept", "ip ttl set 40", "tcp option maxseg size set 1200"}
	}
	words = append(words, g.one(verdicts...))
	return strings.Join(words, " ") + "\n"
}

func (g *nftGen) vmap(depth int) string {
	verdict := func() string {
		if depth > 0 && g.IntN(2) == 0 {
			return g.one("jump ", "goto ") + []string{"c3", "c2", "c1"}[g.IntN(depth)]
		}
		return g.one("accept", "drop", "return", "continue")
	}
	switch g.IntN(7) {
	case 4:
		return fmt.Sprintf("iifname vmap { \"c0\" : %s, \"s0\" : %s, * : %s }", verdict(), verdict(), verdict())
	case 5:
		return fmt.Sprintf("ip daddr . meta l4proto vmap { 10.2.0.1 . tcp : %s, 10.2.0.2 . ipv6 : %s, 10.2.0.0-10.2.0.7 . udp : %s }", verdict(), verdict(), verdict())
	case 6:
		return fmt.Sprintf("tcp dport vmap { 475-1946 : %s, 1947 : %s, * : %s }", verdict(), verdict(), verdict())
	case 0:
		return fmt.Sprintf("tcp dport vmap { 475 : %s, 1940-1950 : %s, 5093 : %s }", verdict(), verdict(), verdict())
	case 1:
		return fmt.Sprintf("ip saddr vmap { 10.1.0.0/30 : %s, 10.1.0.8-10.1.0.15 : %s }", verdict(), verdict())
	case 2:
		return fmt.Sprintf("ct state vmap { new : %s, established : %s, invalid : drop }", verdict(), verdict())
	default:
		return fmt.Sprintf("meta l4proto . th dport vmap { tcp . 1947 : %s, udp . 5093 : %s }", verdict(), verdict())
	}
}

func (g *nftGen) condition() string {
	eq := g.one("", "", "!= ")
	if g.IntN(25) == 0 { // what the model must not guess
		return g.one("limit rate 1000000/second burst 1000 packets", "meta mark 0", "meta length < 9000", "ip ttl > 3", "ct mark 0", "ct status dnat", "ct status dnat")
	}
	switch g.IntN(20) {
	case 18:
		return g.one("fib daddr type ", "fib saddr type ") + eq + g.one("local", "multicast", "broadcast", "{ local, multicast }")
	case 19:
		if g.place == Router { // nft refuses it where packets have no incoming interface
			return g.one("fib saddr . iif oif missing", "fib saddr . iif oif exists", "fib saddr . iif oif 0", "fib saddr . mark . iif oif missing")
		}
		return "fib daddr type " + eq + "local"
	case 0, 1:
		return "ip saddr " + eq + g.addrs()
	case 2, 3:
		return "ip daddr " + eq + g.addrs()
	case 4:
		return g.one("ip saddr ", "ip daddr ") + eq + "{ " + g.some(4, g.addr) + " }"
	case 5:
		return g.one("ip saddr ", "ip daddr ") + eq + "@addrs"
	case 6, 7:
		return g.one("tcp dport ", "udp dport ", "th dport ") + eq + g.ports()
	case 8:
		return g.one("tcp dport ", "udp dport ") + eq + g.one("{ 475, 1940-1950 }", "@ports")
	case 9:
		return g.one("tcp sport ", "udp sport ", "th sport ") + g.one("< ", ">= ", "> ", "<= ") + g.one("20000", "1947", "40000")
	case 10:
		return "meta l4proto " + eq + g.one("tcp", "udp", "{ tcp, udp }", "icmp", "{ 41, 47 }", "{ 4, 41, tcp }", "{ 0, 41 }", "1-10")
	case 11, 12:
		return "ct state " + eq + g.one("new", "established", "{ new, established }", "established,related", "invalid", "untracked", "! new", "! established")
	case 13:
		return g.one("iifname ", "oifname ") + eq + g.one("\"c0\"", "\"s0\"", "{ \"c0\", \"lo\" }", "\"lo\"")
	case 14:
		return g.one("tcp flags syn", "tcp flags & (syn|ack) == syn", "tcp flags & (fin|syn|rst|ack) != syn", "tcp flags != syn", "tcp flags == syn", "tcp flags ack", "tcp flags ! ack", "tcp flags ! syn",
			"tcp flags syn / syn,ack", "tcp flags { syn, ack }", "tcp flags & (syn|ack) == syn|ack", "tcp flags != { syn, syn|ack }")
	case 15:
		return g.one("ct direction original", "ct direction reply", "ip protocol tcp", "ip protocol != udp", "meta nfproto ipv4", "meta protocol ip",
			"ip protocol { 0, 41, udp }", "ip protocol != ipv6", "ip6 nexthdr tcp", "meta nfproto != ipv6", "meta protocol { ip, 8021q }")
	case 16:
		return g.one("ip saddr . tcp dport ", "ip daddr . udp dport ", "ip daddr . th dport ") + eq + g.one("@pairs", "{ 10.2.0.1 . 1947, 10.1.0.0/29 . 475-2000 }")
	default:
		return g.one("ip saddr & 255.255.255.3 == 10.1.0.1", "ip frag-off & 0x1fff != 0", "ip frag-off & 0x3fff == 0", "meta pkttype "+eq+g.one("host", "broadcast", "{ broadcast, multicast }"),
			"ip daddr & 0.0.0.1 != 0.0.0.1", "ip6 saddr fd01::/125", "ip6 daddr fd02::2-fd02::9", "icmp type echo-request")
	}
}
