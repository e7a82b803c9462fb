package listen

import (
	"fmt"
	"net/netip"
	"time"

	"dormant/registry"
)

// Client is one address that was seen to use, or to try to use, one port of
// one server. The zero value is nobody.
type Client struct {
	Addr netip.Addr // of the client, unmapped
	// Server is who was addressed: for an announcement the broadcast or
	// multicast address.
	Server netip.Addr
	Port   registry.Port // of the server
	Use    Use           // the most that was seen
	Told   Told          // how client and server were told apart
	// Count is how often: segments and datagrams where frames were heard,
	// connections or flows where a file told of them. At least 1.
	Count uint64
	// First and Last are zero where the source has no time.
	First, Last time.Time
	// Name is what the client calls itself in its announcement, as it wrote it:
	// hostile, and personal data. Empty where none was heard or wanted.
	Name string
	// Created is the time in an LM search announcement, by inference the time
	// when that license manager was set up; else zero.
	Created time.Time
	// Source is where it was seen: an interface or a file.
	Source string
}

// merge adds what d knows; both are about the same client, server and port.
func (c *Client) merge(d Client) {
	c.Use, c.Told = max(c.Use, d.Use), max(c.Told, d.Told)
	c.Count += d.Count
	if c.First.IsZero() || !d.First.IsZero() && d.First.Before(c.First) {
		c.First = d.First
	}
	if d.Last.After(c.Last) {
		c.Last = d.Last
	}
	if d.Name != "" {
		c.Name = d.Name
	}
	if !d.Created.IsZero() {
		c.Created = d.Created
	}
	if c.Source == "" {
		c.Source = d.Source
	}
}

// Compare orders by server, port and client.
func (c Client) Compare(d Client) int {
	if n := c.Server.Compare(d.Server); n != 0 {
		return n
	}
	if n := c.Port.Compare(d.Port); n != 0 {
		return n
	}
	return c.Addr.Compare(d.Addr)
}

// Use is how much a client did, the least first. The zero value means "not
// set".
type Use uint8

// The uses, in the words of every output.
const (
	Announced Use = iota + 1 // a broadcast: it looks for a server, or is one
	Attempted                // it asked, and no answer was seen
	Refused                  // the server or a filter said no
	Answered                 // the server answered a handshake: a client, or a port scan
	Used                     // both sides spoke: cutting this off will be noticed
)

func useNames() [6]string {
	return [...]string{"", "announced", "attempted", "refused", "answered", "used"}
}

// String returns the word that every output uses, "" for the zero value.
func (u Use) String() string {
	names := useNames()
	if int(u) >= len(names) {
		return fmt.Sprintf("use(%d)", uint8(u))
	}
	return names[u]
}

// ParseUse reads a word that String returns, except the empty one.
func ParseUse(word string) (Use, error) {
	for u, name := range useNames() {
		if u > 0 && name == word {
			return Use(u), nil
		}
	}
	return 0, fmt.Errorf("listen: use %q: want announced, attempted, refused, answered or used", word)
}

// MarshalText returns the word.
func (u Use) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// Told is how client and server were told apart, the weakest first. The zero
// value means "not set".
type Told uint8

// The ways, in the words of every output.
const (
	ByPort   Told = iota + 1 // only by whose port it is: the conversation was joined in its middle
	ByFlow                   // by the tool that recorded the flow
	ByAnswer                 // by a SYN-ACK
	ByAsking                 // by the SYN, the first datagram or the broadcast
)

func toldNames() [5]string { return [...]string{"", "port", "flow", "answer", "asking"} }

// String returns the word that every output uses, "" for the zero value.
func (t Told) String() string {
	names := toldNames()
	if int(t) >= len(names) {
		return fmt.Sprintf("told(%d)", uint8(t))
	}
	return names[t]
}

// ParseTold reads a word that String returns, except the empty one.
func ParseTold(word string) (Told, error) {
	for t, name := range toldNames() {
		if t > 0 && name == word {
			return Told(t), nil
		}
	}
	return 0, fmt.Errorf("listen: told by %q: want port, flow, answer or asking", word)
}

// MarshalText returns the word.
func (t Told) MarshalText() ([]byte, error) { return []byte(t.String()), nil }
