package firewall

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

func isNft(_ string, text []byte) bool {
	return startsJSON(text) && bytes.Contains(text[:min(len(text), 4096)], []byte(`"nftables"`))
}

func startsJSON(text []byte) bool {
	text = bytes.TrimSpace(text)
	return len(text) > 0 && text[0] == '{'
}

// nft reads the output of nft -j list ruleset, the JSON that libnftables-json
// documents.
type nft struct {
	*parser
	chains     map[string]*nftChain // by family, table and name
	order      []*nftChain
	sets       map[string]*nftSet
	rules      []nftRule
	tables     map[string]*nftTable // by family and name; those with flags
	translates bool                 // the file has chains for destinations
}

// nftObject is one entry of the list; just one of its fields is set.
type nftObject struct {
	Table *nftTable `json:"table"`
	Chain *nftChain `json:"chain"`
	Rule  *nftRule  `json:"rule"`
	Set   *nftSet   `json:"set"`
	Map   *nftSet   `json:"map"`
}

type nftRule struct {
	Family  string                       `json:"family"`
	Table   string                       `json:"table"`
	Chain   string                       `json:"chain"`
	Handle  int                          `json:"handle"`
	Comment string                       `json:"comment"`
	Expr    []map[string]json.RawMessage `json:"expr"`

	line int
}

type nftSet struct {
	Family string   `json:"family"`
	Table  string   `json:"table"`
	Name   string   `json:"name"`
	Type   any      `json:"type"`
	Map    any      `json:"map"`
	Flags  any      `json:"flags"`
	Elem   nftElems `json:"elem"`

	line    int
	changed int // the line of a rule that changes it, 0 for none
}

// nftElems are the elements of a set: a list, or a single one.
type nftElems []any

// UnmarshalJSON reads the list with its numbers as they are.
func (e *nftElems) UnmarshalJSON(text []byte) error {
	v, err := decodeAny(text)
	if err != nil {
		return err
	}
	if list, ok := v.([]any); ok {
		*e = list
	} else {
		*e = nftElems{v}
	}
	return nil
}

// decodeAny decodes JSON with its numbers as texts.
func decodeAny(text []byte) (v any, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	err = d.Decode(&v)
	return v, err
}

func nftKey(family, table, name string) string { return family + "\x00" + table + "\x00" + name }

func parseNft(p *parser) error {
	n := &nft{parser: p, chains: map[string]*nftChain{}, sets: map[string]*nftSet{}, tables: map[string]*nftTable{}}
	if err := n.objects(); err != nil {
		return err
	}
	n.changes()
	for _, c := range n.order {
		if err := n.begin(c); err != nil {
			return err
		}
	}
	if err := n.read(nil); err != nil {
		return err
	}
	base := map[*Chain]hooks{}
	for _, c := range n.order {
		if c.Type != "nat" || c.Hook != "output" { // nothing that is probed is translated there
			base[&c.chain] = hookOf(c.Hook)
		}
	}
	n.beforeTracking()
	if err := n.read(spread(base)); err != nil {
		return err
	}
	n.paths()
	return nil
}

// read reads all rules. Which interfaces packets have depends on where chains
// are called from, at, and that is known after a first reading.
func (n *nft) read(at map[*Chain]hooks) error {
	n.set.Assumed = nil
	for _, c := range n.order {
		c.chain.Rules = c.chain.Rules[:c.own]
	}
	for i := range n.rules {
		if err := n.rule(&n.rules[i], at); err != nil {
			return err
		}
	}
	return nil
}

// objects reads the list and keeps the line where each entry stands.
func (n *nft) objects() error {
	d := json.NewDecoder(bytes.NewReader(n.text))
	line := lineCounter{text: n.text}
	fault := func(err error) error {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return n.errorf(line.at(d.InputOffset()), "JSON: %v", err)
	}
	for _, want := range []json.Token{json.Delim('{'), "nftables", json.Delim('[')} {
		got, err := d.Token()
		if err != nil {
			return fault(err)
		}
		if got != want {
			return n.errorf(line.at(d.InputOffset()), `JSON: want {"nftables": [ … ]}, the output of nft -j list ruleset`)
		}
	}
	for d.More() {
		at := line.next(d.InputOffset())
		var o nftObject
		if err := d.Decode(&o); err != nil {
			return n.errorf(at, "JSON: %v", err)
		}
		if err := n.object(at, o); err != nil {
			return err
		}
	}
	if _, err := d.Token(); err != nil {
		return fault(err)
	}
	return nil
}

