//go:build !linux

package listeners

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	psnet "github.com/shirou/gopsutil/v4/net"
	"github.com/shirou/gopsutil/v4/process"

	"dormant/registry"
)

// Look reads the sockets of this host and finds their processes. On this
// system namespaces, packages, units and the range of source ports are not
// looked for.
func Look(ctx context.Context, cfg Config) (Report, error) {
	if len(cfg.Ports) == 0 {
		return Report{}, errors.New("listeners: no port to look for")
	}
	all, err := psnet.ConnectionsWithContext(ctx, "inet")
	if err != nil {
		return Report{}, fmt.Errorf("listeners: list the sockets: %w", err)
	}
	r := Report{Namespaces: 1, Addrs: ownAddresses()}
	known := map[int32]*Process{}
	for _, c := range all {
		l, ok := connection(c, cfg.Ports)
		if !ok {
			continue
		}
		l.Addrs = []netip.Addr{l.Bound}
		if l.Bound.IsUnspecified() {
			l.Addrs = slices.DeleteFunc(slices.Clone(r.Addrs), func(a netip.Addr) bool { return l.Bound.Is4() && a.Is6() })
		}
		if _, ok := known[c.Pid]; !ok {
			known[c.Pid] = describe(ctx, c.Pid)
		}
		if l.Process = known[c.Pid]; l.Process == nil {
			r.Hidden.Sockets++
		} else {
			l.User = l.Process.User
		}
		r.Listeners = append(r.Listeners, l)
	}
	r.Listeners = slices.DeleteFunc(r.Listeners, func(x Listener) bool {
		return x.Role == Source && slices.ContainsFunc(r.Listeners, func(y Listener) bool { return y.Port == x.Port && y.Role == Listens })
	})
	slices.SortFunc(r.Listeners, compare)
	return r, ctx.Err()
}

// connection makes a listener of what the library tells.
func connection(c psnet.ConnectionStat, ports []registry.Port) (Listener, bool) {
	proto := registry.TCP
	if c.Type == syscall.SOCK_DGRAM {
		proto = registry.UDP
	}
	if c.Laddr.Port == 0 || c.Laddr.Port > 65535 {
		return Listener{}, false
	}
	l := Listener{Port: registry.Port{Number: uint16(c.Laddr.Port), Proto: proto}, Role: Listens, UID: -1, inode: uint64(c.Pid)}
	if !slices.Contains(ports, l.Port) {
		return Listener{}, false
	}
	text := c.Laddr.IP
	if text == "*" || text == "" {
		text = "::"
	}
	bound, err := netip.ParseAddr(text)
	if err != nil {
		return Listener{}, false
	}
	l.Bound = bound.Unmap().WithZone("")
	switch {
	case proto == registry.TCP && c.Status == "LISTEN", proto == registry.UDP && c.Raddr.Port == 0:
		return l, true
	case c.Status == "TIME_WAIT" || c.Status == "CLOSE" || c.Raddr.Port == 0 || c.Raddr.Port > 65535:
		return Listener{}, false
	}
	peer, err := netip.ParseAddr(c.Raddr.IP)
	l.Role, l.Peer = Source, netip.AddrPortFrom(peer.Unmap(), uint16(c.Raddr.Port))
	return l, err == nil
}

// describe asks for a process; nil when nothing of it is to be seen. What the
// system does not tell stays empty.
func describe(ctx context.Context, pid int32) *Process {
	if pid <= 0 {
		return nil
	}
	p, err := process.NewProcessWithContext(ctx, pid)
	if err != nil {
		return nil
	}
	x := &Process{PID: int(pid)}
	x.Name, _ = p.NameWithContext(ctx)
	if x.Path, _ = p.ExeWithContext(ctx); x.Path != "" {
		x.Name = filepath.Base(x.Path)
	}
	if x.Name == "" {
		return nil
	}
	x.User, _ = p.UsernameWithContext(ctx)
	if ms, err := p.CreateTimeWithContext(ctx); err == nil {
		x.Started = time.UnixMilli(ms).UTC()
	}
	if args, err := p.CmdlineSliceWithContext(ctx); err == nil && len(args) > 0 {
		x.Script = script(x.Name, strings.Join(args, "\x00"))
	}
	x.Unit = service(pid)
	return x
}

func ownAddresses() []netip.Addr {
	list, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	var all []netip.Addr
	for _, a := range list {
		if n, ok := a.(*net.IPNet); ok {
			if addr, ok := netip.AddrFromSlice(n.IP); ok && !addr.Unmap().IsLoopback() && !addr.IsLinkLocalUnicast() {
				all = append(all, addr.Unmap())
			}
		}
	}
	slices.SortFunc(all, netip.Addr.Compare)
	return all
}
