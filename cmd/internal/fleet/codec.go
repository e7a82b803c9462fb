package fleet

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/klauspost/compress/s2"
)

const (
	// MaxPayload is the longest message on the wire, in bytes; a broker of ours
	// takes none that is longer, and NATS's own default is 1 MiB.
	MaxPayload = 4 << 20
	// MaxDecoded is the longest message once it is unpacked, in bytes.
	MaxDecoded = 32 << 20
	// maxSmall is the longest hello, welcome and beat, in bytes.
	maxSmall = 64 << 10
	// packFrom is from what length a message is packed, in bytes.
	packFrom = 1 << 10
	// packed is the first byte of a message that is packed with S2; one that is
	// not begins with the { of JSON.
	packed = 's'
)

// ErrForeign is wrapped by what Decode returns for bytes that no peer of this
// version writes.
var ErrForeign = errors.New("not a message of this version")

// Encode returns what Decode reads, packed where that makes it shorter. The
// message must be one that Check finds nothing against.
func Encode(m Message) ([]byte, error) {
	if err := m.Check(); err != nil {
		return nil, fmt.Errorf("fleet: encode: %w", err)
	}
	return encode(m, MaxDecoded)
}

// Decode reads a message of the result stream. What it returns has passed Check.
// It never takes more memory than a multiple of MaxDecoded, whatever data holds.
func Decode(data []byte) (Message, error) {
	var m Message
	if err := decode(data, MaxDecoded, &m); err != nil {
		return Message{}, err
	}
	if err := m.Check(); err != nil {
		return Message{}, foreign(err)
	}
	return m, nil
}

// EncodeShard returns what DecodeShard reads.
func EncodeShard(s Shard) ([]byte, error) {
	if err := s.Check(); err != nil {
		return nil, fmt.Errorf("fleet: encode: %w", err)
	}
	return encode(s, MaxDecoded)
}

// DecodeShard reads a work item. What it returns has passed Check.
func DecodeShard(data []byte) (Shard, error) {
	var s Shard
	if err := decode(data, MaxDecoded, &s); err != nil {
		return Shard{}, err
	}
	if err := s.Check(); err != nil {
		return Shard{}, foreign(err)
	}
	return s, nil
}

// Small are the messages that are not kept in a stream.
type Small interface{ Hello | Welcome | Beat }

// EncodeSmall returns what DecodeSmall reads.
func EncodeSmall[T Small](m T) ([]byte, error) { return encode(m, maxSmall) }

// DecodeSmall reads a hello, a welcome or a beat. One of another version is read,
// too, as far as it goes: its Version tells.
func DecodeSmall[T Small](data []byte) (T, error) {
	var m T
	err := decode(data, maxSmall, &m)
	return m, err
}

func encode(v any, longest int) ([]byte, error) {
	plain, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("fleet: encode: %w", err)
	}
	if len(plain) > longest {
		return nil, fmt.Errorf("fleet: encode: %d bytes: want at most %d", len(plain), longest)
	}
	if len(plain) < packFrom {
		return plain, nil
	}
	short := make([]byte, 1+s2.MaxEncodedLen(len(plain)))
	short[0] = packed
	short = short[:1+len(s2.EncodeBetter(short[1:], plain))]
	if len(short) < len(plain) {
		return bytes.Clone(short), nil
	}
	return plain, nil
}

func decode(data []byte, longest int, to any) error {
	if len(data) > MaxPayload {
		return foreign(fmt.Errorf("%d bytes: want at most %d", len(data), MaxPayload))
	}
	plain := data
	if len(data) > 0 && data[0] == packed {
		n, err := s2.DecodedLen(data[1:]) // as the message claims: not believed beyond the bound
		if err == nil && n > longest {
			err = fmt.Errorf("%d bytes unpacked: want at most %d", n, longest)
		}
		if err == nil {
			plain, err = s2.Decode(nil, data[1:])
		}
		if err != nil {
			return foreign(err)
		}
	}
	if len(plain) > longest {
		return foreign(fmt.Errorf("%d bytes: want at most %d", len(plain), longest))
	}
	if err := json.Unmarshal(plain, to); err != nil {
		return foreign(err)
	}
	return nil
}

func foreign(err error) error { return fmt.Errorf("fleet: %w: %w", ErrForeign, err) }
