package registry

import (
	"fmt"
	"slices"
	"strings"

	"dormant/registry/yamlfile"
)

// checker collects the faults of one file. Values are decoded strictly into
// types; only a fault needs the tree of nodes, which knows the lines.
type checker struct {
	name    string
	raw     []byte
	lines   yamlfile.Lines // of raw, once a fault wants them
	parsed  bool
	sources map[string]string
	at      []any // path of the stanza that is checked
	faults  []error
}

// fault notes that what stands at path, below c.at, is not what was expected.
func (c *checker) fault(what, got, want string, at ...any) {
	c.faults = append(c.faults, fmt.Errorf("registry: %s:%d: %s %q: want %s", c.name, c.line(at...), what, yamlfile.Clip(got), want))
}

// text wants a text that is not empty.
func (c *checker) text(what, got string, at ...any) {
	if strings.TrimSpace(got) == "" {
		c.fault(what, got, "a text", at...)
	}
}

// word wants one of the words.
func (c *checker) word(what, got string, words []string, at ...any) {
	if !slices.Contains(words, got) {
		c.fault(what, got, "one of "+strings.Join(words, ", "), at...)
	}
}

// mark checks where a statement comes from and gives the source its full name.
func (c *checker) mark(m *Mark, at ...any) {
	below := func(key string) []any { return append(slices.Clone(at), key) }
	c.word("standing", string(m.Standing), []string{string(Account), string(Evidence), string(Contradicts)}, below("standing")...)
	c.word("confidence", string(m.Confidence), []string{string(High), string(Medium), string(Low)}, below("confidence")...)
	full, ok := c.sources[m.Source]
	if !ok {
		c.fault("source", m.Source, "a key of \"sources\" in the same file", below("source")...)
	}
	m.Source = full
}

// line returns the line of the deepest node that exists on the path below
// c.at: of the value, or of what should have held it.
func (c *checker) line(at ...any) int {
	if !c.parsed {
		c.lines, c.parsed = yamlfile.NewLines(c.raw), true
	}
	return c.lines.Of(append(slices.Clone(c.at), at...)...)
}
