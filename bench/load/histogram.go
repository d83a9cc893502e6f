package load

import (
	"math/bits"
	"time"
)

// Histogram counts durations in buckets that are at most 1/32 wider than their lower end. The zero value is ready.
type Histogram struct {
	counts [(64 - subBits) << subBits]int64
	n      int64
}

const subBits = 5

// Add counts nanoseconds; what is below 0 counts as 0.
func (h *Histogram) Add(ns int64) {
	h.counts[bucket(uint64(max(ns, 0)))]++
	h.n++
}

// bucket: below 2^subBits one value each, above it each power of two in 2^subBits equal parts.
func bucket(v uint64) int {
	shift := max(bits.Len64(v)-subBits-1, 0)
	return shift<<subBits + int(v>>shift)
}

// upper is the largest value of a bucket.
func upper(i int) uint64 {
	if i < 2<<subBits {
		return uint64(i)
	}
	shift := i>>subBits - 1
	return (uint64(i&(1<<subBits-1)|1<<subBits)+1)<<shift - 1
}

// Merge adds what another one counted.
func (h *Histogram) Merge(o *Histogram) {
	for i, n := range o.counts {
		h.counts[i] += n
	}
	h.n += o.n
}

// Count is how many durations were added.
func (h *Histogram) Count() int64 { return h.n }

// Quantile gives the smallest duration, rounded up to its bucket, that a share q of all does not exceed; 0 if there are none.
func (h *Histogram) Quantile(q float64) time.Duration {
	rank := min(int64(q*float64(h.n)), h.n-1)
	for i, n := range h.counts {
		if rank -= n; rank < 0 && n > 0 {
			return time.Duration(upper(i))
		}
	}
	return 0
}
