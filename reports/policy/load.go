package policy

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"dormant/fingerprint"
	"dormant/registry"
	"dormant/registry/yamlfile"
)

// maxFile bounds a policy, in bytes.
const maxFile = 8 << 20

// file is a policy as it is written.
type file struct {
	Version  int          `yaml:"version"`
	Default  string       `yaml:"default"`
	Vantages yaml.Node    `yaml:"vantages"`
	Rules    []fileRule   `yaml:"rules"`
	Waivers  []fileWaiver `yaml:"waivers"`
}

type fileMatch struct {
	Address list `yaml:"address"`
	Port    list `yaml:"port"`
	Verdict list `yaml:"verdict"`
	Product list `yaml:"product"`
	Vantage list `yaml:"vantage"`
}

type fileRule struct {
	Name      string `yaml:"name"`
	fileMatch `yaml:",inline"`
	Expected  string `yaml:"expected"`
	Owner     string `yaml:"owner"`
	Ticket    string `yaml:"ticket"`
	Severity  string `yaml:"severity"`
	Reason    string `yaml:"reason"`
	line      int
}

type fileWaiver struct {
	fileMatch `yaml:",inline"`
	Owner     string `yaml:"owner"`
	Ticket    string `yaml:"ticket"`
	Reason    string `yaml:"reason"`
	Expires   string `yaml:"expires"`
	line      int
}

// list is one value or several.
type list []string

// UnmarshalYAML takes a plain value, split at commas, or a sequence of them.
func (l *list) UnmarshalYAML(n *yaml.Node) error {
	switch n.Kind {
	case yaml.ScalarNode:
		for part := range strings.SplitSeq(n.Value, ",") {
			*l = append(*l, strings.TrimSpace(part))
		}
	case yaml.SequenceNode:
		for _, item := range n.Content {
			if item.Kind != yaml.ScalarNode {
				return fmt.Errorf("line %d: want plain values in the list", item.Line)
			}
			*l = append(*l, item.Value)
		}
	default:
		return fmt.Errorf("line %d: want a value or a list of values", n.Line)
	}
	return nil
}

// Load reads a policy file. Every fault is reported, each with the file and the
// line.
func Load(name string) (*Policy, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("policy: %w", err)
	}
	defer f.Close() //nolint:errcheck // only read
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("policy: %w", err)
	}
	if len(text) > maxFile {
		return nil, fmt.Errorf("policy: %s: want at most %d bytes", name, maxFile)
	}
	return Parse(name, text)
}

// Parse reads the text of a policy; name is for messages.
func Parse(name string, text []byte) (*Policy, error) {
	var in file
	p := parser{name: name}
	if wrong, ok := errors.AsType[*yamlfile.Faults](yamlfile.Decode(text, &in)); ok { // nothing at all is a file without version
		for _, f := range wrong.List {
			p.fault(f.Line, "%s", f.Text)
		}
		if wrong.Broken {
			return nil, errors.Join(p.faults...)
		}
	}
	p.number(&in, text)
	return p.policy(&in)
}

// parser turns the file into a Policy and gathers what is wrong.
type parser struct {
	name   string
	faults []error
}

func (p *parser) fault(line int, format string, args ...any) {
	p.faults = append(p.faults, fmt.Errorf("policy: %s:%d: %s", p.name, line, fmt.Sprintf(format, args...)))
}

// number finds the lines of rules and waivers, which decoding forgets.
func (p *parser) number(in *file, text []byte) {
	lines := yamlfile.NewLines(text)
	for i := range in.Rules {
		in.Rules[i].line = lines.Of("rules", i)
	}
	for i := range in.Waivers {
		in.Waivers[i].line = lines.Of("waivers", i)
	}
}

func (p *parser) policy(in *file) (*Policy, error) {
	out := &Policy{Default: Unknown}
	switch in.Version {
	case 1:
	case 0:
		p.fault(1, "no version: want version: 1")
	default:
		p.fault(1, "version %d: want version: 1", in.Version)
	}
	if in.Default != "" {
		out.Default = p.expected(1, "default", in.Default)
	}
	out.Vantages = p.vantages(&in.Vantages)
	names := map[string]int{}
	for _, r := range in.Rules {
		if at, ok := names[r.Name]; ok && r.Name != "" {
			p.fault(r.line, "name %q stands in line %d, too", r.Name, at)
		}
		names[r.Name] = r.line
		if r.Severity != "" && !slices.Contains(severities(), r.Severity) {
			p.fault(r.line, "severity %q: want %s", r.Severity, strings.Join(severities(), ", "))
		}
		out.Rules = append(out.Rules, Rule{
			Name: r.Name, Match: p.match(r.line, &r.fileMatch), Expected: p.expected(r.line, "expected", r.Expected),
			Owner: r.Owner, Ticket: r.Ticket, Severity: r.Severity, Reason: r.Reason, Line: r.line,
		})
	}
	for _, w := range in.Waivers {
		day, err := time.ParseInLocation(time.DateOnly, w.Expires, time.Local)
		if err != nil {
			p.fault(w.line, "expires %q: want the last day of the waiver, such as 2027-03-31", w.Expires)
		}
		if w.Reason == "" || w.Owner == "" {
			p.fault(w.line, "a waiver without reason or owner: want both")
		}
		out.Waivers = append(out.Waivers, Waiver{
			Match: p.match(w.line, &w.fileMatch), Owner: w.Owner, Ticket: w.Ticket, Reason: w.Reason, Expires: day.AddDate(0, 0, 1), Line: w.line,
		})
	}
	if len(p.faults) > 0 {
		return nil, errors.Join(p.faults...)
	}
	return out, nil
}

