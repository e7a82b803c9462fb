package firewall

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"dormant/registry/yamlfile"
)

// field is one value of a rule in the simple syntaxes, with its line.
type field struct {
	text string
	line int
}

// simpleFields are the names that a rule may use, in the order of CSV.
func simpleFields() []string {
	return []string{"id", "action", "proto", "src", "sport", "dst", "dport", "comment"}
}

func isYAML(_ string, text []byte) bool {
	var n yaml.Node
	if yaml.Unmarshal(text, &n) != nil || len(n.Content) != 1 {
		return false
	}
	root := n.Content[0]
	if root.Kind == yaml.MappingNode {
		return slices.ContainsFunc(root.Content, func(c *yaml.Node) bool { return c.Value == "rules" })
	}
	return root.Kind == yaml.SequenceNode && len(root.Content) > 0 && root.Content[0].Kind == yaml.MappingNode
}

// parseYAML reads a list of rules, or a mapping with rules, default and
// stateful. In a list, default is an entry of its own.
func parseYAML(p *parser) error {
	root, more, err := yamlfile.Document(p.text)
	switch {
	case err != nil:
		return fmt.Errorf("firewall: %s: %w", p.name, err)
	case more > 0:
		return p.errorf(more, "a second document: want one list of rules")
	case root == nil:
		return p.errorf(1, "the file is empty: want a list of rules")
	}
	s := simple{parser: p, ids: map[string]int{}}
	rules := root
	if root.Kind == yaml.MappingNode {
		rules = nil
		if err := eachKey(p, root, func(key, value *yaml.Node) error {
			switch key.Value {
			case "rules":
				rules = value
				return nil
			case "default":
				return s.policy(field{value.Value, value.Line})
			case "stateful":
				return s.stateful(field{value.Value, value.Line})
			default:
				return p.errorf(key.Line, "key %q: want rules, default or stateful", shown(key.Value))
			}
		}); err != nil {
			return err
		}
	}
	if rules == nil || rules.Kind != yaml.SequenceNode {
		return p.errorf(root.Line, "want a list of rules")
	}
	for _, item := range rules.Content {
		if err := s.item(item); err != nil {
			return err
		}
	}
	return s.finish()
}

// eachKey calls fn for the keys of a mapping, each once.
func eachKey(p *parser, n *yaml.Node, fn func(key, value *yaml.Node) error) error {
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if key.Kind != yaml.ScalarNode || seen[key.Value] {
			return p.errorf(key.Line, "key %q: want a name, each only once", shown(key.Value))
		}
		seen[key.Value] = true
		if err := fn(key, n.Content[i+1]); err != nil {
			return err
		}
	}
	return nil
}

// simple collects the rules of the two simple syntaxes.
type simple struct {
	*parser
	chain Chain
	saved bool           // stateful was given
	ids   map[string]int // the lines of the rules that have one
}

// item reads one entry of the YAML list.
func (s *simple) item(n *yaml.Node) error {
	if n.Kind != yaml.MappingNode {
		return s.errorf(n.Line, "want a rule: {id: …, action: allow, proto: tcp, src: …, dst: …, dport: …}")
	}
	if len(n.Content) == 2 && n.Content[0].Value == "default" {
		return s.policy(field{n.Content[1].Value, n.Content[1].Line})
	}
	fields := map[string]field{}
	var words []string
	if err := eachKey(s.parser, n, func(key, value *yaml.Node) error {
		if !slices.Contains(simpleFields(), key.Value) {
			return s.errorf(key.Line, "key %q: want one of %s", shown(key.Value), strings.Join(simpleFields(), ", "))
		}
		text, ok := scalars(value)
		if !ok {
			return s.errorf(value.Line, "%s: want a value or a list of values", key.Value)
		}
		fields[key.Value] = field{text, value.Line}
		if key.Value != "id" {
			words = append(words, key.Value+": "+text)
		}
		return nil
	}); err != nil {
		return err
	}
	return s.rule(n.Line, fields, strings.Join(words, ", "))
}

// scalars joins a value or a list of values with commas.
func scalars(n *yaml.Node) (string, bool) {
	if n.Kind == yaml.ScalarNode {
		return n.Value, true
	}
	words := make([]string, len(n.Content))
	for i, c := range n.Content {
		if words[i] = c.Value; c.Kind != yaml.ScalarNode {
			return "", false
		}
	}
	return strings.Join(words, ","), n.Kind == yaml.SequenceNode && len(words) > 0
}

func isCSV(_ string, text []byte) bool {
	header, _ := csvOf(text).Read() // none of what is no CSV
	columns := strings.Split(strings.ToLower(strings.Join(header, ",")), ",")
	return slices.Contains(columns, "action") && (slices.Contains(columns, "dst") || slices.Contains(columns, "dport"))
}

func csvOf(text []byte) *csv.Reader {
	r := csv.NewReader(bytes.NewReader(text))
	r.Comment, r.TrimLeadingSpace = '#', true
	return r
}

