package fingerprint

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"
)

// pattern is an RE2 expression over text in Latin-1. Its automaton is built
// when a value is first worth running it over: most of them never are in a run.
type pattern struct {
	text     string
	names    []string  // of its groups, "" for those without
	literals []literal // one of them is in every match; nil when none is known
	compile  func() *regexp.Regexp
}

// newPattern checks a pattern and everything that can be wrong with it. Bytes
// above 0x7f stand for themselves, as they do in the text that it is matched
// against.
func newPattern(source string) (*pattern, error) {
	text, err := latin1Pattern(source)
	if err != nil {
		return nil, err
	}
	re, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return nil, fmt.Errorf("pattern %q: want RE2: %w", source, err)
	}
	// what parses compiles: regexp has no other faults
	p := &pattern{text: text, names: re.CapNames(), compile: sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(text) })}
	for _, g := range p.groups() {
		if !knownGroup(g) {
			return nil, fmt.Errorf("pattern %q: group %q: want version, product, hostname or edition", source, g)
		}
	}
	re = re.Simplify()
	if !consumes(re) && p.compile().MatchString("") {
		return nil, fmt.Errorf("pattern %q matches the empty text and so everything", source)
	}
	p.literals = literalsOf(re)
	return p, nil
}

// groups lists the named groups.
func (p *pattern) groups() []string {
	var names []string
	for _, n := range p.names {
		if n != "" {
			names = append(names, n)
		}
	}
	return names
}

func knownGroup(name string) bool { return slices.Contains(groupNames(), name) }

// groupNames are what a rule may extract.
func groupNames() []string { return []string{"version", "product", "hostname", "edition"} }

// possible reports whether the value holds one of the texts that a match of
// the pattern would.
func (p *pattern) possible(v fieldValue) bool {
	for _, l := range p.literals {
		text := v.text
		if l.fold {
			text = v.folded()
		}
		if strings.Contains(text, l.text) {
			return true
		}
	}
	return p.literals == nil
}

// test returns the first match and what its groups hold. A version that ends
// where an answer was cut off is left out: half of it would be another one.
func (p *pattern) test(v fieldValue) (where string, groups map[string]string, ok bool) {
	if !p.possible(v) {
		return "", nil, false
	}
	m := p.compile().FindStringSubmatchIndex(v.text)
	if m == nil {
		return "", nil, false
	}
	groups = map[string]string{}
	for i, name := range p.names {
		if name == "" || m[2*i] < 0 || name == "version" && v.open && strings.Trim(v.text[m[2*i+1]:], ".-") == "" {
			continue
		}
		groups[name] = v.text[m[2*i]:m[2*i+1]]
	}
	return v.text[m[0]:m[1]], groups, true
}

// consumes reports that every match of re is of one character or more. false
// means that it may be empty.
func consumes(re *syntax.Regexp) bool {
	switch re.Op {
	case syntax.OpLiteral, syntax.OpCharClass, syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return true
	case syntax.OpCapture, syntax.OpPlus:
		return consumes(re.Sub[0])
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			if consumes(sub) {
				return true
			}
		}
	case syntax.OpAlternate:
		for _, sub := range re.Sub {
			if !consumes(sub) {
				return false
			}
		}
		return true
	default: // optional or an assertion
	}
	return false
}

const leastLiteral = 3 // bytes

// literal is a text that every match of a pattern contains.
type literal struct {
	text string
	fold bool // in lower case, to be sought in the lower-case value
}

// literalsOf returns texts of which at least one is in every match of re, nil
// when it tells none of three bytes or more. Looking for them first spares
// nearly all rules their automaton.
func literalsOf(re *syntax.Regexp) []literal {
	switch re.Op {
	case syntax.OpLiteral:
		return literalOf(re)
	case syntax.OpCapture, syntax.OpPlus:
		return literalsOf(re.Sub[0])
	case syntax.OpRepeat:
		if re.Min > 0 {
			return literalsOf(re.Sub[0])
		}
	case syntax.OpConcat:
		var best []literal
		for _, sub := range re.Sub {
			if l := literalsOf(sub); weakest(l) > weakest(best) {
				best = l
			}
		}
		return best
	case syntax.OpAlternate:
		var all []literal
		for _, sub := range re.Sub {
			l := literalsOf(sub)
			if l == nil {
				return nil // a branch without one
			}
			all = append(all, l...)
		}
		return all
	default: // optional: nothing is required
	}
	return nil
}

func literalOf(re *syntax.Regexp) []literal {
	text := string(re.Rune)
	if len(text) < leastLiteral {
		return nil
	}
	if re.Flags&syntax.FoldCase == 0 {
		return []literal{{text: text}}
	}
	if !ascii(text) {
		return nil // folding beyond ASCII is not a matter of lower case alone
	}
	return []literal{{text: strings.ToLower(text), fold: true}}
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// weakest is the length of the shortest of the texts, 0 for none.
func weakest(list []literal) int {
	if len(list) == 0 {
		return 0
	}
	n := len(list[0].text)
	for _, l := range list[1:] {
		n = min(n, len(l.text))
	}
	return n
}
