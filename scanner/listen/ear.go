package listen

import (
	"errors"
	"net/netip"
	"slices"
	"time"

	"dormant/registry"
)

// Announcement is what a decoder made of a broadcast.
type Announcement struct {
	Host    string    // the sender's name, as it wrote it
	Created time.Time // see Client.Created
}

// Config is what an Ear needs.
type Config struct {
	// Ports are those of interest. At least one.
	Ports []registry.Port
	// Table takes what is heard. Required.
	Table *Table
	// Decode reads an announcement to a port, false for what is none. Nil: none
	// is read.
	Decode func(to registry.Port, datagram []byte) (Announcement, bool)
	// Names keeps the host names of announcements. They are personal data on
	// many sites.
	Names bool
}

// Heard counts what came to the Ear: Frames is the sum of the others.
type Heard struct {
	Frames    uint64 `json:"frames"`
	Taken     uint64 `json:"taken"`     // told of a client
	Other     uint64 `json:"other"`     // of other ports, or neither TCP nor UDP
	Unread    uint64 `json:"unread"`    // of a link type that is not understood, or cut off before its ports and flags
	Ambiguous uint64 `json:"ambiguous"` // joined in the middle, and either side could be the server
	Outgoing  uint64 `json:"outgoing"`  // our number is only the source port of another conversation
	Stray     uint64 `json:"stray"`     // an RST or a bare ACK that tells nothing new
}

// Ear makes clients of frames. It serves one goroutine at a time.
type Ear struct {
	cfg   Config
	heard Heard
	// outgoing remembers conversations in which our number is the client's own
	// port, by their (client, server) ends; the oldest is forgotten.
	outgoing map[ends]struct{}
	order    []ends
	next     int
}

type ends struct{ client, server netip.AddrPort }

// maxOutgoing bounds the memory of conversations to leave out.
const maxOutgoing = 4096

// NewEar returns an Ear that has heard nothing.
func NewEar(cfg Config) (*Ear, error) {
	if len(cfg.Ports) == 0 || cfg.Table == nil {
		return nil, errors.New("listen: an ear needs ports and a table")
	}
	return &Ear{cfg: cfg, outgoing: map[ends]struct{}{}}, nil
}

// Heard returns what came so far.
func (e *Ear) Heard() Heard { return e.heard }

// Hear takes one frame, which is valid only during the call. source names
// where it was heard.
func (e *Ear) Hear(source string, link LinkType, frame []byte, at time.Time) {
	e.heard.Frames++
	p, ok := decode(link, frame)
	ours := e.ours(p.proto, p.sport) || e.ours(p.proto, p.dport)
	switch {
	case p.unread && (ours || p.dport == 0):
		e.heard.Unread++
		return
	case !ok || !ours:
		e.heard.Other++
		return
	}
	h := hearing{Ear: e, packet: p, source: source, at: at.UTC().Round(0)}
	switch p.proto {
	case registry.TCP:
		h.tcp()
	case registry.UDP:
		h.udp()
	}
}

func (e *Ear) ours(proto registry.Proto, number uint16) bool {
	return slices.Contains(e.cfg.Ports, registry.Port{Number: number, Proto: proto})
}

// hearing is one packet of interest on its way into the table.
type hearing struct {
	*Ear
	packet
	source string
	at     time.Time
}

// toServer takes the packet as one from the client, toClient as one from the
// server.
func (h *hearing) toServer(use Use, told Told) { h.add(h.src, h.dst, h.dport, use, told) }
func (h *hearing) toClient(use Use, told Told) { h.add(h.dst, h.src, h.sport, use, told) }

func (h *hearing) add(client, server netip.Addr, port uint16, use Use, told Told) {
	h.heard.Taken++
	c := Client{
		Addr: client, Server: server, Port: registry.Port{Number: port, Proto: h.proto},
		Use: use, Told: told, Count: 1, First: h.at, Last: h.at, Source: h.source,
	}
	if use == Announced && h.cfg.Decode != nil {
		if a, ok := h.cfg.Decode(c.Port, h.payload); ok {
			c.Created = a.Created
			if h.cfg.Names {
				c.Name = a.Host
			}
		}
	}
	h.cfg.Table.Add(c)
}

