package firewall

import (
	"fmt"
	"strings"
	"time"
)

// randomSet is a set of one case.
type randomSet struct {
	name  string
	parts int
}

// setKinds returns the types of sets that this kernel has.
func (k *kernel) setKinds() (kinds []string) {
	for _, kind := range []string{"hash:ip", "hash:net", "hash:ip,port", "hash:net,port", "hash:ip,port,ip", "hash:ip,port,net", "hash:net,net",
		"hash:net,port,net", "bitmap:port", "bitmap:ip", "list:set", "hash:ip,mark", "hash:net,iface"} {
		out, err := k.try("create probe "+kind+setRange(kind)+"\n", "ipset", "restore")
		if err != nil {
			k.t.Logf("%s is left out: %s", kind, strings.TrimSpace(out))
			continue
		}
		k.run("", "ipset", "destroy", "probe")
		if kind != "list:set" {
			kinds = append(kinds, kind)
		}
	}
	return kinds
}

// setRange is what a type of sets wants to be told.
func setRange(kind string) string {
	return map[string]string{"bitmap:port": " range 0-65535", "bitmap:ip": " range 10.2.0.0-10.2.0.255"}[kind]
}

// forgetSets takes all sets away. The kernel gives up the rules that named them
// some time after they are gone.
func (k *kernel) forgetSets() {
	k.t.Helper()
	k.run("", "ipset", "flush")
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if out, err := k.try("", "ipset", "destroy"); err == nil {
			return
		} else if time.Now().After(end) {
			k.t.Fatalf("ipset destroy: %v: %s", err, out)
		}
	}
}

// makeSets writes a few sets of random types for ipset restore, and remembers
// them for the rules.
func (g *iptablesGen) makeSets(kinds []string) string {
	var b strings.Builder
	for i := range 3 {
		kind := g.one(kinds...)
		if unclear := kind == "hash:ip,mark" || kind == "hash:net,iface"; unclear && g.IntN(4) > 0 {
			kind = "hash:net" // what the model must not guess is rare
		}
		set := randomSet{fmt.Sprintf("s%d-%d", g.mark, i), strings.Count(kind, ",") + 1}
		options := setRange(kind)
		if kind == "hash:ip" && g.IntN(3) == 0 {
			options = " netmask " + g.one("28", "30", "31")
		}
		if !strings.HasPrefix(kind, "bitmap") && g.IntN(4) == 0 {
			options += g.one(" counters", " comment", " family inet")
		}
		fmt.Fprintf(&b, "create %s %s%s\n", set.name, kind, options)
		seen := map[string]bool{}
		for range g.IntN(7) {
			m := g.member(kind)
			if where, _, _ := strings.Cut(m, " "); !seen[where] {
				seen[where] = true
				fmt.Fprintf(&b, "add %s %s\n", set.name, m)
			}
		}
		g.sets = append(g.sets, set)
	}
	if g.IntN(3) == 0 {
		list := randomSet{fmt.Sprintf("s%d-list", g.mark), 1}
		fmt.Fprintf(&b, "create %s list:set\n", list.name)
		for _, s := range g.sets[:1+g.IntN(3)] {
			fmt.Fprintf(&b, "add %s %s\n", list.name, s.name)
			list.parts = max(list.parts, s.parts)
		}
		g.sets = append(g.sets, list)
	}
	return b.String()
}

// member writes one member of a set.
func (g *iptablesGen) member(kind string) string {
	method, parts, _ := strings.Cut(kind, ":")
	var words []string
	for part := range strings.SplitSeq(parts, ",") {
		switch part {
		case "ip":
			side := 1 + g.IntN(2)
			if method == "bitmap" {
				side = 2
			}
			words = append(words, fmt.Sprintf("10.%d.0.%d", side, g.IntN(16)))
		case "net":
			words = append(words, g.one(fmt.Sprintf("10.%d.0.%d/30", 1+g.IntN(2), g.IntN(4)*4), fmt.Sprintf("10.%d.0.%d", 1+g.IntN(2), g.IntN(16)),
				fmt.Sprintf("10.%d.0.0/28", 1+g.IntN(2)), "10.0.0.0/8", fmt.Sprintf("10.%d.0.8/29", 1+g.IntN(2))))
		case "port":
			port := g.one(fmt.Sprint(pick(g.Rand, dports())), fmt.Sprint(pick(g.Rand, dports())), "1940-1950")
			if method != "bitmap" {
				port = g.one("tcp:", "udp:", "") + port
			}
			words = append(words, port)
		case "mark":
			words = append(words, "0x0")
		case "iface":
			words = append(words, "c0")
		}
	}
	m := strings.Join(words, ",")
	if kind == "hash:net" && g.IntN(3) == 0 || strings.Contains(kind, "net") && g.IntN(40) == 0 {
		m += " nomatch"
	}
	return m
}

// setMatch is a condition on one of the sets.
func (g *iptablesGen) setMatch() string {
	s := pick(g.Rand, g.sets)
	var sides []string
	for range s.parts {
		sides = append(sides, g.one("src", "dst"))
	}
	if g.IntN(3) == 0 && len(sides) < 3 { // one more than the set has parts
		sides = append(sides, "dst")
	}
	return "-m set " + g.one("", "", "! ") + "--match-set " + s.name + " " + strings.Join(sides, ",")
}

// ownSets keeps of the saved sets those of one case, for messages.
func ownSets(saved string, mark uint8) string {
	var b strings.Builder
	for line := range strings.Lines(saved) {
		if strings.Contains(line, fmt.Sprintf(" s%d-", mark)) {
			b.WriteString(line)
		}
	}
	return b.String()
}
