package firewall

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"dormant/reports"
)

// section is a part of a report for people, in every format the same.
type section struct {
	Title string
	Text  []string // sentences
	Head  []string
	Rows  [][]string
	Code  []string // lines of the input's own syntax
}

// Document is a report of this package: an Impact or a Verification.
type Document interface {
	document() (title, headline string, sections []section)
}

// document is the report of an impact.
func (m *Impact) document() (title, headline string, sections []section) {
	return "Impact of " + m.Proposed.File, m.Headline, m.sections()
}

// Writers returns what writes a report, by the ending of a file's name. Files
// with findings are written by package reports.
func Writers() map[string]func(w io.Writer, d Document) error {
	return map[string]func(w io.Writer, d Document) error{
		".json": WriteJSON, ".md": WriteMarkdown, ".html": WriteHTML, ".txt": WriteText,
	}
}

// WriterOf returns the writer for a file, false when it is none of Writers.
func WriterOf(path string) (func(w io.Writer, d Document) error, bool) {
	write, ok := Writers()[strings.ToLower(filepath.Ext(path))]
	return write, ok
}

// Endings returns the endings of Writers, sorted.
func Endings() []string { return slices.Sorted(maps.Keys(Writers())) }

// WriteJSON writes a report as one JSON object; ReadImpact reads that of an
// impact.
func WriteJSON(w io.Writer, d Document) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(d); err != nil {
		return fmt.Errorf("firewall: write the report: %w", err)
	}
	return nil
}

// sections is the report of an impact.
func (m *Impact) sections() []section {
	var out []section
	add := func(s section) {
		if len(s.Rows)+len(s.Text)+len(s.Code) > 0 {
			out = append(out, s)
		}
	}
	for i := range m.Rules {
		if r := &m.Rules[i]; len(r.Cut) > 0 {
			add(m.cutSection(r))
		}
	}
	for i := range m.Rules {
		if r := &m.Rules[i]; len(r.Opened) > 0 {
			add(openedSection(r))
		}
	}
	add(m.unknownSection())
	add(m.shadowSection())
	add(m.serviceSection())
	add(section{Title: "What to mind", Text: m.Advice})
	add(section{Title: "Taken for granted", Text: m.granted()})
	return out
}

// cutSection is what one rule cuts off.
func (m *Impact) cutSection(r *RuleImpact) section {
	s := section{Title: "Cut off by " + ruleTitle(r.Rule, r.Line), Head: []string{"service", "what it is", "known clients", "last seen", "who loses access"}}
	s.Text = append(s.Text, r.Text)
	if r.Hits != nil {
		s.Text = append(s.Text, fmt.Sprintf("Its counter says %d packets, which is weak evidence: counters start anew with every reload.", *r.Hits))
	}
	for _, w := range r.Cut {
		if w.Reply {
			s.Text = append(s.Text, w.Target+": the request passes, but what follows does not: the answer or the later packets are denied.")
		}
		s.Rows = append(s.Rows, []string{w.Target, what(w.Product, w.Verdict), m.clientsWord(w), m.lastSeen(&w), sourcesWord(w.Clients, w.Sources)})
	}
	if len(r.Exception) > 0 {
		s.Code = r.Exception
		s.Text = append(s.Text, "The smallest exception that keeps the clients that were seen, "+r.Where+":")
	}
	return s
}

func openedSection(r *RuleImpact) section {
	s := section{Title: "Newly reachable by " + ruleTitle(r.Rule, r.Line), Text: []string{r.Text}, Head: []string{"service", "what it is", "from"}}
	for _, w := range r.Opened {
		s.Rows = append(s.Rows, []string{w.Target, what(w.Product, w.Verdict), sourcesWord(w.Clients, w.Sources)})
	}
	return s
}

func (m *Impact) unknownSection() section {
	s := section{Title: "Not judged", Head: []string{"rule", "line", "why", "services"}}
	for _, d := range m.Unknowns {
		s.Rows = append(s.Rows, []string{d.Rule, lineWord(d.Line), d.Text, few(d.Services)})
	}
	return s
}

func (m *Impact) shadowSection() section {
	s := section{Title: "Rules that no packet reaches", Head: []string{"rule", "line", "text", "taken by", ""}}
	if m.Unsearched > 0 {
		s.Text = append(s.Text, "The search was ended before it became too long: "+count(m.Unsearched, "rule was", "rules were")+
			" not looked at, the last of the file. A rule that is not listed here may be among them.")
	}
	for _, x := range m.Shadowed {
		mark := ""
		if x.Opposite {
			mark = "does the opposite"
		}
		s.Rows = append(s.Rows, []string{x.Rule, lineWord(x.Line), x.Text, few(x.By), mark})
	}
	return s
}

