package ways

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// readTries is how often a table is read that changed meanwhile.
const readTries = 20

// Kernel is where to ask. The zero Kernel asks in the network namespace of the
// thread that happens to ask; an opened one stays in that where it was opened.
type Kernel struct{ sockets map[int]*nl.SocketHandle }

// OpenKernel opens a Kernel in the network namespace of the calling thread.
func OpenKernel() (Kernel, error) {
	s, err := nl.Subscribe(unix.NETLINK_ROUTE) // to no group: it hears answers only
	if err != nil {
		return Kernel{}, fmt.Errorf("ways: open netlink: %w", err)
	}
	return Kernel{map[int]*nl.SocketHandle{unix.NETLINK_ROUTE: {Socket: s}}}, nil
}

// Close frees what OpenKernel opened.
func (k Kernel) Close() {
	for _, s := range k.sockets {
		s.Close()
	}
}

// read asks for a table, or a row of it.
func (k Kernel) read(kind int, answer uint16, flags int, question nl.NetlinkRequestData) ([][]byte, error) {
	return Whole(func() ([][]byte, error) {
		request := nl.NewNetlinkRequest(kind, flags)
		request.Sockets = k.sockets
		request.AddData(question)
		return request.Execute(unix.NETLINK_ROUTE, answer)
	})
}

// Whole asks the kernel for a table, and again when that changed meanwhile. One
// that changes during every try is taken as it is: what stands still is in it.
func Whole[T any](ask func() ([]T, error)) (all []T, err error) {
	for range readTries {
		if all, err = ask(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			return all, err
		}
	}
	return all, nil
}
