package fingerprint

import (
	"fmt"
	"slices"
	"strings"

	"dormant/registry"
)

// severity is the class's own, raised by what the agreeing rules say.
func (c *weighing) severity(v Verdict, agreeing []hit) string {
	level := "info"
	switch v.Class {
	case OpenShell, PossibleC2:
		level = "high"
	case TunnelOrProxy:
		level = "medium"
	case LicenseManager, DevServer, Unidentified:
		level = "low"
	case KnownService, Middlebox, Tarpit:
	}
	for _, h := range agreeing {
		level = worse(level, h.rule.Severity)
	}
	for _, f := range v.Flags {
		if strings.HasPrefix(f, "udp_amplifier_") || f == "c2_indicator" {
			level = worse(level, "medium")
		}
	}
	return level
}

// worse returns the higher of two severities; "" is the lowest.
func worse(a, b string) string {
	order := []string{"", "info", "low", "medium", "high"}
	if slices.Index(order, b) > slices.Index(order, a) {
		return b
	}
	return a
}

// commonName takes the CN out of a subject, else the first alternative name.
func commonName(subject, san string) string {
	for part := range strings.SplitSeq(subject, ", ") {
		if cn, ok := strings.CutPrefix(part, "CN="); ok {
			return cn
		}
	}
	first, _, _ := strings.Cut(san, ",")
	return first
}

// explain adds the sentences for people: what stands out, what else it could
// be, and how to settle it. Nothing that the peer sent is put into them.
func (c *weighing) explain(e registry.Entry, v *Verdict, agreeing []hit) {
	for i, h := range agreeing {
		if i > 0 && h.sign.Points < exact {
			continue // its doubt is settled by the sign that decided
		}
		v.Hints = appendNew(v.Hints, h.rule.Hint)
		v.Settle = appendNew(v.Settle, h.rule.Settle)
		if h.rule.Note != "" {
			v.Hints = appendNew(v.Hints, "The rule "+h.rule.ID+" is "+h.rule.Note+".")
		}
	}
	switch v.Class {
	case LicenseManager:
		if slices.Contains(v.Flags, "off_registry") {
			v.Hints = appendNew(v.Hints, fmt.Sprintf("A license manager on %s, which is not its usual port.", c.obs.Port))
		}
		v.Hints = appendNew(v.Hints, "License servers have no business on the public Internet: restrict them to the networks of their clients.")
	case OpenShell:
		v.Hints = appendNew(v.Hints, "Open shell or debug console: whoever connects can run commands. Telnet and serial consoles, debug tools and honeypots look the same.")
		v.Settle = append(v.Settle, c.settle()...)
	case PossibleC2:
		v.Hints = appendNew(v.Hints, "Possible command-and-control listener – needs a person.")
		v.Hints = appendNew(v.Hints, "It could also be the own red team, a training lab, a copy of a default certificate, or a honeypot.")
		v.Settle = append(v.Settle, c.settle()...)
	case Middlebox, Tarpit:
		if len(agreeing) == 0 { // a rule has its own words
			c.explainFront(v)
		}
	case Unidentified:
		c.explainUnnamed(e, v)
		c.explainSigns(v)
	case KnownService:
		if v.Reason == "generic_http" || v.Reason == "generic_tls" {
			v.Hints = appendNew(v.Hints, "It speaks "+strings.ToUpper(strings.TrimPrefix(v.Reason, "generic_"))+", and no rule knows the product.")
			v.Settle = append(v.Settle, c.settle()...)
			c.explainSigns(v)
		}
	case DevServer, TunnelOrProxy:
	}
	if v.Class != PossibleC2 {
		c.explainIndicators(v)
	}
	if slices.ContainsFunc(c.signs, func(s Sign) bool { return s.Rule == "behaviour-claim-mismatch" }) {
		v.Hints = appendNew(v.Hints, "The header claims one web server and the error text is another's: a proxy in front, or a mask.")
	}
}

// explainFront words what stands in front of a port.
func (c *weighing) explainFront(v *Verdict) {
	switch v.Reason {
	case "answers_everywhere":
		v.Hints = appendNew(v.Hints, "The host accepts connections on ports where nothing can be: a proxying firewall, SYN cookies, portspoof or a tarpit answers for it.")
		if h, ok := c.best(DevServer, KnownService, OpenShell, TunnelOrProxy); ok && h.sign.Points >= namedService {
			v.Hints = appendNew(v.Hints, "What it said looks like "+nameOf(h)+"; such boxes imitate banners.")
		}
		v.Settle = appendNew(v.Settle, "Ask the firewall's owner, or look at the host's own list of listeners.")
	case "syn_proxy":
		v.Hints = appendNew(v.Hints, "Only the handshake was answered; nothing that was sent arrived. A SYN proxy in front, with nobody behind it.")
	case "block_page":
		v.Hints = appendNew(v.Hints, "The same page comes for a GET and for bytes that are no HTTP: a filter's page, not the server's.")
	case "multi_protocol":
		v.Hints = appendNew(v.Hints, "Several protocols in one answer: portspoof or a honeypot. Ask for the own deception inventory first.")
	case "dead_forward":
		v.Hints = appendNew(v.Hints, "Every connection was closed at once without a byte: a forward with nobody behind it, a service that serves only addresses it knows (a BGP speaker, TCP wrappers), or a binary protocol or debugger that wants its own opener.")
		v.Settle = append(v.Settle, c.settle()...)
	default: // small_window, drip, endless
		v.Hints = appendNew(v.Hints, "It holds a connection and gives next to nothing, or gives without end: built to waste a scanner's time.")
	}
}

