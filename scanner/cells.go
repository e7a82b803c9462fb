package scanner

import "sync/atomic"

// cells is an array of numbers from 0 to 15, packed eight to a word. One
// goroutine writes, any may read meanwhile: that is why set needs no
// compare-and-swap. Its pages cost memory only where something was set.
type cells []atomic.Uint32

const (
	cellMax     = 15
	cellsToWord = 8
)

// newCells returns n cells, all 0.
func newCells(n uint64) cells { return make(cells, (n+cellsToWord-1)/cellsToWord) }

func (c cells) get(i uint64) uint8 {
	return uint8(c[i/cellsToWord].Load() >> (i % cellsToWord * 4) & cellMax)
}

// set stores v, at most cellMax, in cell i. Only one goroutine may call it.
func (c cells) set(i uint64, v uint8) {
	w, shift := &c[i/cellsToWord], i%cellsToWord*4
	w.Store(w.Load()&^(cellMax<<shift) | uint32(v)<<shift)
}

// increment adds one to cell i unless it is full. Only the writer may call it.
func (c cells) increment(i uint64) {
	if v := c.get(i); v < cellMax {
		c.set(i, v+1)
	}
}

// bitset is one bit per address, of one goroutine.
type bitset []uint64

func newBitset(n uint64) bitset { return make(bitset, (n+63)/64) }

func (b bitset) get(i uint64) bool { return b[i/64]>>(i%64)&1 == 1 }
func (b bitset) set(i uint64)      { b[i/64] |= 1 << (i % 64) }
