package web

import (
	"context"
	"fmt"
	"slices"
	"time"

	"dormant/cmd/internal/fleet"
	"dormant/cmd/internal/schedule"
	"dormant/fingerprint"
	"dormant/reports/history"
)

// stillAlive is how much older than the newest run of its site and vantage a
// job's may be: one that comes every month, and is some days late, has not ended.
const stillAlive = schedule.Month + 4*24*time.Hour

// current returns the runs that say how things are: of each site, vantage and
// job the newest that ended, see fleet.Newest. Site and vantage may be "" for all.
func (s *Server) current(ctx context.Context, site, vantage string) ([]history.Run, error) {
	places, err := s.config.Store.Places(ctx)
	if err != nil {
		return nil, err
	}
	var runs []history.Run
	for _, p := range alive(places) {
		if site != "" && p.Site != site || vantage != "" && p.Vantage != vantage {
			continue
		}
		newest, err := fleet.Newest(ctx, s.config.Store, p)
		if err != nil {
			return nil, err
		}
		runs = append(runs, newest...)
	}
	return runs, nil
}

// shared reports whether several of the runs were made from one place.
func shared(runs []history.Run) bool {
	seen := map[[2]string]bool{}
	for i := range runs {
		seen[[2]string{runs[i].Site, runs[i].Vantage}] = true
	}
	return len(seen) < len(runs)
}

// alive leaves out the jobs that are no more.
func alive(places []history.Place) []history.Place {
	return slices.DeleteFunc(slices.Clone(places), func(p history.Place) bool {
		return slices.ContainsFunc(places, func(q history.Place) bool {
			return p.Site == q.Site && p.Vantage == q.Vantage && q.Last.Sub(p.Last) > stillAlive
		})
	})
}

// whereRuns are the sites and vantages that occur, for the choices of a filter.
func (s *Server) whereRuns(ctx context.Context) (sites, vantages []string, err error) {
	places, err := s.config.Store.Places(ctx)
	for _, p := range places {
		sites, vantages = append(sites, p.Site), append(vantages, p.Vantage)
	}
	slices.Sort(sites)
	slices.Sort(vantages)
	return slices.Compact(sites), slices.Compact(vantages), err
}

// point is what one run counted.
type point struct {
	Run     history.Run
	Tally   history.Tally
	Changes map[history.Kind]uint64
	// Compared is false where there is no run before, or its changes are not
	// counted yet.
	Compared bool
	// Again is true on the page of trends where the run asked only for what was
	// missing in the one before, see fleet.AsksAgain.
	Again bool
}

// Count returns the open ports with the verdict, 0 for those that were not
// judged.
func (p *point) Count(c fingerprint.Class) uint64 { return p.Tally.Verdicts[c.String()] }

// High counts the severities that somebody must look at.
func (p *point) High() uint64 { return p.Tally.Severities["high"] }

// New and Gone count changes since the run before, as text: "" is not known.
func (p *point) New() string  { return p.changed(history.New) }
func (p *point) Gone() string { return p.changed(history.Gone) }

func (p *point) changed(k history.Kind) string {
	if !p.Compared {
		return ""
	}
	return fmt.Sprint(p.Changes[k])
}

// compareTime is how long a page waits for differences that nobody asked for
// before. The store keeps what is counted, so the next look has more of them.
const compareTime = 15 * time.Second

// points returns what each of the runs counted, in their order.
func (s *Server) points(ctx context.Context, runs []history.Run) ([]point, error) {
	all := make([]point, len(runs))
	for i, run := range runs {
		all[i].Run = run
		var err error
		if all[i].Tally, err = s.config.Store.Tally(ctx, run); err != nil {
			return nil, err
		}
	}
	short, cancel := context.WithTimeout(ctx, compareTime)
	defer cancel()
	for i, run := range runs {
		if run.Finished.IsZero() {
			continue
		}
		base, changes, err := s.config.Store.Changes(short, run)
		switch {
		case err == nil:
			all[i].Changes, all[i].Compared = changes, base != ""
		case short.Err() != nil && ctx.Err() == nil:
			return all, nil
		default:
			return nil, err
		}
	}
	return all, nil
}
