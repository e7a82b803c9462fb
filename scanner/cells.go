package scanner

import "sync/atomic"

// cells is an array of numbers from 0 to 7, packed 21 to a word. One goroutine
// writes, any may read meanwhile: that is why set needs no compare-and-swap.
// Its pages cost memory only where something was set.
type cells []atomic.Uint64

const (
	cellBits    = 3
	cellMax     = 1<<cellBits - 1
	cellsToWord = 64 / cellBits
)

// newCells returns n cells, all 0.
func newCells(n uint64) cells { return make(cells, (n+cellsToWord-1)/cellsToWord) }

func (c cells) get(i uint64) uint8 {
	return uint8(c[i/cellsToWord].Load() >> (i % cellsToWord * cellBits) & cellMax)
}

// set stores v, at most cellMax, in cell i. Only one goroutine may call it.
func (c cells) set(i uint64, v uint8) {
	w, shift := &c[i/cellsToWord], i%cellsToWord*cellBits
	w.Store(w.Load()&^(cellMax<<shift) | uint64(v)<<shift)
}

// increment adds one to cell i unless it is full. Only the writer may call it.
func (c cells) increment(i uint64) {
	if v := c.get(i); v < cellMax {
		c.set(i, v+1)
	}
}

// flags is one bit per target. One goroutine writes, any may read meanwhile.
type flags []atomic.Uint64

// newFlags returns n flags that all have the value on.
func newFlags(n uint64, on bool) flags {
	f := make(flags, (n+63)/64)
	if on {
		for i := range f {
			f[i].Store(^uint64(0))
		}
	}
	return f
}

func (f flags) get(i uint64) bool { return f[i/64].Load()>>(i%64)&1 == 1 }

// set gives flag i the value on. Only one goroutine may call it.
func (f flags) set(i uint64, on bool) {
	w, bit := &f[i/64], uint64(1)<<(i%64)
	if on {
		w.Store(w.Load() | bit)
	} else {
		w.Store(w.Load() &^ bit)
	}
}

// setAll gives the flags of targets the value on. An atomic store waits for its
// word alone, so the words come into the cache first, all at the same time.
func (f flags) setAll(targets []uint64, on bool) {
	sum := uint64(0)
	for _, j := range targets {
		sum |= f[j/64].Load()
	}
	_ = sum
	for _, j := range targets {
		f.set(j, on)
	}
}

// bitset is one bit per address, of one goroutine.
type bitset []uint64

func newBitset(n uint64) bitset { return make(bitset, (n+63)/64) }

func (b bitset) get(i uint64) bool { return b[i/64]>>(i%64)&1 == 1 }
func (b bitset) set(i uint64)      { b[i/64] |= 1 << (i % 64) }

// meter counts the probes to each address, in one byte where that is enough.
// It is of one goroutine.
type meter struct {
	low  []uint8
	high map[uint64]uint64 // what did not fit, in steps of 256
	most uint64
}

func newMeter(n uint64) meter { return meter{low: make([]uint8, n), high: map[uint64]uint64{}} }

// add counts one probe to address k.
func (m *meter) add(k uint64) {
	m.low[k]++
	n := uint64(m.low[k])
	if n == 0 {
		m.high[k] += 256
	}
	if len(m.high) > 0 {
		n += m.high[k]
	}
	m.most = max(m.most, n)
}

// count returns the probes to address k.
func (m *meter) count(k uint64) uint64 { return uint64(m.low[k]) + m.high[k] }
