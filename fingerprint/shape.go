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
func (r *Rules) shapeOf(ev Evidence) Shape {
	if len(ev.Exchanges) == 0 {
		return ""
	}
	var answered, tls, http, quiet bool
	var closedText, closedGet, resetText, resetTLS bool
	closedSilent, lateClose := 0, 0
	for i := range ev.Exchanges {
		ex := &ev.Exchanges[i]
		if ex.Conn == 0 { // UDP
			answered = answered || len(ex.Received) > 0
			continue
		}
		if ex.TLS != nil {
			tls = true
			continue
		}
		if len(ex.Received) > 0 {
			if ex.Probe == ProbeSilence {
				return ShapeSpeaks
			}
			_, ok := parseResponse(ex.Received)
			http, answered = http || ok, true
			continue
		}
		closed := ex.End == EndFin || ex.End == EndRst || ex.End == EndTLSFail
		switch {
		case closed && ex.Probe == ProbeSilence && ex.Elapsed >= longSilence:
			lateClose++
		case closed && ex.Probe == ProbeSilence:
			closedSilent++
		case closed && !ex.Inside:
			closedText = true
			closedGet = closedGet || ex.Probe != ProbeTLS
			resetTLS = resetTLS || ex.Probe == ProbeTLS && ex.End == EndRst
			resetText = resetText || ex.Probe == ProbeGet10 && ex.End == EndRst
		case ex.End == EndTimeout || ex.End == EndQuiet:
			quiet = true
		}
	}
	switch {
	case http:
		return ShapeHTTP
	case tls:
		return ShapeTLS
	case answered:
		return ShapeAnswers
	case lateClose > 0:
		return ShapeClosesAfterSilence
	case closedSilent > 0:
		return ShapeClosesAtOnce
	case resetText:
		return ShapeResetsOnText
	case resetTLS:
		return ShapeResetsOnTLS
	case closedText && !closedGet && quiet:
		return ShapeClosesOnTLS
	case closedText:
		return ShapeClosesOnText
	case quiet:
		return ShapeSilent
	default:
		return ""
	}
}
