package scanner

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"go4.org/netipx"
)

// maxPieces is the largest number of separate ranges that one wildcard may
// stand for: "10.*.*.1" is the largest of its kind.
const maxPieces = 1 << 16

// wantForm says what a target may look like.
const wantForm = "want an address, CIDR, range (10.0.0.5-10.0.1.9 or 10.0.0.5-9), wildcard (10.0.*.*) or host name"

// errZoned refuses zones in ranges and prefixes.
var errZoned = errors.New("has a zone: want link-local addresses one by one, as in fe80::1%eth0")

// form is one target or exclusion as written: ranges, or one address with a
// zone, or a name.
type form struct {
	ranges []netipx.IPRange
	zoned  netip.Addr
	name   string
	note   string // what was read otherwise than it was written
}

// parseForm reads one target form. The error does not repeat text.
func parseForm(text string) (form, error) {
	if addr, err := netip.ParseAddr(text); err == nil {
		return single(addr)
	}
	switch {
	case text == "":
		return form{}, errors.New("is empty: " + wantForm)
	case strings.Contains(text, "/"):
		return parseCIDR(text)
	case strings.Contains(text, ":"):
		return parseIPv6Range(text)
	case strings.Trim(text, "0123456789.*-") == "":
		return parseIPv4Range(text)
	}
	if err := checkName(text); err != nil {
		return form{}, err
	}
	return form{name: text}, nil
}

// single is the form of one address.
func single(addr netip.Addr) (form, error) {
	if addr.Zone() == "" {
		return ranged(addr.Unmap(), addr.Unmap())
	}
	if strings.ContainsAny(addr.Zone(), ":%/") { // netip takes anything for a zone
		return form{}, errZoned
	}
	if !addr.IsLinkLocalUnicast() {
		return form{}, errors.New("has a zone and is not link-local: want the address alone")
	}
	return form{zoned: addr}, nil
}

// ranged is the form of all addresses from first to last, in this order.
func ranged(first, last netip.Addr) (form, error) {
	r := netipx.IPRangeFrom(first, last)
	if !r.IsValid() {
		return form{}, fmt.Errorf("goes from %v to %v: want the lower address first, both of one family", first, last)
	}
	return form{ranges: []netipx.IPRange{r}}, nil
}

// parseCIDR reads ADDRESS/BITS. Host bits are masked, and noted.
func parseCIDR(text string) (form, error) {
	before, after, _ := strings.Cut(text, "/")
	addr, err := netip.ParseAddr(before)
	if err != nil || addr.Zone() != "" {
		return form{}, errors.New("has no plain address before the slash: want 10.0.0.0/24 or fd00::/120")
	}
	bits, err := parseNumber(after, addr.BitLen())
	if err != nil {
		return form{}, fmt.Errorf("prefix length %w", err)
	}
	if addr.Is4In6() {
		if bits < 96 {
			return form{}, errors.New("prefix length cuts through the IPv4-mapped block: want the IPv4 form")
		}
		addr, bits = addr.Unmap(), bits-96
	}
	prefix := netip.PrefixFrom(addr, bits)
	f := form{ranges: []netipx.IPRange{netipx.RangeOfPrefix(prefix)}}
	if masked := prefix.Masked(); masked != prefix {
		f.note = fmt.Sprintf("%s is read as %s", text, masked)
	}
	return f, nil
}

// parseIPv6Range reads FIRST-LAST, FIRST-HEXTET and PREFIX:*.
func parseIPv6Range(text string) (form, error) {
	bad := errors.New("is no IPv6 form: want fd00::1, fd00::1-fd00::ff, fd00::1-ff, fd00::* or fd00::/120; ports are given apart")
	if strings.Contains(text, "%") {
		return form{}, errZoned
	}
	if head, ok := strings.CutSuffix(text, ":*"); ok {
		text = head + ":0-ffff"
	}
	before, after, ok := strings.Cut(text, "-")
	first, err := netip.ParseAddr(before)
	if !ok || err != nil || after == "" {
		return form{}, bad
	}
	if !strings.Contains(after, ":") { // the last 16 bits only
		n, err := strconv.ParseUint(after, 16, 16)
		if err != nil {
			return form{}, fmt.Errorf("ends with group %q: want 0 to ffff", after)
		}
		b := first.As16()
		b[14], b[15] = byte(n>>8), byte(n)
		return ranged(first.Unmap(), netip.AddrFrom16(b).Unmap())
	}
	last, err := netip.ParseAddr(after)
	if err != nil {
		return form{}, bad
	}
	return ranged(first.Unmap(), last.Unmap())
}

