package fingerprint

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"slices"
	"time"
)

// LMSearch is the datagram by which a Sentinel license manager looks for
// others on 1947/udp: 30 bytes, sent as 40 characters of Base64. The layout is
// that of a recorded broadcast of 2016; the meaning of the two numbers is
// inferred and not documented.
type LMSearch struct {
	// Created is the first number, seconds since 1970 in 32 bits; the recorded
	// value was plausible as the time when the license manager was set up.
	Created time.Time
	// Number is the second, small where it was seen (30763).
	Number uint32
	// Host is the sender's name, at most 21 bytes without a NUL, in Latin-1.
	// It is personal data on many sites.
	Host string
}

const (
	lmSearchSize = 30                          // bytes before Base64
	lmHostAt     = 8                           // offset of the host name's buffer
	lmFiller     = "LoremIpsumDolorSitAme\x00" // what the buffer holds before the name is written over it
)

// Encode returns the 40 characters. A longer host name is cut at 21 bytes or
// its first NUL, as the license manager does.
func (s LMSearch) Encode() []byte {
	host := s.Host
	if i := bytes.IndexByte([]byte(host), 0); i >= 0 {
		host = host[:i]
	}
	host = host[:min(len(host), len(lmFiller)-1)]
	raw := make([]byte, lmSearchSize)
	binary.LittleEndian.PutUint32(raw, uint32(s.Created.Unix()))
	binary.LittleEndian.PutUint32(raw[4:], s.Number)
	copy(raw[lmHostAt:], lmFiller)
	copy(raw[lmHostAt:], host+"\x00")
	return base64.StdEncoding.AppendEncode(nil, raw)
}

// DecodeLMSearch reads a datagram of that layout and nothing else: 40
// characters of Base64, 30 bytes, what may be a host name, and the filler
// intact behind it. A name of full length leaves no filler: without a look at
// its characters, any bytes that end in a zero would pass for one.
// It means that the sender runs a license manager that searches, client or
// server; it does not make the sender a license server.
func DecodeLMSearch(datagram []byte) (LMSearch, bool) {
	if len(datagram) != base64.StdEncoding.EncodedLen(lmSearchSize) {
		return LMSearch{}, false
	}
	raw, err := base64.StdEncoding.Strict().AppendDecode(nil, datagram)
	if err != nil || len(raw) != lmSearchSize {
		return LMSearch{}, false // it also skips line ends, which shortens the result
	}
	buffer := raw[lmHostAt:]
	end := bytes.IndexByte(buffer, 0)
	if end < 0 || string(buffer[end+1:]) != lmFiller[end+1:] || !isHostName(buffer[:end]) {
		return LMSearch{}, false
	}
	return LMSearch{
		Created: time.Unix(int64(binary.LittleEndian.Uint32(raw)), 0).UTC(),
		Number:  binary.LittleEndian.Uint32(raw[4:]),
		Host:    string(buffer[:end]),
	}, true
}

// isHostName reports whether a computer may be called so: no spaces, no control
// characters, and letters beyond ASCII only where enough filler is left behind
// the name to prove the layout.
func isHostName(name []byte) bool {
	const proof = 4 // bytes of filler
	ascii := len(name) > lmSearchSize-lmHostAt-1-proof
	return !slices.ContainsFunc(name, func(b byte) bool { return b <= 0x20 || b == 0x7f || ascii && b > 0x7f })
}
