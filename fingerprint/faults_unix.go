//go:build unix

package fingerprint

import "syscall"

func networkErrnos() errnos {
	return errnos{
		refused: []syscall.Errno{syscall.ECONNREFUSED},
		reset:   []syscall.Errno{syscall.ECONNRESET, syscall.EPIPE},
		silent:  []syscall.Errno{syscall.ETIMEDOUT, syscall.EHOSTUNREACH, syscall.EHOSTDOWN},
	}
}
