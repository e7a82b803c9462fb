package listeners

import (
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

// inside runs f on a thread of its own in the network namespace of a file.
func inside(file string, f func() error) error {
	fd, err := unix.Open(file, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("listeners: open %s: %w", file, err)
	}
	defer func() { _ = unix.Close(fd) }()
	done := make(chan error)
	go func() { // ends when f has returned and been waited for
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if err := unix.Setns(fd, unix.CLONE_NEWNET); err != nil {
			done <- fmt.Errorf("listeners: enter %s: %w", file, err)
			return
		}
		done <- f()
	}()
	return <-done
}

// holdsNamespace reports whether a namespace is mounted on a file. A name that
// is being made or taken away is an empty file for a moment.
func holdsNamespace(file string) bool {
	var st unix.Statfs_t
	return unix.Statfs(file, &st) == nil && st.Type == unix.NSFS_MAGIC
}
