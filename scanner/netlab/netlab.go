//go:build linux

package netlab

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Require is the environment variable that, set to "1", turns the skip of a
// test that may not make namespaces into a failure.
const Require = "DORMANT_REQUIRE_NETNS"

// NS is a network namespace that lives until the test ends.
type NS struct {
	t      testing.TB
	handle netns.NsHandle
	// Netlink acts inside the namespace, from any goroutine.
	Netlink *netlink.Handle
}

// New makes a namespace with its loopback interface up. Where that is
// forbidden it skips the test and says why, or fails it, see Require.
func New(t testing.TB) *NS {
	t.Helper()
	var handle netns.NsHandle
	if err := onThread(func() (err error) {
		if err = unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return err
		}
		handle, err = netns.Get()
		return err
	}); err != nil {
		if os.Getenv(Require) == "1" {
			t.Fatalf("netlab: %s=1, but a network namespace cannot be made: %v", Require, err)
		}
		t.Skipf("netlab: a network namespace cannot be made (run as root or inside unshare -Urn): %v", err)
	}
	ns := &NS{t: t, handle: handle}
	t.Cleanup(func() { ns.handle.Close() })
	nl, err := netlink.NewHandleAt(handle, unix.NETLINK_ROUTE)
	ns.check("open netlink", err)
	t.Cleanup(nl.Close)
	ns.Netlink = nl
	ns.Up("lo")
	return ns
}

// Pair returns two new namespaces, joined by a veth pair: its end in a is
// called nameA, the one in b nameB, and both are up.
func Pair(t testing.TB, nameA, nameB string) (a, b *NS) {
	t.Helper()
	a, b = New(t), New(t)
	Join(a, nameA, b, nameB)
	return a, b
}

// WidePair is Pair with several queues at both ends.
func WidePair(t testing.TB, nameA, nameB string, queues int) (a, b *NS) {
	t.Helper()
	a, b = New(t), New(t)
	join(a, nameA, b, nameB, queues)
	return a, b
}

// Join adds a veth pair between two namespaces.
func Join(a *NS, nameA string, b *NS, nameB string) {
	a.t.Helper()
	join(a, nameA, b, nameB, 1)
}

func join(a *NS, nameA string, b *NS, nameB string, queues int) {
	a.t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.NumTxQueues, attrs.NumRxQueues = nameA, queues, queues
	veth := &netlink.Veth{LinkAttrs: attrs, PeerName: nameB, PeerNamespace: netlink.NsFd(int(b.handle))}
	a.check("add the pair "+nameA+", "+nameB, a.Netlink.LinkAdd(veth))
	a.Up(nameA)
	b.Up(nameB)
}

// Do runs f on a thread inside the namespace and waits for it. What f opens
// stays inside: sockets, netlink handles, programs that it starts. Goroutines
// that it starts are outside. f must not call t.FailNow or the like.
func (ns *NS) Do(f func()) {
	ns.t.Helper()
	ns.check("enter the namespace", onThread(func() error {
		if err := netns.Set(ns.handle); err != nil {
			return err
		}
		f()
		return nil
	}))
}

// onThread runs f on an operating system thread of its own, which ends with it.
func onThread(f func() error) error {
	done := make(chan error)
	go func() { // ends when f has returned and been waited for
		runtime.LockOSThread() // never unlocked: the thread is of no use to others any more
		done <- f()
	}()
	return <-done
}

// Up sets an interface up.
func (ns *NS) Up(name string) {
	ns.t.Helper()
	ns.check("set "+name+" up", ns.Netlink.LinkSetUp(ns.link(name)))
}

// Down sets an interface down.
func (ns *NS) Down(name string) {
	ns.t.Helper()
	ns.check("set "+name+" down", ns.Netlink.LinkSetDown(ns.link(name)))
}

// MAC returns the link-layer address of an interface.
func (ns *NS) MAC(name string) net.HardwareAddr {
	ns.t.Helper()
	return ns.link(name).Attrs().HardwareAddr
}

// Addr gives an interface addresses, as "10.0.0.1/24". IPv6 addresses are
// usable at once, without duplicate address detection.
func (ns *NS) Addr(name string, prefixes ...string) {
	ns.t.Helper()
	for _, p := range prefixes {
		addr := &netlink.Addr{IPNet: ipNet(p)}
		if addr.IP.To4() == nil {
			addr.Flags = unix.IFA_F_NODAD
		}
		ns.check("add the address "+p, ns.Netlink.AddrAdd(ns.link(name), addr))
		ns.awaitLocal(addr.IP)
	}
}

// awaitLocal waits until the kernel takes an address for its own: for IPv6 that
// is done a little after it was added.
func (ns *NS) awaitLocal(ip net.IP) {
	ns.t.Helper()
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		routes, err := ns.Netlink.RouteGet(ip)
		if err == nil && len(routes) == 1 && routes[0].Type == unix.RTN_LOCAL {
			return
		}
		if time.Now().After(end) {
			ns.t.Fatalf("netlab: the address %v does not become usable", ip)
		}
	}
}

// Route is one route to add: dst is a prefix; via, dev and src may be empty.
// typ is one of the RTN constants, 0 for unicast.
type Route struct {
	Dst, Via, Dev, Src string
	Type               int
	Table              int
}

