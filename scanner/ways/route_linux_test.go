package ways

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// Under "ip vrf exec" every new socket is bound to the VRF: the kernel tells of that
// as of a socket that was bound by hand.
func TestBoundTo(t *testing.T) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if got := boundTo(fd); got != 0 {
		t.Errorf("a new socket is bound to interface %d, want none", got)
	}
	lo, err := net.InterfaceByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.BindToDevice(fd, lo.Name); err != nil { // needs no privilege
		t.Fatal(err)
	}
	if got := boundTo(fd); got != lo.Index {
		t.Errorf("bound to interface %d, want %d", got, lo.Index)
	}
}
