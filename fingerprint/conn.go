package fingerprint

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Dialer opens connections; a *net.Dialer is one. Its LocalAddr sets the
// source address.
type Dialer interface {
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
}

// Limits of one exchange and one connection, whatever the settings say.
const (
	maxReceived = 64 << 10 // bytes kept of one exchange; a peer that sends more unasked has no end
	maxChunks   = 256
	drainBytes  = 16 << 10               // read and dropped while a connection ends in order
	drainTime   = 200 * time.Millisecond // for the same
	tail        = time.Second            // after the wait, while bytes are still coming
)

// wire is one connection to a peer that is trusted with neither time nor
// space: it counts what goes over it and stops reading at its limit.
type wire struct {
	net.Conn
	number         int           // in the dialogue, from 1
	connect        time.Duration // how long the handshake took
	sent, received int           // bytes
	room           int           // bytes that may still be read
	tape           *tape         // records while it is set
	drop           bool          // close with a reset: the peer is suspected to hold connections
	unwatch        func() bool   // ends the watch over the context
}

// tape is what went over a wire during a TLS handshake.
type tape struct{ in, out []byte }

// newWire watches ctx: when it ends, every read and write on c returns.
func newWire(ctx context.Context, c net.Conn, number int, connect time.Duration) *wire {
	w := &wire{Conn: c, number: number, connect: connect}
	w.unwatch = context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	return w
}

// Read stops with errRoom when the limit is reached.
func (w *wire) Read(p []byte) (int, error) {
	if w.room <= 0 {
		return 0, errRoom
	}
	n, err := w.Conn.Read(p[:min(len(p), w.room)])
	w.room -= n
	w.received += n
	if w.tape != nil {
		w.tape.in = append(w.tape.in, p[:n]...)
	}
	return n, err
}

func (w *wire) Write(p []byte) (int, error) {
	n, err := w.Conn.Write(p)
	w.sent += n
	if w.tape != nil {
		w.tape.out = append(w.tape.out, p[:n]...)
	}
	return n, err
}

// end closes in order: it says that nothing more will be asked, lets the peer
// finish for a moment, and closes. Toward a suspected tarpit, which may ignore
// a FIN for many minutes, it resets instead.
func (w *wire) end(ctx context.Context) {
	defer w.unwatch()
	defer w.Conn.Close()
	if w.drop {
		if c, ok := w.Conn.(interface{ SetLinger(int) error }); ok {
			_ = c.SetLinger(0)
		}
		return
	}
	half, ok := w.Conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	w.tape, w.room = nil, drainBytes
	if w.Conn.SetReadDeadline(time.Now().Add(drainTime)) != nil || ctx.Err() != nil {
		return
	}
	buf := make([]byte, 2048)
	for {
		if _, err := w.Read(buf); err != nil {
			return
		}
	}
}

// question is one step on an open connection.
type question struct {
	probe string
	send  []byte        // nil: only listen
	wait  time.Duration // for the first byte
	quiet time.Duration // without a byte: the answer is over
	limit int           // bytes taken
	// stretch is how much longer to listen to a peer that says a few bytes at a
	// time: until it is sure that it drips.
	stretch time.Duration
	// enough reports whether what came is so clear that listening on is idle;
	// nil for never.
	enough func(received []byte) bool
	// patient leaves the end to enough: a quiet after a whole answer is not one.
	patient bool
}

// ask sends and listens. What the peer does is in the exchange, also when it
// does nothing; a context that ended shows in ctx only. c is the connection
// itself or the TLS session on it.
func ask(ctx context.Context, c net.Conn, q question) Exchange {
	now := time.Now()
	l := listener{Exchange: Exchange{Probe: q.probe, Sent: q.send}, question: q, started: now, end: now.Add(q.wait)}
	if len(q.send) > 0 {
		err := c.SetWriteDeadline(l.end)
		if err == nil {
			_, err = c.Write(q.send)
		}
		if err != nil { // there may be an answer all the same: it closed because of an earlier byte
			l.End, l.Error = talkEnd(err)
		}
	}
	l.listen(ctx, c)
	l.Elapsed = time.Since(l.started)
	return l.Exchange
}

// listener reads one answer.
type listener struct {
	Exchange
	question question
	started  time.Time
	end      time.Time // of the wait
	last     time.Time // of the last byte
	fresh    bool      // bytes came since the last quiet
}

