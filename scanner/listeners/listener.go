package listeners

import (
	"cmp"
	"net/netip"
	"time"

	"dormant/registry"
)

// Config says what to look for.
type Config struct {
	// Ports are those of interest. At least one.
	Ports []registry.Port
	// Proc is where the proc file system of Linux is mounted, "" for /proc.
	Proc string
}

// Report is what this host tells of the ports.
type Report struct {
	// Listeners are ordered by port, namespace and address.
	Listeners []Listener `json:"listeners"`
	// Addrs are the host's own addresses, without loopback and link-local.
	Addrs []netip.Addr `json:"addresses"`
	// Ephemeral is the range that the system draws source ports from.
	Ephemeral Ephemeral `json:"ephemeral"`
	// Namespaces counts the network namespaces that were read, at least 1.
	Namespaces int    `json:"namespaces"`
	Hidden     Hidden `json:"hidden"`
}

// Hidden counts what this process may not see.
type Hidden struct {
	Sockets    int `json:"sockets"`    // of the listeners, whose process is not known
	Processes  int `json:"processes"`  // that could not be looked into
	Namespaces int `json:"namespaces"` // that have a name and could not be entered
}

// Ephemeral is the range of source ports; zero where it is not known.
type Ephemeral struct {
	First    uint16      `json:"first"`
	Last     uint16      `json:"last"`
	Reserved [][2]uint16 `json:"reserved,omitempty"` // within it, but never drawn
}

// Holds reports whether the system may draw port as a source port.
func (e Ephemeral) Holds(port uint16) bool {
	for _, r := range e.Reserved {
		if r[0] <= port && port <= r[1] {
			return false
		}
	}
	return e.First > 0 && e.First <= port && port <= e.Last
}

// Role is what a socket does with the port.
type Role string

// The roles.
const (
	Listens Role = "listens"     // it takes connections or datagrams from anybody
	Source  Role = "source_port" // it is a client of something else, and the port is its own end
)

// Listener is one socket on one of the ports.
type Listener struct {
	Port  registry.Port `json:"port"`
	Role  Role          `json:"role"`
	Bound netip.Addr    `json:"bound"` // unspecified: to every address
	// Addrs are the addresses that it is reached at: all of its namespace where
	// it is bound to every address.
	Addrs []netip.Addr `json:"addresses"`
	// Peer is whom a Source speaks with.
	Peer netip.AddrPort `json:"peer,omitzero"`
	// Namespace names the network namespace where it is not this process's own,
	// as "net:[4026532281]" or by the file in /run/netns; else "".
	Namespace string `json:"namespace,omitempty"`
	UID       int    `json:"uid"`  // of the socket; -1 when not known
	User      string `json:"user"` // by that id, "" when it has no name
	// Process is who holds the socket, nil when that is not to be seen. Of
	// several, as a server and its workers, it is the one that began first and
	// Shared counts the others.
	Process *Process `json:"process"`
	Shared  int      `json:"shared_with,omitempty"`

	inode uint64
}

// Process is what is known of a process.
type Process struct {
	PID  int    `json:"pid"`
	Name string `json:"name"` // of its file; else what it calls itself
	Path string `json:"path"` // "" when it is not to be seen
	// Deleted is true when the file at Path is not the one that runs: an update
	// replaced it, or somebody removed it.
	Deleted bool   `json:"deleted,omitempty"`
	Script  string `json:"script,omitempty"` // what an interpreter runs
	User    string `json:"user"`
	// Started is zero when not known.
	Started time.Time `json:"started,omitzero"`
	Package string    `json:"package,omitempty"`   // that owns the file, with its version; "" for none or not known
	Packed  bool      `json:"packages_known"`      // whether a package database could be asked at all
	Unit    string    `json:"unit,omitempty"`      // of systemd; on Windows the service
	Group   string    `json:"container,omitempty"` // the container's id, twelve digits
}

// compare orders listeners.
func compare(a, b Listener) int {
	return cmp.Or(cmp.Compare(a.Port.Number, b.Port.Number), a.Port.Compare(b.Port), cmp.Compare(a.Role, b.Role),
		cmp.Compare(a.Namespace, b.Namespace), a.Bound.Compare(b.Bound), cmp.Compare(a.inode, b.inode))
}
