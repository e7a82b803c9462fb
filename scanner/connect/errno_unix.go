//go:build unix

package connect

import "syscall"

func transientErrnos() []syscall.Errno {
	return []syscall.Errno{
		syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, // descriptors, memory
		syscall.EADDRNOTAVAIL, syscall.EADDRINUSE, // source ports towards this target
		syscall.EAGAIN, syscall.EINTR,
	}
}

func networkErrnos() errnos {
	return errnos{
		refused:  []syscall.Errno{syscall.ECONNREFUSED},
		reset:    []syscall.Errno{syscall.ECONNRESET, syscall.EPIPE},
		host:     []syscall.Errno{syscall.EHOSTUNREACH, syscall.EHOSTDOWN},
		protocol: []syscall.Errno{syscall.ENOPROTOOPT},
		timeout:  []syscall.Errno{syscall.ETIMEDOUT},
	}
}
