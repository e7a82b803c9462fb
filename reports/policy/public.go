package policy

import (
	"net/netip"
	"slices"
)

// Public reports whether an address is routed on the public Internet, as far as
// the address itself tells. Of a block that embeds an IPv4 address (6to4, the
// well-known prefix of NAT64, mapped addresses) that one decides. An address
// with a zone is not public.
//
// The blocks are those that IANA's IPv4 and IPv6 special-purpose address
// registries (RFC 6890) call not globally reachable, with the RFC of each. Of
// IPv6 only what IANA hands out as global unicast, 2000::/3 (RFC 4291), can be
// public at all.
func Public(addr netip.Addr) bool {
	if !addr.IsValid() || addr.Zone() != "" {
		return false
	}
	if addr = addr.Unmap(); addr.Is6() {
		if inner, ok := embedded(addr); ok {
			return Public(inner)
		}
		if !netip.MustParsePrefix("2000::/3").Contains(addr) {
			return false
		}
	}
	holds := func(p netip.Prefix) bool { return p.Contains(addr) }
	return slices.ContainsFunc(reachable(), holds) || !slices.ContainsFunc(special(), holds)
}

// embedded returns the IPv4 address inside of a translated one.
func embedded(addr netip.Addr) (netip.Addr, bool) {
	b := addr.As16()
	switch {
	case netip.MustParsePrefix("64:ff9b::/96").Contains(addr): // RFC 6052 section 2.1
		return netip.AddrFrom4([4]byte(b[12:])), true
	case netip.MustParsePrefix("2002::/16").Contains(addr): // RFC 3056 section 2
		return netip.AddrFrom4([4]byte(b[2:])), true
	default:
		return netip.Addr{}, false
	}
}

// special returns the blocks that are not globally reachable.
func special() []netip.Prefix {
	return prefixes(
		"0.0.0.0/8",       // RFC 791: this network
		"10.0.0.0/8",      // RFC 1918: private
		"100.64.0.0/10",   // RFC 6598: between a provider and its customers
		"127.0.0.0/8",     // RFC 1122: loopback
		"169.254.0.0/16",  // RFC 3927: link-local
		"172.16.0.0/12",   // RFC 1918
		"192.0.0.0/24",    // RFC 6890: IETF protocol assignments
		"192.0.2.0/24",    // RFC 5737: documentation
		"192.88.99.0/24",  // RFC 7526: the 6to4 relays of old
		"192.168.0.0/16",  // RFC 1918
		"198.18.0.0/15",   // RFC 2544: benchmarks
		"198.51.100.0/24", // RFC 5737
		"203.0.113.0/24",  // RFC 5737
		"224.0.0.0/4",     // RFC 5771: multicast, no host
		"240.0.0.0/4",     // RFC 1112: reserved, with the broadcast address

		"2001::/23",     // RFC 2928: IETF protocol assignments, with Teredo, benchmarks and ORCHID
		"2001:db8::/32", // RFC 3849: documentation
		"3fff::/20",     // RFC 9637: documentation
	)
}

// reachable returns the exceptions inside of special.
func reachable() []netip.Prefix {
	return prefixes(
		"192.0.0.9/32", "192.0.0.10/32", // RFC 7723, RFC 8155: anycast of PCP and TURN
		"2001:1::1/128", "2001:1::2/128", // the same in IPv6
		"2001:3::/32",     // RFC 7450: AMT
		"2001:4:112::/48", // RFC 7535: AS112
		"2001:20::/28",    // RFC 7343: ORCHIDv2, an identifier that may be routed
		"2001:30::/28",    // RFC 9374: drone identifiers
	)
}

func prefixes(texts ...string) []netip.Prefix {
	all := make([]netip.Prefix, len(texts))
	for i, text := range texts {
		all[i] = netip.MustParsePrefix(text)
	}
	return all
}
