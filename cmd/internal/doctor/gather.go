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
	"syscall"
	"time"
)

// Question is what Gather cannot know by itself.
type Question struct {
	Groups    []Group  // targets, by the words of the user
	Ports     []uint16 // the dormant ones
	Backend   Backend
	State     string    // the folder of history and imports
	NeverScan string    // the path of the standing exclusions
	Made      time.Time // when this program was made; zero: not known
	// Entries counts the entries of the standing exclusions; its error names
	// the file and the line.
	Entries func(name string, r io.Reader) (int, error)
}

// Group is a part of the targets.
type Group struct {
	Text     string
	Prefixes []netip.Prefix
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
		NeverScan:   neverScan(q.NeverScan, q.Entries),
		State:       folder(q.State),
		Temp:        folder(os.TempDir()),
		Proxy:       proxy(ctx),
	}
	f.Clock = Clock{Now: time.Now(), NotBefore: q.Made}
	f.Clock.Unsynced, f.Clock.SyncReadable = unsynced()
	for _, g := range q.Groups {
		r := Route{Group: g.Text}
		for _, p := range g.Prefixes {
			for _, addr := range ends(p) {
				r.Hops = append(r.Hops, hop(addr))
			}
		}
		f.Routes = append(f.Routes, r)
	}
	return f
}

// ends returns the first and the last address of p that a host can have.
func ends(p netip.Prefix) []netip.Addr {
	p = p.Masked()
	first, last := p.Addr(), p.Addr().AsSlice()
	for bit := p.Bits(); bit < p.Addr().BitLen(); bit++ {
		last[bit/8] |= 0x80 >> (bit % 8)
	}
	end, _ := netip.AddrFromSlice(last) // as long as the first
	if p.Addr().BitLen()-p.Bits() > 1 { // neither the network's nor the broadcast address
		first, end = first.Next(), end.Prev()
	}
	if first == end {
		return []netip.Addr{first}
	}
	return []netip.Addr{first, end}
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

func neverScan(path string, entries func(string, io.Reader) (int, error)) NeverScan {
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
	n.Entries, n.Err = entries(path, file)
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
