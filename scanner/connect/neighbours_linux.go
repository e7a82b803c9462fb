package connect

import (
	"net/netip"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const (
	// neighbourPatience is how long a try may wait for the kernel to find the
	// neighbour: it asks three times in three seconds before it gives up
	// (net.ipv4.neigh.default.mcast_solicit, retrans_time_ms).
	neighbourPatience = 3200 * time.Millisecond
	// neighboursFresh is how old the picture of the neighbour table may be. An
	// old one costs a try some patience, never its answer.
	neighboursFresh = 100 * time.Millisecond
)

// neighbours are those that the kernel is still asking for. The zero value is
// ready; several goroutines may use it.
type neighbours struct {
	mu     sync.Mutex // guards what follows
	read   time.Time
	asking map[netip.Addr]bool
}

// awaits reports whether the kernel is asking for addr: what was sent to it
// waits on this host.
func (n *neighbours) awaits(addr netip.Addr) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.asking == nil || time.Since(n.read) > neighboursFresh {
		n.asking, n.read = neighboursIn(netlink.NUD_INCOMPLETE), time.Now()
	}
	return n.asking[addr.WithZone("")]
}

// neighboursIn returns the neighbours in one of the states; none where the table
// cannot be read: then silence is silence.
func neighboursIn(states int) map[netip.Addr]bool {
	all := map[netip.Addr]bool{}
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		list, err := netlink.NeighList(0, family)
		if err != nil {
			continue
		}
		for _, neighbour := range list {
			if addr, ok := netip.AddrFromSlice(neighbour.IP); ok && neighbour.State&states != 0 {
				all[addr.Unmap()] = true
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
	return neighboursIn(netlink.NUD_INCOMPLETE | netlink.NUD_FAILED)[addr.Unmap().WithZone("")]
}
