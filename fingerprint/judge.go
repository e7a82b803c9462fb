package fingerprint

import (
	"fmt"
	"slices"

	"dormant/registry"
	"dormant/scanner"
)

// The thresholds of the decision, in points.
const (
	provenLicense = 90 // a license manager's own protocol
	namedService  = 50
	namedShell    = 60
	exact         = 85 // a protocol's own structured answer or greeting
	specific      = 60 // one sign of that worth can stand alone
	medium        = 25 // from here a sign is more than a hint
	weakTogether  = 24 // all weak signs together are worth no more
	jarmAgrees    = 20 // a TLS stack that the same family's other sign confirms
	cannotCoexist = 70
	strongBenign  = 80 // against a single sign
)

// Judge says what the evidence means. It is pure: the same evidence and rules
// give the same verdict. e is the dossier of the port and may be the zero Entry.
// The zero Verdict means that there was nothing to judge: the port is not open,
// or no dialogue was held.
func (r *Rules) Judge(e registry.Entry, o scanner.Observation, ev Evidence) Verdict {
	if o.State != scanner.Open {
		return Verdict{}
	}
	ev = r.withDatagram(o, ev)
	if len(ev.Exchanges) == 0 {
		return Verdict{}
	}
	c := r.weigh(o, ev)
	v := c.decide()
	c.describe(e, &v)
	return v
}

// withDatagram adds the sweep's UDP answer to evidence that has no exchange.
func (r *Rules) withDatagram(o scanner.Observation, ev Evidence) Evidence {
	if o.Port.Proto != registry.UDP || len(ev.Exchanges) > 0 || o.Reason != scanner.UDPReply {
		return ev
	}
	ev.Exchanges = []Exchange{{
		Probe: ProbeUDP, Sent: r.Payload(o.Port), Received: o.Payload, End: EndReply, FirstByte: o.RTT, Elapsed: o.RTT,
	}}
	return ev
}

// weighing is one judgement in the making.
type weighing struct {
	rules *Rules
	obs   scanner.Observation
	ev    Evidence
	list  []*subject
	hits  []hit  // of the rules, the strongest first
	signs []Sign // of the dialogue as a whole
	// lost says why signs did not decide, by rule.
	lost map[string]string
}

func (r *Rules) weigh(o scanner.Observation, ev Evidence) *weighing {
	c := &weighing{rules: r, obs: o, ev: ev, list: subjects(ev, nil), lost: map[string]string{}}
	c.hits = r.hits(ev, nil)
	c.signs = behaviour(ev, c.list, c.hits)
	return c
}

// decide is the order of decision. Each step either settles the verdict or
// leaves it to the next.
func (c *weighing) decide() Verdict {
	for _, step := range []func() (Verdict, bool){
		c.answersEverywhere, // 1
		c.middlebox,         // 2
		c.licenseManager,    // 3
		c.contradiction,     // 8, before any name is given
		c.openShell,
		c.tunnel,
		c.possibleC2, // 4
		c.named,      // 5
		c.generic,    // 6
	} {
		if v, ok := step(); ok {
			return v
		}
	}
	return c.unidentified() // 7
}

// best returns the strongest hit of the classes.
func (c *weighing) best(classes ...Class) (hit, bool) {
	for _, h := range c.hits {
		if slices.Contains(classes, h.sign.Class) {
			return h, true
		}
	}
	return hit{}, false
}

// benign is B: the points of the best innocent name.
func (c *weighing) benign() int {
	h, _ := c.best(LicenseManager, DevServer, KnownService, TunnelOrProxy, OpenShell, Middlebox, Tarpit)
	return h.sign.Points
}

// behaves returns the sign of that reason.
func (c *weighing) behaves(reasons ...string) (Sign, bool) {
	for _, s := range c.signs {
		if slices.Contains(reasons, s.Reason) {
			return s, true
		}
	}
	return Sign{}, false
}

// answersEverywhere: the canaries prove that a box in front accepts anything.
// Only a protocol's own structured answer is believed on such a host; banners
// are what these boxes imitate.
func (c *weighing) answersEverywhere() (Verdict, bool) {
	if !c.ev.Host.AnswersEverywhere() || c.obs.Port.Proto != registry.TCP {
		return Verdict{}, false
	}
	if h, ok := c.best(LicenseManager, DevServer, KnownService, TunnelOrProxy); ok &&
		(h.sign.Kind == KindProtocol && h.sign.Points >= exact || h.sign.Class == LicenseManager && h.sign.Points >= provenLicense) {
		return Verdict{}, false
	}
	for _, h := range c.hits {
		c.lost[h.rule.ID] = "seen on a host that answers on every port"
	}
	sign := Sign{
		Rule: "host-answers-everywhere", Kind: KindContext, Class: Middlebox, Reason: "answers_everywhere", Points: 90, Probe: "canary",
		Service: "unknown", Excerpt: fmt.Sprintf("%d of %d connects to random high ports were accepted", c.ev.Host.CanariesOpen, c.ev.Host.CanariesAsked),
		Source: "Fortinet KB 193827, Palo Alto KCS ClgR",
	}
	c.signs = append(c.signs, sign)
	return c.verdict(sign, 90), true
}

