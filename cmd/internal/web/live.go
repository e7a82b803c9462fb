package web

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"dormant/cmd/internal/fleet"
)

// progress is a run of the fleet as the pages and the script show it.
type progress struct {
	fleet.RunStatus
	Share int     // of the targets, in thousandths
	Rate  float64 // targets a second since it began, 0 before it did
	Left  time.Duration
}

// progressOf computes what a status does not say by itself. The rate is the mean
// since the start: shards come and go, and a momentary one jumps.
func progressOf(now time.Time, r fleet.RunStatus) progress {
	p := progress{RunStatus: r, Share: share(r.Asked, r.Targets)}
	end := now
	if !r.Finished.IsZero() {
		end = r.Finished
	}
	if d := end.Sub(r.Started); !r.Started.IsZero() && d >= time.Second {
		p.Rate = float64(r.Asked) / d.Seconds()
	}
	if !p.Over() && p.Rate > 0 && r.Targets > r.Asked {
		p.Left = time.Duration(float64(r.Targets-r.Asked) / p.Rate * float64(time.Second))
	}
	return p
}

// split returns the runs that are under way and those that are over.
func split(st *fleet.Status) (running, over []progress) {
	for _, r := range st.Runs {
		p := progressOf(st.Now, r)
		if p.Over() {
			over = append(over, p)
		} else {
			running = append(running, p)
		}
	}
	return running, over
}

// liveRun is what the script writes into the page: numbers as the page has them.
type liveRun struct {
	ID     string `json:"id"`
	State  string `json:"state"`
	Share  int    `json:"share"`
	Asked  string `json:"asked"`
	Open   string `json:"open"`
	Done   string `json:"done"`
	Failed string `json:"failed"`
	Rate   string `json:"rate"`
	Left   string `json:"left"`
}

// live answers the script of the pages.
func (s *Server) live(w http.ResponseWriter, _ *http.Request) {
	st := s.config.Fleet.Status()
	all := []liveRun{}
	for _, r := range st.Runs {
		p := progressOf(st.Now, r)
		all = append(all, liveRun{
			ID: r.ScanID, State: r.State, Share: p.Share, Asked: number(r.Asked), Open: number(r.Open), Done: number(r.Done),
			Failed: number(r.Failed), Rate: number(int64(p.Rate)), Left: left(p.Left),
		})
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(struct { //nolint:errcheck // the browser went away
		Runs []liveRun `json:"runs"`
	}{all})
}

func left(d time.Duration) string {
	if d <= 0 {
		return ""
	}
	return span(d)
}

// site is what the fleet knows of one site.
type site struct {
	Name   string
	Agents []fleet.AgentStatus
	Online int
	Wanted int // enrolled and not revoked
}

// sitesOf groups the agents, in the order of the sites' names. A site that only
// jobs name has none, and that is worth seeing.
func sitesOf(st *fleet.Status) []site {
	var all []site
	at := func(name string) *site {
		i := slices.IndexFunc(all, func(s site) bool { return s.Name == name })
		if i < 0 {
			all = append(all, site{Name: name})
			i = len(all) - 1
		}
		return &all[i]
	}
	for _, a := range st.Agents {
		one := at(a.Site)
		one.Agents = append(one.Agents, a)
		if !a.Revoked {
			one.Wanted++
			if a.Online {
				one.Online++
			}
		}
	}
	for _, j := range st.Jobs {
		for _, p := range j.Places {
			at(p.Site)
		}
	}
	slices.SortFunc(all, func(a, b site) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// away are the agents that should be there and are not.
func away(st *fleet.Status) []fleet.AgentStatus {
	var all []fleet.AgentStatus
	for _, a := range st.Agents {
		if !a.Online && !a.Revoked {
			all = append(all, a)
		}
	}
	return all
}
