package server

import (
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"dormant/registry/yamlfile"
)

// maxFile bounds a jobs file, in bytes.
const maxFile = 8 << 20

// file is a jobs file as it is written.
type file struct {
	Version text              `yaml:"version"`
	Sites   map[text]fileSite `yaml:"sites"`
	Jobs    []fileJob         `yaml:"jobs"`
}

type fileSite struct {
	Vantages texts `yaml:"vantages"`
	Exclude  texts `yaml:"exclude"`
}

type fileJob struct {
	Name      text           `yaml:"name"`
	Targets   map[text]texts `yaml:"targets"`
	Exclude   texts          `yaml:"exclude"`
	Yes       text           `yaml:"yes"`
	Ports     texts          `yaml:"ports"`
	Cron      text           `yaml:"cron"`
	Every     text           `yaml:"every"`
	TimeZone  text           `yaml:"time_zone"`
	Windows   texts          `yaml:"windows"`
	Blackout  texts          `yaml:"blackout"`
	CatchUp   text           `yaml:"catch_up"`
	Deadline  text           `yaml:"deadline"`
	Rate      text           `yaml:"rate"`
	HostRate  text           `yaml:"host_rate"`
	Retries   text           `yaml:"retries"`
	ShardSize text           `yaml:"shard_size"`
	Identify  text           `yaml:"identify"`
	Deep      text           `yaml:"deep"`
	Policy    text           `yaml:"policy"`
	Rules     text           `yaml:"rules"`
	Registry  text           `yaml:"registry"`
	Outputs   items          `yaml:"outputs"`
	Notify    items          `yaml:"notify"`
	Ticket    text           `yaml:"ticket"`
}

// line is the first line in which the job has something.
func (f *fileJob) line() int {
	first := 0
	sooner := func(line int) {
		if first == 0 || line > 0 && line < first {
			first = line
		}
	}
	for key := range f.Targets {
		sooner(key.line)
	}
	for _, v := range reflect.ValueOf(*f).Fields() {
		if t, is := v.Interface().(text); is {
			sooner(t.line)
		}
	}
	return first
}

// text is a plain value with its line, 0 when it is not there.
type text struct {
	value string
	line  int
}

// UnmarshalYAML takes a plain value.
func (t *text) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.AliasNode && n.Alias != nil {
		n = n.Alias
	}
	if n.Kind != yaml.ScalarNode {
		return &yaml.TypeError{Errors: []string{fmt.Sprintf("line %d: want a plain value", n.Line)}}
	}
	if n.Tag != "!!null" {
		*t = text{strings.TrimSpace(n.Value), n.Line}
	}
	return nil
}

// texts is one value, split at commas, or a list of values.
type texts []text

// UnmarshalYAML takes a plain value or a sequence of them.
func (l *texts) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind != yaml.ScalarNode {
		return (*items)(l).UnmarshalYAML(n)
	}
	for part := range strings.SplitSeq(n.Value, ",") {
		if n.Tag != "!!null" {
			*l = append(*l, text{strings.TrimSpace(part), n.Line})
		}
	}
	return nil
}

// items is one value, in which a comma is nothing special, or a list of values.
type items []text

// UnmarshalYAML takes a plain value or a sequence of them.
func (l *items) UnmarshalYAML(n *yaml.Node) error {
	all := n.Content
	switch n.Kind {
	case yaml.SequenceNode:
	case yaml.ScalarNode:
		all = []*yaml.Node{n}
	default:
		return &yaml.TypeError{Errors: []string{fmt.Sprintf("line %d: want a value or a list of values", n.Line)}}
	}
	for _, item := range all {
		var t text
		if err := t.UnmarshalYAML(item); err != nil {
			return err
		}
		if t.line > 0 {
			*l = append(*l, t)
		}
	}
	return nil
}

// Load reads a jobs file. Every fault is reported, each with the file and the
// line. Names of other files are taken from the folder of this one.
func Load(name string) (*Jobs, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("server: %w", err)
	}
	defer f.Close() //nolint:errcheck // only read
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("server: %w", err)
	}
	if len(b) > maxFile {
		return nil, fmt.Errorf("server: %s has more than %d bytes: want at most that", name, maxFile)
	}
	return Parse(name, b)
}

// Parse reads the text of a jobs file; name is for messages and for the folder
// of relative names.
func Parse(name string, b []byte) (*Jobs, error) {
	var in file
	p := parser{name: name}
	err := yamlfile.Decode(b, &in)
	if errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("server: %s:1: is empty: want version, sites and jobs", name)
	}
	if wrong, ok := errors.AsType[*yamlfile.Faults](err); ok {
		for _, f := range wrong.List {
			p.fault(f.Line, "%s", f.Text)
		}
		if wrong.Broken {
			return nil, errors.Join(p.sorted()...)
		}
	}
	jobs := p.jobs(&in) // what has a place is decoded
	if len(p.faults) > 0 {
		return nil, errors.Join(p.sorted()...)
	}
	return jobs, nil
}

// fault is one thing that is wrong.
type fault struct {
	line int
	text string
}

// parser turns the file into Jobs and gathers what is wrong.
type parser struct {
	name   string
	faults []fault
}

// fault adds one, but once: two vantages may come upon the same.
func (p *parser) fault(line int, format string, args ...any) {
	f := fault{max(line, 1), fmt.Sprintf(format, args...)}
	if !slices.Contains(p.faults, f) {
		p.faults = append(p.faults, f)
	}
}

// sorted returns the faults in the order of lines.
func (p *parser) sorted() []error {
	slices.SortStableFunc(p.faults, func(a, b fault) int { return a.line - b.line })
	all := make([]error, len(p.faults))
	for i, f := range p.faults {
		all[i] = fmt.Errorf("server: %s:%d: %s", p.name, f.line, f.text)
	}
	return all
}
