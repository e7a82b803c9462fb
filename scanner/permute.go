package scanner

import "math/bits"

const (
	feistelRounds = 4
	goldenGamma   = 0x9e3779b97f4a7c15 // 2^64 divided by the golden ratio, the step of splitmix64
)

// feistel is a keyed bijection of [0, n). Four rounds over the next even power
// of two are walked until the value lands inside the range: at most four steps
// on average, because that power is below 4n. The zero value is not usable.
type feistel struct {
	n, seed uint64
	half    int
	mask    uint64
}

// newFeistel returns the permutation of [0, n) that seed chooses; n is at least 1.
func newFeistel(n, seed uint64) feistel {
	half := max((bits.Len64(n-1)+1)/2, 1)
	return feistel{n: n, seed: seed, half: half, mask: uint64(1)<<half - 1}
}

// apply returns the value at position i, which is below n.
func (f feistel) apply(i uint64) uint64 {
	for {
		l, r := i>>f.half, i&f.mask
		for round := range uint64(feistelRounds) {
			l, r = r, l^f.mix(r, round)
		}
		if i = l<<f.half | r; i < f.n {
			return i
		}
	}
}

// invert returns the position of the value j, which is below n.
func (f feistel) invert(j uint64) uint64 {
	for {
		l, r := j>>f.half, j&f.mask
		for round := uint64(feistelRounds); round > 0; round-- {
			l, r = r^f.mix(l, round-1), l
		}
		if j = l<<f.half | r; j < f.n {
			return j
		}
	}
}

// mix is the round function: the finalizer of splitmix64 (Steele, Lea and
// Flood, 2014), cut to half a block.
func (f feistel) mix(r, round uint64) uint64 {
	z := r + f.seed + (round+1)*goldenGamma
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return (z ^ z>>31) & f.mask
}
