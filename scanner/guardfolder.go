package scanner

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	guardPrefix = "dormant-guard-" // of the folder's name
	guardLock   = "lock"           // the file in it that is held while it is in use
)

// guardFolderAge is how old a folder must be before it can be one that a killed
// process has left: whoever makes one holds its lock within that time.
const guardFolderAge = time.Minute

// guardFolder is a folder that nobody else has. Its lock goes with the process,
// however that ends.
type guardFolder struct {
	path string
	lock *os.File
}

// newGuardFolder makes a folder, and removes those that killed processes have
// left beside it. A read-only or missing TMPDIR is no reason not to scan. The
// error is that of the temporary folder.
func newGuardFolder() (*guardFolder, error) {
	f, err := lockedFolder(os.TempDir())
	if err == nil {
		return f, nil
	}
	var elsewhere []string
	if cache, cerr := os.UserCacheDir(); cerr == nil && os.MkdirAll(cache, 0o700) == nil {
		elsewhere = append(elsewhere, cache)
	}
	for _, parent := range append(elsewhere, "/dev/shm") { // shm_overview(7): Linux only
		if f, err := lockedFolder(parent); err == nil {
			return f, nil
		}
	}
	return nil, fmt.Errorf("scanner: guard: no temporary folder, want TMPDIR to name a writable one: %w", err)
}

// lockedFolder makes a folder in parent and holds it.
func lockedFolder(parent string) (*guardFolder, error) {
	removeGuardFolders(parent)
	path, err := os.MkdirTemp(parent, guardPrefix)
	if err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(path, guardLock), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(path))
	}
	hold(lock)
	return &guardFolder{path, lock}, nil
}

// remove gives the folder back.
func (f *guardFolder) remove() error { return errors.Join(f.lock.Close(), os.RemoveAll(f.path)) }

// removeGuardFolders removes this user's folders in parent that nobody holds any
// more. It is a courtesy: what cannot be removed stays.
func removeGuardFolders(parent string) {
	entries, err := os.ReadDir(parent)
	if err != nil {
		return // a folder that can be written to need not be readable
	}
	for _, e := range entries {
		if !e.IsDir() || !strings.HasPrefix(e.Name(), guardPrefix) {
			continue // a link to a folder is none
		}
		st, err := e.Info()
		if err != nil || !ownedByUs(st) || time.Since(st.ModTime()) < guardFolderAge {
			continue
		}
		path := filepath.Join(parent, e.Name())
		if unheld(filepath.Join(path, guardLock)) {
			_ = os.RemoveAll(path)
		}
	}
}
