package main

import (
	"slices"
	"testing"
	"time"

	"dormant/reports/history"
)

// A run goes when no rule keeps it: those that are newest of their site and
// vantage stay, and those that are not old enough.
func TestOldRuns(t *testing.T) {
	ago := func(days int) time.Time { return time.Now().Add(-time.Duration(days) * 24 * time.Hour) }
	runs := []history.Run{ // the newest first
		{ID: "hq1", Site: "hq", Vantage: "a", Started: ago(1)}, {ID: "plant1", Site: "plant", Vantage: "a", Started: ago(2)},
		{ID: "hq2", Site: "hq", Vantage: "a", Started: ago(40)}, {ID: "dmz1", Site: "hq", Vantage: "b", Started: ago(50)},
		{ID: "hq3", Site: "hq", Vantage: "a", Started: ago(100)}, {ID: "plant2", Site: "plant", Vantage: "a", Started: ago(200)},
	}
	for _, tt := range []struct {
		keep uint
		age  string
		want []string
	}{
		{1, "", []string{"hq2", "hq3", "plant2"}},
		{2, "", []string{"hq3"}},
		{3, "", nil},
		{0, "90d", []string{"hq3", "plant2"}},
		{0, "24h", []string{"hq1", "plant1", "hq2", "dmz1", "hq3", "plant2"}},
		{1, "90d", []string{"hq3", "plant2"}},
		{2, "30d", []string{"hq3"}},
		{0, "300d", nil},
	} {
		p := pruning{keep: tt.keep}
		var err error
		if tt.age != "" {
			p.age, err = parseAge(tt.age)
		}
		var got []string
		for _, r := range p.old(runs) {
			got = append(got, r.ID)
		}
		if err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("--keep %d --older-than %q removes %q, %v; want %q", tt.keep, tt.age, got, err, tt.want)
		}
	}
}

func TestParseAge(t *testing.T) {
	for in, want := range map[string]time.Duration{
		"1d": 24 * time.Hour, "90d": 90 * 24 * time.Hour, "65535d": 65535 * 24 * time.Hour, "36h": 36 * time.Hour, "1ns": 1,
		"": 0, "0d": 0, "-1d": 0, "1.5d": 0, "65536d": 0, "d": 0, "0s": 0, "-1h": 0, "90": 0, "1w": 0,
	} {
		if got, err := parseAge(in); got != want || (err == nil) != (want > 0) {
			t.Errorf("parseAge(%q) = %v, %v; want %v, and an error without one", in, got, err, want)
		}
	}
}
