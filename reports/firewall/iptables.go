package firewall

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

func isIptables(_ string, text []byte) bool {
	for line := range bytes.Lines(text) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		return line[0] == '*' || bytes.HasPrefix(line, []byte("-A ")) || bytes.HasPrefix(line, []byte("create "))
	}
	return false
}

// iptables reads the output of iptables-save and ip6tables-save.
type iptables struct {
	*parser
	table  string
	chains map[string]*Chain // by table and name
	rules  []iptablesRule
	sets   map[string]*ipset
	six    bool // the file speaks of IPv6
}

// iptablesRule is a line to be read when all chains are known.
type iptablesRule struct {
	line  int
	table string
	words []string
	hits  *uint64
	text  string
}

func parseIptables(p *parser) error {
	ip := &iptables{parser: p, chains: map[string]*Chain{}}
	if err := ip.ipsets(); err != nil {
		return err
	}
	n := 0
	for line := range bytes.Lines(p.text) {
		n++
		if err := ip.line(n, strings.TrimSpace(string(line))); err != nil {
			return err
		}
	}
	if len(ip.chains) == 0 {
		return p.errorf(1, "no table: want the output of iptables-save")
	}
	ip.six = slices.ContainsFunc(ip.rules, func(r iptablesRule) bool { return slices.ContainsFunc(r.words, isIPv6Word) })
	if err := ip.read(nil); err != nil {
		return err
	}
	base := map[*Chain]hooks{}
	for key, c := range ip.chains {
		if _, name, _ := strings.Cut(key, "/"); c.Policy != 0 {
			base[c] = hookOf(strings.ToLower(name))
		}
	}
	if err := ip.read(spread(base)); err != nil {
		return err
	}
	ip.set.Domain = AnyIPv4()
	if ip.six {
		ip.set.Domain = AnyIPv6()
	}
	ip.paths()
	return nil
}

// read reads all rules. Which interfaces packets have depends on where chains
// are called from, at, and that is known after a first reading.
func (ip *iptables) read(at map[*Chain]hooks) error {
	ip.set.Assumed = nil
	for _, c := range ip.chains {
		c.Rules = nil
	}
	for _, r := range ip.rules {
		if err := ip.rule(r, at); err != nil {
			return err
		}
	}
	return nil
}

// isIPv6Word reports whether a word can only come from ip6tables.
func isIPv6Word(w string) bool {
	addr, _, _ := strings.Cut(w, "/")
	a, err := netip.ParseAddr(addr)
	return err == nil && a.Is6() || w == "ipv6-icmp" || strings.HasPrefix(w, "icmp6-")
}

// ipsets reads the sets beside the rules.
func (ip *iptables) ipsets() (err error) {
	name := ip.options.IPSetsFile
	ip.sets, err = parseIPSets(name, ip.options.IPSets, nil)
	return err
}

func (ip *iptables) line(n int, line string) error {
	switch {
	case line == "" || line[0] == '#' || line == "COMMIT":
		return nil
	case strings.HasPrefix(line, "create ") || strings.HasPrefix(line, "add "): // ipset save, put before the rules
		sets, err := parseIPSetLine(ip.name, n, line, ip.sets)
		ip.sets = sets
		return err
	case line[0] == '*':
		ip.table = line[1:]
		if !slices.Contains([]string{"raw", "mangle", "nat", "filter", "security"}, ip.table) {
			return ip.errorf(n, "table %q: want raw, mangle, nat, filter or security", shown(ip.table))
		}
		return nil
	case ip.table == "":
		return ip.errorf(n, "%q stands before the first table: want *filter or the like", shown(line))
	case line[0] == ':':
		return ip.chain(n, line)
	}
	var hits *uint64
	text := line
	if strings.HasPrefix(line, "[") {
		counters, rest, ok := strings.Cut(line[1:], "] ")
		packets, _, _ := strings.Cut(counters, ":")
		count, err := strconv.ParseUint(packets, 10, 64)
		if !ok || err != nil {
			return ip.errorf(n, "%q: want [packets:bytes] before the rule", shown(line))
		}
		hits, line = &count, rest
	}
	words, err := shellWords(line)
	if err != nil {
		return ip.errorf(n, "%v", err)
	}
	if len(words) < 2 || words[0] != "-A" {
		return ip.errorf(n, "%q: want -A CHAIN …, :CHAIN POLICY, *TABLE or COMMIT", shown(text))
	}
	ip.rules = append(ip.rules, iptablesRule{n, ip.table, words[1:], hits, text})
	return nil
}

