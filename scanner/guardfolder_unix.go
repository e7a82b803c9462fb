//go:build unix

package scanner

import (
	"io/fs"
	"os"
	"syscall"
)

// ownedByUs keeps root from removing what another user has laid there.
func ownedByUs(st fs.FileInfo) bool {
	sys, ok := st.Sys().(*syscall.Stat_t)
	return ok && int(sys.Uid) == os.Geteuid()
}
