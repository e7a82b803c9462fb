package listeners

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"dormant/registry"
)

// The states of /proc/net/tcp that matter here; a UDP socket without a peer has
// stateClose.
const (
	stateTimeWait = 0x06
	stateClose    = 0x07
	stateListen   = 0x0a
)

// socket is one line of /proc/net/tcp, tcp6, udp or udp6.
type socket struct {
	local, remote netip.AddrPort
	state         uint8
	uid           int
	inode         uint64
}

// parseSocket reads a line; not the heading.
func parseSocket(line string) (socket, error) {
	f := strings.Fields(line)
	if len(f) < 10 {
		return socket{}, fmt.Errorf("listeners: %q: want ten fields as in /proc/net/tcp", line)
	}
	var s socket
	var err error
	if s.local, err = parseHexAddr(f[1]); err != nil {
		return socket{}, err
	}
	if s.remote, err = parseHexAddr(f[2]); err != nil {
		return socket{}, err
	}
	state, err := strconv.ParseUint(f[3], 16, 8)
	if err != nil {
		return socket{}, fmt.Errorf("listeners: socket state %q: want two hex digits", f[3])
	}
	s.state = uint8(state)
	if s.uid, err = strconv.Atoi(f[7]); err != nil {
		return socket{}, fmt.Errorf("listeners: user id %q of a socket: want a number", f[7])
	}
	if s.inode, err = strconv.ParseUint(f[9], 10, 64); err != nil {
		return socket{}, fmt.Errorf("listeners: inode %q of a socket: want a number", f[9])
	}
	return s, nil
}

// parseHexAddr reads "0100007F:079B": words of four bytes in the order of the
// host, the port in that of the network. Only little-endian hosts are built.
func parseHexAddr(s string) (netip.AddrPort, error) {
	addr, port, _ := strings.Cut(s, ":")
	b, err := hex.DecodeString(addr)
	n, errPort := strconv.ParseUint(port, 16, 16)
	if err != nil || errPort != nil || len(b) != 4 && len(b) != 16 {
		return netip.AddrPort{}, fmt.Errorf("listeners: socket address %q: want ADDRESS:PORT in hex", s)
	}
	for w := 0; w < len(b); w += 4 {
		slices.Reverse(b[w : w+4])
	}
	a, _ := netip.AddrFromSlice(b)
	return netip.AddrPortFrom(a, uint16(n)), nil
}

// listener makes a listener of a socket, false for one that does not matter.
// An accepted connection of a listener here is not told from a client's; the
// caller removes it.
func (s socket) listener(proto registry.Proto, ports []registry.Port) (Listener, bool) {
	l := Listener{
		Port: registry.Port{Number: s.local.Port(), Proto: proto}, Role: Listens,
		Bound: s.local.Addr().Unmap(), UID: s.uid, inode: s.inode,
	}
	if !slices.Contains(ports, l.Port) {
		return Listener{}, false
	}
	switch {
	case proto == registry.TCP && s.state == stateListen:
	case proto == registry.UDP && s.remote.Port() == 0:
	case s.state == stateTimeWait || s.state == stateClose: // nobody holds it
		return Listener{}, false
	default:
		l.Role, l.Peer = Source, netip.AddrPortFrom(s.remote.Addr().Unmap(), s.remote.Port())
	}
	return l, true
}

// parseRange reads ip_local_port_range, "32768	60999".
func parseRange(s string) (Ephemeral, error) {
	f := strings.Fields(s)
	if len(f) == 2 {
		first, err := strconv.ParseUint(f[0], 10, 16)
		last, err2 := strconv.ParseUint(f[1], 10, 16)
		if err == nil && err2 == nil && first <= last {
			return Ephemeral{First: uint16(first), Last: uint16(last)}, nil
		}
	}
	return Ephemeral{}, fmt.Errorf("listeners: range of source ports %q: want two numbers", s)
}

