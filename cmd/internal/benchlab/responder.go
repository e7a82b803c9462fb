//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// openPorts are those of the six that are open on every host, tcp and udp.
func openPorts() []int { return []int{3588, 3712, 3047} }

// responder plays the services of all hosts: it accepts and closes, and
// answers datagrams.
type responder struct {
	listeners []net.Listener
	conns     []*net.UDPConn
	noise     *net.UDPConn
}

// newResponder opens the sockets inside the far end.
func newResponder(far *space) (*responder, error) {
	r := &responder{}
	err := far.do(func() error {
		for _, port := range openPorts() {
			l, err := net.Listen("tcp4", fmt.Sprintf("0.0.0.0:%d", port))
			if err != nil {
				return err
			}
			r.listeners = append(r.listeners, l)
			c, err := net.ListenUDP("udp4", &net.UDPAddr{Port: port})
			if err != nil {
				return err
			}
			r.conns = append(r.conns, c)
			if err := tellAddress(c); err != nil {
				return err
			}
		}
		var err error
		r.noise, err = net.DialUDP("udp4", &net.UDPAddr{IP: net.ParseIP(routerAddr)}, &net.UDPAddr{IP: net.ParseIP(scanAddr), Port: 9})
		return err
	})
	return r, err
}

// tellAddress makes a socket tell which address a datagram was sent to.
func tellAddress(c *net.UDPConn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		failed = errors.Join(unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_PKTINFO, 1),
			unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 4<<20))
		if errors.Is(failed, unix.EPERM) { // in a user namespace the buffer stays as it is
			failed = nil
		}
	})
	return errors.Join(err, failed)
}

// run serves until ctx ends.
func (r *responder) run(ctx context.Context) {
	var group sync.WaitGroup
	for _, l := range r.listeners {
		group.Go(func() { // ends when l is closed, below
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				_ = c.Close()
			}
		})
	}
	for _, c := range r.conns {
		group.Go(func() { echo(c) }) // ends when c is closed, below
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-tick.C:
			_, _ = r.noise.Write([]byte("noise")) // refused by the scanner's kernel: that is well
		case <-ctx.Done():
		}
	}
	for _, l := range r.listeners {
		_ = l.Close()
	}
	for _, c := range append(r.conns, r.noise) {
		_ = c.Close()
	}
	group.Wait()
}

// echo answers every datagram from the address that it was sent to.
func echo(c *net.UDPConn) {
	data, control := make([]byte, 2048), make([]byte, 256)
	for {
		_, n, _, from, err := c.ReadMsgUDP(data, control)
		if err != nil {
			return
		}
		_, _, _ = c.WriteMsgUDP([]byte("pong"), control[:n], from)
	}
}
