package web

import (
	"net/http"
	"net/url"
	"time"

	"dormant/reports/history"
)

const listedRuns = 50 // on a page

type runsPage struct {
	base
	Running, Over   []progress // as the fleet tells; those over are not in the history yet, or incomplete
	Runs            []history.Run
	Site, Vantage   string
	Sites, Vantages []string
	First, Next     string
}

// runs lists what runs, then what is stored.
func (s *Server) runs(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	p := &runsPage{base: s.base(r, "Runs"), Site: q.Get("site"), Vantage: q.Get("vantage")}
	st := s.config.Fleet.Status()
	p.Running, p.Over = split(&st)
	f := history.RunFilter{Sites: named(p.Site), Vantages: named(p.Vantage), Limit: listedRuns + 1}
	if before := q.Get("before"); before != "" {
		t, err := time.Parse(time.RFC3339Nano, before)
		if err != nil {
			s.fail(w, r, http.StatusBadRequest, "The list cannot be read from there: begin at its first page.")
			return
		}
		f.Until = t
		p.First = "?" + url.Values{"site": {p.Site}, "vantage": {p.Vantage}}.Encode()
		p.Running, p.Over = nil, nil
	}
	var err error
	if p.Runs, err = s.config.Store.RunsOf(r.Context(), f); err != nil {
		s.broken(w, r, err)
		return
	}
	if len(p.Runs) > listedRuns {
		p.Runs = p.Runs[:listedRuns]
		last := p.Runs[listedRuns-1].Started.Format(time.RFC3339Nano)
		p.Next = "?" + url.Values{"site": {p.Site}, "vantage": {p.Vantage}, "before": {last}}.Encode()
	}
	if p.Sites, p.Vantages, err = s.whereRuns(r.Context()); err != nil {
		s.broken(w, r, err)
		return
	}
	s.render(w, r, http.StatusOK, "runs.html", p)
}

// named chooses runs by a name that a form gave, "" for all.
func named(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}
