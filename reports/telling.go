package reports

import "dormant/scanner"

// tellsLess reports whether f says less of its target than g: one that is open
// more than one that is closed, and of equals the one with a dialogue.
func tellsLess(f, g *Finding) bool {
	if x, y := telling(f.State), telling(g.State); x != y {
		return x < y
	}
	return f.Dialogue == nil && g.Dialogue != nil
}

// telling orders states by how much they tell.
func telling(s scanner.State) int {
	switch s {
	case scanner.Open:
		return 5
	case scanner.Closed:
		return 4
	case scanner.Filtered:
		return 3
	case scanner.Unreachable:
		return 2
	case scanner.OpenFiltered:
		return 1
	case scanner.Unknown:
		return 0
	}
	return 0
}
