package fingerprint

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"dormant/registry"
	"dormant/scanner"
)

// fakeNet is a network in memory: every connect is given to serve, which
// returns nil for a port that refuses. It keeps what matters about order.
type fakeNet struct {
	t     testing.TB
	serve func(port uint16) func(net.Conn)

	mu      sync.Mutex
	dials   []dialed
	open    map[string]int // connections by host
	ended   map[string]time.Time
	overlap bool          // two connections to one host at a time
	nearest time.Duration // least pause between two connections to one host
	wg      sync.WaitGroup
}

type dialed struct {
	port uint16
	at   time.Time
}

func newFakeNet(t testing.TB, serve func(port uint16) func(net.Conn)) *fakeNet {
	return &fakeNet{t: t, serve: serve, open: map[string]int{}, ended: map[string]time.Time{}, nearest: time.Hour}
}

func (f *fakeNet) DialContext(ctx context.Context, _, address string) (net.Conn, error) {
	to := netip.MustParseAddrPort(address)
	host := to.Addr().String()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dials = append(f.dials, dialed{to.Port(), time.Now()})
	if last, ok := f.ended[host]; ok {
		f.nearest = min(f.nearest, time.Since(last))
	}
	f.overlap = f.overlap || f.open[host] > 0
	handler := f.serve(to.Port())
	if handler == nil {
		f.ended[host] = time.Now()
		return nil, &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	}
	client, server := net.Pipe()
	f.open[host]++
	f.wg.Go(func() { // ends when the handler does: at the latest when the client closes
		defer server.Close()
		handler(server)
	})
	return &countedConn{Conn: client, net: f, host: host}, ctx.Err()
}

type countedConn struct {
	net.Conn
	net  *fakeNet
	host string
	once sync.Once
}

func (c *countedConn) Close() error {
	c.once.Do(func() {
		c.net.mu.Lock()
		defer c.net.mu.Unlock()
		c.net.open[c.host]--
		c.net.ended[c.host] = time.Now()
	})
	return c.Conn.Close()
}

// fakeRules is a guide whose knowledge is a few words.
type fakeRules struct {
	first  map[registry.Port]Opener
	stage2 []Opener
}

func (fakeRules) nextProbe(ev Evidence) string { return (&Rules{}).nextProbe(ev) }

func (r fakeRules) firstOpener(p registry.Port) (Opener, bool) { o, ok := r.first[p]; return o, ok }

func (r fakeRules) stageTwo(shape Shape) []Opener {
	var list []Opener
	for _, o := range r.stage2 {
		if slices.Contains(o.Shapes, shape) {
			list = append(list, o)
		}
	}
	return list
}

func (fakeRules) strong(ex Exchange) (Sign, bool) {
	return Sign{Rule: "strong"}, bytes.Contains(ex.Received, []byte("STRONG"))
}

func (fakeRules) named(ev Evidence) bool {
	return slices.ContainsFunc(ev.Exchanges, func(ex Exchange) bool { return bytes.Contains(ex.Received, []byte("STRONG")) })
}

func (fakeRules) confirm(Evidence) (Opener, bool, bool) { return Opener{}, false, false }

func (fakeRules) indicator(ev Evidence) *Exchange {
	for i := range ev.Exchanges {
		if bytes.Contains(ev.Exchanges[i].Received, []byte("BEACON")) {
			return &ev.Exchanges[i]
		}
	}
	return nil
}

// Handlers of fake servers.

// silent reads everything and says nothing.
func silent(c net.Conn) { _, _ = io.Copy(io.Discard, c) }

// closes ends every connection at once.
func closes(net.Conn) {}

// greets says text and then listens.
func greets(text string) func(net.Conn) {
	return func(c net.Conn) {
		var reading sync.WaitGroup
		reading.Go(func() { silent(c) }) // ends when the client closes
		_, _ = io.WriteString(c, text)
		reading.Wait()
	}
}

// answers says text to the first bytes that come, and closes.
func answers(text string) func(net.Conn) {
	return func(c net.Conn) {
		buf := make([]byte, 2048)
		if _, err := c.Read(buf); err == nil {
			_, _ = io.WriteString(c, text)
		}
	}
}

// closesOnText waits for bytes and closes without one.
func closesOnText(c net.Conn) { _, _ = c.Read(make([]byte, 2048)) }

// drops says one byte a second without end.
func drops(c net.Conn) {
	go silent(c) // ends when c is closed
	for {
		if _, err := c.Write([]byte("x")); err != nil {
			return
		}
		time.Sleep(time.Second)
	}
}

// floods writes as fast as it is read.
func floods(c net.Conn) {
	block := bytes.Repeat([]byte("0123456789abcdef"), 256)
	for {
		if _, err := c.Write(block); err != nil {
			return
		}
	}
}

// everywhere serves h on every port, canaries included; only serves it on
// the given port.
func everywhere(h func(net.Conn)) func(uint16) func(net.Conn) {
	return func(uint16) func(net.Conn) { return h }
}

func only(port uint16, h func(net.Conn)) func(uint16) func(net.Conn) {
	return func(p uint16) func(net.Conn) {
		if p == port {
			return h
		}
		return nil
	}
}

func openPort(addr string, port uint16) scanner.Observation {
	return scanner.Observation{
		Target: scanner.Target{Addr: netip.MustParseAddr(addr), Port: registry.Port{Number: port, Proto: registry.TCP}},
		State:  scanner.Open, Reason: scanner.SynAck, RTT: time.Millisecond,
	}
}

func probesOf(ev Evidence) []string {
	var names []string
	for _, ex := range ev.Exchanges {
		name := ex.Probe
		if ex.Inside {
			name = "in:" + name
		}
		names = append(names, name+"="+string(ex.End))
	}
	return names
}

// failingDialer always gives the same error.
type failingDialer struct{ err error }

func (f failingDialer) DialContext(context.Context, string, string) (net.Conn, error) {
	return nil, &net.OpError{Op: "dial", Err: f.err}
}

// dropping lets a SYN to a port from 20000 on go unanswered.
type dropping struct{ *fakeNet }

func (d dropping) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if netip.MustParseAddrPort(address).Port() >= canaryLow {
		<-ctx.Done()
		return nil, &net.OpError{Op: "dial", Err: ctx.Err()}
	}
	return d.fakeNet.DialContext(ctx, network, address)
}

// selfDialer gives a connection whose two ends are the same address.
type selfDialer struct{ addr net.Addr }

type selfConn struct {
	net.Conn
	addr net.Addr
}

func (d selfDialer) DialContext(context.Context, string, string) (net.Conn, error) {
	c, _ := net.Pipe()
	return selfConn{c, d.addr}, nil
}

func (c selfConn) LocalAddr() net.Addr  { return c.addr }
func (c selfConn) RemoteAddr() net.Addr { return c.addr }

// dialerFunc is a network that a function is.
type dialerFunc func(address string) (net.Conn, error)

func (f dialerFunc) DialContext(ctx context.Context, _, address string) (net.Conn, error) {
	c, err := f(address)
	if err != nil {
		return nil, err
	}
	return c, ctx.Err()
}

func errRefused() error {
	return &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
}
