package listeners

import (
	"os"
	"path/filepath"
	"testing"
)

// TestRPMOfThePathIsNotRun: what stands in a folder of PATH under that name may
// be anybody's, and this is run by root.
func TestRPMOfThePathIsNotRun(t *testing.T) {
	dir := t.TempDir()
	ran := filepath.Join(dir, "ran")
	if err := os.WriteFile(filepath.Join(dir, "rpm"), []byte("#!/bin/sh\n: >"+ran+"\necho evil 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":/bin:/usr/bin")
	paths := map[string]string{"/no/such/program": ""}
	(&packageRoot{own: true}).rpm(t.Context(), paths)
	if _, err := os.Stat(ran); err == nil || paths["/no/such/program"] != "" {
		t.Errorf("the program of PATH was run: %v, %q", err, paths["/no/such/program"])
	}
}
