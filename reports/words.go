package reports

import (
	"slices"
	"strings"

	"dormant/fingerprint"
	"dormant/scanner"
)

// Explanation is what a class of finding means to the person who must act.
type Explanation struct {
	Title  string // what a heading says; never "confirmed" for a suspicion
	Many   string // several of them, within a sentence
	Why    string // why it is worth a look
	Else   string // what else it could be, "" where nothing is in doubt
	Advice string // what to do
}

// explain returns the words for a finding.
func explain(f *Finding) Explanation {
	if f.Verdict == 0 {
		return unjudged(f)
	}
	e := explanations()[f.Verdict]
	if Exposed(f) {
		e = explainExposed(f, e)
	}
	if slices.Contains(f.Flags, "debugger") {
		e.Title, e.Many = "Debugger open to the network", "debuggers open to the network"
		e.Why = "Whoever reaches a debugger runs code as its user."
	}
	return e
}

func unjudged(f *Finding) Explanation {
	switch f.State {
	case scanner.Open:
		return Explanation{
			Title:  "Open port, not identified",
			Many:   "not identified",
			Why:    "The port accepts, and no dialogue was held with it.",
			Advice: "Scan again with identification, or ask the host for its listening processes.",
		}
	case scanner.Unknown:
		return Explanation{
			Title:  "Not measured",
			Why:    "The fault was on the scanning side; nothing is known about the port.",
			Advice: "Scan this target again.",
		}
	case scanner.Closed, scanner.Filtered, scanner.OpenFiltered, scanner.Unreachable:
		return Explanation{Title: "Port " + strings.ReplaceAll(f.State.String(), "_", " or ")}
	default:
		return Explanation{Title: "Port"}
	}
}

func explanations() map[fingerprint.Class]Explanation {
	const ask = "Ask the host which process listens (ss -ltnp on Linux, Get-NetTCPConnection -LocalPort on Windows), " +
		"look at its path, signature, parent and start time, and ask the owner. Do not connect by hand, and do not kill it first."
	return map[fingerprint.Class]Explanation{
		fingerprint.LicenseManager: {
			Title:  "License manager",
			Many:   "license managers",
			Why:    "It proved itself by its own protocol. Clients lose their licenses when a firewall cuts it off.",
			Advice: "Let only the clients of the product reach it, and nobody from outside; keep its version current.",
		},
		fingerprint.DevServer: {
			Title:  "Development server",
			Many:   "development servers",
			Why:    "Development servers are made for one machine and trust whoever connects.",
			Advice: "Bind it to the loopback address, or ask its owner for how long it is needed.",
		},
		fingerprint.KnownService: {
			Title:  "Known service on an unexpected port",
			Many:   "known services on unexpected ports",
			Why:    "It is named, but nobody would look for it on this port.",
			Advice: "Ask the owner whether it is meant to listen here, and whom it serves.",
		},
		fingerprint.OpenShell: {
			Title:  "Open shell or debug console - needs a person",
			Many:   "open shells or debug consoles",
			Why:    "It answers like a shell, an interpreter or a console, without a login.",
			Else:   "A device console, a debugger that was left open, a training lab, or a honeypot.",
			Advice: ask,
		},
		fingerprint.TunnelOrProxy: {
			Title:  "Tunnel or proxy",
			Many:   "tunnels or proxies",
			Why:    "It forwards connections and can lead around a firewall.",
			Else:   "A jump host or a proxy that is run on purpose.",
			Advice: "Ask the owner what it is for, and who may use it.",
		},
		fingerprint.PossibleC2: {
			Title:  "Possible command-and-control listener - needs a person",
			Many:   "possible command-and-control listeners",
			Why:    "What it answered is known from command-and-control servers.",
			Else:   "The own red team, a training lab, a copy of a default certificate, or a honeypot.",
			Advice: ask,
		},
		fingerprint.Middlebox: {
			Title:  "Something in front answers",
			Many:   "with something in front that answers",
			Why:    "A filter, proxy or honeypot answers for the host, or a service that closes at once on whom it does not know; what is behind it was not seen.",
			Advice: "Scan from a vantage behind that device, or ask the host itself.",
		},
		fingerprint.Tarpit: {
			Title:  "Tarpit",
			Many:   "tarpits",
			Why:    "It holds connections to waste a scanner's time; no service was seen.",
			Advice: "Ask whoever runs the trap whether it should be here.",
		},
		fingerprint.Unidentified: {
			Title:  "Something answers that could not be named",
			Many:   "that could not be named",
			Why:    "That is common, and it is not evidence of an attack; that no sign of one was found does not make it clean either.",
			Advice: "Ask the host which process listens (ss -ltnp on Linux, Get-NetTCPConnection -LocalPort on Windows).",
		},
	}
}

