package fingerprint

import (
	"bytes"
	"slices"
)

// product is how many points name a product, not only a stack.
const product = 65

// nextProbe names the generic probe that tells most after what has been seen,
// "" when only an opener is left (stageTwo). Silence and get10 come before it
// in every dialogue.
//
// A plain HTTP port without a name is sent a ClientHello, not a second page: the
// error text to it names the stack where no header does, and a filter in front
// gives itself away by answering it with the same page.
func (r *Rules) nextProbe(ev Evidence) string {
	asked := map[string]bool{}
	http, inside := false, false
	for _, ex := range ev.Exchanges {
		asked[ex.Probe] = true
		if wantsTLS(ex.Received) {
			continue
		}
		if _, ok := parseResponse(ex.Received); ok {
			http, inside = true, inside || ex.Inside
		}
	}
	switch {
	case !http && !asked[ProbeTLS]:
		return ProbeTLS
	case http && !inside && !asked[ProbeGet11]:
		return ProbeGet11
	case http && !inside && !asked[ProbeTLS] && !r.namedBy(ev, product):
		return ProbeTLS
	case http && !asked[ProbeGet404] && !r.namedBy(ev, product):
		return ProbeGet404
	default:
		return ""
	}
}

// named reports whether a rule gives the port a name that would stand in a
// verdict. Speaking HTTP or TLS is none.
func (r *Rules) named(ev Evidence) bool { return r.namedBy(ev, namedService) }

// namedBy reports whether a sign of that many points or more says what answers.
func (r *Rules) namedBy(ev Evidence, points int) bool {
	return slices.ContainsFunc(r.hits(ev, nil), func(h hit) bool { return h.sign.Class != PossibleC2 && h.sign.Points >= points })
}

// wantsTLS reports whether an HTTP answer only says that the port speaks TLS:
// the sentences of Go's, nginx's and Apache's servers.
func wantsTLS(data []byte) bool {
	r, ok := parseResponse(data)
	if !ok || r.code != 400 {
		return false
	}
	for _, text := range [...]string{
		"Client sent an HTTP request to an HTTPS server.",
		"The plain HTTP request was sent to HTTPS port",
		"speaking plain HTTP to an SSL-enabled server port",
	} {
		if bytes.Contains(r.body, []byte(text)) {
			return true
		}
	}
	return false
}