// middlebox: what answers is something in front, or wastes our time. A named
// product stands against the three shapes that an innocent program can have.
func (c *weighing) middlebox() (Verdict, bool) {
	if h, ok := c.best(LicenseManager); ok && h.sign.Points >= provenLicense {
		return Verdict{}, false
	}
	if s, ok := c.behaves("syn_proxy", "multi_protocol", "block_page", "small_window"); ok {
		return c.verdict(s, s.Points), true
	}
	if c.benign() < specific {
		if s, ok := c.behaves("endless", "drip", "dead_forward"); ok {
			return c.verdict(s, s.Points), true
		}
	}
	if h, ok := c.best(Middlebox, Tarpit); ok && h.sign.Points >= namedService && h.sign.Points >= c.benign() {
		return c.verdict(h.sign, c.confidence(h)), true
	}
	return Verdict{}, false
}

func (c *weighing) licenseManager() (Verdict, bool) {
	h, ok := c.best(LicenseManager)
	if !ok {
		return Verdict{}, false
	}
	if h.sign.Points < provenLicense {
		c.lost[h.rule.ID] = "not proved by its own protocol"
		return Verdict{}, false
	}
	return c.verdict(h.sign, h.sign.Points), true
}

// openShell and tunnel come before possible_c2: their signs have a name.
func (c *weighing) openShell() (Verdict, bool) {
	h, ok := c.best(OpenShell)
	if !ok || h.sign.Points < namedShell || h.sign.Points < c.benign() {
		return Verdict{}, false
	}
	confidence := 60 // medium at best from one kind of text
	if len(h.exchanges) > 1 {
		confidence = 75 // the same text twice
	}
	if c.kinds(OpenShell, specific) > 1 {
		confidence = exact
	}
	return c.verdict(h.sign, confidence), true
}

func (c *weighing) tunnel() (Verdict, bool) {
	h, ok := c.best(TunnelOrProxy)
	if !ok || h.sign.Points < namedService || h.sign.Points < c.benign() {
		return Verdict{}, false
	}
	return c.verdict(h.sign, c.confidence(h)), true
}

// kinds counts the kinds that have a hit of the class worth that many points.
func (c *weighing) kinds(class Class, points int) int {
	seen := map[Kind]bool{}
	for _, h := range c.hits {
		if h.sign.Class == class && h.sign.Points >= points {
			seen[h.sign.Kind] = true
		}
	}
	return len(seen)
}

// contradiction: two protocols, each exact, in two answers of one port. Two
// rules that read the same answer differently are our doubt, not the peer's.
func (c *weighing) contradiction() (Verdict, bool) {
	for i, a := range c.hits {
		if !exactProtocol(a) {
			continue
		}
		for _, b := range c.hits[i+1:] {
			if !exactProtocol(b) || a.sign.Service == b.sign.Service || shareExchange(a, b) {
				continue
			}
			c.lost[a.rule.ID] = "contradicted by " + b.rule.ID
			c.lost[b.rule.ID] = "contradicted by " + a.rule.ID
			v := c.verdict(Sign{Class: Unidentified, Reason: "contradicting", Service: "unknown"}, 0)
			return v, true
		}
	}
	return Verdict{}, false
}

func exactProtocol(h hit) bool {
	if h.sign.Points < cannotCoexist || h.sign.Service == "http" || h.sign.Service == "https" || h.sign.Service == "echo" {
		return false // multiplexers put HTTP beside anything
	}
	return h.sign.Kind == KindBanner || h.sign.Kind == KindProtocol
}

func shareExchange(a, b hit) bool {
	for _, i := range a.exchanges {
		if slices.Contains(b.exchanges, i) {
			return true
		}
	}
	return false
}

// named: a dev server or a known service with a name.
func (c *weighing) named() (Verdict, bool) {
	h, ok := c.best(DevServer, KnownService)
	if !ok || h.sign.Points < namedService {
		return Verdict{}, false
	}
	return c.verdict(h.sign, c.confidence(h)), true
}

// generic: it speaks HTTP or TLS, and that is all that is known.
func (c *weighing) generic() (Verdict, bool) {
	if s, ok := c.behaves("generic_http"); ok {
		return c.verdict(s, 50), true
	}
	if s, ok := c.behaves("generic_tls"); ok {
		return c.verdict(s, 45), true
	}
	return Verdict{}, false
}

// unidentified: something answers, without a name.
func (c *weighing) unidentified() Verdict {
	s := Sign{Class: Unidentified}
	s.Reason, s.Service, _ = shapeOf(c.ev).manner()
	for _, h := range c.hits {
		s.Points = max(s.Points, h.sign.Points)
	}
	return c.verdict(s, min(s.Points, 39))
}

// confidence of a named product: 85 and more only for a protocol's own
// structured answer or greeting, or when a second kind of evidence agrees.
func (c *weighing) confidence(h hit) int {
	points := h.sign.Points
	switch h.sign.Kind {
	case KindProtocol, KindBanner, KindShell, KindExec:
		return points
	case KindCert, KindHTTPHeader, KindHTTPBody, KindTLSStack, KindBehaviour, KindContext:
	}
	if h.sign.Product != "" {
		for _, other := range c.hits {
			if other.sign.Product == h.sign.Product && other.sign.Kind != h.sign.Kind && other.sign.Points >= namedService {
				return max(points, exact)
			}
		}
	}
	return min(points, exact-1)
}

// verdict starts a verdict from the sign that decided.
func (c *weighing) verdict(s Sign, confidence int) Verdict {
	return Verdict{
		Class: s.Class, Reason: s.Reason, Confidence: confidence, Service: s.Service,
		Product: s.Product, Version: s.Version, CPE: s.CPE, RuleID: s.Rule, Family: s.Family,
	}
}
