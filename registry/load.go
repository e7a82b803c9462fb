package registry

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"dormant/registry/yamlfile"
)

// document is one file of dossiers.
type document struct {
	Sources map[string]string `yaml:"sources"` // short key to full name
	Checks  []Check           `yaml:"checks"`  // for every port that brings none
	Ports   []stanza          `yaml:"ports"`
}

// stanza is one dossier as it is written.
type stanza struct {
	Port         uint16        `yaml:"port"`
	Title        string        `yaml:"title"`
	Label        string        `yaml:"label"`
	Status       Status        `yaml:"status"`
	Summary      string        `yaml:"summary"`
	Registration *registration `yaml:"registration"`
	Transports   []transport   `yaml:"transports"`
	Facts        []Fact        `yaml:"facts"`
	Lineage      []Event       `yaml:"lineage"`
	Products     []Product     `yaml:"products"`
	Processes    []Process     `yaml:"processes"`
	Checks       []Check       `yaml:"checks"`
	Related      []Related     `yaml:"related"`
}

// registration is IANA's row, the same for every transport of the stanza.
type registration struct {
	Service      string `yaml:"service"`
	Description  string `yaml:"description"`
	Assignee     string `yaml:"assignee"`
	Contact      string `yaml:"contact"`
	Registered   string `yaml:"registered"`
	Modified     string `yaml:"modified"`
	Unauthorized string `yaml:"unauthorized_use"`
	Notes        string `yaml:"notes"`
}

type transport struct {
	Transport string `yaml:"transport"`
	Speaks    string `yaml:"speaks"`
	Ask       string `yaml:"ask"`
	Sign      string `yaml:"sign"`
	Mark      `yaml:",inline"`
}

// Load reads every *.yaml and *.yml in the root of fsys. Unknown keys, missing
// texts, unknown words and ports that are told twice are faults; all faults of
// all files come together, each on a line of its own with file and line.
func Load(fsys fs.FS) (*Registry, error) {
	names, err := fs.Glob(fsys, "*.y*ml")
	if err != nil {
		return nil, fmt.Errorf("registry: %w", err)
	}
	names = slices.DeleteFunc(names, func(n string) bool { return path.Ext(n) != ".yaml" && path.Ext(n) != ".yml" })
	if len(names) == 0 {
		return nil, errors.New("registry: no *.yaml file with dossiers in the folder")
	}
	r := &Registry{}
	told := map[uint16]string{} // number -> file
	var faults []error
	for _, name := range names {
		text, err := yamlfile.Read(fsys, name, maxFile)
		if err == nil && len(text) > maxFile {
			err = fmt.Errorf("%s: more than %d bytes: want dossiers of ports", name, maxFile)
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("registry: %w", err))
			continue
		}
		part, errs := parseFile(name, text, told)
		faults = append(faults, errs...)
		r.entries = append(r.entries, part.entries...)
		r.checks = append(r.checks, part.checks...)
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	slices.SortFunc(r.entries, byNumber)
	return r, nil
}

// maxFile bounds a file of dossiers, in bytes: ours has forty thousand.
const maxFile = 1 << 20

// parseFile reads one file and returns its dossiers and its faults. told is
// where each number was told, and grows.
func parseFile(name string, text []byte, told map[uint16]string) (part Registry, faults []error) {
	var doc document
	err := yamlfile.Decode(text, &doc)
	if wrong, ok := errors.AsType[*yamlfile.Faults](err); ok {
		for _, f := range wrong.List {
			faults = append(faults, fmt.Errorf("registry: %s:%d: %s", name, f.Line, f.Text))
		}
		return part, faults
	} // a file that holds nothing lacks its ports
	c := &checker{name: name, raw: text, sources: doc.Sources}
	part.checks = c.checks(doc.Checks)
	if len(doc.Ports) == 0 {
		c.fault("ports", "", "at least one port", "ports")
	}
	for i, s := range doc.Ports {
		c.at = []any{"ports", i}
		if where, twice := told[s.Port]; twice {
			c.fault("port", fmt.Sprint(s.Port), "a number that is told once, it is already told in "+where, "port")
		}
		told[s.Port] = name
		e := c.entry(s)
		if len(e.Checks) == 0 {
			e.Checks = fill(part.checks, e.Number)
		}
		part.entries = append(part.entries, e)
	}
	return part, c.faults
}

