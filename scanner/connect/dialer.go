package connect

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"dormant/registry"
	"dormant/scanner"
)

// dialer asks with net.Dialer: on every system, with no more than an errno to
// tell one ICMP error from another.
type dialer struct {
	source netip.Addr
	buffer sync.Pool // *[]byte of MaxPayload
}

func newDialer(source netip.Addr) *dialer {
	return &dialer{source: source, buffer: sync.Pool{New: newBuffer}}
}

func newBuffer() any {
	b := make([]byte, scanner.MaxPayload)
	return &b
}

func (d *dialer) ask(ctx context.Context, p scanner.Probe, wait time.Duration) (answer, error) {
	if err := sameFamily(d.source, p.Addr); err != nil {
		return answer{}, err
	}
	switch p.Port.Proto {
	case registry.TCP:
		return d.askTCP(ctx, p, wait)
	case registry.UDP:
		return d.askUDP(ctx, p, wait)
	default: // a broken caller
		return answer{}, errProto(p.Port.Proto)
	}
}

// awaits is what must be taken for granted: nobody here knows the ways.
func (d *dialer) awaits(netip.Addr) bool { return true }

func (d *dialer) askTCP(ctx context.Context, p scanner.Probe, wait time.Duration) (answer, error) {
	nd := net.Dialer{Timeout: wait, KeepAlive: -1}
	nd.SetMultipathTCP(false)
	if d.source.IsValid() {
		nd.LocalAddr = &net.TCPAddr{IP: d.source.AsSlice()}
	}
	started := time.Now()
	c, err := nd.DialContext(ctx, "tcp", netip.AddrPortFrom(p.Addr, p.Port.Number).String())
	if err != nil {
		return failed(err, p, started)
	}
	a := answer{reason: scanner.SynAck, from: p.Addr, rtt: time.Since(started), at: time.Now()}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	part := c.(*net.TCPConn) // what "tcp" gives
	if part.CloseWrite() == nil && part.SetReadDeadline(time.Now().Add(a.rtt+farewell)) == nil && ctx.Err() == nil {
		d.drain(part)
	}
	return a, nil
}

// drain reads what the server says before its own FIN, so that our close is
// one and not a reset.
func (d *dialer) drain(c net.Conn) {
	buf := d.buffer.Get().(*[]byte)
	defer d.buffer.Put(buf)
	for heard := 0; heard < maxFarewell; {
		n, err := c.Read(*buf)
		if err != nil {
			return
		}
		heard += n
	}
}

func (d *dialer) askUDP(ctx context.Context, p scanner.Probe, wait time.Duration) (answer, error) {
	var local *net.UDPAddr
	if d.source.IsValid() {
		local = &net.UDPAddr{IP: d.source.AsSlice()}
	}
	started := time.Now()
	c, err := net.DialUDP("udp", local, net.UDPAddrFromAddrPort(netip.AddrPortFrom(p.Addr, p.Port.Number)))
	if err != nil {
		return answer{}, err // nothing was sent: a fault of this side
	}
	defer c.Close()
	if c.LocalAddr().String() == c.RemoteAddr().String() {
		return answer{}, errSelf
	}
	if err := c.SetDeadline(started.Add(wait)); err != nil {
		return answer{}, err
	}
	stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := c.Write(p.Payload); err != nil {
		return failed(err, p, started)
	}
	buf := d.buffer.Get().(*[]byte)
	defer d.buffer.Put(buf)
	n, err := c.Read(*buf)
	if err != nil {
		return failed(err, p, started)
	}
	return answer{
		reason: scanner.UDPReply, from: p.Addr, rtt: time.Since(started), at: time.Now(),
		payload: append([]byte{}, (*buf)[:n]...),
	}, nil
}

// failed tells what a network call's error means: an answer, silence, or a
// fault of this side.
func failed(err error, p scanner.Probe, started time.Time) (answer, error) {
	if reason, ok := reasonOfErrno(err, p.Port.Proto); ok {
		a := answer{reason: reason, rtt: time.Since(started), at: time.Now()}
		if reason != scanner.ICMPHostUnreachable { // said by a router, and nobody knows which
			a.from = p.Addr
		}
		return a, nil
	}
	var timeout net.Error
	silent := errors.As(err, &timeout) && timeout.Timeout() || errors.Is(err, os.ErrDeadlineExceeded) ||
		errors.Is(err, context.Canceled) || isTimeout(err)
	if silent {
		return answer{}, nil
	}
	return answer{}, err
}
