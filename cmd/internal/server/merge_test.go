package server

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dormant/cmd/internal/fleet"
	"dormant/scanner"
)

// TestLossIsMerged: each shard's loss counts by its answers.
func TestLossIsMerged(t *testing.T) {
	var m merger
	m.loss(&scanner.Loss{Rate: 0.5, Answers: 10, Late: 1, Missed: 2})
	m.loss(nil)
	m.loss(&scanner.Loss{Rate: 0.1, Answers: 30, Late: 2, Missed: 8})
	if d := cmp.Diff(&scanner.Loss{Rate: 0.2, Answers: 40, Late: 3, Missed: 10, Recall: 0.8}, m.out.Scan.Loss); d != "" {
		t.Errorf("loss (-want +got):\n%s", d)
	}
}

// TestMoreOpenThanTheLastAttemptSaw: what an earlier attempt found open is open, and
// the sum of all states stays.
func TestMoreOpenThanTheLastAttemptSaw(t *testing.T) {
	m := merger{}
	s := &shard{best: map[uint64]uint64{}}
	open := uint64(slices.Index(weights(), scanner.Open)+1) << rankState
	for i := range uint64(5) {
		s.best[i] = open
	}
	d := &fleet.Done{}
	d.Outcome.Scan = scanner.Summary{Targets: 9, Open: 2, OpenFiltered: 1, Filtered: 1, Closed: 5, Complete: true}
	m.done(s, &attempt{done: d})
	got := m.out.Scan
	if got.Open != 5 || got.OpenFiltered != 0 || got.Filtered != 0 || got.Closed != 4 || got.Targets != 9 {
		t.Errorf("%d open, %d open or filtered, %d filtered, %d closed of %d; want 5, 0, 0, 4 of 9", got.Open, got.OpenFiltered, got.Filtered, got.Closed, got.Targets)
	}
}

// TestDeadOfTheRunBefore: the next run of a job at a place knows what is dead
// there; what is dead elsewhere, or for another job, stays.
func TestDeadOfTheRunBefore(t *testing.T) {
	dead := func(run, job, site string) fleet.DeadShard {
		return fleet.DeadShard{Shard: fleet.Shard{Run: run, Job: job, Place: fleet.Place{Site: site, Vantage: "lan"}}}
	}
	s := &Server{buried: []fleet.DeadShard{dead("s_1", "j", "hq"), dead("s_1", "j", "hq"), dead("s_2", "j", "plant"), dead("s_3", "k", "hq")}}
	next := &Run{ID: "s_4", Job: "j", Place: hq()}
	if got := s.outlived(next); !slices.Equal(got, []string{"s_1"}) {
		t.Errorf("outlived %v, want s_1", got)
	}
	s.bury(next, []fleet.DeadShard{dead("s_4", "j", "hq")})
	var left []string
	for _, d := range s.buried {
		left = append(left, d.Shard.Run)
	}
	if want := []string{"s_2", "s_3", "s_4"}; !slices.Equal(left, want) {
		t.Errorf("known are the dead of %v, want %v", left, want)
	}
}

// TestShardSize: a shard takes 90 seconds or less at the rate of its job.
func TestShardSize(t *testing.T) {
	for _, tt := range []struct {
		rate  float64
		ports int
		want  uint64
	}{
		{0, 12, 4096}, {1000, 6, 4096}, {100, 6, 256}, {150, 6, 512}, {10, 6, 32}, {1, 6, 4}, {1, 600, 1},
	} {
		s := Sweep{Rate: tt.rate, Retries: 2, Ports: slices.Repeat(aRun().Ports[:1], tt.ports)}
		if got := s.shardSize(); got != tt.want {
			t.Errorf("%g a second, %d ports: shards of %d addresses, want %d", tt.rate, tt.ports, got, tt.want)
		}
	}
}
