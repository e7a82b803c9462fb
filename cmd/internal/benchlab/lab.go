//go:build linux

package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// space is one network namespace. It is gone when nobody is inside and its
// handle is closed.
type space struct {
	handle netns.NsHandle
	nl     *netlink.Handle
}

// newSpace makes a namespace with its loopback interface up.
func newSpace() (*space, error) {
	s := &space{}
	err := onThread(func() (err error) {
		if err = unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("make a network namespace (run as root, or by bin/isolate): %w", err)
		}
		if s.handle, err = netns.Get(); err != nil {
			return err
		}
		s.nl, err = netlink.NewHandle()
		return err
	})
	if err != nil {
		return nil, err
	}
	lo, err := s.nl.LinkByName("lo")
	if err != nil {
		return nil, err
	}
	return s, s.nl.LinkSetUp(lo)
}

// do runs f on a thread inside the namespace. What it opens and starts stays
// inside.
func (s *space) do(f func() error) error {
	return onThread(func() error {
		if err := netns.Set(s.handle); err != nil {
			return err
		}
		return f()
	})
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

// sysctl sets what this kernel has of the settings, as "net.ipv4.ip_forward=0".
func (s *space) sysctl(settings ...string) error {
	return s.do(func() error {
		for _, setting := range settings {
			key, value, _ := strings.Cut(setting, "=")
			path := filepath.Join("/proc/sys", strings.ReplaceAll(key, ".", "/"))
			if err := os.WriteFile(path, []byte(value), 0); err != nil && !os.IsNotExist(err) && !os.IsPermission(err) {
				return fmt.Errorf("set %s: %w", setting, err)
			}
		}
		return nil
	})
}

// end is one end of the veth pair.
func (s *space) end(name, addr string) (netlink.Link, error) {
	link, err := s.nl.LinkByName(name)
	if err != nil {
		return nil, err
	}
	parsed, err := netlink.ParseAddr(addr)
	if err != nil {
		return nil, err
	}
	if err := s.nl.AddrAdd(link, parsed); err != nil {
		return nil, err
	}
	return link, s.nl.LinkSetUp(link)
}

// The addresses of the lab.
const (
	scanAddr    = "10.66.0.1"
	routerAddr  = "10.66.0.2"
	sparseBlock = "10.77.0.0/16"
	darkBlock   = "10.88.0.0/14" // all of it; some jobs take a part
	// firstHost and hostStep choose who answers in the sparse block.
	firstHost, hostStep = 7, 100
)

// hosts returns the addresses that answer.
func hosts() (all []string) {
	for i := firstHost; i < 1<<16; i += hostStep {
		all = append(all, fmt.Sprintf("10.77.%d.%d", i>>8, i&255))
	}
	return all
}

// lab is the whole network.
type lab struct {
	scan, far *space
	router    net.HardwareAddr
	byNFT     bool // dark probes are dropped where they come in
}

// newLab makes the network and starts nothing in it.
func newLab() (l *lab, err error) {
	l = &lab{}
	if l.scan, err = newSpace(); err != nil {
		return nil, err
	}
	if l.far, err = newSpace(); err != nil {
		return nil, err
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "scan0"
	pair := &netlink.Veth{LinkAttrs: attrs, PeerName: "net0", PeerNamespace: netlink.NsFd(int(l.far.handle))}
	if err := l.scan.nl.LinkAdd(pair); err != nil {
		return nil, fmt.Errorf("make a veth pair: %w", err)
	}
	near, err := l.scan.end("scan0", scanAddr+"/24")
	if err != nil {
		return nil, err
	}
	net0, err := l.far.end("net0", routerAddr+"/24")
	if err != nil {
		return nil, err
	}
	l.router = net0.Attrs().HardwareAddr
	if err := l.scan.nl.RouteAdd(&netlink.Route{LinkIndex: near.Attrs().Index, Gw: net.ParseIP(routerAddr)}); err != nil {
		return nil, fmt.Errorf("add the default route: %w", err)
	}
	if err := l.people(); err != nil {
		return nil, err
	}
	for _, s := range []*space{l.scan, l.far} {
		if err := s.sysctl("net.ipv4.ip_forward=0", "net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.default.rp_filter=0",
			"net.ipv4.icmp_ratelimit=0", "net.ipv4.icmp_msgs_per_sec=100000000", "net.ipv4.icmp_msgs_burst=100000000",
			"net.ipv4.tcp_invalid_ratelimit=0", "net.core.somaxconn=65535"); err != nil {
			return nil, err
		}
	}
	// Answers without state: no queue to fill, and no repetition that would hide
	// a lost one.
	return l, l.far.sysctl("net.ipv4.tcp_syncookies=2")
}

// people makes the hosts: addresses that the far end takes for its own.
func (l *lab) people() error {
	lo, err := l.far.nl.LinkByName("lo")
	if err != nil {
		return err
	}
	for _, h := range hosts() {
		dst := &net.IPNet{IP: net.ParseIP(h).To4(), Mask: net.CIDRMask(32, 32)}
		route := &netlink.Route{Dst: dst, LinkIndex: lo.Attrs().Index, Type: unix.RTN_LOCAL, Table: unix.RT_TABLE_LOCAL, Scope: netlink.SCOPE_HOST}
		if err := l.far.nl.RouteAdd(route); err != nil {
			return fmt.Errorf("add host %s: %w", h, err)
		}
	}
	l.byNFT = l.dropByNFT() == nil
	if l.byNFT {
		return nil
	}
	for _, block := range []string{sparseBlock, darkBlock} {
		_, dst, err := net.ParseCIDR(block)
		if err != nil {
			return err
		}
		if err := l.far.nl.RouteAdd(&netlink.Route{Dst: dst, Type: unix.RTN_BLACKHOLE}); err != nil {
			return fmt.Errorf("drop what goes to %s: %w", block, err)
		}
	}
	return nil
}

// dropByNFT drops what nobody is to answer at the door of the far end.
func (l *lab) dropByNFT() error {
	nft, err := exec.LookPath("nft")
	if err != nil {
		return err
	}
	rules := `table netdev bench {
	set hosts { type ipv4_addr; elements = { ` + strings.Join(hosts(), ", ") + ` } }
	chain ingress {
		type filter hook ingress device net0 priority -500; policy accept;
		ip daddr ` + darkBlock + ` drop
		ip daddr ` + sparseBlock + ` ip daddr != @hosts drop
	}
}
`
	return l.far.do(func() error {
		cmd := exec.Command(nft, "-f", "-")
		cmd.Stdin = strings.NewReader(rules)
		return cmd.Run()
	})
}

// received returns how many packets came in at the far end.
func (l *lab) received() (uint64, error) {
	link, err := l.far.nl.LinkByName("net0")
	if err != nil {
		return 0, err
	}
	return link.Attrs().Statistics.RxPackets, nil
}
