package durable

import (
	"os"
	"path/filepath"
	"testing"
)

func TestRename(t *testing.T) {
	dir := t.TempDir()
	part, path := filepath.Join(dir, ".part"), filepath.Join(dir, "whole")
	for _, text := range []string{"first", "second"} { // the second replaces the first
		if err := os.WriteFile(part, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := Rename(part, path); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != text {
			t.Errorf("after Rename: %q, %v; want %q", got, err, text)
		}
	}
	if err := Rename(part, path); err == nil {
		t.Error("Rename of a missing file succeeds")
	}
}

func TestSyncDir(t *testing.T) {
	if err := SyncDir(t.TempDir()); err != nil {
		t.Error(err)
	}
}