func (l *listener) listen(ctx context.Context, c net.Conn) {
	buf := make([]byte, 4096)
	for {
		deadline := l.deadline()
		if err := c.SetReadDeadline(deadline); err != nil {
			l.finish(talkEnd(err))
			return
		}
		if ctx.Err() != nil { // looked at after the deadline was set: the watch may come first
			l.finish(EndTimeout, "")
			return
		}
		n, err := c.Read(buf[:min(len(buf), l.question.limit-len(l.Received))])
		l.add(buf[:n])
		switch {
		case len(l.Received) >= l.question.limit:
			l.End = EndCut
			if len(l.Received) >= maxReceived {
				l.End = EndFull
			}
			return
		case err == nil:
			continue
		case !errors.Is(err, os.ErrDeadlineExceeded):
			l.finish(talkEnd(err))
			return
		case l.over():
			return
		}
	}
}

// deadline is the end of the wait; while an answer is coming it is the end of
// the quiet behind it, though never much later than the wait.
func (l *listener) deadline() time.Time {
	if !l.fresh {
		return l.end
	}
	if quiet := l.last.Add(l.question.quiet); quiet.Before(l.end.Add(tail)) {
		return quiet
	}
	return l.end.Add(tail)
}

func (l *listener) add(b []byte) {
	if len(b) == 0 {
		return
	}
	l.last, l.fresh = time.Now(), true
	at := l.last.Sub(l.started)
	if len(l.Received) == 0 {
		l.FirstByte = max(at, 1) // 0 means that none came
	}
	l.Received = append(l.Received, b...)
	l.Chunks = addChunk(l.Chunks, Chunk{At: at, Bytes: len(b)})
}

// addChunk adds to the last chunk when there are enough of them.
func addChunk(list []Chunk, c Chunk) []Chunk {
	if len(list) < maxChunks {
		return append(list, c)
	}
	list[maxChunks-1].Bytes += c.Bytes
	return list
}

// over looks at a deadline that has passed: it sets the end, or returns false
// when there is more to wait for.
func (l *listener) over() bool {
	now := time.Now()
	if len(l.Received) == 0 {
		l.finish(EndTimeout, "")
		return true
	}
	if now.Sub(l.last) < l.question.quiet {
		if now.Before(l.end.Add(tail)) {
			return false
		}
		l.End = EndCut
		return true
	}
	l.fresh = false
	switch enough := l.question.enough; {
	case !l.question.patient && whole(l.Received), enough != nil && enough(l.Received), dripping(l.Exchange):
	case now.Before(l.end):
		return false
	case l.question.stretch > 0 && pieces(l.Chunks):
		l.end, l.question.stretch = l.end.Add(l.question.stretch), 0
		return false
	}
	l.End = EndQuiet
	return true
}

// pieces reports that everything came a few bytes at a time.
func pieces(chunks []Chunk) bool {
	const few = 8
	return !slices.ContainsFunc(chunks, func(c Chunk) bool { return c.Bytes > few })
}

// finish sets the end. A failed write comes first in time, so it is the end
// unless an answer came after all.
func (l *listener) finish(end End, why string) {
	switch {
	case l.End != "" && len(l.Received) == 0:
		return
	case end == EndTimeout && len(l.Received) > 0:
		end = EndCut
	}
	l.End, l.Error = end, why
}

// whole reports whether an answer looks finished: a quiet behind it then ends
// the step. A few bytes without a line end may be the drip of a tarpit, and a
// page that is shorter than its own head says is still being made.
func whole(b []byte) bool {
	if !bytes.HasPrefix(b, []byte("HTTP/")) {
		return len(b) >= 16 || b[len(b)-1] == '\n'
	}
	r, ok := parseResponse(b)
	if !ok {
		return bytes.Contains(b, []byte("\n\n")) || bytes.Contains(b, []byte("\n\r\n"))
	}
	if !bytes.HasSuffix(r.head, []byte("\n\n")) && !bytes.HasSuffix(r.head, []byte("\n\r\n")) {
		return false
	}
	if strings.EqualFold(r.get("transfer-encoding"), "chunked") {
		return bytes.HasSuffix(b, []byte("\n0\r\n\r\n"))
	}
	length, err := strconv.Atoi(r.get("content-length"))
	return err != nil || len(r.body) >= length || r.code == 304 // RFC 9110 section 8.6: of the page that is not sent
}
