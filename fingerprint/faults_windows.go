package fingerprint

import (
	"syscall"

	"golang.org/x/sys/windows"
)

func networkErrnos() errnos {
	return errnos{
		refused: []syscall.Errno{windows.WSAECONNREFUSED},
		reset:   []syscall.Errno{windows.WSAECONNRESET, windows.WSAECONNABORTED},
		silent:  []syscall.Errno{windows.WSAETIMEDOUT, windows.WSAEHOSTUNREACH, windows.WSAEHOSTDOWN},
	}
}
