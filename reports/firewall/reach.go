package firewall

import (
	"net/netip"
	"slices"

	"dormant/scanner"
)

// clientPorts are the ports that a client may speak from: all that need no
// privilege. Every system takes its ephemeral ports from among them (RFC 6056
// section 3.2).
func clientPorts() Ports { return NewSet(Span[Port]{1024, 65535}) }

// Access is what becomes of some clients that use a service: the first packet,
// the answer, and what follows.
type Access struct {
	Clients Addrs
	Effect  Effect
	Rule    *Rule  // decided; nil for a policy
	Chain   *Chain // nil where nothing decided
	Phase   Phases // the moment that decided: First where all pass
	Why     []Reason

	lost bool // as Outcome.Lost
}

// Reach says who of clients can use the service: a partition of clients. The
// path is that of place. A client passes when every packet of its flow does,
// from whichever source port.
func (rs *RuleSet) Reach(place Place, clients Addrs, service scanner.Target) []Access {
	return rs.reach(place, clients, service, new(patience))
}

func (rs *RuleSet) reach(place Place, clients Addrs, service scanner.Target, p *patience) []Access {
	path, ok := rs.Paths[place]
	out := []Access{}
	if foreign := clients.Subtract(rs.Domain); !foreign.Empty() || !rs.Domain.Contains(service.Addr) {
		if !rs.Domain.Contains(service.Addr) {
			foreign = clients
		}
		out = append(out, Access{Clients: foreign, Effect: Unknown, Phase: First,
			Why: []Reason{{Text: "the rules do not speak of this address family"}}})
		clients = clients.Subtract(foreign)
	}
	if clients.Empty() {
		return out
	}
	if !ok {
		return append(out, Access{Clients: clients, Effect: Unknown, Phase: First,
			Why: []Reason{{Text: "the file has no rules for a " + place.String()}}})
	}
	server, port, proto := oneAddr(service.Addr), onePort(service.Port.Number), protoBit(service.Port.Proto)
	request := func(who Addrs) Box { return Box{proto, who, server, clientPorts(), port} }
	reply := func(who Addrs) Box { return Box{proto, server, who, port, clientPorts()} }
	source := func(b Box) Addrs { return b.Src }
	dest := func(b Box) Addrs { return b.Dst }

	all := byClient(p.judge(path.Request, request(clients), First), source, First)
	if !rs.Stateful {
		all = andThen(all, func(who Addrs) []Access { return byClient(p.judge(path.Request, request(who), Later), source, Later) })
		if path.Reply != nil {
			all = andThen(all, func(who Addrs) []Access { return byClient(p.judge(path.Reply, reply(who), Reply), dest, Reply) })
		}
	}
	return append(out, all...)
}

// byClient turns outcomes, which may differ by the client's port, into one
// answer for each client.
func byClient(outcomes []Outcome, who func(Box) Addrs, phase Phases) []Access {
	var all []Access
	for _, o := range outcomes {
		left := who(o.Box)
		var next []Access
		for _, a := range all {
			both := a.Clients.Intersect(left)
			if both.Empty() {
				next = append(next, a)
				continue
			}
			left = left.Subtract(both)
			if rest := a.Clients.Subtract(both); !rest.Empty() {
				b := a
				b.Clients = rest
				next = append(next, b)
			}
			a.Clients = both
			if a.Effect != o.Effect {
				a = a.portMatters(o)
			} else {
				a.Why = union(a.Why, o.Why)
			}
			a.lost = a.lost || o.Lost
			next = append(next, a)
		}
		if !left.Empty() {
			next = append(next, Access{left, o.Effect, o.Rule, o.Chain, phase, o.Why, o.Lost})
		}
		all = next
	}
	return all
}

// portMatters is what is known of clients that pass from one port and not from
// another.
func (a Access) portMatters(o Outcome) Access {
	reason := Reason{Text: "it depends on the port that the client speaks from"}
	for _, r := range []*Rule{a.Rule, o.Rule} {
		if r != nil && (reason.Rule == "" || r.Action == Drop) {
			reason.Rule, reason.Line = r.ID, r.Line
		}
	}
	a.Effect, a.Why = Unknown, union(union(a.Why, o.Why), []Reason{reason})
	if a.Rule == nil {
		a.Rule, a.Chain = o.Rule, o.Chain
	}
	return a
}

// andThen asks for the next moment of the flows that may have passed so far.
func andThen(all []Access, judge func(Addrs) []Access) []Access {
	var out []Access
	for _, a := range all {
		if a.Effect == Deny || a.lost {
			out = append(out, a)
			continue
		}
		for _, b := range judge(a.Clients) {
			switch {
			case b.Effect == Deny:
			case a.Effect == Unknown:
				b.Effect, b.Rule, b.Chain, b.Phase, b.Why = Unknown, a.Rule, a.Chain, a.Phase, union(a.Why, b.Why)
			case b.Effect == Allow: // the rule for the first packet says more
				b.Rule, b.Chain, b.Phase = a.Rule, a.Chain, a.Phase
			}
			out = append(out, b)
		}
	}
	return out
}

func union(a, b []Reason) []Reason {
	for _, r := range b {
		if !slices.Contains(a, r) {
			a = append(slices.Clip(a), r)
		}
	}
	return a
}

// with returns the clients that have the effect.
func with(all []Access, e Effect) Addrs {
	var spans []Span[netip.Addr]
	for _, a := range all {
		if a.Effect == e {
			spans = append(spans, a.Clients.spans...)
		}
	}
	return NewSet(spans...)
}

// of returns what becomes of one client.
func of(all []Access, client netip.Addr) Access {
	for _, a := range all {
		if a.Clients.Contains(client) {
			return a
		}
	}
	return Access{Clients: oneAddr(client), Effect: Unknown, Phase: First, Why: []Reason{{Text: "the client was not asked about"}}}
}

// rule names what decided, and its line; "" where nothing did.
func (a *Access) rule() (id string, line int) {
	switch {
	case a.Rule != nil:
		return a.Rule.ID, a.Rule.Line
	case a.Chain != nil:
		return a.Chain.Name + " policy", a.Chain.PolicyLine
	default:
		return "", 0
	}
}
