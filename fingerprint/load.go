package fingerprint

import (
	"bytes"
	"cmp"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"dormant/registry/yamlfile"
)

//go:embed rules openers.yaml
var embedded embed.FS

// maxRuleFile bounds one data file, in bytes.
const maxRuleFile = 256 << 10

// Rules is the whole knowledge: what to say to a port, and what its answers
// mean. It is immutable and safe for any number of goroutines.
type Rules struct {
	openers []Opener
	search  []byte          // the datagram for 1947/udp
	library func() *library // nil: none
}

// library is the rules alone, which only answers need.
type library struct {
	rules []*Rule // by id
	byID  map[string]*Rule
}

// Default returns the rules that are built in, without their examples: those
// are a third of the text, and only who tests or shows rules wants them. Its
// openers are read at once, the rules when an answer is first held against
// them: a sweep that finds nothing never pays for them.
func Default() (*Rules, error) {
	r := fresh()
	if err := r.loadOpeners(embedded); err != nil {
		return nil, err
	}
	openers := r.openerIDs()
	r.library = sync.OnceValue(func() *library {
		list, err := readRules(embedded, "rules", openers, true)
		if err != nil {
			panic("fingerprint: a built-in rule is broken: " + err.Error()) // TestDefaultIsComplete reads the very same
		}
		return new(library).with(list)
	})
	return r, nil
}

// Complete returns the rules that are built in, with their examples.
func Complete() (*Rules, error) { return Load(embedded) }

// Load reads openers.yaml and every rules/*.yaml of fsys. All faults of all
// files are reported together, each with its file and line.
func Load(fsys fs.FS) (*Rules, error) { return fresh().overlay(fsys, "rules") }

func fresh() *Rules { return &Rules{search: LMSearch{Host: "dormant", Number: 1}.Encode()} }

// Overlay returns the rules with those of a folder laid over them: openers.yaml
// if there is one, and every *.yaml beside it. An id that exists is replaced. A
// folder that is not there, or without such a file, is an error: whoever names
// one expects rules from it.
func (r *Rules) Overlay(fsys fs.FS) (*Rules, error) {
	if _, err := fs.Stat(fsys, "."); err != nil {
		return nil, fmt.Errorf("fingerprint: rules: %w", pathless(err))
	}
	names, err := fs.Glob(fsys, "*.yaml")
	if err != nil {
		return nil, fmt.Errorf("fingerprint: rules: %w", err)
	}
	if len(names) == 0 {
		return nil, errors.New("fingerprint: rules: no *.yaml in the folder")
	}
	return r.overlay(fsys, ".")
}

// pathless takes "stat ." off an error: whoever named the folder knows its name.
func pathless(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}

// overlay reads the openers and the rules of dir at once: they can be at fault.
func (r *Rules) overlay(fsys fs.FS, dir string) (*Rules, error) {
	out := &Rules{openers: slices.Clone(r.openers), search: r.search}
	opened := out.loadOpeners(fsys)
	list, err := readRules(fsys, dir, out.openerIDs(), false)
	if err := errors.Join(opened, err); err != nil {
		return nil, err
	}
	out.library = sync.OnceValue(func() *library { return r.known().with(list) })
	return out, nil
}

// openerIDs are the openers that a rule may name.
func (r *Rules) openerIDs() map[string]bool {
	ids := map[string]bool{}
	for _, o := range r.openers {
		ids[o.ID] = true
	}
	return ids
}

// with returns the library with the rules of list, each in the place of the one
// that has its id.
func (l *library) with(list []*Rule) *library {
	all := &library{byID: maps.Clone(l.byID)}
	if all.byID == nil {
		all.byID = map[string]*Rule{}
	}
	for _, rule := range list {
		all.byID[rule.ID] = rule
	}
	all.rules = slices.SortedFunc(maps.Values(all.byID), func(a, b *Rule) int { return cmp.Compare(a.ID, b.ID) })
	return all
}

// known returns the library, which is read when it is first asked for.
func (r *Rules) known() *library {
	if r.library == nil {
		return new(library)
	}
	return r.library()
}

// rules returns the rules in the order of their ids. They must not be changed.
func (r *Rules) rules() []*Rule { return r.known().rules }

// All returns the rules in the order of their ids. They must not be changed.
func (r *Rules) All() []*Rule { return slices.Clone(r.rules()) }

// Text returns the file that the rule was read from.
func (r *Rule) Text() string { return string(r.doc.data) }

// Openers returns the openers in the order of their file.
func (r *Rules) Openers() []Opener { return slices.Clone(r.openers) }

// Rule returns the rule of that id.
func (r *Rules) Rule(id string) (*Rule, bool) {
	rule, ok := r.known().byID[id]
	return rule, ok
}

// loaded is one rule file, read or at fault.
type loaded struct {
	rule *Rule
	err  error
}

