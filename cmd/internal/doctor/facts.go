package doctor

import (
	"net/netip"
	"time"
)

// Facts are what was found on this host. An Err field says why its
// neighbours are empty.
type Facts struct {
	Raw         Raw
	Backend     Backend
	Interfaces  []Interface
	Routes      []Route // of the target groups, in their order
	Asked       bool    // whether Routes were asked for
	Descriptors uint64  // the limit; 0: not known here
	Ephemeral   Span    // zero: not known here
	Ports       []uint16
	Firewall    Firewall
	Conntrack   Conntrack
	NeverScan   NeverScan
	State, Temp Folder
	Clock       Clock
	Proxy       Proxy
}

// Raw is whether this process may open raw sockets.
type Raw struct {
	Err       error // nil: it may
	Namespace bool  // in a user namespace: raw sockets reach only its own networks
}

// Backend is what --backend auto takes.
type Backend struct {
	Name, Note string // Note: why not the better one
	InFlight   int    // probes at once, of the connect backend
	Err        error
}

// Interface is one network interface of this host.
type Interface struct {
	Name     string
	Up       bool
	Loopback bool
	MTU      int
	Addrs    []netip.Prefix
}

// Route is how this host reaches a group of targets: its first address and,
// where it goes another way, its last.
type Route struct {
	Group string
	Hops  []Hop
}

// Hop is the way to one address.
type Hop struct {
	To        netip.Addr
	Interface string
	Gateway   netip.Addr // zero: on-link, or not known here
	Source    netip.Addr
	Local     bool // To is an address of this host
	Err       error
}

// Span is a range of ports, ends included.
type Span struct{ First, Last uint16 }

// Firewall is what filters packets on this host.
type Firewall struct {
	Chains []Chain  // nftables base chains on the way in and out
	Legacy []string // tables of the older iptables
	Err    error
}

// Chain is one nftables base chain.
type Chain struct {
	Family, Table, Name, Hook string
	Drop                      bool // the policy
	Rules                     int
}

// Conntrack is the table of connections that this host tracks; Max 0: none.
type Conntrack struct{ Used, Max int }

// NeverScan is the standing list of exclusions.
type NeverScan struct {
	Path    string
	Missing bool
	IPv4    uint64 // addresses of that family in it
	Err     error
}

// Folder is whether files can be written to it, or to the nearest folder
// above it that exists.
type Folder struct {
	Path string
	Err  error
}

// Clock is this host's clock.
type Clock struct {
	Now          time.Time
	Unsynced     bool // the kernel knows that nobody sets it
	NotBefore    time.Time
	SyncReadable bool
}

// Proxy is what a connect to a closed port of this host brought. It must be
// refused.
type Proxy struct {
	Connected bool
	Err       error // anything but "refused"
}

// Descriptors returns how many files and sockets this process may have open, 0
// when that is not known.
func Descriptors() uint64 { return descriptors() }
