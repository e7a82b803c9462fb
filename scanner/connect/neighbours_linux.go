package connect

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"dormant/scanner"
	"dormant/scanner/ways"
)

const (
	// askedInVain is how long the kernel asks for a neighbour before it gives up:
	// three times, a second each (net.ipv4.neigh.default.mcast_solicit,
	// retrans_time_ms). Where it is set to more, or has much to do, it is not waited for.
	askedInVain = 3 * time.Second
	// neighbourPatience is how long a try may wait for that.
	neighbourPatience = askedInVain + 200*time.Millisecond
	// neighboursFresh is how old the picture of the neighbour table may be. An
	// old one costs a try some patience, never its answer.
	neighboursFresh = 50 * time.Millisecond
)

// neighbours are those that the kernel is still asking for, or has asked for in
// vain: targets on the link, and gateways to others. Several goroutines may use it.
type neighbours struct {
	route func(addr netip.Addr) (ways.Way, error) // to a target

	mu     sync.Mutex // guards what follows
	read   time.Time
	states map[neighbour]int // NUD_INCOMPLETE or NUD_FAILED
}

// neighbour is an address on a link, without a zone, and the interface.
type neighbour struct {
	addr  netip.Addr
	index int
}

// awaits reports whether the kernel is asking for addr or its gateway: what was
// sent to it waits on this host.
func (n *neighbours) awaits(addr netip.Addr) bool {
	return n.of(addr) == netlink.NUD_INCOMPLETE
}

// lacks reports whether the kernel has asked for addr or its gateway in vain, in the
// time for which it was waited.
func (n *neighbours) lacks(addr netip.Addr, waited time.Duration) bool {
	state := n.of(addr)
	return state == netlink.NUD_FAILED || state == netlink.NUD_INCOMPLETE && waited > askedInVain
}

// beyond reports whether addr is behind a gateway, or a tunnel.
func (n *neighbours) beyond(addr netip.Addr) bool {
	to, err := n.route(addr)
	if err != nil || to.Local || to.Gateway.IsValid() {
		return err == nil && !to.Local
	}
	link, err := net.InterfaceByIndex(to.Index)
	return err == nil && link.Flags&net.FlagPointToPoint != 0
}

func (n *neighbours) of(addr netip.Addr) int {
	n.mu.Lock()
	if n.states == nil || time.Since(n.read) > neighboursFresh {
		n.states, n.read = missing(), time.Now()
	}
	states := n.states // never written to
	n.mu.Unlock()
	if len(states) == 0 {
		return 0 // as on most hosts at most times: the route need not be asked for
	}
	to, err := n.route(addr)
	if err != nil {
		return 0
	}
	if !to.Gateway.IsValid() {
		to.Gateway = addr.WithZone("")
	}
	return states[neighbour{to.Gateway, to.Index}]
}

// absent is what it means that the kernel found no neighbour for addr: nobody has
// it, or when it was the gateway that was looked for, or the peer of a tunnel, a
// fault of this side.
func (n *neighbours) absent(addr netip.Addr) (answer, error) {
	if to, err := n.route(addr); err == nil && to.Gateway.IsValid() {
		return answer{}, fmt.Errorf("the gateway %v does not answer", to.Gateway)
	}
	if n.beyond(addr) {
		return answer{}, errors.New("the tunnel has no peer for it")
	}
	return answer{reason: scanner.ARPNoReply, at: time.Now()}, nil
}

// missing returns the neighbours that the kernel asks for, or asked for in vain;
// none where the table cannot be read: then silence is silence.
func missing() map[neighbour]int {
	all := map[neighbour]int{}
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		list, err := ways.Whole(func() ([]netlink.Neigh, error) { return netlink.NeighList(0, family) })
		if err != nil {
			continue
		}
		for _, n := range list {
			if addr, ok := netip.AddrFromSlice(n.IP); ok && n.State&(netlink.NUD_INCOMPLETE|netlink.NUD_FAILED) != 0 {
				all[neighbour{addr.Unmap(), n.LinkIndex}] = n.State
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
	for n := range missing() {
		if n.addr == addr.Unmap().WithZone("") {
			return true
		}
	}
	return false
}
