package fleet

import (
	"context"
	"slices"

	"go4.org/netipx"

	"dormant/reports/history"
)

// Runs is the history of runs; *history.Store is one.
type Runs interface {
	RunsOf(ctx context.Context, f history.RunFilter) ([]history.Run, error)
}

// Newest returns the runs that say how things are at a place for one job, the
// newest first: the last that ended, and where that asks again what was dead in
// the one before, that one, too. None, if none has ended.
func Newest(ctx context.Context, s Runs, p history.Place) (all []history.Run, err error) {
	for {
		next, err := s.RunsOf(ctx, history.RunFilter{
			Sites: []string{p.Site}, Vantages: []string{p.Vantage}, Jobs: []string{p.Job}, Ended: true, Limit: 1, Offset: len(all),
		})
		if err != nil || len(next) == 0 || len(all) > 0 && !AsksAgain(&all[len(all)-1], &next[0]) {
			return all, err
		}
		all = append(all, next[0])
	}
}

// AsksAgain reports whether a run asks only a part of what the one before it asked
// and did not measure. A job that asks as before, or was given other targets while
// everything is measured, has a run of its own.
func AsksAgain(r, before *history.Run) bool {
	if before.Status == "complete" || slices.Equal(r.Targets, before.Targets) {
		return false
	}
	var b netipx.IPSetBuilder
	for _, p := range before.Plan().Prefixes {
		b.AddPrefix(p)
	}
	asked, err := b.IPSet()
	if err != nil {
		return false // cannot be: a stored plan was read
	}
	for _, p := range r.Plan().Prefixes {
		if !asked.ContainsPrefix(p) {
			return false
		}
		b.RemovePrefix(p)
	}
	rest, err := b.IPSet()
	return err == nil && len(rest.Ranges()) > 0
}
