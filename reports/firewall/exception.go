package firewall

import (
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"dormant/registry"
)

// exception fills in what would keep the clients that a rule cuts off: the
// fewest networks that hold just them, to just the services that they use.
func (r *RuleImpact) exception(rs *RuleSet) {
	if len(r.gaps) == 0 {
		return
	}
	w := exceptionWriter{set: rs, rule: r.rule, chain: r.chain}
	if r.rule != nil {
		w.chain = rs.chainOf(r.rule)
	}
	for _, g := range r.gaps {
		w.add(g)
	}
	r.Exception, r.Where = w.numbered(), w.where()
}

// chainOf returns the chain in which a rule stands.
func (rs *RuleSet) chainOf(r *Rule) *Chain {
	for _, c := range rs.Chains {
		if slices.Contains(c.Rules, r) {
			return c
		}
	}
	return nil
}

// exceptionWriter writes exceptions in the syntax of a file.
type exceptionWriter struct {
	set   *RuleSet
	rule  *Rule // before which they go; nil: at the end of chain
	chain *Chain
	lines []string
}

// exceptionSources is how many networks one line names where the syntax allows
// several.
const exceptionSources = 20

func (w *exceptionWriter) add(g gap) {
	networks := Prefixes(g.clients)
	if w.set.Format == "cisco" {
		for _, p := range networks {
			w.lines = append(w.lines, fmt.Sprintf("permit %s %s host %s eq %d", g.service.Port.Proto, ciscoAddr(p, w.set.Stateful), g.service.Addr, g.service.Port.Number))
		}
		return
	}
	for part := range slices.Chunk(networks, exceptionSources) {
		switch w.set.Format {
		case "yaml", "csv":
			w.simple(part, g)
		case "iptables":
			w.iptables(part, g)
		case "nft":
			w.nft(part, g)
		case "aws":
			w.aws(part, g)
		}
	}
}

// where says in words where the lines go.
func (w *exceptionWriter) where() string {
	name := ""
	if w.chain != nil {
		name = w.chain.Name
	}
	switch {
	case w.set.Format == "aws":
		return "to IpPermissions of a group that the server carries"
	case w.set.Format == "nft" && w.rule != nil:
		return "with nft -f, before the rule"
	case w.set.Format == "nft":
		return "with nft -f, at the end of chain " + name
	case w.set.Format == "cisco" && w.rule != nil && !w.set.Stateful:
		return fmt.Sprintf("before entry %d (ip access-list resequence makes room where numbers are missing)", w.entry(w.rule))
	case w.rule != nil:
		return fmt.Sprintf("before line %d", w.rule.Line)
	default:
		return "at the end of " + name
	}
}

// joined writes networks with sep between, single addresses without a length.
func joined(list []netip.Prefix, sep string) string {
	words := make([]string, len(list))
	for i, p := range list {
		words[i] = prefixWord(p)
	}
	return strings.Join(words, sep)
}

