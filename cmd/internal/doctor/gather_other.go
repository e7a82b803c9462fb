//go:build !linux

package doctor

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
)

// RawSockets returns why this process may not open a packet socket.
func RawSockets() error { return errors.New("raw frames are for Linux, this is " + runtime.GOOS) }

func inUserNamespace() bool { return false }

// hop connects a datagram socket, which sends nothing but makes the system
// choose a source; the gateway stays unknown.
func hop(addr netip.Addr) Hop {
	h := Hop{To: addr}
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr, 9)))
	if err != nil {
		h.Err = fmt.Errorf("has no route: %w", err)
		return h
	}
	defer c.Close()
	if local, ok := c.LocalAddr().(*net.UDPAddr); ok {
		h.Source = local.AddrPort().Addr().Unmap()
	}
	h.Local = h.Source == addr
	for _, i := range interfaces() {
		for _, p := range i.Addrs {
			if p.Addr() == h.Source {
				h.Interface = i.Name
			}
		}
	}
	return h
}

func ephemeral() Span { return Span{} }

func conntrack() Conntrack { return Conntrack{} }

func firewall() Firewall {
	return Firewall{Err: errors.New("not implemented for " + runtime.GOOS)}
}

func unsynced() (bad, readable bool) { return false, false }
