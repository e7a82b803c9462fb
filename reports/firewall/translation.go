package firewall

// translated makes rules that change the source unknown where a chain would see
// it: late are the base chains that requests pass after the change, early those
// that answers pass before it is undone. Behind all filters, where source
// translation usually stands, nobody sees it.
func (p *parser) translated(early, late []*Chain) {
	seen := ""
	for _, c := range late {
		if c.Policy != Allow || len(c.Rules) > 0 {
			seen = c.Name
		}
	}
	base := map[*Chain]hooks{}
	for _, c := range early {
		base[c] = hookEarly
	}
	for c := range spread(base) {
		for _, r := range c.Rules {
			if r.ID != "" && r.Action != Pass && r.byDestination() && (seen == "" || c.Name < seen) {
				seen = c.Name
			}
		}
	}
	if seen == "" {
		return
	}
	for _, c := range p.set.Chains {
		for _, r := range c.Rules {
			if r.translates {
				r.Action, r.Doubts = Obscure, append(r.Doubts, "source translation, which chain "+seen+" sees")
			}
		}
	}
}

// byDestination reports whether a rule tells one destination from another of
// the same family.
func (r *Rule) byDestination() bool {
	for _, b := range r.Boxes {
		for _, family := range []Addrs{AnyIPv4(), AnyIPv6()} {
			if here := b.Dst.Intersect(family); !here.Empty() && !here.Equal(family) {
				return true
			}
		}
	}
	return false
}
