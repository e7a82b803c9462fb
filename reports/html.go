package reports

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"

	"dormant/fingerprint"
	"dormant/registry"
	"dormant/scanner"
)

//go:embed page
var page embed.FS

// maxCards bounds the findings that an HTML page shows. 10,000 cards stay
// below 20 MB and open within seconds; the rest is counted and named.
const maxCards = 10_000

// HTML writes one page that stands for itself: no other file, no network, a
// content security policy that allows exactly its own style and script. It is
// written when it is closed.
type HTML struct {
	w     io.Writer
	o     Options
	page  *template.Template
	tally *tally
	cards ranked[card]
	blind []string // what could not be measured, the first few

	changes ranked[change] // against the last run
}

var _ Sink = (*HTML)(nil)

// card is one open port as the page shows it. All texts are escaped to ASCII
// already; html/template makes them HTML.
type card struct {
	ID                              int
	Endpoint, IP, IPSort, Transport string
	Port                            uint16
	Host, MAC, Registered           string
	Verdict, Mark, Need             string // Mark: the css class
	Confidence                      string
	Product, Version, Service       string
	Evidence, EvidenceID            string
	Severity, Change, Who, Note     string
	State, Reason, At, RTT          string
	Flags                           []string
	Title, Why, Else, Advice        string
	Signs                           []fingerprint.Sign
	Hints, Settle                   []string
	Talk                            []talkLine
	Dossier, Unfolded, Changed      bool
	gravity                         int
}

// talkLine is one exchange of the dialogue.
type talkLine struct{ Probe, Sent, Received, End string }

// NewHTML returns the sink that writes to w.
func NewHTML(w io.Writer, o Options) (*HTML, error) {
	t, err := template.New("report.html").ParseFS(page, "page/report.html")
	if err != nil {
		return nil, fmt.Errorf("reports: HTML page: %w", err)
	}
	return &HTML{w: w, o: o, page: t, tally: newTally(), cards: ranked[card]{limit: maxCards}, changes: ranked[change]{limit: maxChanges}}, nil
}

// Write keeps what the page will show.
func (h *HTML) Write(_ context.Context, f Finding) error {
	h.tally.add(&f)
	if changed(&f) {
		h.changes.add(newChange(&f), breach(&f))
	}
	switch f.State {
	case scanner.Open:
		_, known := h.o.dossier(target(&f).Port)
		h.cards.add(newCard(int(h.tally.states[scanner.Open]), &f, known), breach(&f))
	case scanner.Unknown:
		if len(h.blind) < maxClosedRows {
			h.blind = append(h.blind, endpoint(&f)+" ("+f.Reason.String()+")")
		}
	case scanner.Closed, scanner.Filtered, scanner.OpenFiltered, scanner.Unreachable: // counted
	}
	return nil
}

func newCard(id int, f *Finding, known bool) card {
	e := explain(f)
	need, _ := attention(f)
	c := card{
		ID: id, Endpoint: endpoint(f), IP: address(f.IP), IPSort: sortable(f.IP), Transport: transport(f), Port: f.Port,
		Host: escape(f.Hostname, maxText), MAC: escape(f.MAC, maxText), Registered: escape(f.IANAName, maxText),
		Verdict: strings.ReplaceAll(f.Verdict.String(), "_", " "), Mark: markOf(f), Need: need, Confidence: confidence(f),
		Product: escape(name(f), maxText), Version: escape(f.Version, maxText), Service: escape(f.Service, maxText),
		Evidence: escape(f.Evidence, maxEvidence), EvidenceID: escape(f.EvidenceID, maxText),
		Severity: escape(f.Severity, maxText), Change: escape(f.Change, maxText), Changed: changed(f), Who: concerns(f),
		Note:  ownNote(f),
		State: f.State.String(), Reason: f.Reason.String(), At: moment(f.ObservedAt), RTT: milliseconds(f.RTT),
		Flags: escapeAll(f.Flags), Title: e.Title, Why: e.Why, Else: e.Else, Advice: e.Advice, Dossier: known, gravity: gravity(f),
	}
	if c.Verdict == "" {
		c.Verdict = "not identified"
	}
	if f.Confirmed == ConfirmedNo {
		c.State = "open? (only a SYN-ACK was seen)"
	}
	if f.Full != nil {
		c.Signs = cleanSigns(f.Full.Signs)
		c.Hints, c.Settle = escapeEach(f.Full.Hints, maxNote), escapeEach(f.Full.Settle, maxNote)
		for i := range c.Hints { // the page makes sentences of them
			c.Hints[i] = strings.TrimSuffix(c.Hints[i], ".")
		}
	}
	if f.Dialogue != nil {
		c.Talk = talk(f.Dialogue)
	}
	return c
}

