package fingerprint

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"

	"dormant/scanner"
)

// floorBytes is what an answer may always have, also when the host's budget of
// bytes is spent: enough for a head and a title.
const floorBytes = 8 << 10

// mutePatience is how long to wait for a port that has been silent so far.
const mutePatience = 3 * time.Second

// dialogue is the talk with one open port. It belongs to one goroutine. Its
// steps, in steps.go, return done when nothing more is to be asked.
type dialogue struct {
	*Identifier
	o     scanner.Observation
	host  *host
	ev    Evidence
	limit int  // connections
	extra bool // limit holds the one more of a port that said nothing

	said10 bool // get10 was sent
	mute   bool // and met with silence
	http   bool // something was answered as HTTP in the clear
	h2     bool // TLS was agreed for HTTP/2
	inside bool // something was answered as HTTP inside TLS
	old    bool // TLS, and no cipher suite in common with us
}

// begin continues ev, or begins it when it is fresh.
func (i *Identifier) begin(o scanner.Observation, ev Evidence) *dialogue {
	return &dialogue{Identifier: i, o: o, host: i.turns.of(o.Addr), ev: ev, limit: i.cfg.Connections}
}

// run takes the steps in order until one is the last, and sets the status.
func (d *dialogue) run(ctx context.Context, steps ...func(context.Context) (done bool, err error)) error {
	defer func() { d.ev.Elapsed = time.Since(d.ev.Started) }()
	for _, step := range steps {
		done, err := step(ctx)
		if ctx.Err() != nil {
			d.ev.Status = StatusCancelled
			return nil
		}
		if err != nil {
			d.ev.Status = StatusLocalError
			return err
		}
		if done {
			break
		}
	}
	if d.ev.Status == "" {
		d.ev.Status = StatusDone
	}
	return nil
}

// on opens the next connection when the host's turn has come, talks on it and
// ends it. ok is false when there was no connection to be had: the peer's
// refusal is then an exchange, and the budget's in the status.
func (d *dialogue) on(ctx context.Context, probe string, talk func(w *wire)) (ok bool, err error) {
	if d.ev.Connections >= d.limit {
		d.ev.Status = StatusBudget
		return false, nil
	}
	if d.turns.take(ctx, d.host) != nil {
		return false, nil // run sees that ctx ended
	}
	defer d.turns.giveBack(d.host)
	d.ev.Connections++
	d.spent.connections.Add(1)
	started := time.Now()
	c, err := d.dial(ctx, netip.AddrPortFrom(d.o.Addr, d.o.Port.Number), d.cfg.Connect)
	if err != nil {
		return d.noConnection(ctx, probe, started, err)
	}
	w := newWire(ctx, c, d.ev.Connections, time.Since(started))
	talk(w)
	w.end(ctx)
	d.ev.BytesSent += w.sent
	d.ev.BytesReceived += w.received
	d.spent.sent.Add(uint64(w.sent))
	d.spent.received.Add(uint64(w.received))
	d.host.read.Add(int64(w.received))
	return true, nil
}

// noConnection records that the peer took no connection. ok is true when it
// did take it and reset it at once. A fault of this side is returned.
func (d *dialogue) noConnection(ctx context.Context, probe string, started time.Time, err error) (ok bool, ours error) {
	if ours := d.local(ctx, err); ours != nil || ctx.Err() != nil {
		return false, ours
	}
	end, _ := dialEnd(err)
	d.ev.Exchanges = append(d.ev.Exchanges, Exchange{
		Conn: d.ev.Connections, Probe: probe, At: started.Sub(d.ev.Started),
		End: end, Elapsed: time.Since(started), Error: reason(err),
	})
	if d.ev.Connections == 1 { // a later refusal is an answer like others: some serve only one
		switch end {
		case EndRefused:
			d.ev.Status = StatusRefused
		case EndNoConn:
			d.ev.Status = StatusNoConnect
		}
	}
	return end == EndRst, nil
}

// local returns an error of dial when it is a fault of this side, else nil.
func (d *dialogue) local(ctx context.Context, err error) error {
	if _, peers := dialEnd(err); peers || ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("fingerprint: connect to %v: %w", d.o.Target, err)
}

// dial connects within wait.
func (i *Identifier) dial(ctx context.Context, to netip.AddrPort, wait time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	c, err := i.cfg.Dialer.DialContext(ctx, "tcp", to.String())
	if err != nil {
		return nil, err
	}
	if a, ok := c.LocalAddr().(*net.TCPAddr); ok && a.AddrPort() == c.RemoteAddr().(*net.TCPAddr).AddrPort() {
		_ = c.Close()
		return nil, errSelf
	}
	return c, nil
}

// question is a step with the usual waits.
func (d *dialogue) question(probe string, send []byte) question {
	left := d.cfg.HostBytes - int(d.host.read.Load())
	return question{
		probe: probe, send: send, wait: d.patience(d.cfg.Wait), quiet: d.cfg.Quiet,
		limit: min(maxReceived, max(left, floorBytes)),
		enough: func(received []byte) bool {
			_, ok := d.rules.strong(Exchange{Conn: d.ev.Connections, Probe: probe, Sent: send, Received: received, End: EndQuiet})
			return ok
		},
	}
}

// patience shortens a wait for the answer of a port that had nothing to say in
// silence and to a GET: only the first message of its own protocol wakes it,
// and that is recognised at once.
func (d *dialogue) patience(wait time.Duration) time.Duration {
	if d.mute {
		return min(wait, mutePatience)
	}
	return wait
}

// ask takes one step on w and records it; c is w itself or the session on it.
func (d *dialogue) ask(ctx context.Context, w *wire, c net.Conn, q question) Exchange {
	const records = 16 << 10 // TLS needs more bytes than it carries
	w.room = q.limit + records
	ex := ask(ctx, c, q)
	ex.Inside = c != net.Conn(w)
	return d.record(w, ex)
}

// record adds an exchange that just ended, with what the kernel knows of the
// connection, and reads from it what later steps depend on.
func (d *dialogue) record(w *wire, ex Exchange) Exchange {
	ex.Conn, ex.TCP = w.number, tcpInfo(w.Conn)
	ex.At = time.Since(d.ev.Started) - ex.Elapsed
	if n := len(d.ev.Exchanges); n == 0 || d.ev.Exchanges[n-1].Conn != ex.Conn {
		ex.Connect = w.connect
	}
	if len(ex.Sent) > 0 {
		d.host.waited.Add(int64(ex.Elapsed))
	}
	_, isHTTP := parseResponse(ex.Received)
	d.http = d.http || isHTTP && !ex.Inside
	d.inside = d.inside || isHTTP && ex.Inside
	w.drop = w.drop || tarpit(ex)
	d.ev.Exchanges = append(d.ev.Exchanges, ex)
	return ex
}

// strong reports whether the last answer is so clear that nothing more needs
// to be asked.
func (d *dialogue) strong() bool {
	n := len(d.ev.Exchanges)
	if n == 0 {
		return false
	}
	_, ok := d.rules.strong(d.ev.Exchanges[n-1])
	return ok
}

// broke reports that the host's budget is spent, and says so in the status.
func (d *dialogue) broke() bool {
	if time.Duration(d.host.waited.Load()) < d.cfg.HostTime && int(d.host.read.Load()) < d.cfg.HostBytes {
		return false
	}
	d.ev.Status = StatusBudget
	return true
}
