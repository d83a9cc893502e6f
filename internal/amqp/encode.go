package amqp

import (
	"encoding/binary"
	"math"
)

// Constructor bytes [1.6].
const (
	ctorDescribed byte = 0x00

	ctorNull   byte = 0x40
	ctorTrue   byte = 0x41
	ctorFalse  byte = 0x42
	ctorUint0  byte = 0x43
	ctorUlong0 byte = 0x44
	ctorList0  byte = 0x45

	ctorUbyte      byte = 0x50
	ctorByte       byte = 0x51
	ctorSmallUint  byte = 0x52
	ctorSmallUlong byte = 0x53
	ctorSmallInt   byte = 0x54
	ctorSmallLong  byte = 0x55
	ctorBool       byte = 0x56

	ctorUshort byte = 0x60
	ctorShort  byte = 0x61

	ctorUint      byte = 0x70
	ctorInt       byte = 0x71
	ctorFloat     byte = 0x72
	ctorChar      byte = 0x73
	ctorDecimal32 byte = 0x74

	ctorUlong     byte = 0x80
	ctorLong      byte = 0x81
	ctorDouble    byte = 0x82
	ctorTimestamp byte = 0x83
	ctorDecimal64 byte = 0x84

	ctorDecimal128 byte = 0x94
	ctorUUID       byte = 0x98

	ctorBinary8  byte = 0xa0
	ctorString8  byte = 0xa1
	ctorSymbol8  byte = 0xa3
	ctorBinary32 byte = 0xb0
	ctorString32 byte = 0xb1
	ctorSymbol32 byte = 0xb3

	ctorList8   byte = 0xc0
	ctorMap8    byte = 0xc1
	ctorList32  byte = 0xd0
	ctorMap32   byte = 0xd1
	ctorArray8  byte = 0xe0
	ctorArray32 byte = 0xf0
)

// The Append functions below write one value of one type and return the extended slice.

func AppendNull(b []byte) []byte { return append(b, ctorNull) }

func AppendBool(b []byte, v bool) []byte {
	if v {
		return append(b, ctorTrue)
	}
	return append(b, ctorFalse)
}

func AppendUbyte(b []byte, v uint8) []byte { return append(b, ctorUbyte, v) }

func AppendUshort(b []byte, v uint16) []byte { return append(b, ctorUshort, byte(v>>8), byte(v)) }

// AppendUint writes the shortest of the three forms.
func AppendUint(b []byte, v uint32) []byte {
	switch {
	case v == 0:
		return append(b, ctorUint0)
	case v <= math.MaxUint8:
		return append(b, ctorSmallUint, byte(v))
	}
	return append(b, ctorUint, byte(v>>24), byte(v>>16), byte(v>>8), byte(v))
}

// AppendUlong writes the shortest of the three forms.
func AppendUlong(b []byte, v uint64) []byte {
	switch {
	case v == 0:
		return append(b, ctorUlong0)
	case v <= math.MaxUint8:
		return append(b, ctorSmallUlong, byte(v))
	}
	return binary.BigEndian.AppendUint64(append(b, ctorUlong), v)
}

// AppendInt writes the shorter of the two forms.
func AppendInt(b []byte, v int32) []byte {
	if v == int32(int8(v)) {
		return append(b, ctorSmallInt, byte(v))
	}
	return AppendIntWide(b, v)
}

// AppendIntWide writes the four-byte form whatever the value, as recorded for status-code.
func AppendIntWide(b []byte, v int32) []byte {
	return binary.BigEndian.AppendUint32(append(b, ctorInt), uint32(v))
}

// AppendLong writes the shorter of the two forms.
func AppendLong(b []byte, v int64) []byte {
	if v == int64(int8(v)) {
		return append(b, ctorSmallLong, byte(v))
	}
	return binary.BigEndian.AppendUint64(append(b, ctorLong), uint64(v))
}

