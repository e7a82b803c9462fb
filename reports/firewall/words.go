package firewall

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"dormant/fingerprint"
	"dormant/registry"
	"dormant/scanner"
)

// headline says in one sentence what the change does.
func (m *Impact) headline() string {
	parts := []string{m.cutWords()}
	if s := m.openedWords(); s != "" {
		parts = append(parts, s)
	}
	if n := len(m.Unknowns); n > 0 {
		parts = append(parts, count(n, "rule or condition", "rules or conditions")+" could not be judged")
	}
	if n := len(m.Shadowed); n > 0 {
		parts = append(parts, count(n, "rule is", "rules are")+" never reached")
	}
	if n := m.Unsearched; n > 0 {
		parts = append(parts, "whether "+count(n, "rule is", "rules are")+" reached was not looked for")
	}
	return strings.Join(parts, "; ") + "."
}

// cutWords says who loses access.
func (m *Impact) cutWords() string {
	cut := map[string]int{}
	clients, kept := map[netip.Addr]bool{}, map[netip.Addr]bool{}
	n := 0
	for _, s := range m.Services {
		if s.Effect == Cut {
			cut[s.Verdict]++
			n++
		}
		for _, c := range s.Clients {
			if c.Effect == Cut {
				clients[c.Addr] = true
			} else if c.Effect == Kept {
				kept[c.Addr] = true
			}
		}
	}
	if n == 0 {
		text := "nothing in use is cut off: " + count(len(m.Services), "service", "services")
		if len(kept) > 0 {
			text += " and " + count(len(kept), "known client", "known clients") + " keep their access"
		}
		return capital(text)
	}
	words := classWords(cut)
	if len(clients) > 0 {
		words = append(words, count(len(clients), "known client", "known clients"))
	}
	verb := "lose"
	if n == 1 && len(clients) == 0 {
		verb = "loses"
	}
	what := " clients"
	if len(clients) > 0 {
		what = " access"
	}
	return andList(words) + " " + verb + what + " by " + m.cuttingRules()
}

// cuttingRules names the rule that cuts, or counts them.
func (m *Impact) cuttingRules() string {
	var names []string
	for _, s := range m.Services {
		if s.Effect == Cut && s.Rule != "" && !slices.Contains(names, s.Rule) {
			names = append(names, s.Rule)
		}
	}
	switch {
	case len(names) == 1 && strings.HasSuffix(names[0], " policy"):
		return "the default of " + strings.TrimSuffix(names[0], " policy")
	case len(names) == 1:
		return "rule " + names[0]
	case len(names) <= 3:
		return "the rules " + strings.Join(names, ", ")
	default:
		return fmt.Sprintf("%d rules", len(names))
	}
}

// openedWords says what becomes reachable.
func (m *Impact) openedWords() string {
	opened := map[string]int{}
	n := 0
	for _, s := range m.Services {
		if len(s.Gained) > 0 {
			opened[s.Verdict]++
			n++
		}
	}
	if n == 0 {
		return ""
	}
	if n == 1 {
		return andList(classWords(opened)) + " becomes reachable"
	}
	return andList(classWords(opened)) + " become reachable"
}

// classWords counts services by verdict, in the order of the verdicts and those
// without one last.
func classWords(services map[string]int) (words []string) {
	names := map[string][2]string{
		"license_manager": {"license server", "license servers"}, "dev_server": {"dev server", "dev servers"},
		"known_service": {"known service", "known services"}, "open_shell": {"open shell", "open shells"},
		"tunnel_or_proxy": {"tunnel or proxy", "tunnels or proxies"}, "possible_c2": {"possible C2", "possible C2"},
		"middlebox": {"middlebox", "middleboxes"}, "tarpit": {"tarpit", "tarpits"},
		"unidentified": {"unknown listener", "unknown listeners"}, "": {"unknown listener", "unknown listeners"},
	}
	add := func(class string) {
		if n := services[class]; n > 0 {
			words = append(words, count(n, names[class][0], names[class][1]))
		}
	}
	for c := fingerprint.LicenseManager; c <= fingerprint.Unidentified; c++ {
		add(c.String())
	}
	add("")
	return words
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

func andList(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " and " + words[last]
}

func capital(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// advice says what to mind about the ports that the change touches. The facts
// are those of the dossiers.
func (m *Impact) advice() []string {
	out := []string{}
	touched, licenses := false, false
	effects := map[scanner.Target]string{}
	for _, s := range m.Services {
		effects[s.target] = s.Effect
		if s.Effect != Kept {
			touched = true
			licenses = licenses || s.Verdict == fingerprint.LicenseManager.String() || isLicensePort(s.target.Port.Number)
		}
	}
	for _, s := range m.Services {
		other := s.Verdict != fingerprint.LicenseManager.String() && s.Verdict != fingerprint.Unidentified.String() && s.Verdict != ""
		if s.target.Port.Number != 1947 || s.Effect != Cut && s.Effect != Unjudged || other { // a middlebox carries no license
			continue
		}
		sister := effects[scanner.Target{Addr: s.target.Addr, Port: otherTransport(s.target.Port)}]
		if text := ports1947(&s, sister); text != "" {
			out = append(out, text)
		}
	}
	if touched && licenses {
		out = append(out, "The loss of a license manager shows late: sessions live seven minutes and more, and an idle one up to twelve hours. Verify five minutes after the change and again after 24 hours.",
			"Broadcasts do not cross routers: clients in other networks have their server configured and were perhaps never heard. No client seen does not mean no client.")
	}
	return out
}

func isLicensePort(n uint16) bool {
	return slices.Contains([]uint16{475, 1947, 3047, 5093}, n)
}

// ports1947 explains the difference between finding a license manager and using
// it.
func ports1947(s *Service, other string) string {
	host := s.target.Addr.String()
	verb := "is cut off"
	if s.Effect == Unjudged {
		verb = "could not be judged"
	}
	switch {
	case s.target.Port.Proto == registry.UDP && other == Kept:
		return "1947/udp to " + host + " " + verb + " and 1947/tcp is kept: udp is only how clients find the server. Clients with a configured server go on, clients that search for it find none, often not before their next start."
	case s.target.Port.Proto == registry.UDP && other == "":
		return "1947/udp to " + host + " " + verb + ": udp is only how clients find the server, they use it over 1947/tcp, which was not found open there."
	case s.target.Port.Proto == registry.TCP && other == Kept:
		return "1947/tcp to " + host + " " + verb + " and 1947/udp is kept: clients still find the server and can no longer use it. A check that only looks for the answer to the search will see nothing wrong."
	case s.target.Port.Proto == registry.TCP:
		return "1947/tcp to " + host + " " + verb + ": it carries every license request, also of clients that have their server configured."
	default:
		return ""
	}
}