func (n *nft) object(line int, o nftObject) error {
	switch {
	case o.Table != nil:
		o.Table.line = line
		n.tables[nftKey(o.Table.Family, o.Table.Name, "")] = o.Table
	case o.Chain != nil:
		c := o.Chain
		c.chain.PolicyLine = line
		key := nftKey(c.Family, c.Table, c.Name)
		if n.chains[key] != nil {
			return n.errorf(line, "chain %q is there twice", shown(c.Name))
		}
		n.chains[key] = c
		n.translates = n.translates || c.Type == "nat" && c.Hook == "prerouting"
		n.order = append(n.order, c)
	case o.Rule != nil:
		o.Rule.line = line
		n.rules = append(n.rules, *o.Rule)
	case o.Set != nil, o.Map != nil:
		s := o.Set
		if s == nil {
			s = o.Map
		}
		s.line = line
		n.sets[nftKey(s.Family, s.Table, s.Name)] = s
	}
	return nil
}

// changes marks the sets that rules add to and delete from: what is in them is
// not what the file says.
func (n *nft) changes() {
	for _, r := range n.rules {
		for _, statement := range r.Expr {
			for _, kind := range []string{"set", "map"} {
				var change map[string]json.RawMessage
				var name string
				if json.Unmarshal(statement[kind], &change) != nil || json.Unmarshal(change[kind], &name) != nil {
					continue
				}
				if s := n.sets[nftKey(r.Family, r.Table, strings.TrimPrefix(name, "@"))]; s != nil {
					s.changed = r.line
				}
			}
		}
	}
}

// lineCounter turns ascending offsets into lines.
type lineCounter struct {
	text   []byte
	offset int
	lines  int
}

// at returns the line of an offset, from 1.
func (l *lineCounter) at(offset int64) int {
	end := min(int(offset), len(l.text))
	if end > l.offset {
		l.lines += bytes.Count(l.text[l.offset:end], []byte("\n"))
		l.offset = end
	}
	return l.lines + 1
}

// next returns the line of the first word behind an offset.
func (l *lineCounter) next(offset int64) int {
	i := min(int(offset), len(l.text))
	for i < len(l.text) && strings.IndexByte(" \t\r\n,", l.text[i]) >= 0 {
		i++
	}
	return l.at(int64(i))
}

// rule reads one rule. A verdict map becomes several rules of the same name.
func (n *nft) rule(l *nftRule, at map[*Chain]hooks) error {
	c := n.chains[nftKey(l.Family, l.Table, l.Chain)]
	if c == nil {
		return n.errorf(l.line, "chain %q of table %q is not in the file", shown(l.Chain), shown(l.Table))
	}
	if c.Family == "arp" {
		return nil
	}
	r := Rule{ID: fmt.Sprintf("%s handle %d", c.chain.Name, l.Handle), Line: l.line}
	m := nftMatch{nft: n, rule: l, condition: newCondition(), at: at[&c.chain]}
	m.untracked = c.early
	for _, statement := range l.Expr {
		for kind, body := range statement {
			if err := m.statement(kind, body, &r); err != nil {
				return err
			}
		}
	}
	r.Text = shown(strings.Join(m.text, " "))
	switch l.Family {
	case "ip":
		m.only(false, srcBox(AnyIPv4()))
	case "ip6":
		m.only(false, srcBox(AnyIPv6()))
	}
	if c.Type == "nat" { // only the first packet of a connection comes here
		m.phases &= First
	}
	if len(m.branches) == 0 {
		m.branches = []nftBranch{{boxes: []Box{Everything()}, phases: AllPhases, action: r.Action, target: r.Target}}
	}
	if len(m.boxes)*len(m.branches) > maxProduct {
		m.doubt(fmt.Sprintf("a set with %d members of several parts before a map with %d elements", len(m.boxes), len(m.branches)))
		m.boxes = []Box{Everything()}
	}
	for _, b := range m.branches {
		branch := r
		branch.Boxes, branch.Phases = intersectAll(m.boxes, b.boxes), m.phases&b.phases
		branch.Doubts = slices.Concat(m.doubts, b.doubts)
		branch.Action, branch.Target = b.action, b.target
		c.chain.Rules = append(c.chain.Rules, &branch)
	}
	return nil
}
