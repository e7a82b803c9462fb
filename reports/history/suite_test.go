package history_test

import (
	"path/filepath"
	"testing"

	"dormant/reports/history"
)

// TestStore runs the contract: whatever a history promises is tried on every
// kind of store.
func TestStore(t *testing.T) {
	for name, fresh := range stores() {
		t.Run(name, func(t *testing.T) {
			for what, test := range contract() {
				t.Run(what, func(t *testing.T) { test(t, open(t, fresh(t))) })
			}
		})
	}
}

// stores are the kinds of store: each function returns the name of an empty one.
func stores() map[string]func(t testing.TB) string {
	return map[string]func(t testing.TB) string{"sqlite": newFile}
}

func newFile(t testing.TB) string { return filepath.Join(t.TempDir(), "h.db") }

func contract() map[string]func(*testing.T, *history.Store) {
	return map[string]func(*testing.T, *history.Store){
		"search": testSearch, "trend": testTrend, "places": testPlaces, "history": testHistory,
	}
}