// markOf is the css class of a finding: its verdict, and attention above all.
func markOf(f *Finding) string {
	if _, need := attention(f); need {
		return "attention"
	}
	return MarkOf(f.Verdict)
}

// MarkOf returns how the HTML report colours a verdict, in the words of Mark.
func MarkOf(c fingerprint.Class) string {
	switch c {
	case fingerprint.PossibleC2, fingerprint.OpenShell:
		return "attention"
	case fingerprint.LicenseManager:
		return "license"
	case fingerprint.DevServer, fingerprint.TunnelOrProxy:
		return "dev"
	case fingerprint.KnownService:
		return "known"
	case fingerprint.Middlebox, fingerprint.Tarpit, fingerprint.Unidentified, 0:
		return "other"
	default:
		return "other"
	}
}

const (
	maxLaid    = 250 // rows and cards that a browser lays out at a time: with all of them each key takes a second
	maxFirst   = 12  // findings at the top of the page
	maxChanges = 200 // lines
)

const maxSigns = 12 // of one card; the weakest are left out

func cleanSigns(signs []fingerprint.Sign) []fingerprint.Sign {
	clean := slices.Clone(signs[:min(len(signs), maxSigns)])
	for i := range clean {
		s := &clean[i]
		s.Rule, s.Probe, s.Excerpt = escape(s.Rule, maxText), escape(s.Probe, maxText), escape(s.Excerpt, maxEvidence)
		s.Source, s.Lost = escape(s.Source, maxText), escape(s.Lost, maxText)
		s.Kind = fingerprint.Kind(escape(string(s.Kind), maxText))
	}
	return clean
}

func escapeAll(list []string) []string { return escapeEach(list, maxText) }

// escapeEach escapes every text, each of at most limit bytes.
func escapeEach(list []string, limit int) []string {
	clean := make([]string, 0, len(list))
	for _, s := range list {
		clean = append(clean, escape(s, limit))
	}
	return clean
}

// talk shows the dialogue: what was sent, what came back, how it ended.
func talk(ev *fingerprint.Evidence) []talkLine {
	var lines []talkLine
	for i := range ev.Exchanges[:min(len(ev.Exchanges), 8)] {
		x := &ev.Exchanges[i]
		probe := x.Probe
		if x.Inside {
			probe += " inside TLS"
		}
		lines = append(lines, talkLine{
			Probe: escape(probe, maxText), Sent: onWire(x.Sent), Received: onWire(x.Received), End: escape(string(x.End), maxText),
		})
	}
	return lines
}

// document is what the template sees.
type document struct {
	CSP            string
	Style          template.CSS
	Script         template.JS
	Answer         string
	Run            Run
	Started, Ended string
	Facts          []fact
	Need           []card // the gravest, at most maxFirst
	NeedMore       string // how many more, "" for none
	Cards          []card
	Step           int    // how many of them are laid out at a time
	More           string // open ports without a card, "" for none
	Changes        []change
	MoreChanges    string
	Verdicts       []bar
	Ports          []bar
	Heat           []grid
	MoreHeat       int
	Dossiers       []registry.Entry
	Coverage       string
	Reasons        []string
	Blind          []string
	Gaps           []fact // states that say nothing about what is there
	Findings       uint64
}

type fact struct{ Value, Name string }

// Close writes the page.
func (h *HTML) Close() error {
	d, err := h.document()
	if err != nil {
		return err
	}
	if err := h.page.Execute(h.w, d); err != nil {
		return fmt.Errorf("reports: write HTML: %w", err)
	}
	return nil
}

