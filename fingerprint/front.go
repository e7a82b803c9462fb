package fingerprint

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"
)

// synProxy: the handshake was completed, and of what was sent not one byte was
// acknowledged although it was sent again and again: what answered the SYN is
// not what would read the payload.
func synProxy(ev Evidence, _ []*subject, _ []hit) (Sign, bool) {
	for _, ex := range ev.Exchanges {
		t := ex.TCP
		if t != nil && len(ex.Sent) > 0 && len(ex.Received) == 0 && t.BytesAcked <= 1 && t.Retrans >= 2 {
			return Sign{
				Rule: "behaviour-syn-proxy", Kind: KindBehaviour, Class: Middlebox, Reason: "syn_proxy", Points: pointsSynProxy,
				Probe: ex.Probe, Service: "silent", Source: "RFC 4898 counters of the kernel (TCP_INFO)",
				Excerpt: fmt.Sprintf("handshake answered, 0 of %d bytes acknowledged after %d retransmissions", len(ex.Sent), t.Retrans),
			}, true
		}
	}
	return Sign{}, false
}

// smallWindow: a receive window that lets next to nothing in, and not a byte
// out. Small devices too have small windows, but they answer.
func smallWindow(ev Evidence, _ []*subject, _ []hit) (Sign, bool) {
	const tiny = 1152 // bytes: the largest window that tarpits were seen to offer
	for _, ex := range ev.Exchanges {
		if len(ex.Received) > 0 {
			return Sign{}, false
		}
	}
	for _, ex := range ev.Exchanges {
		t := ex.TCP
		if t == nil || !t.HasSendWnd || t.SendWindow > tiny || ex.End == EndFin || ex.End == EndRst {
			continue // after a FIN or RST the window says nothing
		}
		return Sign{
			Rule: "behaviour-small-window", Kind: KindBehaviour, Class: Tarpit, Reason: "small_window", Points: pointsSmallWindow,
			Probe: ex.Probe, Service: "silent", Source: "Uncovering Network Tarpits with Degreaser (ACSAC 2014)",
			Excerpt: fmt.Sprintf("window of %d bytes, no byte received", t.SendWindow),
		}, true
	}
	return Sign{}, false
}

// multiProtocol: greetings of different protocols in one answer.
func multiProtocol(_ Evidence, list []*subject, _ []hit) (Sign, bool) {
	for _, s := range list {
		names := greetings(s.data)
		if len(names) < 2 {
			continue
		}
		return Sign{
			Rule: "behaviour-multi-protocol", Kind: KindBehaviour, Class: Middlebox, Reason: "multi_protocol", Points: pointsMulti,
			Probe: s.ex.Probe, Service: "unknown", Excerpt: excerpt(latin1(s.data)),
			Source: "portspoof and honeypots answer with a mixture: " + strings.Join(names, ", "),
		}, true
	}
	return Sign{}, false
}

// greetings names the protocols whose greeting begins a line of data. The body
// of an HTTP answer is a page and may quote anything.
func greetings(data []byte) []string {
	if r, ok := parseResponse(data); ok {
		data = r.head
	}
	var names []string
	for line := range bytes.Lines(data[:min(len(data), 4096)]) {
		for _, g := range [...]struct{ start, name string }{
			{"SSH-2.0-", "ssh"}, {"SSH-1.", "ssh"}, {"HTTP/1.", "http"}, {"@RSYNCD:", "rsync"}, {"RFB 00", "vnc"}, {"+OK ", "pop3"},
			{"* OK ", "imap"}, {"AMQP\x00", "amqp"}, {"RTSP/1.", "rtsp"},
		} {
			if bytes.HasPrefix(line, []byte(g.start)) && !slices.Contains(names, g.name) {
				names = append(names, g.name)
			}
		}
	}
	return names
}

