package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"dormant/registry"
)

// page sets text for people: headed, wrapped at a width, with numbered sources.
type page struct {
	b       strings.Builder
	width   int // columns
	color   bool
	sources []string // in the order of their first mention
}

// writeDossier prints all that is known of one port, lead before it.
func writeDossier(w io.Writer, lead string, v portView, columns int, color bool) error {
	p := &page{width: columns, color: color}
	if v.Entry == nil {
		p.plain(v)
	} else {
		p.dossier(v)
	}
	_, err := io.WriteString(w, lead+p.b.String())
	return err
}

// plain is a port without a dossier: its registration, or that none is known.
func (p *page) plain(v portView) {
	name := "no dossier"
	if len(v.Registrations) > 0 {
		name = v.Registrations[0].Description
	}
	p.title(fmt.Sprintf("%d", v.Port), name, v.Range+" range")
	switch {
	case len(v.Registrations) > 0:
		p.registrations(v)
		p.text("  ", "  ", "A registration is a claim on a number. What runs there is only told by what answers.")
	case v.Imported:
		p.text("  ", "  ", "IANA's list does not name this port: nobody has registered it.")
	default:
		p.text("  ", "  ", "Nothing is known of this port here. With IANA's list the registration of every port from 1 to 65535 is shown:")
		p.line("")
		p.line("    dormant ports --import service-names-port-numbers.csv")
		p.line("")
		p.text("  ", "  ", "The file is published at https://www.iana.org/assignments/service-names-port-numbers/; this program never downloads it.")
	}
}

func (p *page) dossier(v portView) {
	e := v.Entry
	p.title(fmt.Sprintf("%d", e.Number), e.Title, string(e.Status)+", "+onWhat(e))
	p.text("  ", "  ", e.Summary)
	p.registrations(v)
	p.facts(e, registry.TopicRegistration)
	p.section("What it was meant for", e, registry.TopicPurpose)
	p.section("What became of it", e, registry.TopicToday)
	p.lineage(e.Lineage)
	p.products(e.Products)
	p.section("What you may find here", e, registry.TopicFound)
	p.processes(e.Processes)
	p.wire(e)
	p.checks(e)
	p.section("Exposure", e, registry.TopicExposure)
	p.section("Before a firewall change", e, registry.TopicFirewall)
	p.section("If outsiders reach a license manager here", e, registry.TopicOutside)
	p.section("Why it matters", e, registry.TopicWhy)
	p.section("Advice", e, registry.TopicAdvice)
	if len(e.Related) > 0 {
		p.head("Related ports")
		for _, r := range e.Related {
			p.pair(r.Port, 9, r.Text)
		}
	}
	p.legend()
}

// registrations prints the rows of IANA's, those that differ only in the
// transport as one.
func (p *page) registrations(v portView) {
	p.head("Registration")
	rows := slices.Clone(v.Registrations)
	for len(rows) > 0 {
		first := rows[0]
		same := func(r registry.Registration) bool { r.Proto = first.Proto; return r == first }
		var protos []string
		for _, r := range rows {
			if same(r) && r.Proto != 0 {
				protos = append(protos, r.Proto.String())
			}
		}
		p.registration(first, strings.Join(protos, " "))
		rows = slices.DeleteFunc(rows, same)
		if len(rows) > 0 {
			p.line("")
		}
	}
	if len(v.Registrations) == 0 {
		p.text("  ", "  ", "None is known.")
	}
	p.pair("range", 13, map[string]string{
		"system":     "system, 1-1023: binding it takes privileges on most systems",
		"registered": "registered, 1024-49151: any user process may bind it",
		"dynamic":    "dynamic, 49152-65535: source ports of outgoing connections, never assigned",
	}[v.Range])
	p.line("")
}

func (p *page) registration(r registry.Registration, protos string) {
	numbers := ""
	if r.First != r.Last {
		numbers = fmt.Sprintf("%d-%d", r.First, r.Last)
	}
	for _, f := range [][2]string{
		{"service", r.Service}, {"description", r.Description}, {"numbers", numbers}, {"transport", protos},
		{"assignee", r.Assignee}, {"contact", r.Contact}, {"registered", r.Registered}, {"changed", r.Modified},
		{"reference", r.Reference}, {"misuse", r.Unauthorized}, {"notes", r.Notes},
	} {
		if f[1] != "" {
			p.pair(f[0], 13, f[1])
		}
	}
}

// section prints the facts of a topic under a heading, nothing when there are none.
func (p *page) section(title string, e *registry.Entry, topic registry.Topic) {
	if slices.ContainsFunc(e.Facts, func(f registry.Fact) bool { return f.Topic == topic }) {
		p.head(title)
		p.facts(e, topic)
	}
}

func (p *page) facts(e *registry.Entry, topic registry.Topic) {
	for _, f := range e.Facts {
		if f.Topic == topic {
			p.text("  "+sign(f.Standing)+" ", "    ", f.Text+" "+p.cite(f.Mark))
		}
	}
}

// sign is how the standing of a statement shows in the margin.
func sign(s registry.Standing) string {
	switch s {
	case registry.Evidence:
		return "+"
	case registry.Contradicts:
		return "≠"
	case registry.Account:
		return "•"
	default: // Load has refused any other
		return " "
	}
}

