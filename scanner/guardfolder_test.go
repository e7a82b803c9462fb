package scanner

import (
	"net/netip"
	"os"
	"path/filepath"
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
	lay := func(name string, age time.Duration) {
		t.Helper()
		dir := filepath.Join(tmp, name)
		if err := os.MkdirAll(filepath.Join(dir, "db"), 0o700); err != nil {
			t.Fatal(err)
		}
		at := time.Now().Add(-age)
		if err := os.Chtimes(dir, at, at); err != nil {
			t.Fatal(err)
		}
	}
	lay("dormant-guard-left", time.Hour)
	lay("dormant-guard-young", 10*time.Second) // somebody may be at work in it
	lay("guard-left", time.Hour)
	lay("elsewhere", time.Hour)
	if err := os.Symlink(filepath.Join(tmp, "elsewhere"), filepath.Join(tmp, "dormant-guard-link")); err != nil {
		t.Log(err) // needs a privilege on Windows
	}

	newGuard(t, "10.0.1.0/30")
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
	if d := cmp.Diff([]string{"dormant-guard-young", "elsewhere", "guard-left"}, got); d != "" {
		t.Errorf("folders after the next start (-want +got):\n%s", d)
	}
	if _, err := os.Stat(filepath.Join(tmp, "elsewhere", "db")); err != nil {
		t.Errorf("behind a link: %v", err)
	}
}

// TestGuardFolderElsewhere: without a temporary folder the user's cache will do, and
// nothing is left in it.
func TestGuardFolderElsewhere(t *testing.T) {
	cache := filepath.Join(t.TempDir(), "cache")
	t.Setenv("TMPDIR", filepath.Join(cache, "nowhere"))
	t.Setenv("XDG_CACHE_HOME", cache)
	if dir, err := os.UserCacheDir(); err != nil || dir != cache {
		t.Skipf("the cache is %q (%v) here", dir, err)
	}
	folder, err := newGuardFolder()
	if err != nil || filepath.Dir(folder) != cache {
		t.Fatalf("newGuardFolder = %q, %v; want one in %s", folder, err, cache)
	}
	if err := os.Remove(folder); err != nil {
		t.Fatal(err)
	}
	if !newGuard(t, "10.0.1.0/30").Contains(netip.MustParseAddr("10.0.1.3")) {
		t.Error("the guard does not hold its prefix")
	}
	if left, err := os.ReadDir(cache); err != nil || len(left) > 0 {
		t.Errorf("left in the cache: %v, %v", left, err)
	}
}
