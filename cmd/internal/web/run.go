package web

import (
	"context"
	"net/http"

	"dormant/reports/history"
)

type runPage struct {
	base
	Run      history.Run // the zero value: it is not in the history
	Stored   bool
	Live     *progress
	Point    point
	Bars     []bar
	Coverage string
	Gets     []download
	Base     string // the run before it, "" for none
	First    []row
	Where    string
	ID       string
}

// run shows one run: how far it is, what it found, what it could not.
func (s *Server) run(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("run")
	p := &runPage{base: s.base(r, "Run "+id), ID: id, Gets: downloads()}
	st := s.config.Fleet.Status()
	for _, one := range st.Runs {
		if one.ScanID == id {
			live := progressOf(st.Now, one)
			p.Live, p.Where = &live, one.Place.String()
		}
	}
	ctx := r.Context()
	run, found, err := s.lookUp(ctx, id)
	switch {
	case err != nil && p.Live == nil:
		s.broken(w, r, err)
		return
	case !found && p.Live == nil:
		s.fail(w, r, http.StatusNotFound, "There is no run of that name in the history.")
		return
	case found:
		err = s.fill(ctx, p, run)
	}
	if err != nil {
		s.broken(w, r, err)
		return
	}
	s.render(w, r, http.StatusOK, "run.html", p)
}

// fill adds what the history knows of the run.
func (s *Server) fill(ctx context.Context, p *runPage, run history.Run) error {
	p.Run, p.Stored, p.Where, p.Coverage = run, true, place(run.Site, run.Vantage), run.Facts.Coverage()
	points, err := s.points(ctx, []history.Run{run})
	if err != nil {
		return err
	}
	p.Point, p.Bars = points[0], verdictBars(&points[0])
	if p.First, err = s.gravest(ctx, []history.Run{run}); err != nil {
		return err
	}
	base, ok, err := s.config.Store.Base(ctx, run)
	if ok {
		p.Base = base.ID
	}
	return err
}
