package fingerprint

import (
	"fmt"
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
