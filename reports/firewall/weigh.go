package firewall

import "slices"

// weigh says what becomes of the service as a whole. Clients that were seen
// weigh most; without any, it is who could have come before the change.
func (s *Service) weigh(q *Question, before, after []Access, lost, gained Addrs) {
	decided := func(effect string, by *Access, evidence string) {
		s.Effect, s.Evidence = effect, evidence
		if by != nil {
			s.Rule, s.Line = by.rule()
			if effect == Unjudged {
				s.Why = by.Why
			}
		}
	}
	for _, effect := range []string{Cut, Unjudged} {
		if i := slices.IndexFunc(s.Clients, func(c Client) bool { return c.Effect == effect }); i >= 0 {
			a := of(after, s.Clients[i].Addr)
			decided(effect, &a, "clients were seen")
			return
		}
	}
	allow, deny, unknown := with(after, Allow), with(after, Deny), with(after, Unknown)
	first := func(e Effect, within Addrs) *Access {
		for _, a := range after {
			if a.Effect == e && (within.Empty() || !a.Clients.Intersect(within).Empty()) {
				return &a
			}
		}
		return nil
	}
	switch nobody := !slices.ContainsFunc(s.Clients, func(c Client) bool { return c.Effect == Kept || c.Effect == Opened }); {
	case before == nil && !nobody:
		decided(Kept, first(Allow, Addrs{}), "all clients that were seen pass")
	case before == nil && !unknown.Empty():
		decided(Unjudged, first(Unknown, Addrs{}), "no client was seen, and some sources cannot be judged")
	case before == nil && allow.Empty():
		decided(Cut, first(Deny, Addrs{}), "nobody passes, and the service was found open")
	case before == nil && deny.Empty():
		decided(Kept, first(Allow, Addrs{}), "everybody passes")
	case before == nil:
		decided(Unjudged, first(Deny, Addrs{}), "no client was seen, and the current rules are not given: who loses access is not known")
	case nobody && !lost.Empty():
		decided(Cut, first(Deny, lost), "sources lose access, and no client was seen")
	case nobody && !with(before, Allow).Union(with(before, Unknown)).Intersect(unknown).Empty():
		decided(Unjudged, first(Unknown, with(before, Allow)), "no client was seen, and some sources cannot be judged")
	case !gained.Empty():
		decided(Opened, first(Allow, gained), "sources gain access")
	case allow.Empty() && with(before, Allow).Empty():
		decided(Kept, first(Deny, Addrs{}), "nobody passes, before the change and after it")
	case nobody:
		decided(Kept, first(Allow, Addrs{}), "whoever passed before passes after it")
	default:
		decided(Kept, first(Allow, Addrs{}), "all clients that were seen pass")
	}
}
