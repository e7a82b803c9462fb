package listeners

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"dormant/registry"
)

// Look reads the sockets of this host and finds their processes. The network
// namespace that it calls its own is that of the calling thread.
func Look(ctx context.Context, cfg Config) (Report, error) {
	if len(cfg.Ports) == 0 {
		return Report{}, errors.New("listeners: no port to look for")
	}
	if cfg.Proc == "" {
		cfg.Proc = "/proc"
	}
	l := &look{Config: cfg}
	own, err := os.Readlink(filepath.Join(cfg.Proc, "thread-self/ns/net"))
	if err != nil {
		return Report{}, fmt.Errorf("listeners: is %s mounted? %w", cfg.Proc, err)
	}
	if err := l.processes(); err != nil {
		return Report{}, err
	}
	if err := l.namespaces(ctx, own); err != nil {
		return Report{}, err
	}
	l.named()
	l.dropAccepted()
	l.holders(ctx)
	l.report.Ephemeral = l.ephemeral()
	for _, pid := range l.denied { // one that has ended meanwhile hides nothing
		if _, err := os.Readlink(l.path(pid, "ns/net")); errors.Is(err, os.ErrPermission) {
			l.report.Hidden.Processes++
		}
	}
	for _, x := range l.report.Listeners {
		if x.Process == nil {
			l.report.Hidden.Sockets++
		}
	}
	slices.SortFunc(l.report.Listeners, compare)
	return l.report, ctx.Err()
}

// look is one reading of /proc.
type look struct {
	Config
	report Report
	pids   []int            // ascending
	byNS   map[string][]int // network namespace -> processes in it
	denied []int            // processes that could not be looked into
}

// processes sorts the processes by their network namespace.
func (l *look) processes() error {
	entries, err := os.ReadDir(l.Proc)
	if err != nil {
		return fmt.Errorf("listeners: list the processes: %w", err)
	}
	l.byNS = map[string][]int{}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		l.pids = append(l.pids, pid)
		ns, err := os.Readlink(l.path(pid, "ns/net"))
		switch {
		case err == nil:
			l.byNS[ns] = append(l.byNS[ns], pid)
		case errors.Is(err, os.ErrPermission):
			l.denied = append(l.denied, pid)
		default: // it has ended, or is a kernel thread
		}
	}
	slices.Sort(l.pids)
	return nil
}

func (l *look) path(pid int, name string) string {
	return filepath.Join(l.Proc, strconv.Itoa(pid), name)
}

// namespaces reads the sockets of each namespace through a process in it. The
// own one must be readable; another may be gone in the meantime.
func (l *look) namespaces(ctx context.Context, own string) error {
	if err := l.sockets(filepath.Join(l.Proc, "thread-self/net"), "", diagnose); err != nil {
		return err
	}
	delete(l.byNS, own)
	for ns, pids := range l.byNS {
		for _, pid := range pids {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if l.sockets(l.path(pid, "net"), ns, func() (b map[uint64]bounds) {
				_ = inside(l.path(pid, "ns/net"), func() error { b = diagnose(); return nil }) // nothing more is known without
				return b
			}) == nil {
				break
			}
		}
	}
	l.byNS[own] = nil
	return nil
}

// sockets reads the four tables in a folder net of /proc, and asks for what they
// do not tell where there is anything. Nothing is kept of a namespace that could
// not be read.
func (l *look) sockets(dir, namespace string, ask func() map[uint64]bounds) error {
	var found []Listener
	for _, t := range []struct {
		file  string
		proto registry.Proto
	}{{"tcp", registry.TCP}, {"tcp6", registry.TCP}, {"udp", registry.UDP}, {"udp6", registry.UDP}} {
		f, err := os.Open(filepath.Join(dir, t.file))
		if errors.Is(err, os.ErrNotExist) && t.file != "tcp" { // a kernel without IPv6
			continue
		}
		if err != nil {
			return fmt.Errorf("listeners: read the sockets: %w", err)
		}
		some, err := l.table(f, t.proto)
		if e := f.Close(); err == nil {
			err = e
		}
		if err != nil {
			return err
		}
		found = append(found, some...)
	}
	addrs := addresses(dir)
	if namespace == "" {
		l.report.Addrs = addrs
	}
	var more map[uint64]bounds
	if len(found) > 0 {
		more = ask()
	}
	for _, x := range found {
		x.Namespace = namespace
		x.Addrs = reached(x, more[x.inode], addrs, found)
		l.report.Listeners = append(l.report.Listeners, x)
	}
	l.report.Namespaces++
	return nil
}

