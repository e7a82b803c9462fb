package fingerprint

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// get10 is the whole request, without Host: it works with old embedded
// servers, raises no alarm in Redis, makes dev servers that insist on a name
// say so, and means nothing to a shell.
const get10 = "GET / HTTP/1.0\r\n\r\n"

// license says the license manager's own first message where the port is
// registered for one, on a connection of its own.
func (d *dialogue) license(ctx context.Context) (done bool, err error) {
	op, ok := d.rules.firstOpener(d.o.Port)
	if !ok {
		return false, nil
	}
	d.limit = min(d.limit+1, maxConnections)
	return d.open(ctx, op)
}

// open says an opener on a new connection.
func (d *dialogue) open(ctx context.Context, op Opener) (done bool, err error) {
	q := d.question(op.ID, op.Send)
	q.wait = d.patience(op.Wait)
	if string(op.Send) == get10 { // the same question has the same name, so that the same rules read the answer
		q.probe, d.said10 = ProbeGet10, true
	}
	return d.say(ctx, q)
}

// say asks one question on a new connection.
func (d *dialogue) say(ctx context.Context, q question) (done bool, err error) {
	ok, err := d.on(ctx, q.probe, func(w *wire) { d.ask(ctx, w, w, q) })
	return !ok || d.strong(), err
}

// listen hears what the port says unasked, and asks for a page on the same
// connection if that is nothing. It is left out where the license manager's
// question was answered as HTTP: such a server waits to be asked.
func (d *dialogue) listen(ctx context.Context) (done bool, err error) {
	if d.http {
		d.limit = d.cfg.Connections // the license manager's question was the first step
		return false, nil
	}
	var last Exchange
	ok, err := d.on(ctx, ProbeSilence, func(w *wire) {
		last = d.ask(ctx, w, w, d.silence())
		if last.End == EndTimeout && !d.said10 && ctx.Err() == nil {
			d.said10 = true
			last = d.ask(ctx, w, w, d.question(ProbeGet10, []byte(get10)))
			d.mute = last.End == EndTimeout
		}
	})
	return !ok || d.strong() || hopeless(last) || d.ev.Host.AnswersEverywhere(), err
}

// silence is the question without words. Only a clear answer shortens it, so
// that a drip is seen as one.
func (d *dialogue) silence() question {
	q := d.question(ProbeSilence, nil)
	q.wait, q.stretch, q.patient = d.cfg.Silence, d.cfg.Wait, true
	return q
}

// further asks as long as there are connections left: the generic probe that
// tells most after what was seen, then the opener that fits best.
func (d *dialogue) further(ctx context.Context) (done bool, err error) {
	if d.ev.Connections >= d.limit {
		d.ev.Status = StatusBudget
		return true, nil
	}
	for first := true; !done && err == nil && d.left(); first = false {
		if !first && d.broke() {
			return true, nil
		}
		done, err = d.next(ctx)
	}
	return true, err
}

// left reports whether there is a connection left. A port that has not said a
// byte has one beyond the limit, for a second opener, unless it looks as if it
// held connections.
func (d *dialogue) left() bool {
	if d.ev.Connections == d.limit && !d.extra && d.cfg.Connections >= defaultConnections &&
		!slices.ContainsFunc(d.ev.Exchanges, spoke) && !slices.ContainsFunc(d.ev.Exchanges, tarpit) {
		d.limit, d.extra = min(d.limit+1, maxConnections), true
	}
	return d.ev.Connections < d.limit
}

func spoke(ex Exchange) bool { return len(ex.Received) > 0 || ex.TLS != nil }

