package registry

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// checker collects the faults of one file. Values are decoded strictly into
// types; only a fault needs the tree of nodes, which knows the lines.
type checker struct {
	name    string
	raw     []byte
	root    *yaml.Node // of raw, nil until the first fault
	sources map[string]string
	at      []any // path of the stanza that is checked
	faults  []error
}

// fault notes that what stands at path, below c.at, is not what was expected.
func (c *checker) fault(what, got, want string, at ...any) {
	c.faults = append(c.faults, fmt.Errorf("registry: %s:%d: %s %q: want %s", c.name, c.line(at...), what, clip(got), want))
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
	if c.root == nil {
		c.root = new(yaml.Node)
		_ = yaml.Unmarshal(c.raw, c.root) // it was decoded before, so it parses; else the line is 1
	}
	n, line := c.root, 1
	if n.Kind == yaml.DocumentNode && len(n.Content) == 1 {
		n, line = n.Content[0], n.Content[0].Line
	}
	for _, step := range append(slices.Clone(c.at), at...) {
		for n.Kind == yaml.AliasNode {
			n = n.Alias
		}
		next := child(n, step)
		if next == nil {
			return line
		}
		n, line = next, next.Line
	}
	return line
}

// child returns the value under a key (string) or an index (int), else nil.
func child(n *yaml.Node, step any) *yaml.Node {
	switch s := step.(type) {
	case int:
		if n.Kind == yaml.SequenceNode && s < len(n.Content) {
			return n.Content[s]
		}
	case string:
		for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == s {
				return n.Content[i+1]
			}
		}
	}
	return nil
}

// yamlFaults gives the decoder's faults the form of ours: file:line, value,
// what was expected.
func yamlFaults(name string, err error) []error {
	texts := []string{err.Error()}
	if e, ok := errors.AsType[*yaml.TypeError](err); ok {
		texts = e.Errors
	}
	position := regexp.MustCompile(`^(?:yaml: )?(?:unmarshal errors:\s*)?line (\d+): `)
	// The decoder counts the lines of its parser's faults from 0, of all others from 1.
	fromZero := regexp.MustCompile(`^did not find expected (',' or|key|'-' indicator|node content|<)`)
	unknown := regexp.MustCompile(`^field (.*) not found in type (.*)$`)
	wrong := regexp.MustCompile("(?s)^cannot unmarshal !!(\\S+)(?: `(.*)`)? into (.*)$")
	var faults []error
	for _, text := range texts {
		line := "1"
		if m := position.FindStringSubmatch(text); m != nil {
			line, text = m[1], text[len(m[0]):]
		}
		text = strings.TrimPrefix(text, "yaml: ")
		if fromZero.MatchString(text) {
			n, _ := strconv.Atoi(line) // digits, or the "1" above
			line = strconv.Itoa(n + 1)
		}
		if m := unknown.FindStringSubmatch(text); m != nil {
			text = "unknown key " + strconv.Quote(clip(m[1])) + ": want " + keysOf(m[2])
		} else if m := wrong.FindStringSubmatch(text); m != nil {
			text = fmt.Sprintf("value %q: want %s", clip(m[2]), kind(m[3]))
		}
		faults = append(faults, fmt.Errorf("registry: %s:%s: %s", name, line, text))
	}
	return faults
}

// keysOf lists the keys of a Go type that a file of dossiers is read into.
func keysOf(goType string) string {
	var keys []string
	var add func(t reflect.Type)
	add = func(t reflect.Type) {
		for i := range t.NumField() {
			switch name, options, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ","); {
			case options == "inline":
				add(t.Field(i).Type)
			case name != "" && name != "-":
				keys = append(keys, name)
			}
		}
	}
	for _, v := range []any{document{}, stanza{}, registration{}, transport{}, Fact{}, Event{}, Product{}, Process{}, Check{}, Related{}} {
		if t := reflect.TypeOf(v); t.String() == goType {
			add(t)
		}
	}
	return strings.Join(keys, ", ")
}

// kind says a Go type in the words of somebody who writes YAML.
func kind(goType string) string {
	switch {
	case goType == "uint16":
		return "a port number from 1 to 65535"
	case strings.HasPrefix(goType, "[]"):
		return "a list"
	case goType == "string" || strings.HasSuffix(goType, "Status") || strings.HasSuffix(goType, "Topic"):
		return "a text"
	default:
		return "keys with values"
	}
}
