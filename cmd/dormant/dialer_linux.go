package main

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// bindTo makes sockets leave by one interface. It needs no privilege since
// Linux 5.7.
func bindTo(iface string) func(network, address string, c syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) error {
		var bound error
		err := c.Control(func(fd uintptr) { bound = unix.BindToDevice(int(fd), iface) })
		return errors.Join(err, bound)
	}
}
