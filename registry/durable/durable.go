// Package durable makes what was written outlast a power cut.
//
// # Design
//
// It stands below registry because everything that keeps files, from the
// imported list of ports up to the journals of the commands, needs the same two
// calls, and imports point left.
package durable

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
)

// Rename gives the file old the name path, in the same folder, and brings the
// folder to the disk. The file itself must have been synced.
func Rename(old, path string) error {
	if err := os.Rename(old, path); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(path))
}

// SyncDir brings to the disk which files a folder has. Windows cannot sync a
// folder, and does not need to.
func SyncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
