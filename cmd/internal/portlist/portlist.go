package portlist

import (
	"errors"
	"fmt"
	"strings"

	"dormant/registry"
)

// Default returns the six dormant ports and their living relatives, tcp and udp
// each. The caller owns the slice.
func Default() []registry.Port {
	var list []registry.Port
	for _, n := range []uint16{3588, 3712, 3047, 1947, 5093, 475} {
		list = append(list, registry.Port{Number: n, Proto: registry.TCP}, registry.Port{Number: n, Proto: registry.UDP})
	}
	return list
}

// Parse reads items between commas, a number or a range each, alone or with
// /tcp or /udp; without a transport it is both. The ports come without
// duplicates, in the order given.
func Parse(s string) ([]registry.Port, error) {
	var list []registry.Port
	seen := map[registry.Port]bool{}
	for item := range strings.SplitSeq(s, ",") {
		ports, err := parseItem(strings.TrimSpace(item))
		if err != nil {
			return nil, fmt.Errorf("port %q: %w", strings.TrimSpace(item), err)
		}
		for _, p := range ports {
			if !seen[p] {
				seen[p] = true
				list = append(list, p)
			}
		}
	}
	return list, nil
}

// parseItem reads one item of the list. The error does not repeat it.
func parseItem(item string) ([]registry.Port, error) {
	numbers, proto, one := strings.Cut(item, "/")
	before, after, isRange := strings.Cut(numbers, "-")
	first, err := registry.ParseNumber(before)
	last := first
	if err == nil && isRange {
		last, err = registry.ParseNumber(after)
	}
	switch {
	case err != nil:
		return nil, errors.New("want a number from 1 to 65535 or a range like 8000-8100, alone or with /tcp or /udp")
	case last < first:
		return nil, errors.New("the range goes backwards: want the lower number first")
	}
	protos := []registry.Proto{registry.TCP, registry.UDP}
	if one {
		p, err := registry.ParseProto(proto)
		if err != nil {
			return nil, errors.New("want tcp or udp behind the slash")
		}
		protos = []registry.Proto{p}
	}
	ports := make([]registry.Port, 0, len(protos)*(int(last-first)+1))
	for _, p := range protos {
		for n := int(first); n <= int(last); n++ {
			ports = append(ports, registry.Port{Number: uint16(n), Proto: p})
		}
	}
	return ports, nil
}

// Spans are the ports in words; those that follow one another are one range.
// Joined by commas they are what Parse reads as the same list.
func Spans(ports []registry.Port) []string {
	var spans []string
	for i := 0; i < len(ports); {
		first, n := ports[i], 1
		for i+n < len(ports) && ports[i+n].Proto == first.Proto && int(ports[i+n].Number) == int(first.Number)+n {
			n++
		}
		span := first.String()
		if n > 1 {
			span = fmt.Sprintf("%d-%v", first.Number, ports[i+n-1])
		}
		spans = append(spans, span)
		i += n
	}
	return spans
}
