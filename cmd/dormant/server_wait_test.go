package main

import (
	"strings"
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

// TestJobWaitTells: what is missing decides the exit code, also a run that was
// never seen.
func TestJobWaitTells(t *testing.T) {
	run := func(id, site, state string) fleet.RunStatus {
		return fleet.RunStatus{ScanID: id, Job: "audit", Place: fleet.Place{Site: site, Vantage: "lan"}, State: state}
	}
	for _, tt := range []struct {
		name   string
		places int
		runs   []fleet.RunStatus
		want   string // the error
		exit   int
	}{
		{name: "complete", places: 2, runs: []fleet.RunStatus{run("b", "plant", fleet.RunComplete), run("a", "hq", fleet.RunComplete)}},
		{
			name: "one incomplete", places: 2, exit: exitIncomplete, want: "incomplete: audit at plant/lan",
			runs: []fleet.RunStatus{run("b", "plant", fleet.RunIncomplete), run("a", "hq", fleet.RunComplete)},
		},
		{
			name: "one never seen", places: 2, exit: exitIncomplete, runs: []fleet.RunStatus{run("a", "hq", fleet.RunComplete)},
			want: "incomplete: audit at 1 more place, which the server does not show any more: dormant runs list has them",
		},
	} {
		w := jobWait{job: "audit", places: tt.places, runs: map[string]fleet.RunStatus{}}
		for _, r := range tt.runs {
			w.runs[r.ScanID] = r
		}
		var out strings.Builder
		err := w.tell(&out)
		if got := exitOf(err); got != tt.exit || err != nil && err.Error() != tt.want {
			t.Errorf("%s: exit %d, %v; want %d, %s", tt.name, got, err, tt.exit, tt.want)
		}
		if first := strings.Fields(strings.Split(out.String(), "\n")[1]); first[0] != "a" || len(strings.Split(out.String(), "\n")) != len(tt.runs)+2 {
			t.Errorf("%s: the table is\n%s\nwant a row for each run, by place", tt.name, out.String())
		}
	}
}

// TestMoment: a time for people can be read back, also elsewhere.
func TestMoment(t *testing.T) {
	now := time.Date(2026, 11, 22, 19, 0, 0, 0, time.FixedZone("", 5400))
	if got, err := time.Parse(time.RFC3339, moment(now)); err != nil || !got.Equal(now) {
		t.Errorf("moment = %q: %v, %v; want %v", moment(now), got, err, now)
	}
	if got := moment(time.Time{}); got != "-" {
		t.Errorf("moment of none = %q, want -", got)
	}
}

// TestStatusOfAgents: an agent whose certificate was not renewed is told of while
// there is time.
func TestStatusOfAgents(t *testing.T) {
	now := time.Now().Truncate(time.Second)
	ends := func(left time.Duration) fleet.AgentStatus {
		return fleet.AgentStatus{ID: "hq-1", Site: "hq", Ends: now.Add(left)}
	}
	gone := ends(-time.Hour)
	gone.Revoked = true
	for _, tt := range []struct {
		name  string
		agent fleet.AgentStatus
		want  bool
	}{
		{"renewed", ends(40 * 24 * time.Hour), false},
		{"to be renewed", ends(20 * 24 * time.Hour), false},
		{"not renewed", ends(10 * 24 * time.Hour), true},
		{"ended", ends(-time.Hour), true},
		{"revoked", gone, false},
		{"of a cluster", fleet.AgentStatus{ID: "hq-1"}, false},
	} {
		var b strings.Builder
		if err := writeStatus(&b, &fleet.Status{Now: now, Agents: []fleet.AgentStatus{tt.agent}}); err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(b.String(), "its certificate was not renewed and ends "+moment(tt.agent.Ends)); got != tt.want {
			t.Errorf("%s: said %t, want %t:\n%s", tt.name, got, tt.want, b.String())
		}
	}
}
