package history

import "testing"

func TestHasPassword(t *testing.T) {
	for db, want := range map[string]bool{
		"history.db":                                   false,
		"postgres://u@h/d":                             false,
		"postgres://h/d":                               false,
		"postgres://u:pw@h/d":                          true,
		"postgresql://u:@h/d":                          true,
		"POSTGRES://u:p@h:5432/d":                      true,
		"postgres://h:5432/d":                          false,
		"postgres://u@h/d?password=pw&sslmode=disable": true,
		"postgres://u@h/d?passfile=/etc/pgpass":        false,
		"u:pw@h/d":                                     false,
	} {
		if got := HasPassword(db); got != want {
			t.Errorf("HasPassword(%q) = %t, want %t", db, got, want)
		}
	}
}
