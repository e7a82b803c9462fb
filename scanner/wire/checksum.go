package wire

import "encoding/binary"

// sum adds the 16-bit big-endian words of b to s, the one's complement sum of
// RFC 1071 before folding. An odd last byte counts as the high half of a word.
func sum(b []byte, s uint64) uint64 {
	for len(b) >= 4 {
		s += uint64(binary.BigEndian.Uint32(b))
		b = b[4:]
	}
	if len(b) >= 2 {
		s += uint64(binary.BigEndian.Uint16(b))
		b = b[2:]
	}
	if len(b) == 1 {
		s += uint64(b[0]) << 8
	}
	return s
}

// fold returns the checksum that stands for the sum s, which is below 1<<48: that of
// 64 KiB.
func fold(s uint64) uint16 {
	s = s>>16 + s&0xffff
	s = s>>16 + s&0xffff
	s = s>>16 + s&0xffff
	return ^uint16(s)
}
