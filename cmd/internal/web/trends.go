package web

import (
	"context"
	"net/http"
	"slices"

	"dormant/cmd/internal/fleet"
	"dormant/reports"
	"dormant/reports/history"
)

const trendRuns = 30 // columns of a chart

type trendsPage struct {
	base
	Site, Vantage string
	Sites         []string
	Vantages      []string
	Places        []trend
	More          bool // places than the page shows
}

// trend is one place over its runs.
type trend struct {
	Place  string
	Job    string
	Charts []chart
	Points []point // the newest first, for the table
}

// trends draws what the runs of each place counted.
func (s *Server) trends(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	p := &trendsPage{base: s.base(r, "Trends"), Site: q.Get("site"), Vantage: q.Get("vantage")}
	var err error
	if p.Sites, p.Vantages, err = s.whereRuns(r.Context()); err != nil {
		s.broken(w, r, err)
		return
	}
	places, err := s.config.Store.Places(r.Context())
	if err != nil {
		s.broken(w, r, err)
		return
	}
	for _, at := range alive(places) {
		if p.Site != "" && p.Site != at.Site || p.Vantage != "" && p.Vantage != at.Vantage {
			continue
		}
		if len(p.Places) == maxPlaces {
			p.More = true
			break
		}
		t, err := s.trendOf(r.Context(), at, len(p.Places))
		if err != nil {
			s.broken(w, r, err)
			return
		}
		p.Places = append(p.Places, t)
	}
	s.render(w, r, http.StatusOK, "trends.html", p)
}

const maxPlaces = 20 // on the page of trends; the filter leads to the others

func (s *Server) trendOf(ctx context.Context, at history.Place, i int) (trend, error) {
	t := trend{Place: place(at.Site, at.Vantage), Job: reports.Line(at.Job)}
	runs, err := s.config.Store.RunsOf(ctx, history.RunFilter{
		Sites: []string{at.Site}, Vantages: []string{at.Vantage}, Jobs: []string{at.Job}, Ended: true, Limit: trendRuns,
	})
	if err != nil {
		return t, err
	}
	if t.Points, err = s.points(ctx, runs); err != nil {
		return t, err
	}
	for i := range t.Points[:max(0, len(runs)-1)] {
		t.Points[i].Again = fleet.AsksAgain(&runs[i], &runs[i+1])
	}
	old := slices.DeleteFunc(slices.Clone(t.Points), func(p point) bool { return p.Again }) // a fall that none is
	slices.Reverse(old)
	id := func(name string) string { return name + "-" + number(i) }
	t.Charts = []chart{
		draw(id("open"), "Open ports by verdict", old, byVerdict()),
		draw(id("breaches"), "Against the policy", old, []series{{"m-attention", "against the policy", func(p *point) uint64 { return p.Tally.Breaches() }}}),
		draw(id("changes"), "New and gone since the run before", old, []series{
			{"new", "new", func(p *point) uint64 { return p.Changes[history.New] }}, {"gone", "gone", func(p *point) uint64 { return p.Changes[history.Gone] }},
		}),
	}
	return t, nil
}
