package fingerprint

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"

	"dormant/registry"
)

// describe fills in everything beside the decision.
func (c *weighing) describe(e registry.Entry, v *Verdict) {
	agreeing := c.agreeing(*v)
	for _, h := range agreeing {
		if v.Version == "" {
			v.Version = h.sign.Version
			v.CPE = cmp.Or(h.sign.CPE, v.CPE)
		}
		v.CPE = cmp.Or(v.CPE, h.sign.CPE)
		v.Hostname = cmp.Or(v.Hostname, h.hostname)
		v.Flags = append(v.Flags, h.rule.Flags...)
	}
	if v.Service == "http" && c.insideOnly(agreeing) {
		v.Service = "https"
	}
	c.tls(v)
	v.Flags = append(v.Flags, c.flags(agreeing)...)
	slices.Sort(v.Flags)
	v.Flags = slices.Compact(v.Flags)
	v.Severity = c.severity(*v, agreeing)
	v.Signs = c.allSigns(*v)
	c.explain(e, v, agreeing)
}

// agreeing returns the hits that say the same as the verdict, the deciding one
// first.
func (c *weighing) agreeing(v Verdict) []hit {
	var list []hit
	for _, h := range c.hits {
		same := h.sign.Class == v.Class && v.Product != "" && h.sign.Product == v.Product ||
			h.sign.Class == PossibleC2 && v.Class == PossibleC2 && h.sign.Family == v.Family
		switch {
		case h.sign.Rule == v.RuleID:
			list = slices.Insert(list, 0, h)
		case same:
			list = append(list, h)
		}
	}
	return list
}

// insideOnly reports whether all that decided was seen inside TLS.
func (c *weighing) insideOnly(hits []hit) bool {
	for _, h := range hits {
		for _, i := range h.exchanges {
			if c.list[i].tls == nil {
				return false
			}
		}
	}
	return len(hits) > 0
}

// tls copies what a report says of the certificate.
func (c *weighing) tls(v *Verdict) {
	for _, s := range c.list {
		if s.ex.TLS == nil {
			continue
		}
		v.Flags = append(v.Flags, "tls")
		v.JARM = cmp.Or(v.JARM, value("jarm", s.ex.TLS.JARM))
		if s.ex.TLS.WantCert {
			v.Flags = append(v.Flags, "wants_client_certificate")
		}
		if sum := s.tls["cert:sha256"]; sum != "" && v.TLSCert == "" {
			v.TLSCert = "sha256:" + sum
			v.TLSName = value("name", latin1([]byte(commonName(s.tls["cert:subject"], s.tls["cert:san"]))))
			if s.tls["cert:self_signed"] == "true" {
				v.Flags = append(v.Flags, "self_signed")
			}
		}
	}
}

// flags are the facts that follow from numbers, not from a rule.
func (c *weighing) flags(agreeing []hit) []string {
	var flags []string
	for _, ex := range c.ev.Exchanges {
		if ex.Conn == 0 && len(ex.Received) > 0 {
			if n := amplification(ex); n >= 2 && !bytes.Equal(ex.Sent, ex.Received) {
				flags = append(flags, fmt.Sprintf("udp_amplifier_x%d", n))
			}
		}
	}
	if len(agreeing) > 0 {
		if rule := agreeing[0].rule; len(rule.Ports) > 0 && !slices.Contains(rule.Ports, c.obs.Port) {
			flags = append(flags, "off_registry")
		}
	}
	for _, h := range c.hits {
		if h.sign.Class == PossibleC2 && h.sign.Points >= medium {
			flags = append(flags, "c2_indicator")
		}
	}
	return flags
}

// amplification is how many times more bytes came back than were sent, rounded
// down. An empty datagram is counted with its headers, as both then are.
func amplification(ex Exchange) int {
	const headers = 28 // bytes: IPv4 and UDP without options
	if len(ex.Sent) == 0 {
		return (len(ex.Received) + headers) / headers
	}
	return len(ex.Received) / len(ex.Sent)
}

// allSigns lists every sign, the strongest first, with what decided marked and
// what did not explained.
func (c *weighing) allSigns(v Verdict) []Sign {
	signs := append(signsOf(c.hits), c.signs...)
	slices.SortStableFunc(signs, compareSigns)
	for i := range signs {
		s := &signs[i]
		s.Decided = s.Rule == v.RuleID || v.Class == PossibleC2 && s.Class == PossibleC2 && s.Family == v.Family && s.Points >= medium
		if !s.Decided {
			s.Lost = cmp.Or(c.lost[s.Rule], lostTo(*s, v))
		}
	}
	return signs
}

// lostTo says why a sign did not decide where no step of the decision did.
func lostTo(s Sign, v Verdict) string {
	switch {
	case s.Class == v.Class && s.Product == v.Product && s.Product != "":
		return "says the same, and agrees"
	case s.Reason == "generic_http" || s.Reason == "generic_tls":
		return "says what is spoken, not who speaks"
	case s.Points < medium:
		return "weak: a hint, never a verdict"
	case v.RuleID == "":
		return "not enough for a name"
	default:
		return "weaker than " + v.RuleID
	}
}