func prefixWord(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

// simple writes a rule of simple YAML or CSV. The answer is a rule of its own
// where replies do not pass by themselves.
func (w *exceptionWriter) simple(from []netip.Prefix, g gap) {
	t := g.service
	id := fmt.Sprintf("keep-%d", len(w.lines)+1)
	if w.rule != nil {
		id = w.rule.ID + "-" + id
	}
	fields := map[string]string{"id": id, "action": "allow", "proto": t.Port.Proto.String(),
		"src": joined(from, " "), "dst": t.Addr.String(), "dport": strconv.Itoa(int(t.Port.Number))}
	if g.phase == Reply {
		fields["src"], fields["dst"], fields["sport"], fields["dport"] = fields["dst"], fields["src"], fields["dport"], ""
	}
	if w.set.Format == "csv" {
		cells := make([]string, len(w.set.columns))
		for i, name := range w.set.columns {
			cells[i] = fields[name]
		}
		w.lines = append(w.lines, strings.Join(cells, ","))
		return
	}
	var words []string
	for _, name := range simpleFields() {
		v := fields[name]
		if v == "" {
			continue
		}
		if strings.ContainsAny(v, " :") || name == "id" { // a list, or IPv6
			quoted := strings.Fields(v)
			for i := range quoted {
				quoted[i] = strconv.Quote(quoted[i])
			}
			v = strings.Join(quoted, ", ")
			if len(quoted) > 1 {
				v = "[" + v + "]"
			}
		}
		words = append(words, name+": "+v)
	}
	w.lines = append(w.lines, "- {"+strings.Join(words, ", ")+"}")
}

func (w *exceptionWriter) iptables(from []netip.Prefix, g gap) {
	t := g.service
	chain := w.chain.Name
	if _, plain, ok := strings.Cut(chain, "/"); ok {
		chain = plain
	}
	src, dst, side := joined(from, ","), t.Addr.String(), "--dport"
	if g.phase == Reply {
		src, dst, side = dst, src, "--sport"
	}
	w.lines = append(w.lines, fmt.Sprintf("-A %s -s %s -d %s -p %s -m %s %s %d -j ACCEPT", chain, src, dst, t.Port.Proto, t.Port.Proto, side, t.Port.Number))
}

func (w *exceptionWriter) nft(from []netip.Prefix, g gap) {
	t := g.service
	family := "ip"
	if t.Addr.Is6() {
		family = "ip6"
	}
	who, side, other, port := "{ "+joined(from, ", ")+" }", "saddr", "daddr", "dport"
	if len(from) == 1 {
		who = prefixWord(from[0])
	}
	if g.phase == Reply {
		side, other, port = "daddr", "saddr", "sport"
	}
	verb, at := "add", w.chain.Name
	if w.rule != nil {
		verb = "insert"
		at = w.rule.ID // "inet t forward handle 7"
	}
	w.lines = append(w.lines, fmt.Sprintf("%s rule %s %s %s %s %s %s %s %s %d accept", verb, at, family, side, who, family, other, t.Addr, t.Port.Proto.String()+" "+port, t.Port.Number))
}

// numbered gives the entries of an access list the numbers that put them before
// the rule: on ASA the later ones move down, on IOS there must be room.
func (w *exceptionWriter) numbered() []string {
	if w.set.Format != "cisco" {
		return w.lines
	}
	name := w.chain.Name
	number, before := w.entry(w.rule), 0
	if i := slices.Index(w.chain.Rules, w.rule); i > 0 {
		before = w.entry(w.chain.Rules[i-1])
	}
	out := make([]string, 0, len(w.lines)+1)
	if !w.set.Stateful {
		out = append(out, "ip access-list extended "+name)
	}
	for i, entry := range w.lines {
		switch first := number - len(w.lines); {
		case w.set.Stateful && w.rule != nil:
			entry = fmt.Sprintf("access-list %s line %d extended %s", name, number, entry)
		case w.set.Stateful:
			entry = fmt.Sprintf("access-list %s extended %s", name, entry)
		case w.rule != nil && first > before:
			entry = fmt.Sprintf(" %d %s", first+i, entry)
		default:
			entry = " " + entry
		}
		out = append(out, entry)
	}
	return out
}

// entry returns the number of an entry, 0 for none.
func (w *exceptionWriter) entry(r *Rule) int {
	if r == nil {
		return 0
	}
	n, _ := strconv.Atoi(strings.TrimPrefix(r.ID, w.chain.Name+":")) // we wrote it
	return n
}

// ciscoAddr writes a network with the mask of ASA, or the wildcard of IOS.
func ciscoAddr(p netip.Prefix, asa bool) string {
	switch {
	case p.IsSingleIP():
		return "host " + p.Addr().String()
	case p.Addr().Is6():
		return p.String()
	}
	mask := net.CIDRMask(p.Bits(), 32)
	if !asa {
		for i := range mask {
			mask[i] = ^mask[i]
		}
	}
	return p.Addr().String() + " " + net.IP(mask).String()
}

// aws writes a permission as describe-security-groups shows it.
func (w *exceptionWriter) aws(from []netip.Prefix, g gap) {
	port := int(g.service.Port.Number)
	permission := awsPermission{Protocol: g.service.Port.Proto.String(), From: &port, To: &port}
	for _, p := range from {
		if p.Addr().Is4() {
			permission.Ranges = append(permission.Ranges, awsNetwork{CIDR4: p.String()})
		} else {
			permission.Ranges6 = append(permission.Ranges6, awsNetwork{CIDR6: p.String()})
		}
	}
	text, err := json.Marshal(permission)
	if err != nil { // strings and numbers only
		return
	}
	w.lines = append(w.lines, string(text))
}

// otherTransport is the same number on the other transport.
func otherTransport(p registry.Port) registry.Port {
	if p.Proto == registry.TCP {
		return registry.Port{Number: p.Number, Proto: registry.UDP}
	}
	return registry.Port{Number: p.Number, Proto: registry.TCP}
}
