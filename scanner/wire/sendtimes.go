package wire

import (
	"sync/atomic"
	"time"
)

// sendTimes remembers when the latest probes were sent: a table of fixed size
// in which a new probe overwrites an old one. An entry that is gone only means
// that a round-trip time stays unknown. The sender writes, the receiver reads.
//
// An entry holds 24 bits of the secret, the attempt, and the low 32 bits of
// the time in microseconds.
type sendTimes [1 << 16]atomic.Uint64 // 512 KiB: 65,536 probes

func (t *sendTimes) place(s secret) (*atomic.Uint64, uint64) {
	return &t[uint16(s>>12)], uint64(s>>28) & (1<<24 - 1)
}

// put notes that an attempt was sent at micros.
func (t *sendTimes) put(s secret, attempt uint8, micros int64) {
	slot, tag := t.place(s)
	slot.Store(tag<<40 | uint64(attempt)<<32 | uint64(uint32(micros)))
}

// get returns the attempt that low, its number modulo attempts, stands for,
// and how long before micros it was sent: 0 when that is not known any more.
func (t *sendTimes) get(s secret, low uint8, micros int64) (attempt uint8, rtt time.Duration) {
	slot, tag := t.place(s)
	entry := slot.Load()
	attempt = uint8(entry >> 32)
	if entry == 0 || entry>>40 != tag || attempt%attempts != low {
		return low, 0
	}
	return attempt, roundTrip(uint32(micros) - uint32(entry))
}

// maxRoundTrip is the longest round-trip time that is believed. A longer one
// comes of a stepped clock or of a false echo.
const maxRoundTrip = time.Minute

// roundTrip is a number of microseconds as a round-trip time, at least 1 µs,
// and 0 (unknown) when it cannot be one.
func roundTrip(micros uint32) time.Duration {
	rtt := time.Duration(max(micros, 1)) * time.Microsecond
	if rtt > maxRoundTrip {
		return 0
	}
	return rtt
}
