package wire

import (
	"cmp"
	"encoding/binary"
	"net/netip"

	"dormant/registry"
)

// SourcePorts is a block of 4,096 source ports that begins at a multiple of
// its size: a port is in it when its upper four bits are those of First.
type SourcePorts struct{ First uint16 }

// The size of the block, and the masks that take a port apart.
const (
	blockPorts = 1 << 12
	portMask   = blockPorts - 1 // the bits that hold the cookie
	BlockMask  = 0xffff &^ portMask
)

// Contains reports whether port is in the block.
func (s SourcePorts) Contains(port uint16) bool { return port&BlockMask == s.First }

// ChooseSourcePorts returns the highest block above the first two that has no
// port of [low, high], the range that the kernel gives to this host's own
// sockets, and none of asked; if there is none, a block without asked ports,
// and the highest of all if there is none of that either.
func ChooseSourcePorts(low, high uint16, asked []registry.Port) SourcePorts {
	var has [1 << 4]bool
	for _, p := range asked {
		has[p.Number/blockPorts] = true
	}
	second := uint16(0)
	for b := len(has) - 1; b >= 2; b-- {
		first := uint16(b * blockPorts)
		if has[b] {
			continue
		}
		if first > high || first+portMask < low {
			return SourcePorts{first}
		}
		second = max(second, first)
	}
	return SourcePorts{cmp.Or(second, BlockMask)}
}

// attempts is how many attempts of one target have source ports of their own;
// the next one uses the first port again.
const attempts = 4

// cookies makes the secret of each target, and recognises it in an answer. It
// needs no memory of what was sent.
type cookies struct {
	key   [2]uint64
	ports SourcePorts
}

// secret is the hash of one target, as asked from one source address. Bits
// 0–11 give the source port, 12–27 the place in sendTimes, 32–63 the sequence
// number: what an answer must know does not follow from what is seen elsewhere.
type secret uint64

// of returns the secret of port at dst, asked from src. Both addresses are of
// one family; a zone does not count.
func (c *cookies) of(src, dst netip.Addr, port registry.Port) secret {
	tail := uint64(port.Number) | uint64(port.Proto)<<16
	if dst.Is4() {
		s, d := src.As4(), dst.As4()
		word := uint64(binary.LittleEndian.Uint32(s[:])) | uint64(binary.LittleEndian.Uint32(d[:]))<<32
		return secret(siphash(c.key, []uint64{word}, tail|11<<56))
	}
	s, d := src.As16(), dst.As16()
	words := [4]uint64{
		binary.LittleEndian.Uint64(s[:8]), binary.LittleEndian.Uint64(s[8:]),
		binary.LittleEndian.Uint64(d[:8]), binary.LittleEndian.Uint64(d[8:]),
	}
	return secret(siphash(c.key, words[:], tail|35<<56))
}

// sourcePort returns the source port of an attempt.
func (c *cookies) sourcePort(s secret, attempt uint8) uint16 {
	return c.ports.First | (uint16(s)+uint16(attempt%attempts))&portMask
}

// sequence returns the TCP sequence number of an attempt. With the source port
// it differs from attempt to attempt, so that each is a connection of its own
// for whatever keeps state on the way.
func (s secret) sequence(attempt uint8) uint32 {
	return uint32(s>>32) + uint32(attempt%attempts)*0x9e3779b9
}

// attemptOf returns which attempt used the source port, and false when none of
// this secret can have.
func (c *cookies) attemptOf(s secret, port uint16) (uint8, bool) {
	d := (port - uint16(s)) & portMask
	return uint8(d), c.ports.Contains(port) && d < attempts
}
