//go:build !unix

package scanner

import "io/fs"

// ownedByUs is true: temporary folders are the user's own here.
func ownedByUs(fs.FileInfo) bool { return true }