// vantages reads the zones of vantages in the order of the file.
func (p *parser) vantages(n *yaml.Node) (out []Vantage) {
	switch {
	case n.IsZero() || n.Tag == "!!null":
		return nil
	case n.Kind != yaml.MappingNode:
		p.fault(n.Line, "vantages: want names with inside or outside, such as {internet: outside}")
		return nil
	}
	lines := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		v := Vantage{Pattern: strings.ToLower(key.Value), Zone: Zone(value.Value), Line: key.Line}
		if _, err := path.Match(v.Pattern, ""); err != nil || v.Pattern == "" {
			p.fault(v.Line, "vantages: name %q: want that of a vantage, with * for any part of it", key.Value)
		}
		if v.Zone != Inside && v.Zone != Outside {
			p.fault(value.Line, "vantages: %s: zone %q: want inside or outside", key.Value, value.Value)
		}
		if at, twice := lines[v.Pattern]; twice {
			p.fault(v.Line, "vantages: %s stands in line %d, too", key.Value, at)
		}
		lines[v.Pattern] = v.Line
		out = append(out, v)
	}
	return out
}

func (p *parser) expected(line int, key, word string) Expected {
	switch e := Expected(word); e {
	case Yes, No, Unknown:
		return e
	default:
		p.fault(line, "%s %q: want yes, no or unknown", key, word)
		return ""
	}
}

func (p *parser) match(line int, in *fileMatch) Match {
	var m Match
	if len(in.Address)+len(in.Port)+len(in.Verdict)+len(in.Product)+len(in.Vantage) == 0 {
		p.fault(line, "matches everything: want at least one of address, port, verdict, product, vantage, or use default")
	}
	for _, s := range in.Address {
		a, err := parsePrefix(s)
		if err != nil {
			p.fault(line, "address %q: want an address or a network such as 10.1.0.0/16, without host bits", s)
		}
		m.Addresses = append(m.Addresses, a)
	}
	for _, s := range in.Port {
		ports, err := ParsePorts(s)
		if err != nil {
			p.fault(line, "%v", err)
		}
		m.Ports = append(m.Ports, ports...)
	}
	for _, s := range in.Verdict {
		c, err := fingerprint.ParseClass(s)
		if err != nil {
			p.fault(line, "%v", strings.TrimPrefix(err.Error(), "fingerprint: "))
		}
		m.Verdicts = append(m.Verdicts, c)
	}
	m.Products = p.patterns(line, "product", in.Product)
	m.Vantages = p.patterns(line, "vantage", in.Vantage)
	return m
}

// patterns reads names with * for any part.
func (p *parser) patterns(line int, key string, names []string) (out []string) {
	for _, s := range names {
		s = strings.ToLower(s)
		if _, err := path.Match(s, ""); err != nil || s == "" {
			p.fault(line, "%s %q: want a name, with * for any part of it", key, s)
		}
		out = append(out, s)
	}
	return out
}

func parsePrefix(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err == nil && p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	if err == nil && p != p.Masked() {
		err = errors.New("host bits")
	}
	return p, err
}

// ParsePorts reads 1947/tcp, or 1947 for both transports.
func ParsePorts(s string) ([]registry.Port, error) {
	if strings.Contains(s, "/") {
		port, err := registry.ParsePort(s)
		if err != nil {
			return nil, fmt.Errorf("port %q: want 1947/tcp, 1947/udp, or 1947 for both", s)
		}
		return []registry.Port{port}, nil
	}
	n, err := registry.ParseNumber(s)
	if err != nil {
		return nil, fmt.Errorf("port %q: want 1947/tcp, 1947/udp, or 1947 for both", s)
	}
	return []registry.Port{{Number: n, Proto: registry.TCP}, {Number: n, Proto: registry.UDP}}, nil
}