func AppendTimestamp(b []byte, v Timestamp) []byte {
	return binary.BigEndian.AppendUint64(append(b, ctorTimestamp), uint64(v))
}

func AppendUUID(b []byte, v UUID) []byte { return append(append(b, ctorUUID), v[:]...) }

// AppendBinary writes a value of any length, also of none: a nil v is an empty binary.
func AppendBinary(b, v []byte) []byte {
	return append(appendLength(b, len(v), ctorBinary8, ctorBinary32), v...)
}

func AppendString(b []byte, v string) []byte {
	return append(appendLength(b, len(v), ctorString8, ctorString32), v...)
}

func AppendSymbol(b []byte, v Symbol) []byte {
	return append(appendLength(b, len(v), ctorSymbol8, ctorSymbol32), v...)
}

// appendLength starts a value of n bytes. Nothing we write comes near the 4 GiB that the long form can say.
func appendLength(b []byte, n int, short, long byte) []byte {
	if n <= math.MaxUint8 {
		return append(b, short, byte(n))
	}
	return binary.BigEndian.AppendUint32(append(b, long), uint32(n))
}

// AppendSymbols writes an array of symbols, or null for a nil slice.
func AppendSymbols(b []byte, v []Symbol) []byte {
	if v == nil {
		return AppendNull(b)
	}
	b, mark := beginCompound(b, ctorArray8)
	b = append(b, ctorSymbol32)
	for _, s := range v {
		b = appendWideText(b, s)
	}
	return endCompound(b, mark, len(v), ctorArray32)
}

// AppendDescriptor starts a composite or a message section; its value follows.
func AppendDescriptor(b []byte, c Code) []byte {
	if c <= math.MaxUint8 {
		return append(b, ctorDescribed, ctorSmallUlong, byte(c))
	}
	return AppendUlong(append(b, ctorDescribed), uint64(c))
}

// BeginList starts a list; its values follow, and then EndList with the mark and their number.
func BeginList(b []byte) (out []byte, mark int) { return beginCompound(b, ctorList8) }

// EndList completes the list that began at mark. It takes the 8-bit form where that fits, and else makes room for the 32-bit form.
func EndList(b []byte, mark, count int) []byte {
	if count == 0 {
		return append(b[:mark], ctorList0)
	}
	return endCompound(b, mark, count, ctorList32)
}

// BeginMap starts a map; keys and values follow in turn, and then EndMap with the mark and the number of pairs.
func BeginMap(b []byte) (out []byte, mark int) { return beginCompound(b, ctorMap8) }

// EndMap completes the map that began at mark, as EndList does a list.
func EndMap(b []byte, mark, pairs int) []byte { return endCompound(b, mark, 2*pairs, ctorMap32) }

const (
	compound8Bytes  = 3 // constructor, size, count
	compound32Bytes = 9
)

func beginCompound(b []byte, short byte) ([]byte, int) {
	return append(b, short, 0, 0), len(b)
}

// endCompound fills in size and count. The size counts everything after itself, so the count's own width too.
func endCompound(b []byte, mark, count int, long byte) []byte {
	n := len(b) - mark - compound8Bytes
	if n+1 <= math.MaxUint8 && count <= math.MaxUint8 {
		b[mark+1], b[mark+2] = byte(n+1), byte(count)
		return b
	}
	b = append(b, make([]byte, compound32Bytes-compound8Bytes)...)
	copy(b[mark+compound32Bytes:], b[mark+compound8Bytes:mark+compound8Bytes+n])
	b[mark] = long
	binary.BigEndian.PutUint32(b[mark+1:], uint32(n+4))
	binary.BigEndian.PutUint32(b[mark+5:], uint32(count))
	return b
}

// appendWideText writes a binary, string or symbol in its 32-bit form without the constructor byte, as arrays have it.
func appendWideText[T ~string | ~[]byte](b []byte, v T) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(v))), v...)
}
