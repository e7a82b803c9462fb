package firewall

import (
	"net/netip"
	"strings"
)

// hooks is a set of the places where netfilter calls chains, as bits.
type hooks uint8

const (
	hookEarly hooks = 1 << iota // ingress, prerouting: no outgoing interface yet
	hookInput                   // no outgoing interface
	hookForward
	hookOutput // no incoming interface
	hookLate   // postrouting, egress: the incoming one is forgotten by some kernels
)

// hookOf returns the bit of a hook by its name in lower case, 0 for a chain
// without one.
func hookOf(name string) hooks {
	return map[string]hooks{"ingress": hookEarly, "prerouting": hookEarly, "input": hookInput, "forward": hookForward,
		"output": hookOutput, "postrouting": hookLate, "egress": hookLate}[name]
}

// spread says for each chain from which hooks packets come to it; base holds
// the base chains.
func spread(base map[*Chain]hooks) map[*Chain]hooks {
	at := map[*Chain]hooks{}
	var visit func(c *Chain, h hooks)
	visit = func(c *Chain, h hooks) {
		if at[c]&h == h {
			return
		}
		at[c] |= h
		for _, r := range c.Rules {
			if r.Target != nil {
				visit(r.Target, h)
			}
		}
	}
	for c, h := range base {
		visit(c, h)
	}
	return at
}

// trackedFrom is the priority of conntrack at prerouting and output: chains
// before it see no states (nf_ip_hook_priorities of the kernel).
const trackedFrom = -200

// beforeTracking marks the chains that packets come to before conntrack, which
// stands at prerouting and output.
func (n *nft) beforeTracking() {
	base := map[*Chain]hooks{}
	for _, c := range n.order {
		if c.Hook == "ingress" || (c.Hook == "prerouting" || c.Hook == "output") && c.Prio <= trackedFrom {
			base[&c.chain] = hookEarly
		}
	}
	at := spread(base)
	for _, c := range n.order {
		c.early = at[&c.chain] != 0
	}
}

// face returns the packets that come in or go out by an interface, in a chain
// that is called at the given hooks; why is set where that cannot be said.
func (p *parser) face(name string, in bool, at hooks) (box Box, why string) {
	missing := hookEarly | hookInput
	if in {
		missing = hookOutput
	}
	switch {
	case name == "lo" || at != 0 && at&^missing == 0: // there is no such interface here
		return Box{}, ""
	case at&missing != 0 || in && at&hookLate != 0:
		return Box{}, "interface " + shown(name) + " in a chain that is also called where packets have none"
	}
	addrs, ok := p.behind(name)
	switch {
	case !ok:
		return Box{}, "interface " + shown(name) + ": say what lies behind it with --assume zone=" + shown(name) + ":NETWORKS"
	case in:
		return srcBox(addrs), ""
	default:
		return dstBox(addrs), ""
	}
}

func multicastAddrs() Addrs {
	return prefixSet(netip.MustParsePrefix("224.0.0.0/4"), netip.MustParsePrefix("ff00::/8"))
}

func broadcastAddrs() Addrs {
	return oneAddr(netip.IPv4Unspecified()).Union(oneAddr(netip.AddrFrom4([4]byte{255, 255, 255, 255})))
}

func unicastAddrs() Addrs { return AnyAddr().Subtract(multicastAddrs()).Subtract(broadcastAddrs()) }

// addressType returns the addresses of a type of the kernel's routing tables, in
// a chain that is called at the given hooks; why is set where that cannot be
// said.
func (p *parser) addressType(name string, src bool, at hooks) (addrs Addrs, why string) {
	own, other := hookInput, hookOutput
	if src {
		own, other = other, own
	}
	switch strings.ToLower(name) {
	case "multicast":
		return multicastAddrs(), ""
	case "broadcast":
		p.assumed("no client and no service has the broadcast address of a network")
		return broadcastAddrs(), ""
	case "local":
		self, ok := p.given(AssumeSelf, "", "are the firewall's own")
		switch {
		case ok:
			return self, ""
		case at == own: // routing has said so
			return unicastAddrs(), ""
		case at != 0 && at&^(hookForward|other) == 0:
			return Addrs{}, ""
		}
		return Addrs{}, "which addresses are the firewall's own is not in the file: say so with --assume self:ADDRESSES"
	default:
		return Addrs{}, "addresses of type " + shown(name)
	}
}

// packetType returns the destinations of packets whose frames are of a type.
func (p *parser) packetType(name string) (addrs Addrs, why string) {
	switch name {
	case "multicast", "broadcast":
		return p.addressType(name, false, 0)
	case "unicast", "host":
		return unicastAddrs(), ""
	default:
		return Addrs{}, "packets of type " + shown(name)
	}
}

// reversePath takes for granted what filters on the reverse path ask for.
func (p *parser) reversePath() {
	p.assumed("packets come in where their answers go out: rules on the reverse path hold nobody up")
}
