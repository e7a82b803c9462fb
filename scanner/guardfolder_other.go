//go:build !unix

package scanner

import (
	"io/fs"
	"os"
)

// hold does nothing: an open file cannot be removed here.
func hold(*os.File) {}

// unheld removes the file, which nobody can whose process has it open.
func unheld(path string) bool { return os.Remove(path) == nil }

// ownedByUs is true: temporary folders are the user's own here.
func ownedByUs(fs.FileInfo) bool { return true }