// knows reports whether the packet belongs to a client of the table: toServer
// in its direction, or as the server's answer.
func (h *hearing) knows(toServer bool, least Use) bool {
	if toServer {
		return h.cfg.Table.has(h.src, h.dst, registry.Port{Number: h.dport, Proto: h.proto}, least)
	}
	return h.cfg.Table.has(h.dst, h.src, registry.Port{Number: h.sport, Proto: h.proto}, least)
}

func (h *hearing) tcp() {
	from, to := h.ours(registry.TCP, h.sport), h.ours(registry.TCP, h.dport)
	switch h.flags & (flagSYN | flagACK | flagRST) {
	case flagSYN:
		if to {
			h.toServer(Attempted, ByAsking)
			return
		}
		h.leaveOut(ends{netip.AddrPortFrom(h.src, h.sport), netip.AddrPortFrom(h.dst, h.dport)})
	case flagSYN | flagACK:
		if from {
			h.toClient(Answered, ByAnswer)
			return
		}
		h.leaveOut(ends{netip.AddrPortFrom(h.dst, h.dport), netip.AddrPortFrom(h.src, h.sport)})
	case flagRST, flagRST | flagACK:
		if from && h.knows(false, Attempted) && !h.knows(false, Answered) {
			h.toClient(Refused, ByAnswer)
			return
		}
		h.heard.Stray++
	case flagACK:
		h.middle(from, to)
	default: // no sane stack sends it
		h.heard.Stray++
	}
}

// leaveOut remembers a conversation to an uninteresting port.
func (h *hearing) leaveOut(x ends) {
	h.heard.Outgoing++
	if _, ok := h.outgoing[x]; ok {
		return
	}
	if len(h.order) < maxOutgoing {
		h.order = append(h.order, x)
	} else {
		delete(h.outgoing, h.order[h.next])
		h.order[h.next] = x
		h.next = (h.next + 1) % maxOutgoing
	}
	h.outgoing[x] = struct{}{}
}

// middle takes a segment of a running conversation. Bytes are use; a bare ACK
// or a FIN tells nothing that the handshake has not.
func (h *hearing) middle(from, to bool) {
	src, dst := netip.AddrPortFrom(h.src, h.sport), netip.AddrPortFrom(h.dst, h.dport)
	_, out := h.outgoing[ends{src, dst}]
	_, back := h.outgoing[ends{dst, src}]
	switch {
	case out || back:
		h.heard.Outgoing++
	case h.size == 0:
		h.heard.Stray++
	case from && to: // both numbers are ours: only the handshake could tell
		switch {
		case h.knows(true, Attempted):
			h.toServer(Used, ByPort)
		case h.knows(false, Attempted):
			h.toClient(Used, ByPort)
		default:
			h.heard.Ambiguous++
		}
	case from && h.dport < 1024 || to && h.sport < 1024:
		// The other side has a system port and is more likely the server, unless
		// the handshake showed otherwise.
		switch {
		case to && h.knows(true, Answered):
			h.toServer(Used, ByPort)
		case from && h.knows(false, Answered):
			h.toClient(Used, ByPort)
		default:
			h.heard.Ambiguous++
		}
	case to:
		h.toServer(Used, ByPort)
	default:
		h.toClient(Used, ByPort)
	}
}

func (h *hearing) udp() {
	from, to := h.ours(registry.UDP, h.sport), h.ours(registry.UDP, h.dport)
	switch {
	case to && h.toAll:
		h.toServer(Announced, ByAsking)
	case from && h.knows(false, Attempted): // an answer; also where both have the same number
		h.toClient(Used, ByAsking)
	case to && h.knows(true, Attempted), to && !from && h.sport >= 1024:
		h.toServer(Attempted, ByAsking)
	case to && from: // license managers speak from port to port: the first to speak asks
		h.toServer(Attempted, ByPort)
	case from && h.dport >= 1024 && !h.toAll: // the question was not heard, or was a broadcast
		h.toClient(Used, ByPort)
	default: // from or to a system port: an answer of, say, DNS to our number
		h.heard.Ambiguous++
	}
}
