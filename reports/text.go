package reports

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// The longest cells, in bytes. Excerpts are bounded by design; the others only
// against a peer that fills a field of its protocol with a book.
const (
	maxEvidence = 200
	maxNote     = 600
	maxText     = 255
)

const cutMark = "..." // ends a text that was cut

// escape returns s as printable ASCII on one line, at most limit bytes: every
// other byte becomes \xNN, and what is too long is cut and ends in "...". It is
// idempotent. limit is at least 4.
func escape(s string, limit int) string {
	if len(s) <= limit && printable(s) {
		return s
	}
	var b strings.Builder
	b.Grow(min(len(s)+16, limit))
	fits := 0 // length of b up to which the mark still fits behind
	for i := 0; i < len(s); i++ {
		if b.Len() <= limit-len(cutMark) {
			fits = b.Len()
		}
		if b.Len() > limit {
			break
		}
		c := s[i]
		if c >= ' ' && c <= '~' {
			b.WriteByte(c)
			continue
		}
		const hex = "0123456789abcdef"
		b.Write([]byte{'\\', 'x', hex[c>>4], hex[c&15]})
	}
	if b.Len() <= limit {
		return b.String()
	}
	cut := b.String()[:fits]
	if i := strings.LastIndexByte(cut, '\\'); i >= 0 && partOfEscape(cut[i+1:]) {
		cut = cut[:i]
	}
	return cut + cutMark
}

// partOfEscape reports whether s, behind a backslash, is an escape that was cut.
func partOfEscape(s string) bool { return s == "" || s[0] == 'x' && len(s) < len("xNN") }

func printable(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// cell returns s as a spreadsheet may read it: escaped, and with a single quote
// before everything that a spreadsheet would take for a formula. That is the
// start of the cell (OWASP ASVS 5, 1.2.10; CWE-1236), and what follows a comma
// or semicolon inside of it: with the other delimiter, which is a matter of the
// reader's locale, a new cell starts there.
func cell(s string, limit int) string {
	var b strings.Builder
	if startsFormula(s) {
		b.WriteByte('\'')
	}
	for {
		i := strings.IndexAny(s, ",;")
		if i < 0 {
			break
		}
		b.WriteString(s[:i+1])
		if s = s[i+1:]; startsFormula(s) {
			b.WriteByte('\'')
		}
	}
	if b.Len() == 0 {
		return escape(s, limit)
	}
	b.WriteString(s)
	return escape(b.String(), limit)
}

// startsFormula reports whether a spreadsheet may compute s: it begins, after
// spaces, with one of the signs that start a formula, in ASCII or in full width.
func startsFormula(s string) bool {
	s = strings.TrimLeft(s, " ")
	for _, sign := range [...]string{"=", "+", "-", "@", "\t", "\r", "\n", "\x00", "\uff1d", "\uff0b", "\uff0d", "\uff20"} {
		if strings.HasPrefix(s, sign) {
			return true
		}
	}
	return false
}

// moment writes t in RFC 3339 with milliseconds, in UTC; the zero time is "".
func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}

// milliseconds writes d with a resolution of one microsecond; 0 is "".
func milliseconds(d time.Duration) string {
	if d == 0 {
		return ""
	}
	us := math.Round(float64(d) / float64(time.Microsecond))
	return strconv.FormatFloat(us/1000, 'f', -1, 64)
}

// prefixed puts prefix before s unless it stands there; "" stays "".
func prefixed(prefix, s string) string {
	if s == "" || strings.HasPrefix(s, prefix) {
		return s
	}
	return prefix + s
}

// versionCell keeps a spreadsheet from reading a version as a number or a date:
// 8.10 becomes v8.10.
func versionCell(s string) string {
	if len(s) > 1 && s[0] == 'v' && s[1] >= '0' && s[1] <= '9' {
		return s
	}
	return prefixed("v", s)
}

// joinList joins with "|"; a bar inside an element is escaped.
func joinList(list []string) string {
	switch len(list) {
	case 0:
		return ""
	case 1:
		return strings.ReplaceAll(list[0], "|", `\x7c`)
	}
	clean := make([]string, len(list))
	for i, s := range list {
		clean[i] = strings.ReplaceAll(s, "|", `\x7c`)
	}
	return strings.Join(clean, "|")
}
