package firewall

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"dormant/reports"
)

// Options are what the files do not say. The zero value assumes nothing.
type Options struct {
	// Format is a key of Formats; "" means by the content.
	Format string
	// Assume says which addresses names stand for.
	Assume Assume
	// ACL names the Cisco access lists that packets pass, in order; none means
	// the only one of the file.
	ACL []string
	// IPSets is the output of ipset save, for the sets that rules name.
	IPSets []byte
	// IPSetsFile is its name, for errors.
	IPSetsFile string
}

// Syntax is one way to write rules.
type Syntax struct {
	Title string // for people
	// is reports whether a text is written so; name is the file's.
	is func(name string, text []byte) bool
	// parse reads a text. Its errors name the line.
	parse func(p *parser) error
}

// Formats returns every syntax by name.
func Formats() map[string]Syntax {
	return map[string]Syntax{
		"yaml":     {"simple YAML", isYAML, parseYAML},
		"csv":      {"simple CSV", isCSV, parseCSV},
		"iptables": {"iptables-save", isIptables, parseIptables},
		"nft":      {"nft -j list ruleset", isNft, parseNft},
		"cisco":    {"Cisco IOS or ASA extended access list", isCisco, parseCisco},
		"aws":      {"AWS describe-security-groups JSON", isAWS, parseAWS},
	}
}

// FormatNames returns the names of the syntaxes, sorted.
func FormatNames() []string { return slices.Sorted(maps.Keys(Formats())) }

// maxFile bounds a file of rules.
const maxFile = 64 << 20

// Parse reads a file of rules. name is only for errors and for the guess of the
// format. Errors are one line each: file, line, value, what was expected.
func Parse(name string, text []byte, o Options) (*RuleSet, error) {
	if len(text) > maxFile {
		return nil, fmt.Errorf("firewall: %s: %d bytes: want at most %d", name, len(text), maxFile)
	}
	sum := sha256.Sum256(text)
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	if len(bytes.TrimSpace(text)) == 0 {
		return nil, fmt.Errorf("firewall: %s: the file is empty: want rules", name)
	}
	format := o.Format
	if format == "" {
		if format = recognise(name, text); format == "" {
			return nil, fmt.Errorf("firewall: %s: the format cannot be recognised: want one of %s by --format", name, strings.Join(FormatNames(), ", "))
		}
	}
	syntax, ok := Formats()[format]
	if !ok {
		return nil, fmt.Errorf("firewall: format %q: want one of %s", format, strings.Join(FormatNames(), ", "))
	}
	p := &parser{name: name, text: text, options: o,
		set: &RuleSet{File: filepath.Base(name), Format: format, SHA256: hex.EncodeToString(sum[:]), Domain: AnyAddr(), Paths: map[Place]Path{}}}
	if err := syntax.parse(p); err != nil {
		return nil, err
	}
	if err := p.check(); err != nil {
		return nil, err
	}
	for _, path := range p.set.Paths {
		for _, c := range path.chains() {
			if c.index == nil {
				c.index = newIndex(c.Rules)
			}
			for _, r := range c.Rules {
				r.split()
			}
		}
	}
	return p.set, nil
}

// recognise returns the one format that a text can be, "" for none.
func recognise(name string, text []byte) string {
	for _, format := range []string{"iptables", "nft", "aws", "cisco", "csv", "yaml"} { // from the most to the least distinct
		if Formats()[format].is(name, text) {
			return format
		}
	}
	return ""
}

// parser is the state of reading one file.
type parser struct {
	name    string
	text    []byte
	options Options
	set     *RuleSet
}

// errorf is a fault in a line of the file.
func (p *parser) errorf(line int, format string, args ...any) error {
	return fmt.Errorf("firewall: %s:%d: %s", p.name, line, fmt.Sprintf(format, args...))
}

// note remarks on a line.
func (p *parser) note(line int, format string, args ...any) {
	p.set.Notes = append(p.set.Notes, Note{line, fmt.Sprintf(format, args...)})
}

// assumed notes once what was taken for granted.
func (p *parser) assumed(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if !slices.Contains(p.set.Assumed, text) {
		p.set.Assumed = append(p.set.Assumed, text)
	}
}

// check finds what makes a walk through the chains endless.
func (p *parser) check() error {
	const visiting, visited = 1, 2
	state := map[*Chain]int{}
	var visit func(c *Chain) error
	visit = func(c *Chain) error {
		if state[c] == visited {
			return nil
		}
		state[c] = visiting
		for _, r := range c.Rules {
			if r.Target == nil {
				continue
			}
			if state[r.Target] == visiting {
				return p.errorf(r.Line, "chain %q comes back to itself through %q: want chains without a loop", r.Target.Name, c.Name)
			}
			if err := visit(r.Target); err != nil {
				return err
			}
		}
		state[c] = visited
		return nil
	}
	for _, c := range p.set.Chains {
		if err := visit(c); err != nil {
			return err // the loop would be found again from each of its chains
		}
	}
	return nil
}

// shown is a text of the file as reports may show it.
func shown(s string) string { return reports.Line(strings.TrimSpace(s)) }

// wordReader is the words of a rule that were not read yet.
type wordReader struct{ words []string }

// peek returns the next word, "" at the end.
func (r *wordReader) peek() string {
	if len(r.words) == 0 {
		return ""
	}
	return r.words[0]
}

// next takes it.
func (r *wordReader) next() string {
	w := r.peek()
	r.words = r.words[min(1, len(r.words)):]
	return w
}
