package reports

import "testing"

// TestRanked: capital letters are breaches.
func TestRanked(t *testing.T) {
	for _, tt := range []struct {
		in, want string
		more     uint64
	}{
		{in: "", want: ""},
		{in: "abc", want: "abc"},
		{in: "aBc", want: "Bac"},
		{in: "abcd", want: "abc", more: 1},
		{in: "abcD", want: "Dab", more: 1},
		{in: "abcDEF", want: "DEF", more: 3},
		{in: "ABCDe", want: "ABC", more: 2},
	} {
		r := ranked[rune]{limit: 3}
		for _, c := range tt.in {
			r.add(c, c < 'a')
		}
		if got := string(r.all()); got != tt.want || r.more != tt.more {
			t.Errorf("%q: %q and %d more, want %q and %d", tt.in, got, r.more, tt.want, tt.more)
		}
	}
}
