//go:build linux

package wire_test

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"dormant/registry"
	"dormant/scanner"
	"dormant/scanner/netlab"
	"dormant/scanner/wire"
)

// TestRestlessTables opens a backend and asks on a host whose addresses come and
// go all the time.
func TestRestlessTables(t *testing.T) {
	scan, far := netlab.Pair(t, "scan0", "net0")
	scan.Addr("scan0", "10.1.0.1/24")
	far.Addr("net0", "10.1.0.2/24")
	far.Listen(at("10.1.0.2", openPort))
	scan0, err := scan.Netlink.LinkByName("scan0")
	if err != nil {
		t.Fatal(err)
	}
	one := func(high, low int) *netlink.Addr {
		ip := net.IP{0: 0xfd, 1: 0x77, 14: byte(high), 15: byte(low)}
		return &netlink.Addr{IPNet: &net.IPNet{IP: ip, Mask: net.CIDRMask(128, 128)}, Flags: unix.IFA_F_NODAD}
	}
	for n := range 800 { // so that the kernel tells of them in several messages
		if err := scan.Netlink.AddrAdd(scan0, one(n>>8, n)); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	var restless sync.WaitGroup
	defer restless.Wait()
	defer cancel()
	restless.Go(func() { // ends with ctx
		for n := 0; ctx.Err() == nil; n++ {
			_ = scan.Netlink.AddrAdd(scan0, one(100, n))
			_ = scan.Netlink.AddrDel(scan0, one(100, n))
		}
	})
	for range 5 {
		b := open(t, scan, wire.Config{Prefixes: prefixes("10.1.0.0/24")})
		asked := target("10.1.0.2", openPort, registry.TCP)
		if o := ask(t, b, 100*time.Millisecond, asked)[asked]; o.State != scanner.Open {
			t.Errorf("%v: %v, want open", asked, o.State)
		}
	}
}
