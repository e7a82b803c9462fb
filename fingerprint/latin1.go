package fingerprint

import (
	"fmt"
	"regexp/syntax"
	"strings"
	"unicode/utf8"
)

// latin1 reads bytes as ISO 8859-1, so that a regular expression over text sees
// every byte as one character: \xNN in a pattern is the byte NN.
func latin1(b []byte) string {
	for _, c := range b {
		if c >= utf8.RuneSelf {
			return widen(b)
		}
	}
	return string(b)
}

func widen(b []byte) string {
	var s strings.Builder
	s.Grow(len(b) + len(b)/2)
	for _, c := range b {
		s.WriteRune(rune(c))
	}
	return s.String()
}

// narrow is the inverse of latin1. Characters above U+00FF cannot occur in its
// input and are dropped.
func narrow(s string) []byte {
	b := make([]byte, 0, len(s))
	for _, r := range s {
		if r <= 0xff {
			b = append(b, byte(r))
		}
	}
	return b
}

// latin1Pattern rewrites the non-ASCII characters of a pattern as the bytes of
// their UTF-8 form. Inside a class they would become alternatives: refused.
func latin1Pattern(pattern string) (string, error) {
	if !utf8.ValidString(pattern) {
		return "", fmt.Errorf("pattern %q is not UTF-8", pattern)
	}
	var out strings.Builder
	class, escaped := false, false
	for _, r := range pattern {
		switch {
		case r >= utf8.RuneSelf && class:
			return "", fmt.Errorf("pattern %q: %q inside a class: write its bytes as \\xNN", pattern, r)
		case r >= utf8.RuneSelf:
			out.WriteString("(?:")
			for _, c := range []byte(string(r)) {
				fmt.Fprintf(&out, `\x%02x`, c)
			}
			out.WriteString(")")
			escaped = false
			continue
		case escaped:
			escaped = false
		case r == '\\':
			escaped = true
		case r == '[':
			class = true
		case r == ']':
			class = false
		}
		out.WriteRune(r)
	}
	return out.String(), nil
}

// literal is a text that every match of a pattern contains.
type literal struct {
	text string
	fold bool // in lower case, to be sought in the lower-case value
}

// requiredLiterals returns texts of which at least one is in every match of the
// pattern, nil when the pattern tells none of three bytes or more. Looking for
// them first spares nearly all rules their automaton.
func requiredLiterals(pattern string) []literal {
	re, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return nil
	}
	return literalsOf(re.Simplify())
}

const leastLiteral = 3 // bytes

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

// lowerASCII folds A to Z and nothing else, which keeps every offset.
func lowerASCII(s string) string {
	for i := range len(s) {
		if s[i] >= 'A' && s[i] <= 'Z' {
			b := []byte(s)
			for j, c := range b[i:] {
				if c >= 'A' && c <= 'Z' {
					b[i+j] = c + 'a' - 'A'
				}
			}
			return string(b)
		}
	}
	return s
}
