package registry

import (
	"fmt"
	"strconv"
	"strings"
)

// Proto is a transport protocol, by its number in IANA's protocol registry.
// The zero value means "not set" and is refused at every border.
type Proto uint8

// The transport protocols that are probed.
const (
	TCP Proto = 6
	UDP Proto = 17
)

// String returns "tcp" or "udp", and "proto(n)" for anything else.
func (p Proto) String() string {
	switch p {
	case TCP:
		return "tcp"
	case UDP:
		return "udp"
	default: // foreign input
		return "proto(" + strconv.Itoa(int(p)) + ")"
	}
}

// ParseProto reads "tcp" or "udp"; nothing else is accepted.
func ParseProto(s string) (Proto, error) {
	switch s {
	case "tcp":
		return TCP, nil
	case "udp":
		return UDP, nil
	default:
		return 0, fmt.Errorf("registry: transport %q: want tcp or udp", s)
	}
}

// MarshalText returns "tcp" or "udp", and nothing for the zero value.
func (p Proto) MarshalText() ([]byte, error) {
	if p == 0 {
		return nil, nil
	}
	return []byte(p.String()), nil
}

// UnmarshalText reads what MarshalText writes.
func (p *Proto) UnmarshalText(text []byte) (err error) {
	if len(text) == 0 {
		*p = 0
		return nil
	}
	*p, err = ParseProto(string(text))
	return err
}

// Port is one transport endpoint number, written "1947/tcp".
// The zero value is no port.
type Port struct {
	Number uint16 // 1 to 65535
	Proto  Proto
}

// ParsePort reads the form "1947/tcp": a decimal number from 1 to 65535
// without sign or leading zero, a slash, and tcp or udp in lower case.
func ParsePort(s string) (Port, error) {
	number, proto, ok := strings.Cut(s, "/")
	if !ok {
		return Port{}, fmt.Errorf("registry: port %q: want NUMBER/tcp or NUMBER/udp", s)
	}
	n, err := ParseNumber(number)
	if err != nil {
		return Port{}, err
	}
	p, err := ParseProto(proto)
	if err != nil {
		return Port{}, fmt.Errorf("registry: port %q: want tcp or udp behind the slash", s)
	}
	return Port{Number: n, Proto: p}, nil
}

// ParseNumber reads a decimal port number from 1 to 65535 without sign or
// leading zero.
func ParseNumber(s string) (uint16, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n == 0 || s[0] == '0' || s[0] == '+' {
		return 0, fmt.Errorf("registry: port number %q: want 1 to 65535", s)
	}
	return uint16(n), nil
}

// String returns the text form, "1947/tcp".
func (p Port) String() string {
	return strconv.Itoa(int(p.Number)) + "/" + p.Proto.String()
}

// Compare orders by transport, then by number: tcp before udp.
func (p Port) Compare(q Port) int {
	if p.Proto != q.Proto {
		return int(p.Proto) - int(q.Proto)
	}
	return int(p.Number) - int(q.Number)
}

// MarshalText returns the text form.
func (p Port) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads the text form.
func (p *Port) UnmarshalText(text []byte) error {
	q, err := ParsePort(string(text))
	if err != nil {
		return err
	}
	*p = q
	return nil
}
