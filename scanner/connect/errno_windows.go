package connect

import (
	"syscall"

	"golang.org/x/sys/windows"
)

func transientErrnos() []syscall.Errno {
	return []syscall.Errno{windows.WSAEMFILE, windows.WSAENOBUFS, windows.WSAEADDRNOTAVAIL, windows.WSAEADDRINUSE}
}

func networkErrnos() errnos {
	return errnos{
		refused:  []syscall.Errno{windows.WSAECONNREFUSED},
		reset:    []syscall.Errno{windows.WSAECONNRESET},
		host:     []syscall.Errno{windows.WSAEHOSTUNREACH, windows.WSAEHOSTDOWN},
		protocol: []syscall.Errno{windows.WSAENOPROTOOPT},
		timeout:  []syscall.Errno{windows.WSAETIMEDOUT},
	}
}
