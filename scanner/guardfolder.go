package scanner

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const guardPrefix = "dormant-guard-" // of the folder's name

// guardFolderAge is how old a folder must be to be one that a killed process has
// left: it is needed for some milliseconds.
const guardFolderAge = time.Minute

// newGuardFolder makes a folder that nobody else has, and removes those that
// killed processes have left beside it. A read-only or missing TMPDIR is no
// reason not to scan. The error is that of the temporary folder.
func newGuardFolder() (string, error) {
	folder, err := guardFolderIn(os.TempDir())
	if err == nil {
		return folder, nil
	}
	var elsewhere []string
	if cache, cerr := os.UserCacheDir(); cerr == nil && os.MkdirAll(cache, 0o700) == nil {
		elsewhere = append(elsewhere, cache)
	}
	for _, parent := range append(elsewhere, "/dev/shm") { // shm_overview(7): Linux only
		if folder, err := guardFolderIn(parent); err == nil {
			return folder, nil
		}
	}
	return "", fmt.Errorf("no temporary folder, want TMPDIR to name a writable one: %w", err)
}

func guardFolderIn(parent string) (string, error) {
	removeGuardFolders(parent)
	return os.MkdirTemp(parent, guardPrefix)
}

// removeGuardFolders removes what killed processes of this user have left in
// parent. It is a courtesy: what cannot be removed stays.
func removeGuardFolders(parent string) {
	entries, err := os.ReadDir(parent)
	if err != nil {
		return // a folder that can be written to need not be readable
	}
	for _, e := range entries {
		if !e.IsDir() || !strings.HasPrefix(e.Name(), guardPrefix) {
			continue // a link to a folder is none
		}
		if st, err := e.Info(); err == nil && ownedByUs(st) && time.Since(st.ModTime()) > guardFolderAge {
			_ = os.RemoveAll(filepath.Join(parent, e.Name()))
		}
	}
}