// parseReserved reads ip_local_reserved_ports, "1947,3047-3050".
func parseReserved(s string) ([][2]uint16, error) {
	var all [][2]uint16
	for item := range strings.SplitSeq(strings.TrimSpace(s), ",") {
		if item == "" {
			continue
		}
		first, last, ok := strings.Cut(item, "-")
		if !ok {
			last = first
		}
		a, err := strconv.ParseUint(first, 10, 16)
		b, err2 := strconv.ParseUint(last, 10, 16)
		if err != nil || err2 != nil || a > b {
			return nil, fmt.Errorf("listeners: reserved ports %q: want numbers and ranges", item)
		}
		all = append(all, [2]uint16{uint16(a), uint16(b)})
	}
	return all, nil
}

// localIPv4 finds the addresses of a namespace in /proc/net/fib_trie: a line
// with the address, then one that says "host LOCAL".
func localIPv4(trie string) []netip.Addr {
	var all []netip.Addr
	var last netip.Addr
	for line := range strings.Lines(trie) {
		if _, text, ok := strings.Cut(line, "|-- "); ok {
			last, _ = netip.ParseAddr(strings.TrimSpace(text))
		} else if strings.Contains(line, "/32 host LOCAL") && last.IsValid() && !slices.Contains(all, last) {
			all = append(all, last)
		}
	}
	return all
}

// localIPv6 finds them in /proc/net/if_inet6: the address in 32 hex digits
// first.
func localIPv6(table string) []netip.Addr {
	var all []netip.Addr
	for line := range strings.Lines(table) {
		f := strings.Fields(line)
		if len(f) < 6 {
			continue
		}
		if b, err := hex.DecodeString(f[0]); err == nil && len(b) == 16 {
			a, _ := netip.AddrFromSlice(b)
			all = append(all, a)
		}
	}
	return all
}

// startTicks reads field 22 of /proc/PID/stat. The name in field 2 may hold
// anything, also spaces and parentheses.
func startTicks(stat string) (uint64, bool) {
	i := strings.LastIndexByte(stat, ')')
	if i < 0 {
		return 0, false
	}
	f := strings.Fields(stat[i+1:])
	if len(f) < 20 {
		return 0, false
	}
	n, err := strconv.ParseUint(f[19], 10, 64)
	return n, err == nil
}

// placed reads /proc/PID/cgroup: the systemd unit and the container, "" where
// there is none.
func placed(cgroup string) (unit, container string) {
	for line := range strings.Lines(cgroup) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) < 3 {
			continue
		}
		for part := range strings.SplitSeq(f[2], "/") {
			if strings.HasSuffix(part, ".service") || strings.HasSuffix(part, ".scope") || strings.HasSuffix(part, ".socket") {
				if systemd := f[1] == "" || f[1] == "name=systemd"; systemd {
					unit = part // the deepest wins
				}
			}
			if id := containerID(part); id != "" {
				container = id
			}
		}
	}
	return unit, container
}

// containerID finds the 64 hex digits by which container engines name a
// control group, alone or as in docker-ID.scope, and returns twelve of them.
func containerID(part string) string {
	part = strings.TrimSuffix(part, ".scope")
	if i := strings.LastIndexByte(part, '-'); i >= 0 {
		part = part[i+1:]
	}
	if len(part) != 64 || strings.Trim(part, "0123456789abcdef") != "" {
		return ""
	}
	return part[:12]
}

// script finds in a command line what an interpreter runs: the first argument
// that is no flag. Others are not looked at: they hold passwords.
func script(name string, cmdline string) string {
	name = strings.TrimRight(strings.ToLower(strings.TrimSuffix(name, ".exe")), "0123456789.")
	if !slices.Contains([]string{"node", "nodejs", "deno", "bun", "python", "ruby", "php", "perl", "java", "dotnet", "mono"}, name) {
		return ""
	}
	args := strings.Split(strings.TrimRight(cmdline, "\x00"), "\x00")
	for i, a := range args[1:] {
		switch {
		case name == "python" && a == "-m", name == "java" && a == "-jar":
			if i+2 < len(args) {
				return cut(a + " " + args[i+2])
			}
		case a == "-e" || a == "-c" || a == "-r" && name != "node" || a == "-p" || a == "--eval":
			return "" // what follows is a program, and perhaps secrets
		case strings.HasPrefix(a, "-") || a == "":
		default:
			return cut(a)
		}
	}
	return ""
}

// cut bounds what a process says of itself.
func cut(s string) string { return s[:min(len(s), 255)] }
