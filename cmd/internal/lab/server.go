package lab

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// The bounds of every service.
const (
	maxConns  = 16          // at a time; more wait in the kernel's backlog
	maxAge    = time.Minute // of a connection
	maxRead   = 64 << 10    // bytes of a connection
	maxPacket = 2048        // bytes of a datagram that are read
	retryWait = 50 * time.Millisecond
)

// handler plays one service: stream for a TCP port, packet for a UDP port.
type handler struct {
	stream func(ctx context.Context, c *conn)
	packet func(request []byte) (reply []byte) // nil: no answer
}

// datagrams plays a UDP service that answers one datagram with one.
func datagrams(answer func([]byte) []byte) handler { return handler{packet: answer} }

// streams plays a TCP service. The connection is closed when play returns.
func streams(play func(ctx context.Context, c *conn)) handler { return handler{stream: play} }

// server is one open socket and the connections that came in.
type server struct {
	ln   net.Listener   // or
	pc   net.PacketConn // the other is nil
	play handler

	mu     sync.Mutex
	open   map[*conn]bool
	closed bool
}

func newServer(ln net.Listener, pc net.PacketConn, play handler) *server {
	return &server{ln: ln, pc: pc, play: play, open: map[*conn]bool{}}
}

// run serves until close, and returns when every connection has ended.
func (s *server) run(ctx context.Context) {
	if s.pc != nil {
		s.packets()
		return
	}
	var playing sync.WaitGroup
	free := make(chan struct{}, maxConns)
	for {
		free <- struct{}{} // before Accept: the backlog keeps who must wait
		nc, err := s.ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			break
		}
		if err != nil { // out of descriptors: somebody else's connections end some time
			<-free
			time.Sleep(retryWait)
			continue
		}
		c := &conn{Conn: nc, left: maxRead}
		if !s.add(c) {
			_ = nc.Close() // the lab ends
			<-free
			continue
		}
		playing.Go(func() { // ends at the latest after maxAge, or when close closes c
			defer func() { <-free }()
			s.stream(ctx, c)
		})
	}
	playing.Wait()
}

func (s *server) stream(ctx context.Context, c *conn) {
	ctx, cancel := context.WithTimeout(ctx, maxAge)
	defer cancel()
	_ = c.SetDeadline(time.Now().Add(maxAge)) // fails only on a connection that is already dead
	s.play.stream(ctx, c)
	_ = c.Close() // the client may have been faster
	s.mu.Lock()
	delete(s.open, c)
	s.mu.Unlock()
}

// packets answers datagrams one by one.
func (s *server) packets() {
	buf := make([]byte, maxPacket)
	for {
		n, from, err := s.pc.ReadFrom(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // an ICMP error for an earlier answer, or out of memory
			time.Sleep(retryWait)
			continue
		}
		if reply := s.play.packet(buf[:n]); reply != nil {
			_, _ = s.pc.WriteTo(reply, from) // a client that is gone loses its answer, as on any network
		}
	}
}

// add notes a connection, and is false when the server is closed.
func (s *server) add(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.open[c] = true
	}
	return !s.closed
}

// close ends the socket and all connections.
func (s *server) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.pc != nil {
		_ = s.pc.Close() // nothing was written that could be lost
	} else {
		_ = s.ln.Close()
	}
	for c := range s.open {
		_ = c.Close()
	}
}

// release is close: a server that has not run holds nothing but its socket.
func (s *server) release() { s.close() }

// conn bounds what is read of a connection.
type conn struct {
	net.Conn
	left int // bytes that may still be read
}

// Read returns io.EOF when the bound is reached.
func (c *conn) Read(b []byte) (int, error) {
	if c.left <= 0 {
		return 0, io.EOF
	}
	n, err := c.Conn.Read(b[:min(len(b), c.left)])
	c.left -= n
	return n, err
}

// say writes an answer; a client that is gone does not hear it.
func (c *conn) say(s string) { _, _ = io.WriteString(c.Conn, s) }