// attention reports whether a person should look at the finding, and the word
// for the reason.
func attention(f *Finding) (why string, ok bool) {
	why, ok = suspicion(f)
	switch {
	case !breach(f):
		return why, ok
	case ok:
		return "against the policy, " + why, true
	default:
		return "against the policy", true
	}
}

// breach reports whether the policy forbids the finding.
func breach(f *Finding) bool { return f.Expected == "no" }

// suspicion is attention without the policy.
func suspicion(f *Finding) (why string, ok bool) {
	switch {
	case f.Verdict == fingerprint.PossibleC2:
		return "possible C2", true
	case f.Verdict == fingerprint.OpenShell:
		return "open shell", true
	case slices.Contains(f.Flags, "debugger"):
		return "debugger", true
	case Exposed(f):
		why = exposureWords(f)
		if i := slices.IndexFunc(f.Flags, exposes); i >= 0 {
			why += ", " + escape(f.Flags[i], maxText)
		}
		return why, true
	case slices.ContainsFunc(f.Flags, exposes):
		flag := f.Flags[slices.IndexFunc(f.Flags, exposes)]
		return "exposed (" + escape(flag, maxText) + ")", true
	case !breach(f) && (f.Severity == "high" || f.Severity == "critical"): // a breach's own severity is no second reason
		return "severity " + f.Severity, true
	default:
		return "", false
	}
}

// exposes reports whether a flag says that more is reachable than should be.
func exposes(flag string) bool {
	switch flag {
	case "exposed", "acc_reachable", "open_socks", "no_authentication", "code_execution", "debug_mode":
		return true
	default:
		return strings.HasPrefix(flag, "udp_amplifier")
	}
}

// gravity orders findings that need attention: the gravest is the lowest. What
// the policy forbids comes before everything that is only suspicious.
func gravity(f *Finding) int {
	const forbidden = -10 // before all that is only suspicious
	n := 5
	switch {
	case f.Verdict == fingerprint.PossibleC2:
		n = 1
	case f.Verdict == fingerprint.OpenShell:
		n = 2
	case slices.Contains(f.Flags, "debugger"):
		n = 3
	case Exposed(f):
		n = 4
	}
	if breach(f) {
		n += forbidden
	}
	return n
}

// concerns says whom a finding is for, as far as the policy knows, in printable
// ASCII. A ticket alone is that of the scan.
func concerns(f *Finding) string {
	if f.Owner == "" && !breach(f) {
		return ""
	}
	var parts []string
	if f.Owner != "" {
		parts = append(parts, "owner "+f.Owner)
	}
	if f.Ticket != "" {
		parts = append(parts, "ticket "+f.Ticket)
	}
	return escape(strings.Join(parts, ", "), maxText)
}

// byAttention returns the findings that a person should look at, the gravest
// first.
func byAttention(all []Finding) []*Finding {
	var list []*Finding
	for i := range all {
		if _, need := attention(&all[i]); need {
			list = append(list, &all[i])
		}
	}
	slices.SortStableFunc(list, func(a, b *Finding) int { return gravity(a) - gravity(b) })
	return list
}

// changed reports whether the finding differs from the last comparable run.
func changed(f *Finding) bool { return differs(f.Change) }

// differs is changed, of the word of the column change.
func differs(word string) bool {
	switch word {
	case "", "same", "first_run", "not_scanned":
		return false
	default: // new, gone, missing, changed, moved
		return true
	}
}

// name is the best name for what answers: product, else what was proved to be
// spoken, with the verdict's reason.
func name(f *Finding) string {
	if f.Product != "" {
		return f.Product
	}
	if f.Full == nil || f.Full.Reason == "" {
		return f.Service
	}
	reason := strings.ReplaceAll(f.Full.Reason, "_", " ")
	switch f.Service {
	case "", "unknown", "silent":
		return reason
	default:
		return f.Service + " (" + reason + ")"
	}
}

// endpoint is "10.0.0.1:1947/tcp".
func endpoint(f *Finding) string { return target(f).String() }

// title is the finding in a heading, in printable ASCII: what, and where.
func title(f *Finding) string {
	t := explain(f).Title
	if n := name(f); n != "" && n != "unknown" && n != "silent" {
		t += ": " + n
	}
	return escape(t, maxText) + " on " + endpoint(f)
}

// sentence says the finding in one line of plain words, in printable ASCII.
func sentence(f *Finding) string {
	var b strings.Builder
	b.WriteString(endpoint(f) + " is " + strings.ReplaceAll(f.State.String(), "_", " or "))
	if f.Verdict != 0 {
		b.WriteString(", verdict " + f.Verdict.String() + " with confidence " + confidence(f))
	}
	if n := name(f); n != "" {
		b.WriteString(": " + n)
		if f.Version != "" {
			b.WriteString(" " + f.Version)
		}
	}
	return escape(b.String(), maxText) + "."
}
