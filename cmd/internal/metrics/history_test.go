package metrics

import (
	"testing"

	"dormant/scanner"
)

func TestUnmeasured(t *testing.T) {
	for _, tt := range []struct {
		name string
		in   scanner.Summary
		want uint64
	}{
		{"nothing asked", scanner.Summary{}, 0},
		{"all measured", scanner.Summary{Targets: 15, Open: 1, Closed: 2, Filtered: 3, OpenFiltered: 4, Unreachable: 5}, 0},
		{"a fault on this side", scanner.Summary{Targets: 10, Closed: 7, Unknown: 3}, 3},
		{"a shard that nobody did", scanner.Summary{Targets: 512, Closed: 256}, 256},
		{"one of which something is known", scanner.Summary{Targets: 512, Open: 1, Closed: 256, Unknown: 2}, 255},
		{"a sum that is too large", scanner.Summary{Targets: 5, Closed: 7, Unknown: 1}, 1},
	} {
		if got := unmeasured(&tt.in); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
}
