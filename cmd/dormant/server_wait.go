package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"dormant/cmd/internal/fleet"
	"dormant/cmd/internal/server"
	"dormant/reports"
)

// lookEvery is how often a command that waits asks the server.
const lookEvery = 500 * time.Millisecond

// awaitJob waits until the runs with which the job began last are over, and
// prints them. What it returns says in the exit code how they went.
func awaitJob(ctx context.Context, a *app, s server.Operator, job string) error {
	w := jobWait{job: job, runs: map[string]fleet.RunStatus{}}
	if err := w.until(ctx, s); err != nil {
		return err
	}
	return w.tell(a.stdout)
}

// jobWait follows the runs of one start of a job.
type jobWait struct {
	job    string
	begun  time.Time // zero before the first look
	places int
	runs   map[string]fleet.RunStatus // as they were seen last; a server does not show all that are over
}

// until asks until all runs are over.
func (w *jobWait) until(ctx context.Context, s server.Operator) error {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		st, err := s.Status(ctx)
		switch {
		case ctx.Err() != nil:
			return &exitError{exitInterrupted, errors.New("interrupted: the runs go on; dormant server status shows them")}
		case err != nil:
			return &exitError{exitIncomplete, fmt.Errorf("the server is away, and the runs are not over: they go on when it is back: %w", err)}
		case w.over(&st):
			return nil
		}
		select {
		case <-ctx.Done():
		case <-ticker.C:
		}
	}
}

// over takes in what the server shows, and reports whether nothing more comes.
func (w *jobWait) over(st *fleet.Status) bool {
	if i := slices.IndexFunc(st.Jobs, func(j fleet.JobStatus) bool { return j.Name == w.job }); i >= 0 && w.begun.IsZero() {
		w.begun, w.places = st.Jobs[i].LastRun, len(st.Jobs[i].Places)
	}
	open := false
	for i := range st.Runs {
		if r := &st.Runs[i]; r.Job == w.job && r.Started.Equal(w.begun) {
			w.runs[r.ScanID] = *r
			open = open || !r.Over()
		}
	}
	return !open
}

// tell prints the runs. Its error says what is missing.
func (w *jobWait) tell(out io.Writer) error {
	runs := slices.SortedFunc(maps.Values(w.runs), func(a, b fleet.RunStatus) int { return cmp.Compare(a.Place.String(), b.Place.String()) })
	var rows [][]string
	var why []string
	for i := range runs {
		rows = append(rows, runRow(&runs[i]))
		if runs[i].State != fleet.RunComplete {
			why = append(why, "at "+runs[i].Place.String())
		}
	}
	if err := writeTable(out, runHeader(), rows); err != nil {
		return &exitError{exitOutput, fmt.Errorf("standard output: %w", err)}
	}
	if n := w.places - len(runs); n > 0 {
		where := "at 1 more place"
		if n > 1 {
			where = fmt.Sprintf("at %d more places", n)
		}
		why = append(why, where+", which the server does not show any more: dormant runs list has them")
	}
	if len(why) > 0 {
		return &exitError{exitIncomplete, fmt.Errorf("incomplete: %s %s", w.job, strings.Join(why, ", "))}
	}
	return nil
}

// runHeader and runRow are a run as a person reads it.
func runHeader() []string {
	return []string{"run", "job", "place", "state", "started", "shards", "in work", "dead", "open", "why"}
}

func runRow(r *fleet.RunStatus) []string {
	return []string{r.ScanID, r.Job, r.Place.String(), r.State, moment(r.Started), fmt.Sprintf("%d/%d", r.Done, r.Shards),
		strconv.Itoa(r.Running), strconv.Itoa(r.Failed), strconv.FormatUint(r.Open, 10), reports.Line(strings.Join(r.Why, "; "))}
}
