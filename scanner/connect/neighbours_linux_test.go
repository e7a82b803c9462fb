package connect

import (
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"dormant/registry"
	"dormant/scanner"
	"dormant/scanner/ways"
)

// A kernel that takes longer to give up than a try waits has asked in vain all the same.
func testSlowNeighbour(t *testing.T) {
	const retransmission = "/proc/sys/net/ipv4/neigh/a0/retrans_time_ms"
	before, err := os.ReadFile(retransmission)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(retransmission, []byte("1500"), 0); err != nil {
		t.Fatal(err)
	}
	defer os.WriteFile(retransmission, before, 0)
	b := fresh(t, Config{Timeout: 100 * time.Millisecond})
	addr := netip.MustParseAddr("10.77.0.50")
	a, err := b.asker.ask(t.Context(), scanner.Probe{Target: scanner.Target{Addr: addr, Port: registry.Port{Number: 1947, Proto: registry.TCP}}}, b.timeout)
	if err != nil || a.reason != scanner.ARPNoReply {
		t.Errorf("ask: %v, %v; want arp-no-reply", a.reason, err)
	}
}

// Nobody is asked for by a tunnel: that it leads nowhere, which wireguard tells as
// "host unreachable", is a fault of this side, and nothing about the target.
func testTunnel(t *testing.T) {
	tun := &netlink.Tuntap{LinkAttrs: netlink.LinkAttrs{Name: "tun7"}, Mode: netlink.TUNTAP_MODE_TUN}
	if err := netlink.LinkAdd(tun); err != nil {
		t.Fatal(err)
	}
	defer netlink.LinkDel(tun)
	n := neighbours{route: func(netip.Addr) (ways.Way, error) { return ways.Way{Index: tun.Index}, nil }}
	if a, err := n.absent(netip.MustParseAddr("10.77.9.1")); err == nil {
		t.Errorf("absent: %v, want a fault of this side", a.reason)
	}
}
