//go:build unix

package doctor

import "golang.org/x/sys/unix"

// descriptors is this process's limit, which package os has raised to the
// hard one.
func descriptors() uint64 {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
		return 0
	}
	return uint64(l.Cur)
}
