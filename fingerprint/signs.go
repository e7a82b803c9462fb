package fingerprint

import (
	"cmp"
	"slices"
)

// hit is what one rule saw in a dialogue: the sign of the first exchange that
// showed it best, and every exchange that showed it.
type hit struct {
	rule      *Rule
	sign      Sign
	exchanges []int // indices into Evidence.Exchanges, ascending
	hostname  string
}

func signsOf(hits []hit) []Sign {
	signs := make([]Sign, len(hits))
	for i, h := range hits {
		signs[i] = h.sign
	}
	return signs
}

// hits holds every rule against every exchange. fields overrides what the
// certificates say, for the examples of rules.
func (r *Rules) hits(ev Evidence, fields map[string]string) []hit {
	at := map[string]int{}
	var hits []hit
	for i, s := range subjects(ev, fields) {
		if len(s.data) == 0 && len(s.ex.Received) > 0 && s.tls == nil {
			s = echoOnly(s) // nothing but the question: no rule may read it as an answer
		}
		for _, rule := range r.rules() {
			f, ok := rule.match(s)
			if !ok {
				continue
			}
			sign := rule.sign(s.ex, f)
			j, seen := at[rule.ID]
			if !seen {
				at[rule.ID] = len(hits)
				hits = append(hits, hit{rule: rule, sign: sign, exchanges: []int{i}, hostname: value("hostname", f.groups["hostname"])})
				continue
			}
			hits[j].exchanges = append(hits[j].exchanges, i)
			if hits[j].sign.Version == "" && sign.Version != "" {
				hits[j].sign = sign // the same rule, and it tells more
			}
		}
	}
	slices.SortStableFunc(hits, func(a, b hit) int { return compareSigns(a.sign, b.sign) })
	return hits
}

// compareSigns orders by points, the strongest first, then the kind that is
// harder to fake, then the rule's id so that the order never depends on chance.
func compareSigns(a, b Sign) int {
	return cmp.Or(
		cmp.Compare(b.Points, a.Points),
		cmp.Compare(kindRank(a.Kind), kindRank(b.Kind)),
		cmp.Compare(a.Rule, b.Rule),
	)
}

func kindRank(k Kind) int {
	return slices.Index([]Kind{
		KindProtocol, KindShell, KindExec, KindBanner, KindCert, KindHTTPHeader, KindHTTPBody, KindTLSStack, KindBehaviour, KindContext,
	}, k)
}

// subjects prepares every exchange for the rules. An exchange inside TLS is
// given the handshake of its connection.
func subjects(ev Evidence, fields map[string]string) []*subject {
	shook := map[int]*TLSInfo{}
	list := make([]*subject, len(ev.Exchanges))
	for i, ex := range ev.Exchanges {
		if ex.TLS != nil {
			shook[ex.Conn] = ex.TLS
		}
		conn := ex.TLS
		if ex.Inside {
			conn = shook[ex.Conn]
			if conn == nil {
				conn = &TLSInfo{} // evidence that lost its handshake is still inside
			}
		}
		list[i] = newSubject(ex, conn, fields)
	}
	return list
}

// echoOnly leaves of an echoed exchange only that it is one: its bytes are
// ours, and a rule that knows them would recognise itself.
func echoOnly(s *subject) *subject {
	return &subject{ex: s.ex, cache: s.cache}
}

// strong reports the sign of one answer that is so clear that nothing more
// needs to be asked: a named protocol's own structured reply or greeting.
func (r *Rules) strong(ex Exchange) (Sign, bool) {
	hits := r.hits(Evidence{Exchanges: []Exchange{ex}}, nil)
	if len(hits) == 0 {
		return Sign{}, false
	}
	best := hits[0].sign
	switch {
	case best.Class == PossibleC2: // must be seen twice
		return Sign{}, false
	case best.Kind == KindProtocol || best.Kind == KindBanner || best.Kind == KindShell:
		return best, best.Points >= exact
	default:
		return best, best.Points >= 90
	}
}
