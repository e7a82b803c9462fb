//go:build unix

package enroll

import "io/fs"

// othersRead tells whether anybody but the owner may read or write the file.
func othersRead(info fs.FileInfo) bool { return info.Mode().Perm()&0o077 != 0 }
