package main

import (
	"errors"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// bindTo makes sockets leave by one interface, but for those to loopback addresses,
// whose answers come in by no other. It needs no privilege since Linux 5.7.
func bindTo(iface string) func(network, address string, c syscall.RawConn) error {
	return func(_, address string, c syscall.RawConn) error {
		if to, err := netip.ParseAddrPort(address); err == nil && to.Addr().IsLoopback() {
			return nil
		}
		var bound error
		err := c.Control(func(fd uintptr) { bound = unix.BindToDevice(int(fd), iface) })
		return errors.Join(err, bound)
	}
}
