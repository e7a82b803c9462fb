//go:build !unix

package reports

import "os"

// claim does nothing: an open file cannot be removed here.
func claim(*os.File) {}

// abandoned reports whether a temporary file can be tried to be removed: one
// that is open refuses.
func abandoned(string) bool { return true }
