//go:build unix

package connect

import "golang.org/x/sys/unix"

// descriptorLimit is how many descriptors this process may have. Package os
// has raised the soft limit to the hard one when the program started.
func descriptorLimit() uint64 {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
		return 1024 // the least that current systems give
	}
	return uint64(l.Cur)
}
