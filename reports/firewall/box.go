package firewall

import "dormant/registry"

// Protos is a set of the two transports that are probed, as bits.
type Protos uint8

// The transports as bits.
const (
	ProtoTCP Protos = 1 << iota
	ProtoUDP
	BothProto = ProtoTCP | ProtoUDP
)

// protoBit returns the set of one transport, 0 for any other.
func protoBit(p registry.Proto) Protos {
	return map[registry.Proto]Protos{registry.TCP: ProtoTCP, registry.UDP: ProtoUDP}[p]
}

// Box is a set of packets: every combination of its five sides. A box with one
// empty side is empty.
type Box struct {
	Protos             Protos
	Src, Dst           Addrs
	SrcPorts, DstPorts Ports
}

// Everything returns the box of all packets.
func Everything() Box {
	return Box{BothProto, AnyAddr(), AnyAddr(), AnyPort(), AnyPort()}
}

// Empty reports whether no packet is in the box.
func (b Box) Empty() bool {
	return b.Protos == 0 || b.Src.Empty() || b.Dst.Empty() || b.SrcPorts.Empty() || b.DstPorts.Empty()
}

// Intersect returns the packets of both. The sides that differ most between
// rules come first: an empty one ends the work.
func (b Box) Intersect(c Box) Box {
	var out Box
	if out.Protos = b.Protos & c.Protos; out.Protos == 0 {
		return Box{}
	}
	if out.DstPorts = b.DstPorts.Intersect(c.DstPorts); out.DstPorts.Empty() {
		return Box{}
	}
	if out.Dst = b.Dst.Intersect(c.Dst); out.Dst.Empty() {
		return Box{}
	}
	if out.Src = b.Src.Intersect(c.Src); out.Src.Empty() {
		return Box{}
	}
	if out.SrcPorts = b.SrcPorts.Intersect(c.SrcPorts); out.SrcPorts.Empty() {
		return Box{}
	}
	return out
}

// Subtract returns the packets of b that are not in c, as disjoint boxes: side
// by side, what lies outside of c in this side is cut off whole.
func (b Box) Subtract(c Box) []Box {
	both := b.Intersect(c)
	if both.Empty() {
		return []Box{b}
	}
	var out []Box
	cut := func(piece Box) {
		if !piece.Empty() {
			out = append(out, piece)
		}
	}
	rest := b
	piece := rest
	piece.Protos &^= both.Protos
	cut(piece)
	rest.Protos = both.Protos

	piece = rest
	piece.DstPorts = rest.DstPorts.Subtract(both.DstPorts)
	cut(piece)
	rest.DstPorts = both.DstPorts

	piece = rest
	piece.Dst = rest.Dst.Subtract(both.Dst)
	cut(piece)
	rest.Dst = both.Dst

	piece = rest
	piece.Src = rest.Src.Subtract(both.Src)
	cut(piece)
	rest.Src = both.Src

	piece = rest
	piece.SrcPorts = rest.SrcPorts.Subtract(both.SrcPorts)
	cut(piece)
	return out
}

// intersectAll returns the packets that are in one box of each list.
func intersectAll(a, b []Box) []Box {
	var out []Box
	for _, x := range a {
		for _, y := range b {
			if z := x.Intersect(y); !z.Empty() {
				out = append(out, z)
			}
		}
	}
	return out
}

// subtractAll returns the packets of boxes that are in none of away.
func subtractAll(boxes, away []Box) []Box {
	for _, c := range away {
		var rest []Box
		for _, b := range boxes {
			rest = append(rest, b.Subtract(c)...)
		}
		boxes = rest
	}
	return boxes
}