func (h *HTML) document() (*document, error) {
	style, err := page.ReadFile("page/report.css")
	if err != nil {
		return nil, fmt.Errorf("reports: HTML style: %w", err)
	}
	script, err := page.ReadFile("page/report.js")
	if err != nil {
		return nil, fmt.Errorf("reports: HTML script: %w", err)
	}
	run := h.o.run()
	t := h.tally
	d := &document{
		CSP: fmt.Sprintf("default-src 'none'; style-src '%s'; script-src '%s'; base-uri 'none'; form-action 'none'",
			hashSource(style), hashSource(script)),
		Style:  template.CSS(style), // both are files of this package
		Script: template.JS(script),
		Answer: t.answer(&run), Run: run, Started: moment(run.Scan.Started), Ended: moment(run.Scan.Finished),
		Cards: h.cards.all(), Step: maxLaid, More: unlessNone(h.cards.more), Changes: h.changes.all(), MoreChanges: unlessNone(h.changes.more), Coverage: run.Coverage(), Reasons: run.Reasons(), Blind: h.blind, Findings: t.findings,
		Verdicts: verdictBars(t), Ports: portBars(t),
	}
	d.Heat, d.MoreHeat = heatMap(t)
	d.Need, d.NeedMore = first(d.Cards)
	d.Facts = []fact{
		{number(run.Scan.Targets), "targets asked"},
		{number(max(run.Scan.HostsAlive, uint64(len(hosts(d.Cards))))), "hosts answered"},
		{number(t.states[scanner.Open]), "ports open"},
		{number(t.needAttention()), "need attention"},
	}
	if t.sinceLast() != "" { // not where nothing was asked before
		d.Facts = append(d.Facts, fact{number(t.changes()), "changed since last time"})
	}
	d.Gaps = gaps(&run, t)
	seen := map[uint16]bool{}
	for _, p := range t.sortedPorts() {
		if e, ok := h.o.dossier(p); ok && !seen[p.Number] {
			seen[p.Number] = true
			d.Dossiers = append(d.Dossiers, e)
		}
	}
	return d, nil
}

// first returns the gravest findings and how many more need attention. Their
// cards are unfolded.
func first(cards []card) (need []card, more string) {
	var at []int
	for i := range cards {
		if cards[i].Need != "" {
			at = append(at, i)
		}
	}
	slices.SortStableFunc(at, func(a, b int) int { return cards[a].gravity - cards[b].gravity })
	for _, i := range at[:min(len(at), maxFirst)] {
		cards[i].Unfolded = true
		need = append(need, cards[i])
	}
	return need, unlessNone(uint64(len(at) - len(need)))
}

// unlessNone is the number, "" for 0.
func unlessNone(n uint64) string {
	if n == 0 {
		return ""
	}
	return number(n)
}

// hosts returns the distinct addresses of the cards.
func hosts(cards []card) map[string]bool {
	all := map[string]bool{}
	for i := range cards {
		all[cards[i].IP] = true
	}
	return all
}

// gaps counts what says nothing about a service: by the engine where there is a
// run, else by the findings.
func gaps(r *Run, t *tally) []fact {
	var all []fact
	for _, g := range []struct {
		n, seen uint64
		name    string
	}{
		{r.Scan.Filtered, t.states[scanner.Filtered], "filtered: a filter stands before them, or nobody is there"},
		{r.Scan.OpenFiltered, t.states[scanner.OpenFiltered], "udp without an answer: open or filtered cannot be told apart"},
		{r.Scan.Unreachable, t.states[scanner.Unreachable], "unreachable: no neighbour, or no route"},
		{r.Scan.Unknown, t.states[scanner.Unknown], "not measured: this side failed"},
		{r.Scan.Skipped, 0, "got no probe, because nobody has the address"},
		{r.Identify.NoConnect, 0, "open ports that accepted no second connection"},
		{r.Identify.Budget, 0, "open ports to which not every question was put: what a port or its host may cost was spent"},
	} {
		if n := max(g.n, g.seen); n > 0 {
			all = append(all, fact{number(n), g.name})
		}
	}
	return all
}

func hashSource(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}
