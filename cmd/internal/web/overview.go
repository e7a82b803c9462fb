package web

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"dormant/cmd/internal/fleet"
	"dormant/fingerprint"
	"dormant/reports/history"
)

const maxFirst = 12 // findings at the top of the overview

type overviewPage struct {
	base
	Answer  string
	Faults  []string
	Dead    []fleet.DeadShard
	Away    []fleet.AgentStatus
	First   []row
	Facts   []fact
	Running []progress
	Places  []point
	Total   totals
	Short   []history.Run // current runs that are incomplete
	Wrong   string        // why the history's part is missing
}

// fact is a number at the top of a page.
type fact struct {
	Value, Name, Path string
}

// overview shows what needs a person first.
func (s *Server) overview(w http.ResponseWriter, r *http.Request) {
	st := s.config.Fleet.Status()
	p := &overviewPage{base: s.base(r, "Overview"), Faults: st.Faults, Dead: st.Dead, Away: away(&st)}
	p.Running, _ = split(&st)
	runs, err := s.current(r.Context(), "", "")
	if err == nil {
		p.Places, err = s.points(r.Context(), runs)
	}
	if err == nil {
		p.Total, err = s.totals(r.Context(), runs)
	}
	if err == nil {
		p.First, err = s.gravest(r.Context(), runs)
	}
	if err != nil { // what the fleet says is shown all the same: the fault may be the database
		s.config.Log.Error("the history could not be read for the web page", "path", r.URL.Path, "err", err)
		p.Wrong = "The history cannot be read at the moment. The server's log says why."
	}
	for _, run := range runs {
		if run.Status != "complete" {
			p.Short = append(p.Short, run)
		}
	}
	p.sum(&st)
	s.render(w, r, http.StatusOK, "overview.html", p)
}

// sum writes the sentence and the numbers at the top.
func (p *overviewPage) sum(st *fleet.Status) {
	sites := sitesOf(st)
	online, enrolled := 0, 0
	for _, one := range sites {
		online, enrolled = online+one.Online, enrolled+one.Wanted
	}
	known := func(n uint64) string { // a 0 would be an all-clear
		if p.Wrong != "" {
			return "\u2013"
		}
		return number(n)
	}
	p.Facts = []fact{
		{known(p.Total.Breaches), "against the policy", "/breaches"},
		{known(p.Total.Grave), "of high severity", "/findings?severity=high"},
		{known(p.Total.Open), "ports open", "/findings"},
		{fmt.Sprintf("%d of %d", online, enrolled), "agents online", "/sites"},
		{number(len(p.Running)), "runs under way", "/runs"},
	}
	var parts []string
	say := func(n uint64, one, many string) {
		switch {
		case n == 1:
			parts = append(parts, "1 "+one)
		case n > 1:
			parts = append(parts, number(n)+" "+many)
		}
	}
	say(p.Total.Breaches, "port open against the policy", "ports open against the policy")
	say(p.Total.C2, "possible command-and-control listener", "possible command-and-control listeners")
	say(p.Total.Shells, "open shell", "open shells")
	say(uint64(len(p.Dead)), "shard that nobody could measure", "shards that nobody could measure")
	say(uint64(len(p.Away)), "agent away", "agents away")
	say(uint64(len(p.Faults)), "fault of the server", "faults of the server")
	switch {
	case len(parts) > 0:
		p.Answer = strings.Join(parts, ", ") + "."
	case p.Wrong != "":
		p.Answer = "What the runs found cannot be read at the moment."
	case len(p.Places) == 0:
		p.Answer = "No run has ended yet."
	case len(p.First) > 0:
		p.Answer = "Nothing is grave, and something is worth a look."
	case len(p.Short) > 0:
		p.Answer = "Nothing was found that needs a person, and not everything could be measured."
	default:
		p.Answer = "Nothing needs a person at the moment."
	}
}

// gravest returns the findings of the runs that a person should see first.
func (s *Server) gravest(ctx context.Context, runs []history.Run) ([]row, error) {
	if len(runs) == 0 {
		return nil, nil
	}
	var all []row
	seen := map[string]bool{}
	for _, q := range []history.Query{
		{Expected: []string{"no"}},
		{Verdicts: []fingerprint.Class{fingerprint.PossibleC2, fingerprint.OpenShell}},
		{Severities: []string{"high"}},
		{Verdicts: []fingerprint.Class{fingerprint.LicenseManager}, Severities: []string{"medium"}}, // on a public address
	} {
		q.Runs, q.Limit = runs, maxFirst
		found, err := s.config.Store.SearchOnce(ctx, q)
		if err != nil {
			return nil, err
		}
		for _, one := range rowsOf(&found, runs) {
			if one.shown && !seen[one.at] {
				seen[one.at] = true
				all = append(all, one)
			}
		}
	}
	slices.SortStableFunc(all, func(a, b row) int { return cmp.Compare(a.gravity(), b.gravity()) })
	return all[:min(len(all), maxFirst)], nil
}
