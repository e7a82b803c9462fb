package main

import (
	"errors"
	"fmt"
	"strings"

	"dormant/registry"
)

// portList is a flag value, without duplicates, in the order given:
// "1947/tcp,5093/udp,3588,8000-8100/tcp".
type portList []registry.Port

func (l *portList) Type() string { return "PORTS" }

// String is the shortest text that Set reads as the same list.
func (l *portList) String() string { return strings.Join(portSpans(*l), ",") }

// portSpans are the ports in words; those that follow one another are one
// range.
func portSpans(ports []registry.Port) []string {
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

func (l *portList) Set(s string) error {
	var list portList
	seen := map[registry.Port]bool{}
	for item := range strings.SplitSeq(s, ",") {
		ports, err := parsePortItem(strings.TrimSpace(item))
		if err != nil {
			return fmt.Errorf("port %q: %w", strings.TrimSpace(item), err)
		}
		for _, p := range ports {
			if !seen[p] {
				seen[p] = true
				list = append(list, p)
			}
		}
	}
	*l = list
	return nil
}

// parsePortItem reads one item of the list, a number or a range; without a
// transport it is both. The error does not repeat item.
func parsePortItem(item string) ([]registry.Port, error) {
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
