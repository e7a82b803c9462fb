//go:build !unix

package web

import "io/fs"

// Elsewhere the mode says nothing: the folder's access list protects the file.
func openToOthers(fs.FileInfo) bool { return false }
