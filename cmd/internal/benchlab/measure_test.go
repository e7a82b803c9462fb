//go:build linux

package main

import (
	"fmt"
	"testing"
	"time"
)

// TestFlow: the rate is that in the middle, without the start and the end.
func TestFlow(t *testing.T) {
	type seen struct {
		ms int
		n  uint64
	}
	for _, tt := range []struct {
		name string
		seen []seen
		want float64
	}{
		{"nothing", nil, 0},
		{"one look", []seen{{5, 500}}, 0},
		{"steady", []seen{{0, 0}, {100, 99}, {200, 100}, {300, 200}, {1000, 900}, {1100, 9900}}, (9900 - 100) / 0.9},
		{"a slow start and a long end do not count", []seen{{0, 1}, {5000, 100}, {6000, 9900}, {6001, 9901}, {9000, 10000}}, 9800},
		{"more than expected", []seen{{0, 100}, {1000, 5100}, {2000, 20000}}, 5000},
	} {
		f := flow{expected: 10_000}
		for _, s := range tt.seen {
			f.see(time.UnixMilli(int64(s.ms)), s.n)
		}
		if got := f.rate(); got != tt.want {
			t.Errorf("%s: rate = %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestJudge(t *testing.T) {
	all := map[string]bool{}
	for _, h := range hosts() {
		for _, port := range openPorts() {
			all[fmt.Sprintf("%s %d", h, port)] = true
		}
	}
	open := len(all)
	without := map[string]bool{}
	for key := range all {
		without[key] = true
	}
	delete(without, hosts()[0]+" 3588")
	without["10.77.0.8 3588"] = true // nobody is there
	without[hosts()[1]+" 475"] = true
	for _, tt := range []struct {
		name    string
		found   map[string]bool
		targets string
		recall  float64
		invents int
	}{
		{"all", all, sparseBlock, 1, 0},
		{"nothing", nil, sparseBlock, 0, 0},
		{"one missed, two invented", without, sparseBlock, float64(open-1) / float64(open), 2},
		{"nothing to find", nil, darkBlock, -1, 0},
		{"found where nobody is", map[string]bool{"10.88.0.1 475": true}, darkBlock, -1, 1},
	} {
		recall, invents := judge(tt.found, job{targets: tt.targets})
		if recall != tt.recall || invents != tt.invents {
			t.Errorf("%s: judge = %v, %d; want %v, %d", tt.name, recall, invents, tt.recall, tt.invents)
		}
	}
}

func TestKibibytes(t *testing.T) {
	for text, want := range map[string]float64{"1234 kB": 1234, "0 kB": 0, "": 0, "unknown": 0, "12 MB": 0, "x kB": 0} {
		if got := kibibytes(text); got != want {
			t.Errorf("kibibytes(%q) = %v, want %v", text, got, want)
		}
	}
	if own := kibibytes(field("/proc/self/status", "RssAnon:")); own < 100 {
		t.Errorf("this process has %v KiB of its own, want at least 100", own)
	}
}

func TestTail(t *testing.T) {
	var told tail
	for i := range 1000 {
		fmt.Fprintf(&told, "line %d\n", i)
	}
	if len(told) != 500 || string(told[len(told)-9:]) != "line 999\n" {
		t.Errorf("tail is %d bytes ending in %q, want the last 500", len(told), told[len(told)-9:])
	}
}
