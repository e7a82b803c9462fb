package reports

// NewSortedRows is NewSorted with a smaller bound.
func NewSortedRows(next Sink, dir string, rows int) *Sorted {
	s := NewSorted(next, dir)
	s.rows = rows
	return s
}
