package doctor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"go4.org/netipx"
)

// Question is what Gather cannot know by itself.
type Question struct {
	Groups    []Group  // targets, by the words of the user
	Ports     []uint16 // the dormant ones
	Backend   Backend
	State     string    // the folder of history and imports
	NeverScan string    // the path of the standing exclusions
	Made      time.Time // when this program was made; zero: not known
	// Exclusions reads the standing exclusions and counts the IPv4 addresses in
	// them; its error names the file and the line.
	Exclusions func(name string, r io.Reader) (uint64, error)
}

// Group is a part of the targets: at least one prefix or one address with a
// zone.
type Group struct {
	Text     string
	Prefixes []netip.Prefix // sorted
	Zoned    []netip.Addr
}

// Gather looks at this host. It changes nothing, apart from an empty file that
// it makes and removes again in the state and the temporary folder.
func Gather(ctx context.Context, q Question) Facts {
	f := Facts{
		Raw:         Raw{Err: RawSockets(), Namespace: inUserNamespace()},
		Backend:     q.Backend,
		Interfaces:  interfaces(),
		Asked:       len(q.Groups) > 0,
		Descriptors: descriptors(),
		Ephemeral:   ephemeral(),
		Ports:       q.Ports,
		Firewall:    firewall(),
		Conntrack:   conntrack(),
		NeverScan:   neverScan(q.NeverScan, q.Exclusions),
		State:       folder(q.State),
		Temp:        folder(os.TempDir()),
		Proxy:       proxy(ctx),
	}
	f.Clock = Clock{Now: time.Now(), NotBefore: q.Made}
	f.Clock.Unsynced, f.Clock.SyncReadable = unsynced()
	for _, g := range q.Groups {
		r := Route{Group: g.Text}
		for _, addr := range ends(g.Prefixes) {
			r.Hops = append(r.Hops, hop(addr))
		}
		for _, addr := range g.Zoned {
			r.Hops = append(r.Hops, zoned(addr))
		}
		f.Routes = append(f.Routes, r)
	}
	return f
}

// ends returns the first and the last address of sorted prefixes that a host
// can have.
func ends(prefixes []netip.Prefix) []netip.Addr {
	if len(prefixes) == 0 {
		return nil
	}
	p, q := prefixes[0].Masked(), prefixes[len(prefixes)-1].Masked()
	first, last := p.Addr(), netipx.PrefixLastIP(q)
	if p.Addr().BitLen()-p.Bits() > 1 {
		first = first.Next() // not the network's address
	}
	if q.Addr().BitLen()-q.Bits() > 1 {
		last = last.Prev() // not the broadcast address
	}
	return slices.Compact([]netip.Addr{first, last})
}

// zoned is the way to a link-local address: the interface that its zone names.
func zoned(addr netip.Addr) Hop {
	h := Hop{To: addr, Interface: addr.Zone()}
	ifi, err := net.InterfaceByName(addr.Zone())
	if err != nil {
		h.Err = fmt.Errorf("names no interface: %w", err)
		return h
	}
	for _, i := range interfaces() {
		for _, p := range i.Addrs {
			if i.Name == ifi.Name && p.Addr().Is6() && p.Addr().IsLinkLocalUnicast() {
				h.Source = p.Addr().WithZone("")
			}
		}
	}
	h.Local = h.Source == addr.WithZone("")
	return h
}

func interfaces() []Interface {
	all, err := net.Interfaces()
	if err != nil {
		return nil // reported as no interface
	}
	var found []Interface
	for _, ifi := range all {
		i := Interface{
			Name: ifi.Name, MTU: ifi.MTU,
			Up: ifi.Flags&net.FlagUp != 0, Loopback: ifi.Flags&net.FlagLoopback != 0,
		}
		addrs, err := ifi.Addrs()
		if err != nil {
			continue // it has just gone
		}
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil {
				i.Addrs = append(i.Addrs, p)
			}
		}
		found = append(found, i)
	}
	return found
}

func neverScan(path string, exclusions func(string, io.Reader) (uint64, error)) NeverScan {
	n := NeverScan{Path: path}
	file, err := os.Open(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		n.Missing = true
		return n
	case err != nil:
		n.Err = err
		return n
	}
	defer file.Close()
	n.IPv4, n.Err = exclusions(path, file)
	return n
}

// folder makes a file in path, or in the nearest folder above it that exists,
// and removes it again.
func folder(path string) Folder {
	f := Folder{Path: path}
	dir := path
	for {
		info, err := os.Stat(dir)
		if err == nil && !info.IsDir() {
			f.Err = fmt.Errorf("%s is not a folder", dir)
			return f
		}
		if err == nil || !errors.Is(err, fs.ErrNotExist) || filepath.Dir(dir) == dir {
			break
		}
		dir = filepath.Dir(dir)
	}
	file, err := os.CreateTemp(dir, ".dormant-doctor-*")
	if err != nil {
		f.Err = err
		return f
	}
	f.Err = errors.Join(file.Close(), os.Remove(file.Name()))
	return f
}

// proxy connects to a port of 127.0.0.1 that was free a moment ago.
func proxy(ctx context.Context) Proxy {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return Proxy{Err: err}
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		return Proxy{Err: err}
	}
	d := net.Dialer{Timeout: 2 * time.Second}
	c, err := d.DialContext(ctx, "tcp", addr)
	if err == nil {
		return Proxy{Connected: true, Err: c.Close()}
	}
	if isRefused(err) {
		return Proxy{}
	}
	return Proxy{Err: err}
}

func isRefused(err error) bool {
	errno, ok := errors.AsType[syscall.Errno](err)
	return ok && errno == refused
}
