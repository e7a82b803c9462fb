package web

import (
	"net/http"
	"net/url"
	"strconv"

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
	skip, ok := s.skip(w, r)
	if !ok {
		return
	}
	link := url.Values{"site": {p.Site}, "vantage": {p.Vantage}}
	if skip > 0 {
		p.First = "?" + link.Encode()
	} else {
		st := s.config.Fleet.Status()
		p.Running, p.Over = split(&st)
	}
	var err error
	if p.Runs, err = s.config.Store.RunsOf(r.Context(), history.RunFilter{
		Sites: named(p.Site), Vantages: named(p.Vantage), Limit: listedRuns + 1, Offset: skip, // by number: the runs of one job begin at one time
	}); err != nil {
		s.broken(w, r, err)
		return
	}
	if len(p.Runs) > listedRuns {
		p.Runs = p.Runs[:listedRuns]
		link.Set("skip", strconv.Itoa(skip+listedRuns))
		p.Next = "?" + link.Encode()
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