func (l *look) table(f *os.File, proto registry.Proto) ([]Listener, error) {
	var found []Listener
	lines := bufio.NewScanner(f)
	lines.Scan() // the heading
	for lines.Scan() {
		s, err := parseSocket(lines.Text())
		if err != nil {
			return nil, err
		}
		if x, ok := s.listener(proto, l.Ports); ok {
			found = append(found, x)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("listeners: read %s: %w", f.Name(), err)
	}
	return found, nil
}

// addresses returns a namespace's own addresses but loopback and link-local.
func addresses(dir string) []netip.Addr {
	v4, _ := os.ReadFile(filepath.Join(dir, "fib_trie")) // a missing one means no addresses
	v6, _ := os.ReadFile(filepath.Join(dir, "if_inet6"))
	all := slices.DeleteFunc(append(localIPv4(string(v4)), localIPv6(string(v6))...), func(a netip.Addr) bool {
		return a.IsLoopback() || a.IsLinkLocalUnicast()
	})
	slices.SortFunc(all, netip.Addr.Compare)
	return all
}

// reached lists where a listener is reached. One on :: takes IPv4 too, unless it
// does not want to or another socket has 0.0.0.0. A namespace without an address
// has its loopback.
func reached(x Listener, by bounds, addrs []netip.Addr, others []Listener) []netip.Addr {
	if !x.Bound.IsUnspecified() {
		return []netip.Addr{x.Bound}
	}
	four := x.Bound.Is4() || !by.v6only && !slices.ContainsFunc(others, func(o Listener) bool {
		return o.Port == x.Port && o.Role == Listens && o.Bound == netip.IPv4Unspecified()
	})
	var all []netip.Addr
	for _, a := range addrs {
		if a.Is4() && four || a.Is6() && x.Bound.Is6() {
			all = append(all, a)
		}
	}
	if len(all) > 0 && by.device != loopback {
		return all
	}
	if four {
		return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1})}
	}
	return []netip.Addr{netip.IPv6Loopback()}
}

// named reads the namespaces that have a name and no visible process: those of
// ip netns and of Docker.
func (l *look) named() {
	for _, dir := range []string{"/run/netns", "/run/docker/netns"} {
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue // the folder is only there where they are used
		}
		for _, e := range entries {
			file := filepath.Join(dir, e.Name())
			var st unix.Stat_t
			if unix.Stat(file, &st) != nil || !holdsNamespace(file) {
				continue
			}
			id := fmt.Sprintf("net:[%d]", st.Ino)
			if _, known := l.byNS[id]; known {
				continue
			}
			l.byNS[id] = nil
			if inside(file, func() error { return l.sockets(filepath.Join(l.Proc, "thread-self/net"), file, diagnose) }) != nil && holdsNamespace(file) {
				l.report.Hidden.Namespaces++
			}
		}
	}
}

// dropAccepted removes the connections that a listener of the same namespace
// has accepted: their local port is the listener's, and they are no clients.
func (l *look) dropAccepted() {
	type place struct {
		port registry.Port
		ns   string
	}
	listening := map[place]bool{}
	for _, x := range l.report.Listeners {
		if x.Role == Listens {
			listening[place{x.Port, x.Namespace}] = true
		}
	}
	l.report.Listeners = slices.DeleteFunc(l.report.Listeners, func(x Listener) bool {
		return x.Role == Source && listening[place{x.Port, x.Namespace}]
	})
}

// holders finds the processes of the sockets by the files that they hold open.
func (l *look) holders(ctx context.Context) {
	wanted := map[uint64][]int{} // inode -> indices
	for i, x := range l.report.Listeners {
		if x.inode > 0 {
			wanted[x.inode] = append(wanted[x.inode], i)
		}
	}
	if len(wanted) == 0 {
		return
	}
	d := newDescriber(l.Proc)
	defer d.close()
	for _, pid := range l.pids {
		if ctx.Err() != nil {
			return
		}
		for _, i := range l.held(pid, wanted) {
			x := &l.report.Listeners[i]
			p, ok := d.describe(pid)
			switch {
			case !ok: // it has ended
			case x.Process == nil:
				x.Process = &p
			case p.Started.Before(x.Process.Started):
				x.Process, x.Shared = &p, x.Shared+1
			default:
				x.Shared++
			}
		}
	}
	for i := range l.report.Listeners {
		l.report.Listeners[i].User = userName(l.report.Listeners[i].UID)
	}
	d.packages(ctx, l.report.Listeners)
}

// held returns the indices of the listeners whose socket a process has open,
// each once.
func (l *look) held(pid int, wanted map[uint64][]int) []int {
	dir := l.path(pid, "fd")
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil // it has ended, or is somebody else's: counted with the sockets
	}
	var all []int
	for _, e := range entries {
		link, err := os.Readlink(filepath.Join(dir, e.Name()))
		if err != nil || !strings.HasPrefix(link, "socket:[") {
			continue
		}
		inode, err := strconv.ParseUint(strings.TrimSuffix(link[len("socket:["):], "]"), 10, 64)
		if err != nil {
			continue
		}
		for _, i := range wanted[inode] {
			if !slices.Contains(all, i) {
				all = append(all, i)
			}
		}
	}
	return all
}

// ephemeral reads the range of this namespace; zero where it is not to be read.
func (l *look) ephemeral() Ephemeral {
	text, err := os.ReadFile(filepath.Join(l.Proc, "sys/net/ipv4/ip_local_port_range"))
	if err != nil {
		return Ephemeral{}
	}
	e, err := parseRange(string(text))
	if err != nil {
		return Ephemeral{}
	}
	if text, err = os.ReadFile(filepath.Join(l.Proc, "sys/net/ipv4/ip_local_reserved_ports")); err == nil {
		e.Reserved, _ = parseReserved(string(text)) // none where it is not understood: more is said to be in the range
	}
	return e
}
