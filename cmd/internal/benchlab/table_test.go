//go:build linux

package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestMedian(t *testing.T) {
	for _, tt := range []struct {
		name  string
		rates []float64
		want  float64
	}{
		{"none", nil, 0},
		{"one", []float64{7}, 7},
		{"odd, not sorted", []float64{9, 1, 5}, 5},
		{"even: between the two in the middle", []float64{1, 100, 3, 5}, 4},
	} {
		var rows []row
		for _, r := range tt.rates {
			rows = append(rows, row{rate: r})
		}
		if got := median(rows, rateOf); got != tt.want {
			t.Errorf("%s: median = %v, want %v", tt.name, got, tt.want)
		}
	}
}

// TestPrint: medians of each program, ratios of ours to each other one that did
// the same job, and nothing for jobs that nobody or one side alone did.
func TestPrint(t *testing.T) {
	m := measurements{
		jobs:  []job{{name: "dark"}, {name: "sparse"}, {name: "idle"}},
		peers: []peer{{name: "dormant", found: foundByUs}, {name: "dormant, sendmmsg", found: foundByUs}, {name: "masscan"}},
		rows: map[key][]row{
			{"dark", "dormant"}: {
				{rate: 600, wall: 2 * time.Second, cpu: 1, memory: 40, private: 12, recall: -1},
				{rate: 800, wall: 3 * time.Second, cpu: 1.5, memory: 44, private: 14, recall: -1, invents: 2},
			},
			{"dark", "masscan"}:   {{rate: 350, wall: 5 * time.Second, cpu: 2.5, memory: 40, recall: -1}},
			{"sparse", "dormant"}: {{rate: 500, wall: time.Second, cpu: 2, memory: 50, private: 20, recall: 0.99954}},
			{"sparse", "masscan"}: {{recall: 1}},
		},
	}
	want := []string{
		"| job | program | runs | sent /s | wall s | processor s a million | memory MiB | of it private | found | invented |",
		"|---|---|---:|---:|---:|---:|---:|---:|---:|---:|",
		"| dark | dormant | 2 | 700 | 2.50 | 1.25 | 42 | 13 | – | 2 |",
		"| dark | masscan | 1 | 350 | 5.00 | 2.50 | 40 | 0 | – | 0 |",
		"| sparse | dormant | 1 | 500 | 1.00 | 2.00 | 50 | 20 | 99.95 % | 0 |",
		"| sparse | masscan | 1 | 0 | 0.00 | 0.00 | 0 | 0 | 100.00 % | 0 |",
		"",
		"| job | ratio | sent /s (more is better) | wall (less) | processor a probe (less) |",
		"|---|---|---:|---:|---:|",
		"| dark | dormant / masscan | 2.00 | 0.50 | 0.50 |",
		"| sparse | dormant / masscan | – | – | – |",
		"",
	}
	var got strings.Builder
	m.print(&got)
	if d := cmp.Diff(strings.Join(want, "\n"), got.String()); d != "" {
		t.Errorf("tables (-want +got):\n%s", d)
	}
}
