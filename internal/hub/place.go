package hub

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// logicalCount is how many logical partitions the service spreads keys over; a hub's partitions share them in order.
const logicalCount = 32767

// placeKey gives the partition of n that a key lands in, by the rule inferred from what the service was recorded to do. It is not the
// rule of the SDKs' buffered producers, which place keys themselves and send to a partition. A key is UTF-8.
func placeKey(key []byte, n int) int {
	var buf [128]byte
	c, b := lookup3(upperASCII(buf[:0], key))
	return bucket(int((c^b)%logicalCount), n)
}

// bucket says which of n partitions owns a logical partition: the first logicalCount mod n partitions are one wider than the rest.
func bucket(logical, n int) int {
	width, wide := logicalCount/n, logicalCount%n
	if edge := wide * (width + 1); logical >= edge {
		return wide + (logical-edge)/width
	}
	return logical / (width + 1)
}

// bucketLast is the last logical partition that partition i of n owns; the service's texts name partitions by it.
func bucketLast(i, n int) int {
	return (i+1)*(logicalCount/n) + min(i+1, logicalCount%n) - 1
}

// upperASCII appends key to dst in invariant upper case, with a '?' for each UTF-16 unit outside ASCII. No character outside ASCII has
// its invariant upper case inside, so only ASCII letters need a mapping.
func upperASCII(dst, key []byte) []byte {
	for i := 0; i < len(key); {
		c := key[i]
		if c < utf8.RuneSelf {
			if 'a' <= c && c <= 'z' {
				c -= 'a' - 'A'
			}
			dst = append(dst, c)
			i++
			continue
		}
		r, size := utf8.DecodeRune(key[i:])
		dst = append(dst, '?')
		if r > 0xffff {
			dst = append(dst, '?')
		}
		i += size
	}
	return dst
}

// lookup3 is Bob Jenkins' hashlittle2 with both seeds 0; c is its primary result.
func lookup3(k []byte) (c, b uint32) {
	c = 0xdeadbeef + uint32(len(k))
	a := c
	b = c
	for len(k) > 12 {
		a += binary.LittleEndian.Uint32(k)
		b += binary.LittleEndian.Uint32(k[4:])
		c += binary.LittleEndian.Uint32(k[8:])
		a, b, c = lookup3Mix(a, b, c)
		k = k[12:]
	}
	if len(k) == 0 {
		return c, b
	}
	var tail [12]byte
	copy(tail[:], k)
	a += binary.LittleEndian.Uint32(tail[:])
	b += binary.LittleEndian.Uint32(tail[4:])
	c += binary.LittleEndian.Uint32(tail[8:])
	return lookup3Final(a, b, c)
}

func lookup3Mix(a, b, c uint32) (uint32, uint32, uint32) {
	a = (a - c) ^ bits.RotateLeft32(c, 4)
	c += b
	b = (b - a) ^ bits.RotateLeft32(a, 6)
	a += c
	c = (c - b) ^ bits.RotateLeft32(b, 8)
	b += a
	a = (a - c) ^ bits.RotateLeft32(c, 16)
	c += b
	b = (b - a) ^ bits.RotateLeft32(a, 19)
	a += c
	c = (c - b) ^ bits.RotateLeft32(b, 4)
	b += a
	return a, b, c
}

func lookup3Final(a, b, c uint32) (uint32, uint32) {
	c = (c ^ b) - bits.RotateLeft32(b, 14)
	a = (a ^ c) - bits.RotateLeft32(c, 11)
	b = (b ^ a) - bits.RotateLeft32(a, 25)
	c = (c ^ b) - bits.RotateLeft32(b, 16)
	a = (a ^ c) - bits.RotateLeft32(c, 4)
	b = (b ^ a) - bits.RotateLeft32(a, 14)
	c = (c ^ b) - bits.RotateLeft32(b, 24)
	return c, b
}
