//go:build unix

package scanner

import (
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// hold locks the file. Where the file system has no locks, the folder is never
// taken for an abandoned one, for nobody else can lock it either.
func hold(lock *os.File) { _ = unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB) }

// unheld reports whether there is such a file and no process holds it.
func unheld(path string) bool {
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return false
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	_ = f.Close()
	return err == nil
}

// ownedByUs keeps root from removing what another user has laid there.
func ownedByUs(st fs.FileInfo) bool {
	sys, ok := st.Sys().(*syscall.Stat_t)
	return ok && int(sys.Uid) == os.Geteuid()
}