func (m *Impact) serviceSection() section {
	s := section{Title: "All services", Head: []string{"service", "what it is", "effect", "by", "known clients", "because", "passes afterwards"}}
	for i := range m.Services {
		x := &m.Services[i]
		s.Rows = append(s.Rows, []string{x.Target, what(x.Product, x.Verdict), x.Effect, x.Rule, strconv.Itoa(x.seen()), x.Evidence, x.After.passing()})
	}
	if m.Elsewhere > 0 {
		s.Text = append(s.Text, count(m.Elsewhere, "client was", "clients were")+" seen with a service that the scan did not find open: they are not in this report.")
	}
	return s
}

// granted lists what the result rests on.
func (m *Impact) granted() []string {
	out := []string{"The firewall stands at the " + m.Place + "."}
	if m.Current == nil {
		out = append(out, "The current rules were not given: what was seen open or in use counts as allowed so far, and nothing is said to become reachable.")
	}
	out = append(out, m.Assumed...)
	for _, n := range m.Notes {
		text := n.Text
		if n.Line > 0 {
			text = "line " + strconv.Itoa(n.Line) + ": " + text
		}
		out = append(out, text)
	}
	return out
}

func ruleTitle(id string, line int) string {
	name := "rule " + id
	if id == "" { // no chain of the file sees the packets
		name = "no rule"
	} else if chain, ok := strings.CutSuffix(id, " policy"); ok {
		name = "the default of " + chain
	}
	if line > 0 {
		name += " (line " + strconv.Itoa(line) + ")"
	}
	return name
}

func lineWord(line int) string {
	if line == 0 {
		return ""
	}
	return strconv.Itoa(line)
}

func what(product, verdict string) string {
	verdict = strings.ReplaceAll(verdict, "_", " ")
	if verdict == "" || strings.EqualFold(product, verdict) {
		return product
	}
	return product + ", " + verdict
}

// maxFew is how many of a list are named in a cell.
const maxFew = 6

func few(list []string) string {
	if len(list) <= maxFew {
		return strings.Join(list, ", ")
	}
	return strings.Join(list[:maxFew], ", ") + fmt.Sprintf(" and %d more", len(list)-maxFew)
}

func sourcesWord(clients, sources []string) string {
	switch {
	case len(sources) == 0:
		return few(clients)
	case len(clients) == 0:
		return allBut(sources)
	default:
		return few(clients) + "; in all " + strings.TrimPrefix(allBut(sources), "all ")
	}
}

// allBut writes addresses as the others, where those are fewer: "all but
// 10.2.0.0/16" for the two spans around it.
func allBut(list []string) string {
	set, ok := ParseAddrs(strings.Join(list, ","))
	if !ok {
		return few(list)
	}
	for _, family := range []Addrs{AnyIPv4(), AnyIPv6()} {
		others := AddrWords(family.Subtract(set))
		if family.Covers(set) && len(others) > 0 && len(others) < len(list) {
			return "all but " + few(others)
		}
	}
	return few(list)
}

// passing says who passes, for people: an empty cell would say nothing.
func (r *Reach) passing() string {
	switch {
	case len(r.Allow) > 0:
		return allBut(r.Allow)
	case len(r.Unknown) > 0:
		return "not known"
	default:
		return "nobody"
	}
}

// clientsWord counts the clients that were seen and lose access.
func (m *Impact) clientsWord(w RuleWork) string {
	if len(w.Clients) > 0 {
		return strconv.Itoa(len(w.Clients))
	}
	for i := range m.Services {
		if s := &m.Services[i]; s.Target == w.Target && s.seen() > 0 {
			return "none of " + strconv.Itoa(s.seen()) + " seen"
		}
	}
	return "none seen"
}

// lastSeen is when the last of the clients of a rule was seen, and how.
func (m *Impact) lastSeen(w *RuleWork) string {
	var last time.Time
	how := ""
	for _, s := range m.Services {
		if s.Target != w.Target {
			continue
		}
		for _, c := range s.Clients {
			if !slices.Contains(w.Clients, c.Addr.String()) {
				continue
			}
			if c.Last != nil && c.Last.After(last) || how == "" {
				how = c.Use + " in " + c.From
			}
			if c.Last != nil && c.Last.After(last) {
				last = *c.Last
			}
		}
	}
	switch {
	case how == "":
		return ""
	case last.IsZero():
		return "no time; " + how
	default:
		return ago(m.Made.Sub(last)) + "; " + how
	}
}

// ago is a span of time in the unit that people use for it.
func ago(d time.Duration) string {
	switch {
	case d < 0:
		return "in the future"
	case d < time.Hour:
		return fmt.Sprintf("%d min ago", int(d/time.Minute))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h ago", int(d/time.Hour))
	default:
		return fmt.Sprintf("%d d ago", int(d/(24*time.Hour)))
	}
}

// cleanRows makes what files and peers said fit for any output.
func cleanRows(rows [][]string) [][]string {
	out := make([][]string, len(rows))
	for i, row := range rows {
		for _, cell := range row {
			out[i] = append(out[i], reports.Line(cell))
		}
	}
	return out
}