func (d *dialogue) next(ctx context.Context) (done bool, err error) {
	if d.h2 { // the page in the older form, which the rules can read
		return d.secure(ctx, []string{"http/1.1"}, ProbeGet11, d.get("/"))
	}
	if d.old {
		return d.outdated(ctx)
	}
	switch probe := d.rules.nextProbe(d.ev); {
	case probe == ProbeTLS:
		return d.secure(ctx, []string{"h2", "http/1.1"}, ProbeGet11, d.get("/"))
	case probe == ProbeGet404 && d.inside:
		return d.secure(ctx, []string{"http/1.1"}, ProbeGet404, d.get(d.nowhere()))
	case probe == ProbeGet404:
		return d.say(ctx, d.question(ProbeGet404, d.get(d.nowhere())))
	case probe == ProbeGet11:
		return d.say(ctx, d.question(ProbeGet11, d.get("/")))
	}
	for _, op := range d.rules.stageTwo(shapeOf(d.ev)) {
		if !slices.ContainsFunc(d.ev.Exchanges, func(ex Exchange) bool { return ex.Probe == op.ID }) {
			return d.open(ctx, op)
		}
	}
	return true, nil
}

// again repeats what showed a sign of command and control: a passing thing,
// or one that answers at random, does not show it twice.
func (d *dialogue) again(ctx context.Context) (done bool, err error) {
	ex := d.rules.indicator(d.ev)
	if ex == nil {
		return true, nil
	}
	if d.limit = maxConnections; d.cfg.Deep {
		d.limit = d.ev.Connections + 1 // beyond those of the JARM
	}
	switch {
	case ex.Probe == ProbeTLS:
		return d.secure(ctx, []string{"h2", "http/1.1"}, ProbeGet11, d.get("/"))
	case ex.Probe == ProbeOldTLS:
		return d.outdated(ctx)
	case ex.Inside:
		return d.secure(ctx, []string{"http/1.1"}, ex.Probe, ex.Sent)
	case ex.Probe == ProbeSilence:
		return d.say(ctx, d.silence())
	default:
		return d.say(ctx, d.question(ex.Probe, ex.Sent))
	}
}

// secure shakes hands and asks inside, except where HTTP/2 was agreed: its
// frames are no page that a rule could read, the next step asks again. Where no
// protocol was agreed, the page is asked for without a Host line: Redis logs one
// as an attack, and closes without its answer. A server
// that refuses in TLS's own words has said what it is: no other protocol is
// left to try.
func (d *dialogue) secure(ctx context.Context, protocols []string, probe string, request []byte) (done bool, err error) {
	refused := false
	ok, err := d.on(ctx, ProbeTLS, func(w *wire) {
		q := d.question(ProbeTLS, nil)
		w.room = q.limit
		session, ex := shake(ctx, w, q, protocols)
		ex = d.record(w, ex)
		if session == nil {
			_, refused = tlsRecord(ex)
			d.old = nothingInCommon(ex.Received)
			return
		}
		if d.h2 = ex.TLS.ALPN == "h2"; !d.h2 && ctx.Err() == nil && !d.strong() {
			if ex.TLS.ALPN == "" && probe == ProbeGet11 { // perhaps no web server
				probe, request = ProbeGet10, []byte(get10)
			}
			d.ask(ctx, w, session, d.question(probe, request))
		}
		goodbye(ctx, w, session)
	})
	return !ok || refused && !d.old || d.strong(), err
}

// outdated asks a server that had no cipher suite in common with us for what it
// says in the clear: version, suite and certificate. No session comes of it.
func (d *dialogue) outdated(ctx context.Context) (done bool, err error) {
	d.old = false
	_, err = d.on(ctx, ProbeOldTLS, func(w *wire) {
		d.hello(ctx, w, d.question(ProbeOldTLS, oldHello()))
	})
	return true, err
}

// hello says a hello of our own making and hears the server's first flight.
func (d *dialogue) hello(ctx context.Context, w *wire, q question) Exchange {
	q.enough, q.patient = flightOver, false
	w.room = q.limit
	ex := ask(ctx, w, q)
	var seen TLSInfo
	if plaintext(ex.Received, &seen); seen.Version != "" && q.probe == ProbeOldTLS {
		ex.TLS = &seen
	}
	ex = d.record(w, ex)
	if ctx.Err() == nil && !w.drop && ex.End != EndFin && ex.End != EndRst && isTLSRecord(ex.Received) {
		if w.SetWriteDeadline(time.Now().Add(drainTime)) == nil {
			_, _ = w.Write(closeNotify()) // the peer may be gone already
		}
	}
	return ex
}

