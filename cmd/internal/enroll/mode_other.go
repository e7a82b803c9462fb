//go:build !unix

package enroll

import "io/fs"

// othersRead is false: the mode does not tell it here.
func othersRead(fs.FileInfo) bool { return false }