// chain reads ":INPUT DROP [0:0]".
func (ip *iptables) chain(n int, line string) error {
	words := strings.Fields(line[1:])
	if len(words) < 2 {
		return ip.errorf(n, "%q: want :CHAIN POLICY [packets:bytes]", shown(line))
	}
	c := &Chain{Name: shown(words[0]), PolicyLine: n}
	if ip.table != "filter" {
		c.Name = ip.table + "/" + c.Name
	}
	base := slices.Contains([]string{"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"}, words[0])
	switch words[1] {
	case "ACCEPT":
		c.Policy = Allow
	case "DROP":
		c.Policy = Deny
	case "-":
	default:
		return ip.errorf(n, "policy %q: want ACCEPT, DROP or -", shown(words[1]))
	}
	if base != (c.Policy != 0) {
		return ip.errorf(n, "chain %q with policy %q: want ACCEPT or DROP for a built-in chain, - for any other", shown(words[0]), words[1])
	}
	key := ip.table + "/" + words[0]
	if ip.chains[key] != nil {
		return ip.errorf(n, "chain %q of table %s is there twice", shown(words[0]), ip.table)
	}
	ip.chains[key] = c
	ip.set.Chains = append(ip.set.Chains, c)
	return nil
}

// paths puts the built-in chains in the order in which netfilter calls them.
func (ip *iptables) paths() {
	pick := func(hooks ...string) []*Chain {
		var out []*Chain
		for _, hook := range hooks {
			for _, table := range []string{"raw", "mangle", "nat", "filter", "security"} {
				if c := ip.chains[table+"/"+hook]; c != nil {
					out = append(out, c)
				}
			}
		}
		return out
	}
	through := pick("PREROUTING", "FORWARD", "POSTROUTING")
	ip.set.Paths[Router] = Path{Request: through, Reply: through}
	ip.set.Paths[Server] = Path{Request: pick("PREROUTING", "INPUT"), Reply: pick("OUTPUT", "POSTROUTING")}
}

// shellWords splits a line as iptables-save quotes: double quotes, and
// backslashes inside of them.
func shellWords(line string) ([]string, error) {
	var words []string
	var word strings.Builder
	inWord, inQuotes := false, false
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == '"':
			inQuotes, inWord = !inQuotes, true
		case inQuotes && c == '\\' && i+1 < len(line):
			i++
			word.WriteByte(line[i])
		case !inQuotes && (c == ' ' || c == '\t'):
			if inWord {
				words = append(words, word.String())
				word.Reset()
				inWord = false
			}
		default:
			word.WriteByte(c)
			inWord = true
		}
	}
	if inQuotes {
		return nil, errors.New("a quote is not closed")
	}
	if inWord {
		words = append(words, word.String())
	}
	return words, nil
}

// rule reads one -A line.
func (ip *iptables) rule(l iptablesRule, at map[*Chain]hooks) error {
	c := ip.chains[l.table+"/"+l.words[0]]
	if c == nil {
		return ip.errorf(l.line, "chain %q of table %s is not declared: want :%s before", shown(l.words[0]), l.table, shown(l.words[0]))
	}
	r := &Rule{ID: fmt.Sprintf("%s:%d", c.Name, len(c.Rules)+1), Line: l.line, Text: shown(l.text), Hits: l.hits}
	m := iptablesMatch{iptables: ip, condition: newCondition(), line: l.line, at: at[c], words: l.words[1:]}
	if err := m.read(); err != nil {
		return err
	}
	if l.table == "raw" && m.phases != AllPhases {
		m.doubt("connections are not tracked yet in table raw")
	}
	if l.table == "nat" { // only the first packet of a connection comes here
		m.phases &= First
	}
	r.Boxes, r.Phases, r.Doubts = m.boxes, m.phases, m.doubts
	c.Rules = append(c.Rules, r)
	return ip.target(l, r, m.target, m.leave)
}

// target resolves what a rule jumps to.
func (ip *iptables) target(l iptablesRule, r *Rule, name string, leave bool) error {
	if target := ip.chains[l.table+"/"+name]; target != nil && target.Policy == 0 {
		r.Action, r.Target = Jump, target
		if leave {
			r.Action = Goto
		}
		return nil
	}
	if leave {
		return ip.errorf(l.line, "-g %q: want a chain of table %s", shown(name), l.table)
	}
	obscure := func(why string) {
		r.Action, r.Doubts = Obscure, append(r.Doubts, why)
	}
	switch name {
	case "", "LOG", "NFLOG", "ULOG", "TRACE", "AUDIT", "MARK", "CONNMARK", "CHECKSUM", "CLASSIFY", "TOS", "DSCP", "ECN", "TTL", "HL",
		"TCPMSS", "TCPOPTSTRIP", "SET", "SECMARK", "CONNSECMARK", "RATEEST", "IDLETIMER", "LED":
		r.Action = Pass
	case "ACCEPT":
		r.Action = Accept
	case "DROP", "REJECT", "TARPIT":
		r.Action = Drop
	case "RETURN":
		r.Action = Return
	case "SNAT", "MASQUERADE": // after all filters: the filters never see the new address
		r.Action = Accept
	case "DNAT", "REDIRECT", "NETMAP", "DNPT", "TPROXY":
		obscure("address translation by " + name)
	case "CT", "NOTRACK":
		if name == "NOTRACK" || slices.Contains(l.words, "--notrack") {
			obscure("the connection is not tracked (" + name + "), its states are not known")
		}
	default:
		obscure("the effect of target " + shown(name) + " is not in the file")
	}
	return nil
}
