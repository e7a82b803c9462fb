package main

import (
	"testing"
	"time"

	"dormant/cmd/internal/fleet"
)

// TestJobWait: the runs of one start are followed, those of another are not, and
// what the server has ceased to show counts as it was seen last.
func TestJobWait(t *testing.T) {
	begun := time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC)
	run := func(id, job, state string, at time.Time) fleet.RunStatus {
		return fleet.RunStatus{ScanID: id, Job: job, State: state, Started: at}
	}
	status := func(last time.Time, runs ...fleet.RunStatus) *fleet.Status {
		return &fleet.Status{Jobs: []fleet.JobStatus{{Name: "other"}, {Name: "audit", LastRun: last, Places: make([]fleet.Place, 2)}}, Runs: runs}
	}
	w := jobWait{job: "audit", runs: map[string]fleet.RunStatus{}}
	for _, look := range []struct {
		name string
		st   *fleet.Status
		want bool
	}{
		{name: "both wait", st: status(begun, run("a", "audit", fleet.RunWaiting, begun), run("b", "audit", fleet.RunRunning, begun))},
		{name: "one is over", st: status(begun, run("a", "audit", fleet.RunIncomplete, begun), run("b", "audit", fleet.RunRunning, begun))},
		{name: "the first is not shown any more", st: status(begun, run("b", "audit", fleet.RunRunning, begun))},
		{name: "begun again, another job runs", want: true, st: status(begun.Add(time.Hour), run("b", "audit", fleet.RunComplete, begun),
			run("c", "audit", fleet.RunWaiting, begun.Add(time.Hour)), run("d", "other", fleet.RunWaiting, begun))},
	} {
		if got := w.over(look.st); got != look.want {
			t.Errorf("%s: over %t, want %t", look.name, got, look.want)
		}
	}
	if len(w.runs) != 2 || w.places != 2 || w.runs["a"].State != fleet.RunIncomplete || w.runs["b"].State != fleet.RunComplete {
		t.Errorf("%d places, runs %+v: want the two that began together", w.places, w.runs)
	}
}