// parseIPv4Range reads FIRST-LAST with two whole addresses, and patterns in
// which every octet is a number, a range or *.
func parseIPv4Range(text string) (form, error) {
	if before, after, ok := strings.Cut(text, "-"); ok && strings.Count(before, ".") == 3 && strings.Count(after, ".") == 3 {
		first, err := parseIPv4(before)
		if err != nil {
			return form{}, err
		}
		last, err := parseIPv4(after)
		if err != nil {
			return form{}, err
		}
		return ranged(first, last)
	}
	octets := strings.Split(text, ".")
	if len(octets) != 4 {
		return form{}, fmt.Errorf("is no IPv4 address and no host name: %s", wantForm)
	}
	var low, high [4]byte
	for i, octet := range octets {
		var err error
		if low[i], high[i], err = parseOctet(octet); err != nil {
			return form{}, err
		}
	}
	return product(low, high)
}

// parseIPv4 reads one address and says which octet is wrong.
func parseIPv4(text string) (netip.Addr, error) {
	var b [4]byte
	for i, octet := range strings.Split(text, ".") {
		n, err := parseNumber(octet, 255)
		if err != nil {
			return netip.Addr{}, fmt.Errorf("octet %w", err)
		}
		b[i] = byte(n)
	}
	return netip.AddrFrom4(b), nil
}

// parseOctet reads a number, a range a-b or *.
func parseOctet(text string) (low, high byte, err error) {
	if text == "*" {
		return 0, 255, nil
	}
	before, after, isRange := strings.Cut(text, "-")
	a, err := parseNumber(before, 255)
	b := a
	if err == nil && isRange {
		b, err = parseNumber(after, 255)
	}
	if err != nil {
		return 0, 0, fmt.Errorf("octet %w, a range or *", err)
	}
	if b < a {
		return 0, 0, fmt.Errorf("octet range %d-%d goes backwards: want the lower number first", a, b)
	}
	return byte(a), byte(b), nil
}

// parseNumber reads a decimal number from 0 to most. A leading zero is refused:
// some programs would read the number as octal.
func parseNumber(text string, most int) (int, error) {
	n, err := strconv.ParseUint(text, 10, 16)
	switch {
	case err != nil || int(n) > most:
		return 0, fmt.Errorf("%q: want 0 to %d", text, most)
	case text != strconv.FormatUint(n, 10):
		return 0, fmt.Errorf("%q has a leading zero, which some programs read as octal: want 0 to %d", text, most)
	}
	return int(n), nil
}

// product is the form of all addresses whose octets lie between low and high.
func product(low, high [4]byte) (form, error) {
	last := 3 // the last octet that is not whole: what follows it is contiguous
	for last > 0 && low[last] == 0 && high[last] == 255 {
		last--
	}
	pieces := 1
	for i := range last {
		pieces *= int(high[i]-low[i]) + 1
	}
	if pieces > maxPieces {
		return form{}, fmt.Errorf("stands for %d separate ranges: want at most %d", pieces, maxPieces)
	}
	f := form{ranges: make([]netipx.IPRange, 0, pieces)}
	first, end := low, low
	copy(end[last:], high[last:])
	for {
		f.ranges = append(f.ranges, netipx.IPRangeFrom(netip.AddrFrom4(first), netip.AddrFrom4(end)))
		i := last - 1 // count up in the octets before last
		for ; i >= 0 && first[i] == high[i]; i-- {
			first[i], end[i] = low[i], low[i]
		}
		if i < 0 {
			return f, nil
		}
		first[i]++
		end[i]++
	}
}

// checkName reports what keeps text from being a host name (RFC 1123 section
// 2.1, and the underscore, which is in use): the last label has a letter, so
// that a mistyped address is never looked up.
func checkName(text string) error {
	labels := strings.Split(strings.TrimSuffix(text, "."), ".")
	for _, label := range labels {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' || strings.IndexFunc(label, notInName) >= 0 {
			return errors.New("is no target form: " + wantForm)
		}
	}
	if last := labels[len(labels)-1]; len(text) > 254 || strings.Trim(last, "0123456789-") == "" {
		return errors.New("is no target form: " + wantForm)
	}
	return nil
}

func notInName(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
}
