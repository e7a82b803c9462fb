package listeners

import (
	"os"
	"path/filepath"
	"testing"
)

// TestHoldsNamespace: a name without a namespace, as ip netns leaves it for a
// moment when it makes or removes one, is none that is hidden.
func TestHoldsNamespace(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "new")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]bool{"/proc/self/ns/net": true, empty: false, empty + "-gone": false} {
		if got := holdsNamespace(file); got != want {
			t.Errorf("holdsNamespace(%s) = %t, want %t", file, got, want)
		}
	}
}
