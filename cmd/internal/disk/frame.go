package disk

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
)

const (
	// FrameLen is the head of a record in bytes: length and CRC-32C of what
	// follows, both 32 bits, little endian.
	FrameLen = 8
	// MaxRecord is far above the largest record, in bytes: whatever claims to be
	// longer is damage.
	MaxRecord = 64 << 20
)

// ErrTorn is what a file of records ends with after a kill.
var ErrTorn = errors.New("torn record")

// AppendFrame appends the record that add appends, with its head. A record has
// at least one byte.
func AppendFrame(b []byte, add func([]byte) []byte) []byte {
	start := len(b)
	b = add(append(b, make([]byte, FrameLen)...))
	body := b[start+FrameLen:]
	binary.LittleEndian.PutUint32(b[start:], uint32(len(body)))
	binary.LittleEndian.PutUint32(b[start+4:], crc(body))
	return b
}

func crc(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// firstRead bounds what is allocated on the word of a length alone, in bytes.
const firstRead = 1 << 20

// ReadFrame reads one record into buf, which may grow, and returns its body. It
// returns io.EOF at the end and ErrTorn for what is no whole record.
func ReadFrame(r io.Reader, buf []byte) ([]byte, error) {
	var head [FrameLen]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			err = ErrTorn
		}
		return buf, err
	}
	n := int(binary.LittleEndian.Uint32(head[:]))
	if n == 0 || n > MaxRecord {
		return buf, ErrTorn
	}
	buf = buf[:0]
	for len(buf) < n {
		had := len(buf)
		want := min(n, max(firstRead, 2*had, cap(buf)))
		if want > cap(buf) {
			grown := make([]byte, want)
			copy(grown, buf)
			buf = grown
		}
		buf = buf[:want]
		if _, err := io.ReadFull(r, buf[had:]); err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				err = ErrTorn
			}
			return buf, err
		}
	}
	if crc(buf) != binary.LittleEndian.Uint32(head[4:]) {
		return buf, ErrTorn
	}
	return buf, nil
}
