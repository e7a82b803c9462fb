//go:build unix

package reports

import (
	"os"

	"golang.org/x/sys/unix"
)

// claim locks a temporary file; the lock goes with the process, however that
// ends. Where the file system has no locks, the file is never taken for an
// abandoned one.
func claim(f *os.File) { _ = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) }

// abandoned reports whether no process holds a temporary file.
func abandoned(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	_ = f.Close()
	return err == nil
}
