package firewall

import (
	"cmp"
	"slices"
)

// nftChain is a chain; one with a hook is a base chain.
type nftChain struct {
	Family string `json:"family"`
	Table  string `json:"table"`
	Name   string `json:"name"`
	Type   string `json:"type"`
	Hook   string `json:"hook"`
	Prio   int    `json:"prio"`
	Policy string `json:"policy"`
	Dev    any    `json:"dev"`

	chain Chain
	own   int  // rules of ours at the beginning
	early bool // packets may come here before their connection is tracked
}

// begin makes the chain, without its rules.
func (n *nft) begin(c *nftChain) error {
	chain := &c.chain
	chain.Name = shown(c.Family + " " + c.Table + " " + c.Name)
	if c.Family == "arp" {
		return nil
	}
	n.set.Chains = append(n.set.Chains, chain)
	if n.dormant(c) {
		c.Hook = ""
	}
	if c.Hook == "" {
		return nil
	}
	switch c.Policy {
	case "accept", "":
		chain.Policy = Allow
	case "drop":
		chain.Policy = Deny
	default:
		return n.errorf(chain.PolicyLine, "policy %q: want accept or drop", shown(c.Policy))
	}
	other := Addrs{} // what this table never sees
	switch c.Family {
	case "ip":
		other = AnyIPv6()
	case "ip6":
		other = AnyIPv4()
	case "bridge":
		chain.Doubts = append(chain.Doubts, "whether packets pass table "+c.Family+" "+shown(c.Table)+" depends on the interfaces")
	}
	bypass := []Box{srcBox(other)}
	if c.Hook == "ingress" || c.Hook == "egress" {
		elsewhere, why := n.elsewhere(c)
		if why != "" {
			chain.Doubts = append(chain.Doubts, "whether packets pass "+chain.Name+" depends on the "+why)
		}
		bypass = append(bypass, elsewhere...)
	}
	if bypass = slices.DeleteFunc(bypass, Box.Empty); len(bypass) > 0 { // a rule without a name is ours
		chain.Rules = append(chain.Rules, &Rule{Line: chain.PolicyLine, Boxes: bypass, Phases: AllPhases, Action: Accept})
		c.own = 1
	}
	return nil
}

// elsewhere returns the packets that come in or go out by none of the devices of
// a chain; why is set where that cannot be said.
func (n *nft) elsewhere(c *nftChain) (boxes []Box, why string) {
	devices, several := c.Dev.([]any)
	if !several {
		devices = []any{c.Dev}
	}
	boxes = []Box{Everything()}
	for _, device := range devices {
		name, ok := device.(string)
		if !ok {
			return nil, "interface"
		}
		here, why := n.face(name, c.Hook == "ingress", hookOf(c.Hook))
		if why != "" {
			return nil, why
		}
		boxes = subtractAll(boxes, []Box{here})
	}
	return boxes, ""
}

// when is the priority at which netfilter calls a base chain.
func (c *nftChain) when() int {
	switch {
	case c.Type != "nat":
		return c.Prio
	case c.Hook == "prerouting" || c.Hook == "output":
		return natDestination
	default:
		return natSource
	}
}

// paths puts the base chains in the order in which netfilter calls them: by
// hook and priority, translation first where that leaves it open.
func (n *nft) paths() {
	called := slices.SortedStableFunc(slices.Values(n.order), func(a, b *nftChain) int {
		if by := cmp.Compare(a.when(), b.when()); by != 0 || (a.Type == "nat") == (b.Type == "nat") {
			return cmp.Or(by, cmp.Compare(a.Prio, b.Prio))
		}
		if a.Type == "nat" {
			return -1
		}
		return 1
	})
	pick := func(keep func(c *nftChain) bool, hooks ...string) (out []*Chain) {
		for _, hook := range hooks {
			for _, c := range called {
				if c.Hook == hook && c.Family != "arp" && keep(c) {
					out = append(out, &c.chain)
				}
			}
		}
		return out
	}
	for _, c := range called {
		for _, d := range called { // of the same priority, the kernels of today call the newer first, those of old the older
			if c != d && c.Type == "nat" && d.Type == "nat" && c.Hook == d.Hook && d.Prio <= c.Prio && (c.Family == d.Family || c.Family == "inet" || d.Family == "inet") {
				c.chain.Doubts = append(c.chain.Doubts, "what chain "+d.chain.Name+" translates does not come to "+c.chain.Name)
			}
		}
	}
	nat := func(c *nftChain) bool { return c.Type == "nat" }
	early := func(c *nftChain) bool { return c.Type != "nat" && c.when() <= natDestination }
	late := func(c *nftChain) bool { return c.Type != "nat" && c.when() >= natSource }
	n.translated(pick(nat, "postrouting"), pick(early, "ingress", "prerouting"), pick(late, "postrouting", "egress"))
	n.translated(pick(nat, "input"), pick(early, "output"), pick(late, "input"))

	all := func(*nftChain) bool { return true }
	through := pick(all, "ingress", "prerouting", "forward", "postrouting", "egress")
	n.set.Paths[Router] = Path{Request: through, Reply: through}
	n.set.Paths[Server] = Path{Request: pick(all, "ingress", "prerouting", "input"), Reply: pick(all, "output", "postrouting", "egress")}
}
