package main

import (
	"net"
	"net/netip"
	"testing"

	"dormant/scanner/netlab"
)

// TestDialByInterface: a dialogue with this host itself comes about whatever the
// interface, as its probe does.
func TestDialByInterface(t *testing.T) {
	ns, _ := netlab.Pair(t, "scan0", "net0")
	ns.Addr("scan0", "10.1.0.1/24", "fd01::1/64")
	for _, target := range []string{"127.0.0.1:1947", "[::1]:1947", "10.1.0.1:1947", "[fd01::1]:1947"} {
		ns.Listen(netip.MustParseAddrPort(target))
		var c net.Conn
		var err error
		ns.Do(func() { c, err = dialer(netip.Addr{}, "scan0").DialContext(t.Context(), "tcp", target) })
		if err != nil {
			t.Errorf("dial %s by scan0: %v", target, err)
			continue
		}
		_ = c.Close()
	}
}