// entry checks a stanza and returns it typed, with full names of sources and
// the number in its commands.
func (c *checker) entry(s stanza) Entry {
	if s.Port == 0 {
		c.fault("port", "0", "1 to 65535", "port")
	}
	c.text("title", s.Title, "title")
	c.text("summary", s.Summary, "summary")
	c.word("status", string(s.Status), []string{string(Ghost), string(Legacy), string(Current)}, "status")
	e := Entry{
		Number: s.Port, Title: s.Title, Label: s.Label, Status: s.Status, Summary: oneLine(s.Summary),
		Facts: slices.Clone(s.Facts), Lineage: slices.Clone(s.Lineage), Products: slices.Clone(s.Products),
		Processes: slices.Clone(s.Processes), Related: slices.Clone(s.Related),
	}
	if e.Label == "" {
		e.Label = e.Title
	}
	c.transports(&e, s)
	for i := range e.Facts {
		f := &e.Facts[i]
		c.word("topic", string(f.Topic), topicWords(), "facts", i, "topic")
		c.text("text", f.Text, "facts", i, "text")
		f.Text = oneLine(f.Text)
		c.mark(&f.Mark, "facts", i)
	}
	for i := range e.Lineage {
		c.text("date", e.Lineage[i].Date, "lineage", i, "date")
		c.text("text", e.Lineage[i].Text, "lineage", i, "text")
		e.Lineage[i].Text = oneLine(e.Lineage[i].Text)
		c.mark(&e.Lineage[i].Mark, "lineage", i)
	}
	for i := range e.Products {
		c.text("name", e.Products[i].Name, "products", i, "name")
		for j, p := range e.Products[i].Ports {
			if _, err := ParsePort(p); err != nil {
				c.fault("port", p, "a form like 1947/tcp", "products", i, "ports", j)
			}
		}
		c.mark(&e.Products[i].Mark, "products", i)
	}
	for i := range e.Processes {
		c.text("name", e.Processes[i].Name, "processes", i, "name")
		c.text("system", e.Processes[i].System, "processes", i, "system")
		c.mark(&e.Processes[i].Mark, "processes", i)
	}
	e.Checks = fill(c.checks(s.Checks), e.Number)
	for i, rel := range e.Related {
		c.text("port", rel.Port, "related", i, "port")
		c.text("text", rel.Text, "related", i, "text")
	}
	return e
}

// transports checks the transports and spreads the registration over them.
func (c *checker) transports(e *Entry, s stanza) {
	if len(s.Transports) == 0 {
		c.fault("transports", "", "tcp, udp or both", "transports")
	}
	for i, t := range s.Transports {
		p, err := ParseProto(t.Transport)
		if err != nil {
			c.fault("transport", t.Transport, "tcp or udp", "transports", i, "transport")
			continue
		}
		if e.Covers(Port{Number: s.Port, Proto: p}) {
			c.fault("transport", t.Transport, "each transport once", "transports", i, "transport")
		}
		c.text("speaks", t.Speaks, "transports", i, "speaks")
		c.mark(&t.Mark, "transports", i)
		e.Transports = append(e.Transports, Transport{Proto: p, Speaks: oneLine(t.Speaks), Ask: oneLine(t.Ask), Sign: oneLine(t.Sign), Mark: t.Mark})
		if g := s.Registration; g != nil {
			e.Registrations = append(e.Registrations, Registration{
				Service: g.Service, First: s.Port, Last: s.Port, Proto: p, Description: g.Description, Assignee: g.Assignee,
				Contact: g.Contact, Registered: g.Registered, Modified: g.Modified, Unauthorized: g.Unauthorized, Notes: g.Notes,
			})
		}
	}
	if s.Registration != nil {
		c.text("service", s.Registration.Service, "registration", "service")
	}
	slices.SortFunc(e.Transports, func(a, b Transport) int { return int(a.Proto) - int(b.Proto) })
	slices.SortFunc(e.Registrations, func(a, b Registration) int { return int(a.Proto) - int(b.Proto) })
}

// checks checks commands and returns them with full names of sources.
func (c *checker) checks(list []Check) []Check {
	list = slices.Clone(list)
	for i := range list {
		c.text("system", list[i].System, "checks", i, "system")
		c.text("command", list[i].Command, "checks", i, "command")
		c.mark(&list[i].Mark, "checks", i)
	}
	return list
}

// oneLine joins the lines of a block text.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// fill puts the number into the commands.
func fill(checks []Check, number uint16) []Check {
	out := slices.Clone(checks)
	for i := range out {
		out[i].Command = strings.ReplaceAll(out[i].Command, "{port}", fmt.Sprint(number))
	}
	return out
}

func topicWords() []string {
	var words []string
	for _, t := range Topics() {
		words = append(words, string(t))
	}
	return words
}
