package main

import "testing"

func TestCheckedWords(t *testing.T) {
	for _, tt := range []struct {
		name string
		c    checked
		want string
	}{
		{"nothing", checked{open: 4}, "nothing to object to in 4 open ports"},
		{"waived", checked{open: 4, waived: 2}, "nothing to object to in 4 open ports; 2 waived"},
		{"breaches", checked{open: 4, failed: 2, breaches: 1, exposed: 1}, "2 of 4 open ports must not be there: 1 against the policy, 1 exposed to outsiders"},
		{"--fail-on names another thing", checked{open: 4, breaches: 1}, "none of 4 open ports is what --fail-on names: 1 against the policy, 0 exposed to outsiders"},
	} {
		if got := tt.c.words(); got != tt.want {
			t.Errorf("%s: words = %q, want %q", tt.name, got, tt.want)
		}
	}
}