// parseCSV reads a header and rules; the rule with the id "default" is the
// default. Several values in one cell have commas or spaces between them.
func parseCSV(p *parser) error {
	r := csvOf(p.text)
	header, err := r.Read()
	if errors.Is(err, io.EOF) { // nothing but comments
		return p.errorf(1, "the file is empty: want a header: %s", strings.Join(simpleFields(), ","))
	} else if err != nil {
		return fmt.Errorf("firewall: %s: %w", p.name, err)
	}
	for i, name := range header {
		header[i] = strings.ToLower(strings.TrimSpace(name))
		if !slices.Contains(simpleFields(), header[i]) || slices.Contains(header[:i], header[i]) {
			return p.errorf(1, "column %q: want each of %s at most once", shown(name), strings.Join(simpleFields(), ", "))
		}
	}
	s := simple{parser: p, ids: map[string]int{}}
	p.set.columns = header
	for {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			return s.finish()
		} else if err != nil {
			return fmt.Errorf("firewall: %s: %w", p.name, err)
		}
		line, _ := r.FieldPos(0)
		fields := map[string]field{}
		for i, cell := range record {
			if cell = strings.TrimSpace(cell); cell != "" {
				fields[header[i]] = field{cell, line}
			}
		}
		if fields["id"].text == "default" {
			for name, f := range fields {
				if name != "id" && name != "action" && name != "comment" && f.text != "any" {
					return p.errorf(line, "the default has %s %q: want only an action", name, shown(f.text))
				}
			}
			if err := s.policy(fields["action"]); err != nil {
				return err
			}
			continue
		}
		if err := s.rule(line, fields, strings.Join(record, ",")); err != nil {
			return err
		}
	}
}

// policy reads the default.
func (s *simple) policy(f field) error {
	if s.chain.Policy != 0 {
		return s.errorf(f.line, "a second default: want one")
	}
	switch f.text {
	case "allow":
		s.chain.Policy = Allow
	case "deny":
		s.chain.Policy = Deny
	default:
		return s.errorf(f.line, "default %q: want allow or deny", shown(f.text))
	}
	s.chain.PolicyLine = f.line
	return nil
}

// stateful reads whether replies pass by themselves.
func (s *simple) stateful(f field) error {
	switch f.text {
	case "true":
		s.set.Stateful = true
	case "false":
		s.set.Stateful = false
	default:
		return s.errorf(f.line, "stateful %q: want true or false", shown(f.text))
	}
	s.saved = true
	return nil
}

// rule takes one rule.
func (s *simple) rule(line int, fields map[string]field, text string) error {
	r := &Rule{ID: fields["id"].text, Line: line, Text: shown(text), Phases: AllPhases}
	if before := s.ids[r.ID]; before > 0 {
		return s.errorf(line, "id %q: line %d has it already, want each only once", shown(r.ID), before)
	}
	if r.ID != "" {
		s.ids[r.ID] = line
	} else {
		r.ID = fmt.Sprintf("rule %d", len(s.chain.Rules)+1)
	}
	r.ID = shown(r.ID)
	switch action := fields["action"]; action.text {
	case "allow":
		r.Action = Accept
	case "deny":
		r.Action = Drop
	default:
		return s.errorf(line, "action %q: want allow or deny", shown(action.text))
	}
	box, concerned := Everything(), true
	for name, f := range fields {
		list := strings.Join(strings.FieldsFunc(f.text, func(c rune) bool { return c == ',' || c == ' ' }), ",")
		ok := true
		switch name {
		case "proto":
			box.Protos, ok = simpleProtos(list)
			concerned = box.Protos != 0
		case "src":
			box.Src, ok = ParseAddrs(list)
		case "dst":
			box.Dst, ok = ParseAddrs(list)
		case "sport":
			box.SrcPorts, ok = parsePorts(list, "-")
		case "dport":
			box.DstPorts, ok = parsePorts(list, "-")
		}
		if !ok {
			return s.errorf(f.line, "%s %q: want %s", name, shown(f.text), wanted(name))
		}
	}
	if concerned {
		r.Boxes = []Box{box}
	}
	s.chain.Rules = append(s.chain.Rules, r)
	return nil
}

// wanted says what a field may hold.
func wanted(name string) string {
	switch name {
	case "proto":
		return "tcp, udp, icmp, a number or any"
	case "src", "dst":
		return "an address, a network, a range FIRST-LAST or any"
	default:
		return "a port, a range FIRST-LAST or any"
	}
}

// simpleProtos reads transports; those that are not probed count as none.
func simpleProtos(list string) (Protos, bool) {
	var out Protos
	for word := range strings.SplitSeq(list, ",") {
		bits, ok := protocol(word)
		switch word {
		case "any":
			bits, ok = BothProto, true
		case "ipv4", "ipv6": // who writes so means the family, which the addresses say
			ok = false
		}
		if !ok {
			return 0, false
		}
		out |= bits
	}
	return out, true
}

// finish makes the chain the only one.
func (s *simple) finish() error {
	if s.chain.Policy == 0 {
		return s.errorf(1, "nothing says what becomes of other packets: want a default, allow or deny")
	}
	s.chain.Name = "rules"
	c := &s.chain
	s.set.Chains = []*Chain{c}
	path := Path{Request: []*Chain{c}, Reply: []*Chain{c}}
	if !s.saved {
		s.set.Stateful = true
	}
	s.set.Paths[Router], s.set.Paths[Server] = path, path
	return nil
}
