package scanner_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dormant/scanner"
)

func TestChapman(t *testing.T) {
	for _, tt := range []struct {
		name                string
		first, second, both uint64
		missed, low, high   float64 // by hand from the formulas
	}{
		{"nothing open", 0, 0, 0, 0, 0, 0},
		{"both saw the same", 50, 50, 50, 0, 0, 0},
		{"ninety of a hundred, twice", 90, 90, 81, 0.9878, 0, 3.1365},
		{"nothing in common", 2, 2, 0, 4, 0, 12.3155},
	} {
		e := scanner.Chapman(tt.first, tt.second, tt.both)
		if math.Abs(e.Missed-tt.missed) > 1e-3 || math.Abs(e.Low-tt.low) > 1e-3 || math.Abs(e.High-tt.high) > 1e-3 {
			t.Errorf("%s: %+v, want %v missed, %v to %v", tt.name, e, tt.missed, tt.low, tt.high)
		}
	}
}

// TestChapmanCovers draws passes of known loss: the interval must hold the truth
// about as often as it says, and the estimate must not lean to one side.
func TestRecount(t *testing.T) {
	for from, s := range map[scanner.State]scanner.Summary{
		scanner.Open: {Open: 1}, scanner.Closed: {Closed: 1}, scanner.Filtered: {Filtered: 1},
		scanner.OpenFiltered: {OpenFiltered: 1}, scanner.Unreachable: {Unreachable: 1}, scanner.Unknown: {Unknown: 1},
	} {
		s.Recount(from)
		if d := cmp.Diff(scanner.Summary{Open: 1}, s); d != "" {
			t.Errorf("Recount(%v) (-want +got):\n%s", from, d)
		}
	}
}

func TestChapmanCovers(t *testing.T) {
	for _, tt := range []struct {
		open        int
		missed      float64 // share, of each pass
		least, most float64 // share of the draws in which the interval holds the truth
		lean        float64
	}{
		{1000, 0.1, 0.93, 0.97, 0.5},
		{1000, 0.3, 0.93, 0.97, 2},
		{100, 0.2, 0.91, 0.95, 0.3},
		{10, 0.2, 0.77, 0.84, 0.2},
		{10, 0.01, 0.99, 1, 0.01},
	} {
		rnd := rand.New(rand.NewPCG(1, 2))
		const draws = 2000
		held, sum := 0, 0.0
		for range draws {
			var first, second, both uint64
			missed := 0.0
			for range tt.open {
				a, b := rnd.Float64() >= tt.missed, rnd.Float64() >= tt.missed
				switch {
				case a && b:
					first, second, both = first+1, second+1, both+1
				case a:
					first++
				case b:
					second++
				default:
					missed++
				}
			}
			e := scanner.Chapman(first, second, both)
			sum += e.Missed - missed
			if e.Low <= missed && missed <= e.High {
				held++
			}
		}
		if share := float64(held) / draws; share < tt.least || share > tt.most {
			t.Errorf("%d open, %v missed: the interval holds the truth in %.3f of %d draws, want %v to %v", tt.open, tt.missed, share, draws, tt.least, tt.most)
		}
		if lean := sum / draws; math.Abs(lean) > tt.lean {
			t.Errorf("%d open, %v missed: the estimate is %.2f too high on average, want about 0", tt.open, tt.missed, lean)
		}
	}
}
