package web

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"dormant/reports"
	"dormant/reports/history"
)

const (
	listedChanges  = 200    // on a page
	countedChanges = 20_000 // before the page gives up: a report has them all
)

// change is one line of a difference.
type change struct {
	Kind, Mark, Path, Endpoint, Host, From string
	Before, After                          string
	Fields                                 []history.Field
}

type changesPage struct {
	base
	From, To    history.Run
	Both        bool
	Runs        []history.Run // to choose from
	Kind        string        // only these, "" for all
	Kinds       []kindCount
	Rows        []change
	More        bool // there are more than were counted
	First, Next string
	Words       string // why there is nothing to show
}

type kindCount struct {
	Kind  history.Kind
	Words string
	Count int
	Path  string
}

var errEnough = errors.New("web: enough changes")

// changes shows the difference of two runs: of a run and the one before it if
// only one is named, of the newest if none is.
func (s *Server) changes(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	p := &changesPage{base: s.base(r, "Changes"), Kind: q.Get("kind")}
	skip, ok := s.skip(w, r)
	if !ok {
		return
	}
	all, err := s.config.Store.RunsOf(r.Context(), history.RunFilter{Limit: 100})
	if err != nil {
		s.broken(w, r, err)
		return
	}
	p.Runs = all
	if !s.pair(w, r, p, q.Get("from"), q.Get("to")) {
		return
	}
	if p.Both {
		err = s.compare(r, p, skip)
		if err != nil {
			s.broken(w, r, err)
			return
		}
	}
	s.render(w, r, http.StatusOK, "changes.html", p)
}

// pair finds the two runs; if one is missing it has answered, and ok is false.
func (s *Server) pair(w http.ResponseWriter, r *http.Request, p *changesPage, from, to string) (ok bool) {
	switch {
	case to != "":
		if p.To, ok = s.findRun(w, r, to); !ok {
			return false
		}
	default:
		i := slices.IndexFunc(p.Runs, func(r history.Run) bool { return !r.Finished.IsZero() })
		if i < 0 {
			p.Words = "No run has ended yet."
			return true
		}
		p.To = p.Runs[i]
	}
	if from != "" {
		p.From, ok = s.findRun(w, r, from)
		p.Both = ok
		return ok
	}
	base, found, err := s.config.Store.Base(r.Context(), p.To)
	if err != nil {
		s.broken(w, r, err)
		return false
	}
	p.From, p.Both = base, found
	if !found {
		p.Words = "There is no run before that of " + place(p.To.Site, p.To.Vantage) + ", " + moment(p.To.Started) + ", that it can be compared with."
	}
	return true
}

// skip reads how many rows of a list stand on the pages before; if it cannot, it
// has answered, and ok is false.
func (s *Server) skip(w http.ResponseWriter, r *http.Request) (n int, ok bool) {
	text := r.URL.Query().Get("skip")
	n, err := strconv.Atoi(text)
	if text != "" && (err != nil || n < 0) {
		s.fail(w, r, http.StatusBadRequest, "The list cannot be read from there: begin at its first page.")
		return 0, false
	}
	return n, true
}

// compare counts all changes and keeps those of one page.
func (s *Server) compare(r *http.Request, p *changesPage, skip int) error {
	counts := map[history.Kind]int{}
	seen, matching := 0, 0
	err := s.config.Store.Diff(r.Context(), p.From, p.To, func(c history.Change) error {
		if seen++; seen > countedChanges {
			return errEnough
		}
		counts[c.Kind]++
		if p.Kind != "" && p.Kind != string(c.Kind) {
			return nil
		}
		if matching++; matching > skip && matching <= skip+listedChanges {
			p.Rows = append(p.Rows, changeOf(&c, p.From.ID, p.To.ID))
		}
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return err
	}
	p.More = err != nil
	link := func(kind string, skip int) string {
		path := "?from=" + url.QueryEscape(p.From.ID) + "&to=" + url.QueryEscape(p.To.ID)
		if kind != "" {
			path += "&kind=" + url.QueryEscape(kind)
		}
		if skip > 0 {
			path += "&skip=" + strconv.Itoa(skip)
		}
		return path
	}
	for _, k := range []history.Kind{history.New, history.Gone, history.Changed, history.Moved, history.Missing, history.FirstRun, history.NotScanned} {
		if n := counts[k]; n > 0 {
			p.Kinds = append(p.Kinds, kindCount{k, words(string(k)), n, link(string(k), 0)})
		}
	}
	if skip > 0 {
		p.First = link(p.Kind, 0)
	}
	if matching > skip+listedChanges {
		p.Next = link(p.Kind, skip+listedChanges)
	}
	return nil
}

func changeOf(c *history.Change, from, to string) change {
	line := change{Kind: words(string(c.Kind)), Endpoint: c.Target.String(), Mark: "other"}
	switch c.Kind {
	case history.New, history.FirstRun, history.Changed, history.Moved:
		line.Path = pathOf(to, c.Target)
	case history.Gone, history.Missing, history.NotScanned:
		line.Path = pathOf(from, c.Target)
	case history.Same:
	}
	if c.After != nil {
		line.After, line.Host, line.Mark = answered(c.After), reports.Line(c.After.Hostname), reports.Mark(c.After)
	}
	if c.Before != nil {
		line.Before = answered(c.Before)
		if c.After == nil {
			line.Host = reports.Line(c.Before.Hostname)
		}
	}
	if c.From.IsValid() {
		line.From = c.From.String()
	}
	for _, f := range c.Fields {
		line.Fields = append(line.Fields, history.Field{Name: words(f.Name), Before: reports.Line(f.Before), After: reports.Line(f.After)})
	}
	return line
}

// answered says what was open in a few words.
func answered(f *reports.Finding) string {
	text := words(f.Verdict.String())
	if text == "" {
		text = "not identified"
	}
	if name := reports.Name(f); name != "" {
		text += ": " + name
	}
	if f.Version != "" {
		text += " " + reports.Line(f.Version)
	}
	return text
}
