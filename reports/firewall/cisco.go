package firewall

import (
	"bytes"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

func isCisco(_ string, text []byte) bool {
	return regexp.MustCompile(`(?m)^\s*(?:access-list \S+ |ip access-list extended |Extended IP access list )`).Match(text)
}

// cisco reads the configuration or the output of show access-list of IOS and
// of ASA.
type cisco struct {
	*parser
	acls   map[string]*ciscoACL
	groups map[string]*ciscoGroup // objects and object groups by name
	said   map[string]int         // remarks of an ASA list before its first entry
	names  map[string]string      // that ASA prints instead of addresses
	in     any                    // what the following lines belong to: *ciscoACL, *ciscoGroup or nil
	n      int                    // the line
	asa    bool
}

type ciscoACL struct {
	chain   Chain
	line    int
	asa     bool
	number  int // of the last entry
	entries []ciscoEntry
}

// ciscoEntry is a line to be read when all groups are known.
type ciscoEntry struct {
	line, number int
	words        []string
	text         string
	hits         *uint64
	// expanded is true for the lines that show access-list puts below an entry
	// with groups, one for each combination.
	expanded bool
}

func parseCisco(p *parser) error {
	c := &cisco{parser: p, acls: map[string]*ciscoACL{}, groups: map[string]*ciscoGroup{}, said: map[string]int{}, names: map[string]string{}}
	for line := range bytes.Lines(p.text) {
		c.n++
		if err := c.line(strings.TrimRight(string(line), "\r\n \t")); err != nil {
			return err
		}
	}
	if err := c.resolve(); err != nil {
		return err
	}
	acls, err := c.chosen()
	if err != nil {
		return err
	}
	var chains []*Chain
	for _, acl := range acls {
		if err := c.entries(acl); err != nil {
			return err
		}
		chains = append(chains, &acl.chain)
		c.asa = c.asa || acl.asa
	}
	c.set.Chains = chains
	path := Path{Request: chains}
	c.set.Paths[Router], c.set.Paths[Server] = path, path
	c.set.Stateful = c.asa
	if !c.asa {
		c.set.Domain = AnyIPv4()
		c.assumed("replies pass: the access list sees one direction only")
	}
	return nil
}

// chosen returns the lists that packets pass.
func (c *cisco) chosen() ([]*ciscoACL, error) {
	names := c.options.ACL
	all := slices.Sorted(maps.Keys(c.acls))
	switch {
	case len(all) == 0:
		return nil, c.errorf(1, "no extended access list: want access-list … or ip access-list extended …")
	case len(names) == 0 && len(all) > 1:
		return nil, c.errorf(1, "%d access lists, %s: say which ones packets pass with --acl", len(all), shown(strings.Join(all, ", ")))
	case len(names) == 0:
		names = all
	}
	var out []*ciscoACL
	for _, name := range names {
		acl := c.acls[name]
		if acl == nil {
			return nil, c.errorf(1, "access list %q is not there: want one of %s", shown(name), shown(strings.Join(all, ", ")))
		}
		out = append(out, acl)
	}
	return out, nil
}

// line sorts one line by what it begins with.
func (c *cisco) line(line string) error {
	words := strings.Fields(line)
	if len(words) == 0 || words[0] == "!" || words[0] == ":" {
		return nil
	}
	indented := line[0] == ' ' || line[0] == '\t'
	switch {
	case words[0] == "access-list":
		return c.accessList(words, indented)
	case len(words) >= 4 && slices.Equal(words[:3], []string{"ip", "access-list", "extended"}):
		c.in = c.acl(words[3])
		return nil
	case len(words) >= 5 && slices.Equal(words[:4], []string{"Extended", "IP", "access", "list"}):
		c.in = c.acl(words[4])
		return nil
	case words[0] == "object" || words[0] == "object-group":
		return c.open(words)
	case words[0] == "no":
		return c.no(words, indented)
	case words[0] == "name" && len(words) > 2:
		c.names[words[2]] = words[1]
		return nil
	case words[0] == "exit" || words[0] == "end":
		c.in = nil
		return nil
	case words[0] == "ipv6" && len(words) > 1 && words[1] == "access-list":
		c.in = nil
		c.note(c.n, "IPv6 access lists of IOS are not read")
		return nil
	}
	switch in := c.in.(type) {
	case *ciscoACL:
		if isACE(words) {
			return c.entry(in, words, line)
		}
		if indented {
			return c.errorf(c.n, "%q: want [NUMBER] permit, deny, remark, evaluate or dynamic", shown(line))
		}
	case *ciscoGroup:
		if indented || in.takes(words[0]) {
			return c.member(in, words)
		}
	}
	c.in = nil // some other part of a configuration
	return nil
}

// no reads a line that takes something away. A whole list may be, as change
// scripts do before they write it anew; a part of one would have to be found in
// a configuration that is not at hand.
func (c *cisco) no(words []string, indented bool) error {
	rest := words[1:]
	part := false
	switch in := c.in.(type) {
	case *ciscoACL:
		part = indented || len(rest) > 0 && (isACE(rest) || allDigits(rest[0]))
	case *ciscoGroup:
		part = indented || len(rest) > 0 && in.takes(rest[0])
	}
	c.in = nil
	if len(rest) > 2 && rest[0] == "ip" && rest[1] == "access-list" {
		rest = slices.Delete(slices.Clone(rest), 0, 1)
		rest = slices.DeleteFunc(rest, func(w string) bool { return w == "extended" })
	}
	switch {
	case len(rest) == 2 && rest[0] == "access-list":
		delete(c.acls, rest[1])
	case part || len(rest) > 3 && rest[0] == "access-list" && slices.ContainsFunc(rest, func(w string) bool { return w == "permit" || w == "deny" }),
		len(rest) > 1 && (rest[0] == "object-group" || rest[0] == "object"):
		return c.errorf(c.n, "%q: want the whole configuration after the change, not a line that takes away", shown(strings.Join(words, " ")))
	}
	return nil
}

func allDigits(word string) bool {
	_, err := strconv.ParseUint(word, 10, 32)
	return err == nil
}

// isACE reports whether a line is an entry of a named list.
func isACE(words []string) bool {
	if allDigits(words[0]) && len(words) > 1 {
		words = words[1:]
	}
	return slices.Contains([]string{"permit", "deny", "remark", "evaluate", "dynamic"}, words[0])
}

func (c *cisco) acl(name string) *ciscoACL {
	if c.acls[name] == nil {
		c.acls[name] = &ciscoACL{chain: Chain{Name: shown(name), Policy: Deny}, line: c.n}
	}
	return c.acls[name]
}

// accessList reads "access-list NAME [line N] [extended] permit …".
func (c *cisco) accessList(words []string, indented bool) error {
	c.in = nil
	text := strings.Join(words, " ")
	if len(words) < 3 || strings.HasSuffix(words[1], ";") || words[1] == "cached" || words[1] == "alert-interval" || words[1] == "deny-flow-max" {
		return nil // heads of show access-list, and settings
	}
	name, rest := words[1], words[2:]
	number := 0
	if rest[0] == "line" && len(rest) > 2 {
		n, err := strconv.Atoi(rest[1])
		if err != nil {
			return c.errorf(c.n, "line %q: want a number", shown(rest[1]))
		}
		number, rest = n, rest[2:]
	}
	if (rest[0] == "permit" || rest[0] == "deny") && !allDigits(name) { // as PIX prints it; IOS has numbers here
		rest = slices.Insert(rest, 0, "extended")
	}
	switch rest[0] {
	case "extended":
		acl := c.acl(name)
		if !acl.asa {
			acl.asa, acl.number = true, c.said[name]
		}
		return c.ace(acl, number, rest[1:], text, indented && number > 0)
	case "remark":
		if acl := c.acls[name]; acl != nil && acl.asa {
			acl.number++
		}
		c.said[name]++
		return nil
	case "permit", "deny":
		n, _ := strconv.Atoi(name)
		if extended := n >= 100 && n <= 199 || n >= 2000 && n <= 2699; !extended {
			return nil // a standard list filters routes and logins
		}
		return c.ace(c.acl(name), number, rest, text, false)
	case "standard", "webtype", "ethertype":
		return nil
	case "dynamic":
		acl := c.acl(name)
		return c.ace(acl, number, rest, text, false)
	default:
		return c.errorf(c.n, "%q: want extended, permit, deny or remark after the name", shown(text))
	}
}

// entry reads an entry of a named list of IOS.
func (c *cisco) entry(acl *ciscoACL, words []string, line string) error {
	number := 0
	if n, err := strconv.Atoi(words[0]); err == nil {
		number, words = n, words[1:]
	}
	if words[0] == "remark" {
		return nil
	}
	return c.ace(acl, number, words, line, false)
}

// ace keeps an entry, without the counters that show access-list adds.
func (c *cisco) ace(acl *ciscoACL, number int, words []string, text string, expanded bool) error {
	e := ciscoEntry{line: c.n, number: number, text: text, expanded: expanded}
	for i, w := range words {
		hit, ok := strings.CutPrefix(w, "(hitcnt=")
		if !ok && i+1 < len(words) && strings.HasPrefix(words[i+1], "match") {
			hit, ok = strings.CutPrefix(w, "(")
		}
		if ok {
			if n, err := strconv.ParseUint(strings.Trim(hit, ")"), 10, 64); err == nil {
				e.hits = &n
			}
			words = words[:i]
			break
		}
	}
	if len(words) < 1 {
		return c.errorf(c.n, "%q: want permit or deny", shown(text))
	}
	step := 10
	if acl.asa {
		step = 1
	}
	if e.number == 0 {
		e.number = acl.number + step
	}
	acl.number = max(acl.number, e.number)
	e.words = slices.Clone(words)
	acl.entries = append(acl.entries, e)
	return nil
}

// entries makes the rules of a list.
func (c *cisco) entries(acl *ciscoACL) error {
	if !acl.asa {
		slices.SortStableFunc(acl.entries, func(a, b ciscoEntry) int { return a.number - b.number })
	}
	for i, e := range acl.entries {
		if !e.expanded && i+1 < len(acl.entries) && acl.entries[i+1].expanded {
			continue // what stands below it says the same without groups
		}
		m := aceReader{cisco: c, condition: newCondition(), asa: acl.asa, line: e.line, wordReader: wordReader{e.words}}
		r := &Rule{ID: fmt.Sprintf("%s:%d", acl.chain.Name, e.number), Line: e.line, Text: shown(e.text), Hits: e.hits}
		if err := m.read(r); err != nil {
			return err
		}
		acl.chain.Rules = append(acl.chain.Rules, r)
	}
	return nil
}