// blockPage: the same HTTP page for a GET and for bytes that are no HTTP at
// all, as a ClientHello is to a plain port. A 400 is none: that is the honest
// answer to a ClientHello, and a server that knows no such Host says it, too. Nor
// is a page that refuses nothing: small devices and scripts have one for all.
func blockPage(_ Evidence, list []*subject, _ []hit) (Sign, bool) {
	var garbage, get *subject
	for _, s := range list {
		switch {
		case s.http == nil || s.tls != nil:
		case s.ex.Probe == ProbeTLS:
			garbage = s
		case s.ex.Probe == ProbeGet10 || s.ex.Probe == ProbeGet11 || s.ex.Probe == "hasp_get":
			get = s
		}
	}
	if garbage == nil || get == nil || get.http.code == 400 || !refuses(get.http) ||
		garbage.http.code != get.http.code || len(get.http.body) == 0 ||
		!bytes.Equal(garbage.http.body, get.http.body) {
		return Sign{}, false
	}
	return Sign{
		Rule: "behaviour-block-page", Kind: KindBehaviour, Class: Middlebox, Reason: "block_page", Points: pointsBlockPage,
		Probe: get.ex.Probe, Service: "http", Excerpt: excerpt(get.http.status + " | " + latin1(get.http.body)),
		Source: "the same page for GET and for a TLS ClientHello",
	}, true
}

// refuses reports a page by which a filter or a portal turns somebody away.
func refuses(r *response) bool {
	if r.code >= 300 && r.code != 404 {
		return true
	}
	page := bytes.ToLower(r.body[:min(len(r.body), maxBody)])
	return slices.ContainsFunc([]string{"block", "denied", "forbidden", "restricted", "policy", "firewall"}, func(word string) bool {
		return bytes.Contains(page, []byte(word))
	})
}

// endless: more than the read limit, and nobody had asked.
func endless(ev Evidence, _ []*subject, _ []hit) (Sign, bool) {
	for _, ex := range ev.Exchanges {
		if ex.Probe == ProbeSilence && ex.End == EndFull && len(ex.Received) > 0 {
			return Sign{
				Rule: "behaviour-endless", Kind: KindBehaviour, Class: Tarpit, Reason: "endless", Points: pointsEndless,
				Probe: ex.Probe, Service: "unknown", Source: "more than the read limit, unasked",
				Excerpt: excerpt(latin1(ex.Received[:min(len(ex.Received), 64)])),
			}, true
		}
	}
	return Sign{}, false
}

// drip: a few bytes at a time, with pauses, and no end.
func drip(ev Evidence, _ []*subject, _ []hit) (Sign, bool) {
	for _, ex := range ev.Exchanges {
		if !dripping(ex) {
			continue
		}
		return Sign{
			Rule: "behaviour-drip", Kind: KindBehaviour, Class: Tarpit, Reason: "drip", Points: pointsDrip,
			Probe: ex.Probe, Service: "unknown", Source: "bytes every 0.3 to 10 s without end",
			Excerpt: fmt.Sprintf("%d bytes in %d pieces over %s", len(ex.Received), len(ex.Chunks), ex.Chunks[len(ex.Chunks)-1].At.Round(100*time.Millisecond)),
		}, true
	}
	return Sign{}, false
}

func dripping(ex Exchange) bool {
	const pieces, largest = 4, 8 // bytes a piece; a line of text in one write is more
	if len(ex.Chunks) < pieces || ex.End == EndFin || ex.End == EndRst {
		return false
	}
	for i, c := range ex.Chunks {
		if c.Bytes > largest {
			return false
		}
		if i == 0 {
			continue
		}
		if gap := c.At - ex.Chunks[i-1].At; gap < 200*time.Millisecond || gap > 11*time.Second {
			return false
		}
	}
	return true
}

// deadForward: every connection, the silent one too, was closed at once without
// a byte: a forward or proxy with nobody behind it.
func deadForward(ev Evidence, _ []*subject, _ []hit) (Sign, bool) {
	connections, silent := map[int]bool{}, false
	for _, ex := range ev.Exchanges {
		if ex.Conn == 0 {
			return Sign{}, false
		}
		if len(ex.Received) > 0 || ex.TLS != nil || ex.Elapsed >= longSilence {
			return Sign{}, false
		}
		if ex.End != EndFin && ex.End != EndRst && ex.End != EndTLSFail {
			return Sign{}, false
		}
		silent = silent || ex.Probe == ProbeSilence
		connections[ex.Conn] = true
	}
	if !silent || len(connections) < 2 {
		return Sign{}, false
	}
	return Sign{
		Rule: "behaviour-dead-forward", Kind: KindBehaviour, Class: Middlebox, Reason: "dead_forward", Points: pointsDeadForward,
		Probe: ProbeSilence, Service: "silent", Source: "recorded of a TCP proxy whose backend is down",
		Excerpt: fmt.Sprintf("%d connections, each closed at once without a byte", len(connections)),
	}, true
}
