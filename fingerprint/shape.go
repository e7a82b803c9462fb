package fingerprint

import (
	"slices"
	"time"
)

// Shape is how a port behaves while nothing has named it. It chooses the one
// opener that is still worth a connection.
type Shape string

// The shapes, told from the generic probes. The zero value means that no
// dialogue was held.
const (
	shapeSpeaks       Shape = "speaks"         // bytes came before anything was sent
	shapeHTTP         Shape = "http"           // answered as HTTP, plain or inside TLS
	shapeTLS          Shape = "tls"            // completed a TLS handshake, no HTTP inside
	shapeAnswers      Shape = "answers"        // other bytes came back
	shapeClosesOnText Shape = "closes_on_text" // waited in silence, closed on the GET without a byte
	// The next two are closes_on_text with a reset, which tells how little was
	// read before the close: mosquitto resets on the 18 bytes of the GET, SOCKS
	// proxies read those and reset on the longer ClientHello.
	shapeResetsOnText Shape = "resets_on_text"
	shapeResetsOnTLS  Shape = "resets_on_tls"
	// shapeClosesOnTLS took the GET in silence, as the beginning of something
	// longer, and closed on the ClientHello: LDAP servers do.
	shapeClosesOnTLS Shape = "closes_on_tls"
	// shapeClosesAfterSilence waited, then closed before anything was sent:
	// JDWP and sslh do so after 2.0 s.
	shapeClosesAfterSilence Shape = "closes_after_silence"
	shapeClosesAtOnce       Shape = "closes_at_once" // every connection closed at once without a byte
	shapeSilent             Shape = "silent"         // accepted everything and said nothing
)

func shapes() []Shape {
	return []Shape{
		shapeSpeaks, shapeHTTP, shapeTLS, shapeAnswers, shapeClosesOnText, shapeResetsOnText, shapeResetsOnTLS,
		shapeClosesOnTLS, shapeClosesAfterSilence, shapeClosesAtOnce, shapeSilent,
	}
}

func knownShape(s Shape) bool { return slices.Contains(shapes(), s) }

// manner says of a port without a name what it did: the verdict's reason, its
// service, and words for people.
func (s Shape) manner() (reason, service, words string) {
	switch s {
	case shapeSpeaks, shapeHTTP, shapeTLS, shapeAnswers:
		return "needs_opener", "unknown", "No rule knows its answers; it may need its own opener to be named."
	case shapeClosesOnText, shapeResetsOnText, shapeResetsOnTLS:
		return "closes_on_text", "silent", "It waits in silence and closes on text: a binary protocol that wants its own opener; databases, brokers and SOCKS proxies do so."
	case shapeClosesOnTLS:
		return "closes_on_text", "silent", "It takes text in silence and closes on a TLS greeting: a binary protocol that wants its own opener; directory servers do so."
	case shapeClosesAfterSilence:
		return "needs_opener", "silent", "It closed by itself after a silence, without a byte: it waits for its own opener, as debuggers and multiplexers do."
	case shapeClosesAtOnce:
		return "needs_opener", "silent", "It closed without a byte before anything was asked: a service that serves only addresses it knows, or a forward with nobody behind it."
	default:
		return "silent", "silent", "It accepted the connection and said nothing to any question."
	}
}

// longSilence tells a timeout of the server's own from a forward that finds
// nobody behind it: that one ends within a few round trips.
const longSilence = time.Second

// shapeOf reads the shape from what has been seen so far.
func shapeOf(ev Evidence) Shape {
	var s sight
	for _, ex := range ev.Exchanges {
		s.add(ex)
	}
	return s.shape()
}

// sight is what the exchanges of a port have in common with a shape.
type sight struct {
	spoke, answered, http, tls, quiet               bool
	closedAtOnce, closedLate                        bool // in silence
	closedText, closedGet, resetOnGet, resetOnHello bool // closedText on anything, closedGet not on a ClientHello
}

func (s *sight) add(ex Exchange) {
	if ex.Conn == 0 { // UDP
		s.answered = s.answered || len(ex.Received) > 0
		return
	}
	if ex.TLS != nil {
		s.tls = true
		return
	}
	if len(ex.Received) > 0 {
		_, http := parseResponse(ex.Received)
		s.answered, s.http, s.spoke = true, s.http || http, s.spoke || ex.Probe == ProbeSilence
		return
	}
	closed := ex.End == EndFin || ex.End == EndRst || ex.End == EndTLSFail
	switch {
	case closed && ex.Probe == ProbeSilence:
		s.closedLate = s.closedLate || ex.Elapsed >= longSilence
		s.closedAtOnce = true
	case closed && !ex.Inside:
		s.closedText = true
		s.closedGet = s.closedGet || ex.Probe != ProbeTLS
		s.resetOnHello = s.resetOnHello || ex.Probe == ProbeTLS && ex.End == EndRst
		s.resetOnGet = s.resetOnGet || ex.Probe == ProbeGet10 && ex.End == EndRst
	case ex.End == EndTimeout || ex.End == EndQuiet:
		s.quiet = true
	}
}

func (s *sight) shape() Shape {
	switch {
	case s.spoke:
		return shapeSpeaks
	case s.http:
		return shapeHTTP
	case s.tls:
		return shapeTLS
	case s.answered:
		return shapeAnswers
	case s.closedLate:
		return shapeClosesAfterSilence
	case s.closedAtOnce:
		return shapeClosesAtOnce
	case s.resetOnGet:
		return shapeResetsOnText
	case s.resetOnHello:
		return shapeResetsOnTLS
	case s.closedText && !s.closedGet && s.quiet:
		return shapeClosesOnTLS
	case s.closedText:
		return shapeClosesOnText
	case s.quiet:
		return shapeSilent
	default:
		return ""
	}
}