// cite returns the number of the source, with a question mark or two where
// the statement is not certain.
func (p *page) cite(m registry.Mark) string {
	i := slices.Index(p.sources, m.Source)
	if i < 0 {
		i = len(p.sources)
		p.sources = append(p.sources, m.Source)
	}
	doubt := map[registry.Confidence]string{registry.Medium: "?", registry.Low: "??"}[m.Confidence]
	return fmt.Sprintf("[%d%s]", i+1, doubt)
}

func (p *page) lineage(events []registry.Event) {
	if len(events) == 0 {
		return
	}
	p.head("Lineage")
	for _, ev := range events {
		p.pair(ev.Date, 12, sign(ev.Standing)+" "+ev.Text+" "+p.cite(ev.Mark))
	}
}

func (p *page) products(products []registry.Product) {
	if len(products) == 0 {
		return
	}
	p.head("Where the family lives today")
	for _, pr := range products {
		text := strings.Join(pr.Ports, ", ")
		if pr.Note != "" {
			text += "; " + pr.Note
		}
		p.pair(pr.Name, 34, text+" "+p.cite(pr.Mark))
	}
}

func (p *page) processes(processes []registry.Process) {
	if len(processes) == 0 {
		return
	}
	p.head("Processes that belong here")
	for _, pr := range processes {
		text := sign(pr.Standing) + " " + pr.System
		if pr.Note != "" {
			text += ": " + pr.Note
		}
		p.pair(pr.Name, 26, text+" "+p.cite(pr.Mark))
	}
}

// wire prints what is known of the bytes, and what this program sends.
func (p *page) wire(e *registry.Entry) {
	p.head("On the wire")
	for _, t := range e.Transports {
		lead := t.Proto.String()
		for _, f := range [][2]string{{"speaks", t.Speaks + " " + p.cite(t.Mark)}, {"asked", t.Ask}, {"proof", t.Sign}} {
			if f[1] == "" {
				continue
			}
			p.text(fmt.Sprintf("  %-4s %-7s ", lead, f[0]), strings.Repeat(" ", 15), f[1])
			lead = ""
		}
	}
	p.facts(e, registry.TopicProtocol)
}

func (p *page) checks(e *registry.Entry) {
	if len(e.Checks) == 0 {
		return
	}
	p.head("What listens on a machine")
	system := ""
	for _, c := range e.Checks {
		if c.System != system {
			system = c.System
			p.line("  " + system)
		}
		p.line("    " + p.bold(c.Command))
		if c.Note != "" {
			p.text("        ", "        ", c.Note)
		}
	}
	p.text("  ", "  ", "No output: nothing listens, the port is closed.")
}

func (p *page) legend() {
	p.head("Sources")
	for i, s := range p.sources {
		p.text(fmt.Sprintf("  %5s ", fmt.Sprintf("[%d]", i+1)), strings.Repeat(" ", 8), s)
	}
	p.line("")
	for _, mark := range [][2]string{
		{"•", "told by the published account of the port"},
		{"+", "added by protocol evidence"},
		{"≠", "evidence that says otherwise than the account"},
		{"[1?]", "one indirect source, or an inference"},
		{"[1??]", "unverified or disputed"},
	} {
		p.text(fmt.Sprintf("  %5s ", mark[0]), strings.Repeat(" ", 8), mark[1])
	}
}

// title is the first line: number and name on the left, the rest on the right,
// or below where it does not fit.
func (p *page) title(number, name, right string) {
	left := number + "  " + name
	gap := p.width - utf8.RuneCountInString(left) - utf8.RuneCountInString(right)
	if gap < 2 {
		p.line(p.bold(left))
		left, gap = "", p.width-utf8.RuneCountInString(right)
	}
	p.line(p.bold(left) + strings.Repeat(" ", gap) + right)
	p.line(strings.Repeat("─", p.width))
}

func (p *page) head(s string) {
	p.line("")
	p.line(p.bold(s))
}

// pair prints a key in a column of n characters and a text beside it, or below
// it when the key is longer.
func (p *page) pair(key string, n int, text string) {
	if utf8.RuneCountInString(key) > n {
		p.line("  " + key)
		key = ""
	}
	p.text(fmt.Sprintf("  %-*s ", n, key), strings.Repeat(" ", n+3), text)
}

// text wraps s at the width; first and rest lead the first and the other lines.
// A word that is longer than a line stands on one of its own.
func (p *page) text(first, rest, s string) {
	line := first
	free := p.width - utf8.RuneCountInString(first)
	fresh := true // nothing on this line yet
	for word := range strings.FieldsSeq(s) {
		n := utf8.RuneCountInString(word)
		if !fresh && n+1 > free {
			p.line(line)
			line, free, fresh = rest, p.width-utf8.RuneCountInString(rest), true
		}
		if !fresh {
			line, free = line+" ", free-1
		}
		line, free, fresh = line+word, free-n, false
	}
	p.line(line)
}

func (p *page) line(s string) {
	p.b.WriteString(strings.TrimRight(s, " "))
	p.b.WriteByte('\n')
}

// bold is the only ornament, and only on a terminal.
func (p *page) bold(s string) string {
	if !p.color || s == "" {
		return s
	}
	return "\x1b[1m" + s + "\x1b[0m"
}