// confirm asks once more what the best rule wants to be sure of.
func (d *dialogue) confirm(ctx context.Context) (done bool, err error) {
	op, inside, ok := d.rules.confirm(d.ev)
	if !ok || d.ev.Connections >= maxConnections || d.ev.Host.AnswersEverywhere() {
		return false, nil
	}
	d.limit = d.ev.Connections + 1
	if inside {
		_, err = d.secure(ctx, []string{"http/1.1"}, op.ID, op.Send)
	} else {
		_, err = d.open(ctx, op)
	}
	return false, err
}

// deep takes a JARM of a TLS server that nothing has named, or that showed a
// sign of command and control. It is a hint that never decides, and costs ten
// connections: only on request.
func (d *dialogue) deep(ctx context.Context) (done bool, err error) {
	i := slices.IndexFunc(d.ev.Exchanges, func(ex Exchange) bool { return ex.TLS != nil && ex.TLS.Version != "" })
	if !d.cfg.Deep || i < 0 || d.rules.indicator(d.ev) == nil && d.rules.named(d.ev) {
		return false, nil
	}
	d.limit = d.ev.Connections + jarmHellos
	var answers [jarmHellos][]byte
	for n, hello := range jarmTen() {
		if d.broke() { // slow answers ten times are too dear for a hint
			return false, nil
		}
		ok, err := d.on(ctx, ProbeJARM, func(w *wire) {
			q := d.question(ProbeJARM, hello.encode(d.o.Addr.WithZone("").String()))
			q.limit = min(q.limit, jarmBytes)
			answers[n] = d.hello(ctx, w, q).Received
		})
		if !ok || err != nil {
			return false, err // nine are no fingerprint
		}
	}
	d.ev.Exchanges[i].TLS.JARM = jarmOf(answers)
	return false, nil
}

// goodbye ends a session as TLS wants it. It must not wait for long: a write
// has a deadline of its own.
func goodbye(ctx context.Context, w *wire, session *tls.Conn) {
	if ctx.Err() == nil && !w.drop {
		_ = session.CloseWrite() // the peer may be gone already
	}
}

// get is a well-formed request by the present standard.
func (d *dialogue) get(path string) []byte {
	host := netip.AddrPortFrom(d.o.Addr.WithZone(""), d.o.Port.Number)
	return fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: %s\r\nAccept: */*\r\nConnection: close\r\n\r\n",
		path, host, d.cfg.UserAgent)
}

// nowhere is a path that no server has: twelve letters.
func (d *dialogue) nowhere() string {
	path := []byte("/")
	n := d.cfg.Seed ^ uint64(d.o.Port.Number)*0x9e3779b97f4a7c15
	for _, b := range d.o.Addr.As16() {
		n = (n ^ uint64(b)) * 0x100000001b3
	}
	for range 12 {
		path = append(path, 'a'+byte(n%26))
		n /= 26
	}
	return string(path)
}

// hopeless reports an answer after which a further connection shows nothing
// new: output without end, in floods or in drops, a payload that is never
// acknowledged (something in front answered the handshake), or a window that
// stays shut.
func hopeless(ex Exchange) bool {
	if ex.End == EndFull || dripping(ex) {
		return true
	}
	t := ex.TCP
	if t == nil || len(ex.Sent) == 0 || len(ex.Received) > 0 {
		return false
	}
	return t.BytesAcked <= 1 && t.Unacked > 0 && t.Retrans >= 2 || shut(t)
}

// tarpit reports a peer that is suspected to hold connections, after an answer
// without end, a drip, or with hardly any window: it is closed with a reset.
func tarpit(ex Exchange) bool {
	const smallWindow = 2048
	return ex.End == EndFull || dripping(ex) || ex.TCP != nil && len(ex.Received) == 0 &&
		(shut(ex.TCP) || ex.TCP.HasSendWnd && ex.TCP.SendWindow < smallWindow && ex.End == EndTimeout)
}

func shut(t *TCPInfo) bool { return t.ZeroWinProbe || t.HasSendWnd && t.SendWindow == 0 }
