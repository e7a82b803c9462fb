//go:build unix

package reports

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// planted reports whether path is a symbolic link that another user may have laid
// to have us write where it leads: in a sticky folder that everybody may write to,
// and neither ours nor the folder's owner's. The kernel does not follow such links
// for those who open them (fs.protected_symlinks); who reads where they lead must
// look for himself.
func planted(path string) bool {
	link, err := os.Lstat(path)
	if err != nil || link.Mode()&fs.ModeSymlink == 0 {
		return false
	}
	dir, err := os.Stat(filepath.Dir(path))
	if err != nil || dir.Mode()&fs.ModeSticky == 0 || dir.Mode().Perm()&0o002 == 0 {
		return false
	}
	owner, ok1 := link.Sys().(*syscall.Stat_t)
	home, ok2 := dir.Sys().(*syscall.Stat_t)
	return ok1 && ok2 && int(owner.Uid) != os.Geteuid() && owner.Uid != home.Uid
}
