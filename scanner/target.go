package scanner

import (
	"net/netip"

	"dormant/registry"
)

// Target is one address and port to ask. The address is unmapped and carries
// a zone only where it is IPv6 link-local.
type Target struct {
	Addr netip.Addr
	Port registry.Port
}

// String returns "10.0.0.1:1947/tcp", an IPv6 address in brackets.
func (t Target) String() string {
	return netip.AddrPortFrom(t.Addr, t.Port.Number).String() + "/" + t.Port.Proto.String()
}

// Compare orders by address, then transport, then port number.
func (t Target) Compare(u Target) int {
	if c := t.Addr.Compare(u.Addr); c != 0 {
		return c
	}
	return t.Port.Compare(u.Port)
}

// Probe is one question to a target.
type Probe struct {
	Target
	// Payload is the datagram to send to a UDP port, at most 256 bytes, nil or
	// empty for an empty datagram. It is shared and must not be changed.
	Payload []byte
	// Attempt counts from 0; retries of the same target have 1, 2, …
	Attempt uint8
}
