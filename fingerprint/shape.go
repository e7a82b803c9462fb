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
	ShapeSpeaks       Shape = "speaks"         // bytes came before anything was sent
	ShapeHTTP         Shape = "http"           // answered as HTTP, plain or inside TLS
	ShapeTLS          Shape = "tls"            // completed a TLS handshake, no HTTP inside
	ShapeAnswers      Shape = "answers"        // other bytes came back
	ShapeClosesOnText Shape = "closes_on_text" // waited in silence, closed on the GET without a byte
	// The next two are closes_on_text with a reset, which tells how little was
	// read before the close: mosquitto resets on the 18 bytes of the GET, SOCKS
	// proxies read those and reset on the longer ClientHello.
	ShapeResetsOnText Shape = "resets_on_text"
	ShapeResetsOnTLS  Shape = "resets_on_tls"
	// ShapeClosesOnTLS took the GET in silence, as the beginning of something
	// longer, and closed on the ClientHello: LDAP servers do.
	ShapeClosesOnTLS Shape = "closes_on_tls"
	// ShapeClosesAfterSilence waited, then closed before anything was sent:
	// JDWP and sslh do so after 2.0 s.
	ShapeClosesAfterSilence Shape = "closes_after_silence"
	ShapeClosesAtOnce       Shape = "closes_at_once" // every connection closed at once without a byte
	ShapeSilent             Shape = "silent"         // accepted everything and said nothing
)

func shapes() []Shape {
	return []Shape{
		ShapeSpeaks, ShapeHTTP, ShapeTLS, ShapeAnswers, ShapeClosesOnText, ShapeResetsOnText, ShapeResetsOnTLS,
		ShapeClosesOnTLS, ShapeClosesAfterSilence, ShapeClosesAtOnce, ShapeSilent,
	}
}

func knownShape(s Shape) bool { return slices.Contains(shapes(), s) }

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
		return ShapeSpeaks
	case s.http:
		return ShapeHTTP
	case s.tls:
		return ShapeTLS
	case s.answered:
		return ShapeAnswers
	case s.closedLate:
		return ShapeClosesAfterSilence
	case s.closedAtOnce:
		return ShapeClosesAtOnce
	case s.resetOnGet:
		return ShapeResetsOnText
	case s.resetOnHello:
		return ShapeResetsOnTLS
	case s.closedText && !s.closedGet && s.quiet:
		return ShapeClosesOnTLS
	case s.closedText:
		return ShapeClosesOnText
	case s.quiet:
		return ShapeSilent
	default:
		return ""
	}
}
