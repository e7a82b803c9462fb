package fingerprint

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// The values that a tell can name beside the groups of its rule.
const (
	tellBytes = "bytes" // how many were received
	tellBegin = "begin" // the first of them in hex, at most four
	tellSeen  = "seen"  // the text that matched, escaped and cut as an excerpt is
)

// checkTell reports a {name} that a tell cannot have.
func checkTell(template string, groups map[string]bool) error {
	for _, name := range placeholders(template) {
		if !groups[name] && !slices.Contains([]string{tellBytes, tellBegin, tellSeen}, name) {
			return fmt.Errorf("{%s}: want {bytes}, {begin}, {seen} or a named group of a pattern", name)
		}
	}
	return nil
}

// tell says what the rule saw in an exchange: its own words where it has some
// and every value in them is known, else the matched bytes. values are extracted
// and safe. The result is an excerpt: printable ASCII, at most maxExcerpt bytes.
func (r *Rule) tell(ex Exchange, where string, values map[string]string) string {
	if r.Tell == "" {
		return excerpt(where)
	}
	whole := true
	text := replace(r.Tell, func(name string) string {
		v := values[name]
		switch name {
		case tellBytes:
			v = strconv.Itoa(len(ex.Received))
		case tellBegin:
			v = fmt.Sprintf("% x", ex.Received[:min(len(ex.Received), 4)])
		case tellSeen:
			v = excerpt(where)
		}
		whole = whole && v != ""
		return v
	})
	if !whole {
		return excerpt(where)
	}
	return bounded(strings.Join(strings.Fields(text), " "))
}