// explainUnnamed words an answer without a name.
func (c *weighing) explainUnnamed(e registry.Entry, v *Verdict) {
	v.Hints = appendNew(v.Hints, fmt.Sprintf("Something answers on %s that could not be named. That is common (about 1 in 6 of the test programs). It is not evidence of an attack.", c.obs.Port))
	_, _, did := shapeOf(c.ev).manner()
	switch {
	case v.Reason == "contradicting":
		did = "Two exact answers that cannot come from one program: a honeypot, or a multiplexer."
	case v.Reason == "silent" && c.obs.Port.Proto == registry.UDP:
		did = "It answered the datagram with an empty one."
	}
	v.Hints = appendNew(v.Hints, did)
	if h, ok := c.best(LicenseManager, DevServer, KnownService, TunnelOrProxy, OpenShell); ok && v.Reason != "contradicting" {
		v.Hints = appendNew(v.Hints, "A weak sign points to "+nameOf(h)+".")
	}
	if c.obs.Port == (registry.Port{Number: 1947, Proto: registry.UDP}) {
		v.Hints = appendNew(v.Hints, "Where 1947/tcp of this host proves a license manager, this is most likely the same program: its answer to the search is not documented.")
	}
	if e.Label != "" {
		v.Hints = appendNew(v.Hints, fmt.Sprintf("The port is known for %s; nothing that was seen proves it.", e.Label))
	}
	v.Settle = append(v.Settle, c.settle()...)
}

// explainSigns words the weak signs of the dialogue as a whole, and that it ended
// early, where nothing better is known.
func (c *weighing) explainSigns(v *Verdict) {
	if c.ev.Status == StatusBudget {
		v.Hints = appendNew(v.Hints, "Not every question was put to it: what a port or its host may cost was spent. dormant identify asks it alone.")
	}
	for _, s := range c.signs {
		switch s.Rule {
		case "behaviour-entropy":
			v.Hints = appendNew(v.Hints, "Its bytes look random and differ on every connection: obfuscated VPNs, BitTorrent peers and license daemons do this too.")
		case "behaviour-odd-certificate":
			v.Hints = appendNew(v.Hints, "Its certificate is unusual ("+s.Excerpt+"); appliances and test setups have such certificates too.")
		case "behaviour-far-behind":
			v.Hints = appendNew(v.Hints, "The first byte takes much longer than the network: a slow program, or something far behind it.")
		}
	}
}

// explainIndicators says of C2 signs beside another verdict that they are there
// and why they did not decide.
func (c *weighing) explainIndicators(v *Verdict) {
	seen := 0
	for _, h := range c.hits {
		if h.sign.Class != PossibleC2 || h.sign.Points < medium {
			continue
		}
		seen++
		v.Hints = appendNew(v.Hints, fmt.Sprintf("A sign that is listed for %s was seen (%s) and did not decide: %s.", h.rule.Family, h.rule.ID, c.lost[h.rule.ID]))
	}
	if seen == 0 && (v.Class == Unidentified || v.Reason == "generic_tls" || v.Reason == "generic_http") {
		v.Hints = appendNew(v.Hints, "No known C2 sign was found; that is not the same as clean.")
	}
}

// settle is how a person answers the question on the host itself.
func (c *weighing) settle() []string {
	port := c.obs.Port
	linux, windows := "ss -ltnp", "Get-NetTCPConnection -LocalPort %d | %% OwningProcess"
	if port.Proto == registry.UDP {
		linux, windows = "ss -lunp", "Get-NetUDPEndpoint -LocalPort %d | %% OwningProcess"
	}
	return []string{
		fmt.Sprintf("On the host: %s 'sport = :%d' (Linux) or "+windows+" (Windows).", linux, port.Number, port.Number),
		"Then path, signature, parent and start time of that process; ask its owner. Do not connect by hand, do not kill it first.",
	}
}

func nameOf(h hit) string {
	if h.rule.Product != "" && len(placeholders(h.rule.Product)) == 0 {
		return h.rule.Product
	}
	return h.rule.Service
}

func appendNew(list []string, text string) []string {
	if text == "" || slices.Contains(list, text) {
		return list
	}
	return append(list, text)
}
