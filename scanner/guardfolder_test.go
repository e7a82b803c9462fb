package scanner

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestGuardFoldersOfKilledProcesses: what a process has left that was killed
// goes when the next one starts, and nothing else does.
func TestGuardFoldersOfKilledProcesses(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	t.Setenv("TMP", tmp) // Windows
	held := newGuard(t, "10.0.0.0/30")
	long := time.Now().Add(-time.Hour)
	lay := func(name string, files ...string) {
		t.Helper()
		dir := filepath.Join(tmp, name)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if err := os.WriteFile(filepath.Join(dir, f), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Chtimes(dir, long, long); err != nil {
			t.Fatal(err)
		}
	}
	lay("dormant-guard-left", guardLock, "000001.log")
	lay("dormant-guard-foreign", "letters.txt") // no lock: not one of ours
	lay("guard-left", guardLock)
	lay("elsewhere", guardLock, "kept.txt")
	if err := os.Symlink(filepath.Join(tmp, "elsewhere"), filepath.Join(tmp, "dormant-guard-link")); err != nil {
		t.Log(err) // needs a privilege on Windows
	}
	if err := os.Chtimes(held.folder.path, long, long); err != nil {
		t.Fatal(err)
	}
	young := filepath.Join(tmp, "dormant-guard-young") // made, and not locked yet
	if err := os.MkdirAll(young, 0o700); err != nil {
		t.Fatal(err)
	}

	next := newGuard(t, "10.0.1.0/30")
	got := []string{}
	entries, err := os.ReadDir(tmp)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Type().IsDir() {
			got = append(got, e.Name())
		}
	}
	want := []string{"dormant-guard-foreign", "dormant-guard-young", "elsewhere", "guard-left", filepath.Base(held.folder.path), filepath.Base(next.folder.path)}
	slices.Sort(want)
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("folders after the next start (-want +got):\n%s", d)
	}
	if _, err := os.Stat(filepath.Join(tmp, "elsewhere", "kept.txt")); err != nil {
		t.Errorf("behind a link: %v", err)
	}
}
