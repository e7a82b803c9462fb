package scanner

import (
	"math"
	"math/bits"
)

const (
	feistelRounds = 4
	goldenGamma   = 0x9e3779b97f4a7c15 // 2^64 divided by the golden ratio, the step of splitmix64
)

// feistel is a keyed bijection of [0, n). A number is taken as a row and a
// column of a rectangle that is as square as can be, so that less than one row
// of it lies outside the range; in turn the row is rotated by a hash of the
// column and the column by a hash of the row. What comes to lie outside the
// range is permuted again: hardly ever. (Black and Rogaway, "Ciphers with
// Arbitrary Finite Domains", 2002.) The zero value is not usable.
type feistel struct {
	n    uint64
	rows uint64
	cols divider
	keys [feistelRounds]uint64
}

// newFeistel returns the permutation of [0, n) that seed chooses; n is at least
// 1 and at most MaxTargets.
func newFeistel(n, seed uint64) feistel {
	rows := max(uint64(math.Sqrt(float64(n))), 1)
	f := feistel{n: n, rows: rows, cols: newDivider((n + rows - 1) / rows)}
	for i := range f.keys {
		seed += goldenGamma
		f.keys[i] = mix(seed)
	}
	return f
}

// apply returns the value at position i, which is below n.
func (f *feistel) apply(i uint64) uint64 {
	for {
		row, col := f.cols.split(i)
		row = rotate(row, scatter(col^f.keys[0], f.rows), f.rows)
		col = rotate(col, scatter(row^f.keys[1], f.cols.by), f.cols.by)
		row = rotate(row, scatter(col^f.keys[2], f.rows), f.rows)
		col = rotate(col, scatter(row^f.keys[3], f.cols.by), f.cols.by)
		if i = row*f.cols.by + col; i < f.n {
			return i
		}
	}
}

// invert returns the position of the value j, which is below n.
func (f *feistel) invert(j uint64) uint64 {
	back := func(x, by, size uint64) uint64 { return rotate(x, size-by, size) }
	for {
		row, col := f.cols.split(j)
		col = back(col, scatter(row^f.keys[3], f.cols.by), f.cols.by)
		row = back(row, scatter(col^f.keys[2], f.rows), f.rows)
		col = back(col, scatter(row^f.keys[1], f.cols.by), f.cols.by)
		row = back(row, scatter(col^f.keys[0], f.rows), f.rows)
		if j = row*f.cols.by + col; j < f.n {
			return j
		}
	}
}

// rotate returns x+by modulo size, for x below size and by up to size. It has
// no branch: there would be no foretelling it.
func rotate(x, by, size uint64) uint64 {
	x += by - size
	return x + size&uint64(int64(x)>>63)
}

// scatter hashes x into [0, size): the middle of the finalizer of splitmix64,
// of which the upper bits are used only.
func scatter(x, size uint64) uint64 {
	x *= 0xbf58476d1ce4e5b9
	x = (x ^ x>>32) * 0x94d049bb133111eb
	x, _ = bits.Mul64(x, size)
	return x
}

// mix is the finalizer of splitmix64 (Steele, Lea and Flood, 2014).
func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// divider divides numbers below 1<<32 by a constant: a multiplication with
// 2^64/by, rounded up, whose error is too small to matter there.
type divider struct{ by, inverse uint64 }

// newDivider returns the division by by, which is from 1 to 1<<32 - 1.
func newDivider(by uint64) divider { return divider{by, math.MaxUint64/by + 1} }

// split returns quotient and remainder of n, which is below 1<<32.
func (d divider) split(n uint64) (q, r uint64) {
	if d.inverse == 0 { // 2^64/1
		return n, 0
	}
	q, _ = bits.Mul64(d.inverse, n)
	return q, n - q*d.by
}
