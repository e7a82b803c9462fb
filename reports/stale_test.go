package reports_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dormant/reports"
)

// TestLeftoversOfKilledProcesses: the next one that writes the file removes
// them, and nothing else.
func TestLeftoversOfKilledProcesses(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "audit.csv")
	running, err := reports.OpenFile(path, reports.Options{}) // another process that takes long
	if err != nil {
		t.Fatal(err)
	}
	held, err := filepath.Glob(filepath.Join(dir, ".*.tmp"))
	if err != nil || len(held) != 1 {
		t.Fatalf("temporary files %v, %v; want one", held, err)
	}
	old := time.Now().Add(-time.Hour)
	keep := []string{".audit.csv.ABCDEFG.tmp", ".audit.csv.ABCDEFGHI.tmp", ".other.csv.ABCDEFGH.tmp", "audit.csv.ABCDEFGH.tmp", ".audit.csv.FRESH678.tmp"}
	for _, name := range append([]string{".audit.csv.ABCDEFGH.tmp"}, keep...) {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range append([]string{".audit.csv.ABCDEFGH.tmp", filepath.Base(held[0])}, keep[:4]...) {
		if err := os.Chtimes(filepath.Join(dir, name), old, old); err != nil {
			t.Fatal(err)
		}
	}
	if err := reports.Check(path); err != nil {
		t.Fatal(err)
	}
	if err := running.Close(); err != nil { // its file is still there
		t.Fatal(err)
	}
	var left []string
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		left = append(left, e.Name())
	}
	want := append(slices.Clone(keep), "audit.csv")
	slices.Sort(want)
	if d := cmp.Diff(want, left); d != "" {
		t.Errorf("files (-want +got):\n%s", d)
	}
}
