package main

import (
	"testing"

	"dormant/reports/history"
	"dormant/reports/policy"
)

func TestForbidden(t *testing.T) {
	one := map[history.Kind]int{history.New: 1}
	for _, tt := range []struct {
		o    outcome
		want string
	}{
		{outcome{}, ""},
		{outcome{breaches: 1, exposed: 1, changes: one}, ""},
		{outcome{failed: 1}, "1 finding must not be there (--fail-on)"},
		{outcome{failed: 2, breaches: 1}, "2 findings must not be there, 1 against the policy"},
		{outcome{failed: 2, exposed: 1}, "2 findings must not be there, 1 license manager that outsiders may reach"},
		{outcome{failed: 2, breaches: 1, exposed: 2}, "2 findings must not be there, 1 against the policy, 2 license managers that outsiders may reach"},
		{outcome{failOn: policy.FailOn{Change: true}}, ""},
		{outcome{failOn: policy.FailOn{Change: true}, changes: one}, "changed since the last run: 1 new"},
		{outcome{failOn: policy.FailOn{Change: true}, changes: one, failed: 1, breaches: 1}, "1 finding must not be there, 1 against the policy"},
	} {
		if got := tt.o.forbidden(); got != tt.want {
			t.Errorf("%+v: %q, want %q", tt.o, got, tt.want)
		}
	}
}