// readRules reads the rules of dir; brief leaves out examples.
func readRules(fsys fs.FS, dir string, openers map[string]bool, brief bool) ([]*Rule, error) {
	names, err := fs.Glob(fsys, path.Join(dir, "*.yaml"))
	if err != nil {
		return nil, fmt.Errorf("fingerprint: list rules: %w", err)
	}
	names = slices.DeleteFunc(names, func(name string) bool { return path.Base(name) == "openers.yaml" })
	var list []*Rule
	var errs []error
	seen := map[string]string{}
	for i, l := range loadRules(fsys, names, openers, brief) {
		if l.err != nil {
			errs = append(errs, l.err)
			continue
		}
		name, rule := names[i], l.rule
		if other, ok := seen[rule.ID]; ok {
			errs = append(errs, fmt.Errorf("fingerprint: %s:%d: id %q: %s has it already", name, rule.doc.line("id"), rule.ID, other))
		}
		seen[rule.ID] = name
		list = append(list, rule)
	}
	return list, errors.Join(errs...)
}

// loadRules reads the files, in parallel: the parser of YAML is most of what a
// command pays before it does anything.
func loadRules(fsys fs.FS, names []string, openers map[string]bool, brief bool) []loaded {
	list := make([]loaded, len(names))
	var next atomic.Int64
	var readers sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(names)) {
		readers.Go(func() { // ends with the list of names
			for i := next.Add(1) - 1; int(i) < len(names); i = next.Add(1) - 1 {
				list[i].rule, list[i].err = loadRule(fsys, names[i], openers, brief)
			}
		})
	}
	readers.Wait()
	return list
}

// loadRule reads one rule file.
func loadRule(fsys fs.FS, name string, openers map[string]bool, brief bool) (*Rule, error) {
	doc, err := open(fsys, name)
	if err != nil {
		return nil, err
	}
	text := doc.data
	if brief {
		text = withoutExamples(text)
	}
	var f ruleFile
	if err := decode(name, text, &f); err != nil {
		return nil, err
	}
	f.brief = brief
	rule, bad := f.rule(openers)
	rule.File, rule.doc = name, doc
	if want := path.Base(name); rule.ID+".yaml" != want {
		bad.add("id", "id %q: want %q, the name of the file", rule.ID, strings.TrimSuffix(want, ".yaml"))
	}
	return rule, doc.errors(bad)
}

// withoutExamples cuts a built-in file before its examples, which are the last
// of its keys. No line of a value can begin like that: values are indented.
func withoutExamples(text []byte) []byte {
	if at := bytes.Index(text, []byte("\nexamples:")); at >= 0 {
		return text[:at+1]
	}
	return text
}

// loadOpeners reads openers.yaml of fsys if it is there.
func (r *Rules) loadOpeners(fsys fs.FS) error {
	const name = "openers.yaml"
	var f struct {
		Openers []openerFile `yaml:"openers"`
	}
	doc, err := open(fsys, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := decode(name, doc.data, &f); err != nil {
		return err
	}
	var bad faults
	seen := map[string]bool{}
	for i, of := range f.Openers {
		at := fmt.Sprintf("openers[%d]", i)
		o, wrong := of.opener()
		for _, w := range wrong {
			bad = append(bad, fault{at + "." + w.where, w.err})
		}
		if seen[o.ID] {
			bad.add(at, "id %q: stands twice", o.ID)
		}
		seen[o.ID] = true
		j := slices.IndexFunc(r.openers, func(other Opener) bool { return other.ID == o.ID })
		if j < 0 {
			r.openers = append(r.openers, o)
		} else {
			r.openers[j] = o
		}
	}
	return doc.errors(bad)
}

// document is one YAML file. It is parsed a second time, for the lines of its
// keys, when a fault must be reported.
type document struct {
	name string
	data []byte
}

// open reads one file.
func open(fsys fs.FS, name string) (document, error) {
	data, err := yamlfile.Read(fsys, name, maxRuleFile)
	if err == nil && len(data) > maxRuleFile {
		err = fmt.Errorf("%s: more than %d bytes: want one rule a file", name, maxRuleFile)
	}
	if err != nil {
		return document{name: name}, fmt.Errorf("fingerprint: %w", err)
	}
	return document{name: name, data: data}, nil
}

// decode reads the text of a file strictly into out.
func decode(name string, text []byte, out any) error {
	err := yamlfile.Decode(text, out)
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("fingerprint: %s: empty file", name)
	}
	wrong, ok := errors.AsType[*yamlfile.Faults](err)
	if !ok {
		return err
	}
	var errs []error
	for _, f := range wrong.List {
		errs = append(errs, fmt.Errorf("fingerprint: %s:%d: %s", name, f.Line, f.Text))
	}
	return errors.Join(errs...)
}

// errors gives the faults their file and line.
func (d document) errors(list faults) error {
	var errs []error
	for _, f := range list {
		errs = append(errs, fmt.Errorf("fingerprint: %s:%d: %w", d.name, d.line(f.where), f.err))
	}
	return errors.Join(errs...)
}

// line finds the line of "examples[2]" or "openers[0].hex"; where the key is
// missing, that of the nearest one above it.
func (d document) line(where string) int {
	var path []any
	for part := range strings.SplitSeq(where, ".") {
		key, index, _ := strings.Cut(strings.TrimSuffix(part, "]"), "[")
		path = append(path, key)
		if i, err := strconv.Atoi(index); err == nil {
			path = append(path, i)
		}
	}
	return yamlfile.NewLines(d.data).Of(path...)
}