// Route adds routes.
func (ns *NS) Route(routes ...Route) {
	ns.t.Helper()
	for _, r := range routes {
		route := &netlink.Route{Dst: ipNet(r.Dst), Type: r.Type, Table: r.Table}
		if r.Via != "" {
			route.Gw = net.ParseIP(r.Via)
		}
		if r.Src != "" {
			route.Src = net.ParseIP(r.Src)
		}
		if r.Dev != "" {
			route.LinkIndex = ns.link(r.Dev).Attrs().Index
			if r.Via == "" {
				route.Scope = netlink.SCOPE_LINK
			}
		}
		if r.Type == unix.RTN_LOCAL {
			route.Scope = netlink.SCOPE_HOST
			if r.Table == 0 {
				route.Table = unix.RT_TABLE_LOCAL
			}
		}
		ns.check("add the route to "+r.Dst, ns.Netlink.RouteAdd(route))
	}
}

// Unroute takes a route away.
func (ns *NS) Unroute(dst string) {
	ns.t.Helper()
	ns.check("remove the route to "+dst, ns.Netlink.RouteDel(&netlink.Route{Dst: ipNet(dst)}))
}

// Local makes every address of the prefix one of the namespace's own: it
// accepts packets to it, and answers ARP for it when answered is true and the
// prefix is on the link.
func (ns *NS) Local(prefixes ...string) {
	ns.t.Helper()
	for _, p := range prefixes {
		ns.Route(Route{Dst: p, Dev: "lo", Type: unix.RTN_LOCAL})
	}
}

// Sysctl sets a kernel setting of the namespace, as "net.ipv4.ip_forward=1".
func (ns *NS) Sysctl(settings ...string) {
	ns.t.Helper()
	for _, s := range settings {
		key, value, _ := strings.Cut(s, "=")
		var err error
		ns.Do(func() {
			err = os.WriteFile(filepath.Join("/proc/sys", strings.ReplaceAll(key, ".", "/")), []byte(value), 0)
		})
		ns.check("set "+s, err)
	}
}

// ErrorsUnlimited lets the namespace send as many ICMP errors as it owes: one
// machine plays many. Before Linux 6.12 a limit of the machine remains, 1,000 a
// second of all its namespaces.
func (ns *NS) ErrorsUnlimited() {
	ns.t.Helper()
	ns.Sysctl("net.ipv4.icmp_ratelimit=0", "net.ipv6.icmp.ratelimit=0")
	own := false
	ns.Do(func() {
		_, err := os.Stat("/proc/sys/net/ipv4/icmp_msgs_per_sec")
		own = err == nil
	})
	if own {
		ns.Sysctl("net.ipv4.icmp_msgs_per_sec=1000000", "net.ipv4.icmp_msgs_burst=1000000")
	}
}

// Listen listens on TCP addresses inside the namespace until the test ends.
// Connections are accepted and closed.
func (ns *NS) Listen(addrs ...netip.AddrPort) {
	ns.t.Helper()
	for _, a := range addrs {
		var l net.Listener
		var err error
		ns.Do(func() { l, err = net.Listen("tcp", a.String()) })
		ns.check("listen on "+a.String(), err)
		done := make(chan struct{})
		go func() { // ends when the listener is closed, below
			defer close(done)
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				_ = c.Close()
			}
		}()
		ns.t.Cleanup(func() { _ = l.Close(); <-done })
	}
}

// Answer answers every datagram to the addresses with reply until the test ends.
func (ns *NS) Answer(reply []byte, addrs ...netip.AddrPort) {
	ns.t.Helper()
	for _, a := range addrs {
		var c *net.UDPConn
		var err error
		ns.Do(func() { c, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(a)) })
		ns.check("listen on "+a.String(), err)
		done := make(chan struct{})
		go func() { // ends when the socket is closed, below
			defer close(done)
			buf := make([]byte, 1<<16)
			for {
				_, from, err := c.ReadFromUDPAddrPort(buf)
				if err != nil {
					return
				}
				_, _ = c.WriteToUDPAddrPort(reply, from)
			}
		}()
		ns.t.Cleanup(func() { _ = c.Close(); <-done })
	}
}

func (ns *NS) link(name string) netlink.Link {
	ns.t.Helper()
	link, err := ns.Netlink.LinkByName(name)
	ns.check("find "+name, err)
	return link
}

func (ns *NS) check(what string, err error) {
	ns.t.Helper()
	if err != nil {
		ns.t.Fatalf("netlab: %s: %v", what, err)
	}
}

func ipNet(prefix string) *net.IPNet {
	p := netip.MustParsePrefix(prefix)
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// Neighbour tells the kernel a neighbour's link-layer address for good.
func (ns *NS) Neighbour(name, addr string, mac net.HardwareAddr) {
	ns.t.Helper()
	ns.check("add the neighbour "+addr, ns.Netlink.NeighSet(&netlink.Neigh{
		LinkIndex: ns.link(name).Attrs().Index, IP: net.ParseIP(addr), HardwareAddr: mac, State: netlink.NUD_PERMANENT,
	}))
}

// RouteVia adds an IPv4 route with an IPv6 gateway on an interface.
func (ns *NS) RouteVia(dst, gateway, name string) {
	ns.t.Helper()
	ns.check("add the route to "+dst, ns.Netlink.RouteAdd(&netlink.Route{
		Dst: ipNet(dst), LinkIndex: ns.link(name).Attrs().Index,
		Via: &netlink.Via{AddrFamily: netlink.FAMILY_V6, Addr: net.ParseIP(gateway)},
	}))
}
