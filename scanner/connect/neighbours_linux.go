package connect

import (
	"net/netip"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"dormant/scanner/ways"
)

const (
	// neighbourPatience is how long a try may wait for the kernel to find the
	// neighbour: it asks three times in three seconds before it gives up
	// (net.ipv4.neigh.default.mcast_solicit, retrans_time_ms).
	neighbourPatience = 3200 * time.Millisecond
	// neighboursFresh is how old the picture of the neighbour table may be. An
	// old one costs a try some patience, never its answer.
	neighboursFresh = 50 * time.Millisecond
)

// neighbours are those that the kernel is still asking for, or has asked for in
// vain. The zero value is ready; several goroutines may use it.
type neighbours struct {
	mu     sync.Mutex // guards what follows
	read   time.Time
	states map[netip.Addr]int // NUD_INCOMPLETE or NUD_FAILED
}

// awaits reports whether the kernel is asking for addr: what was sent to it
// waits on this host.
func (n *neighbours) awaits(addr netip.Addr) bool {
	return n.of(addr) == netlink.NUD_INCOMPLETE
}

// lacks reports whether the kernel has asked for addr in vain.
func (n *neighbours) lacks(addr netip.Addr) bool { return n.of(addr) == netlink.NUD_FAILED }

func (n *neighbours) of(addr netip.Addr) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.states == nil || time.Since(n.read) > neighboursFresh {
		n.states, n.read = missing(), time.Now()
	}
	return n.states[addr.WithZone("")]
}

// missing returns the neighbours that the kernel asks for, or asked for in vain;
// none where the table cannot be read: then silence is silence.
func missing() map[netip.Addr]int {
	all := map[netip.Addr]int{}
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		list, err := ways.Whole(func() ([]netlink.Neigh, error) { return netlink.NeighList(0, family) })
		if err != nil {
			continue
		}
		for _, neighbour := range list {
			if addr, ok := netip.AddrFromSlice(neighbour.IP); ok && neighbour.State&(netlink.NUD_INCOMPLETE|netlink.NUD_FAILED) != 0 {
				all[addr.Unmap()] = neighbour.State
			}
		}
	}
	return all
}

// isBroadcast reports whether addr is the broadcast address of a net of this host,
// to which the kernel opens no connection.
func isBroadcast(addr netip.Addr) bool {
	if !addr.Is4() {
		return false
	}
	routes, err := netlink.RouteGet(addr.AsSlice())
	return err == nil && len(routes) > 0 && routes[0].Type == unix.RTN_BROADCAST
}

// NoNeighbour reports whether addr is on-link and the kernel asks for it, or
// asked lately, in vain.
func NoNeighbour(addr netip.Addr) bool {
	return missing()[addr.Unmap().WithZone("")] != 0
}
