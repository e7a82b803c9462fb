package main

import (
	"testing"

	"golang.org/x/time/rate"
)

func TestLanes(t *testing.T) {
	for _, tt := range []struct {
		name       string
		limit      rate.Limit
		processors int
		want       int
	}{
		{"the default rate", 1000, 16, 1},
		{"what one carries", 300_000, 16, 1},
		{"rate not known", 0, 16, 1},
		{"max on one processor", rate.Inf, 1, 1},
		{"max on two", rate.Inf, 2, 2},
		{"max on three: one receives", rate.Inf, 3, 2},
		{"max on four", rate.Inf, 4, 3},
		{"max on many", rate.Inf, 64, 4},
	} {
		if got := lanes(tt.limit, tt.processors); got != tt.want {
			t.Errorf("%s: lanes(%v, %d) = %d, want %d", tt.name, tt.limit, tt.processors, got, tt.want)
		}
	}
}
