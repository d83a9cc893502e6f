package amqp

import (
	"encoding/binary"
	"fmt"
	"math"
)

// DecodeError says what is wrong with bytes that a peer sent. It comes wrapped with the composite and field it was found in.
type DecodeError struct {
	Condition Symbol // for the answer: CondDecodeError, CondInvalidField, CondNotImplemented or CondFramingError
	Text      string
}

func (e *DecodeError) Error() string { return e.Text }

func decodeErrorf(format string, args ...any) error {
	return &DecodeError{CondDecodeError, fmt.Sprintf(format, args...)}
}

func errConstructor(ctor byte) error { return decodeErrorf("unknown constructor %#02x", ctor) }

func errNesting() error { return decodeErrorf("more than %d values nested in each other", nestingMax) }

func errOddMap(count int) error {
	return decodeErrorf("map of %d elements, want an even number", count)
}

// badValue says why b does not start with a value of the type want.
func badValue(want string, b []byte) error {
	switch {
	case len(b) == 0:
		return decodeErrorf("input ends before the %s", want)
	case typeName(b[0]) == want:
		return decodeErrorf("%s is cut off", want)
	}
	return decodeErrorf("want %s, found %s (%#02x)", want, typeName(b[0]), b[0])
}

func typeName(ctor byte) string {
	switch wideOf(ctor) {
	case ctorDescribed:
		return "described value"
	case ctorNull:
		return "null"
	case ctorBool:
		return "boolean"
	case ctorUbyte:
		return "ubyte"
	case ctorUshort:
		return "ushort"
	case ctorUint:
		return "uint"
	case ctorUlong:
		return "ulong"
	case ctorByte:
		return "byte"
	case ctorShort:
		return "short"
	case ctorInt:
		return "int"
	case ctorLong:
		return "long"
	case ctorFloat:
		return "float"
	case ctorDouble:
		return "double"
	case ctorDecimal32, ctorDecimal64, ctorDecimal128:
		return "decimal"
	case ctorChar:
		return "char"
	case ctorTimestamp:
		return "timestamp"
	case ctorUUID:
		return "uuid"
	case ctorBinary32:
		return "binary"
	case ctorString32:
		return "string"
	case ctorSymbol32:
		return "symbol"
	case ctorList32:
		return "list"
	case ctorMap32:
		return "map"
	case ctorArray32:
		return "array"
	}
	return "unknown constructor"
}

// splitPayload cuts the bytes that a constructor asks for off b: a fixed number, or as many as the length in front of them says. For a
// list, map or array that is its count and what follows. The upper half of a constructor gives the shape, also of types unknown [1.2].
func splitPayload(ctor byte, b []byte) (data, rest []byte, err error) {
	var n uint32
	switch ctor >> 4 {
	case 0x4:
	case 0x5:
		n = 1
	case 0x6:
		n = 2
	case 0x7:
		n = 4
	case 0x8:
		n = 8
	case 0x9:
		n = 16
	case 0xa, 0xc, 0xe:
		if len(b) < 1 {
			return nil, nil, errCutOff(ctor)
		}
		n, b = uint32(b[0]), b[1:]
	case 0xb, 0xd, 0xf:
		if len(b) < 4 {
			return nil, nil, errCutOff(ctor)
		}
		n, b = binary.BigEndian.Uint32(b), b[4:]
	default:
		return nil, nil, errConstructor(ctor)
	}
	if uint64(n) > uint64(len(b)) {
		return nil, nil, errCutOff(ctor)
	}
	return b[:n:n], b[n:], nil
}

func errCutOff(ctor byte) error { return decodeErrorf("%s is cut off", typeName(ctor)) }

// splitCount takes the element count off the payload of a list, map or array.
func splitCount(ctor byte, data []byte) (count int, content []byte, err error) {
	var n uint32
	switch {
	case ctor == ctorList0:
	case ctor&0x10 == 0 && len(data) >= 1:
		n, data = uint32(data[0]), data[1:]
	case ctor&0x10 != 0 && len(data) >= 4:
		n, data = binary.BigEndian.Uint32(data), data[4:]
	default:
		return 0, nil, decodeErrorf("%s has no room for its count", typeName(ctor))
	}
	if n > math.MaxInt32 {
		return 0, nil, decodeErrorf("%s of %d elements", typeName(ctor), n)
	}
	return int(n), data, nil
}

// splitCompound is splitCount for lists and maps, whose elements have a byte at least.
func splitCompound(ctor byte, data []byte) (count int, content []byte, err error) {
	count, content, err = splitCount(ctor, data)
	if err == nil && count > len(content) {
		err = decodeErrorf("%s of %d elements in %d bytes", typeName(ctor), count, len(content))
	}
	return count, content, err
}

func wantEnd(b []byte) error {
	if len(b) > 0 {
		return decodeErrorf("%d bytes after the last element", len(b))
	}
	return nil
}

// SkipValue steps over one value of any type. It looks at the sizes only, not into lists, maps and arrays. It does not allocate.
func SkipValue(b []byte) (rest []byte, err error) {
	for values := 1; values > 0; values-- {
		if len(b) == 0 {
			return nil, badValue("value", b)
		}
		if b[0] == ctorDescribed {
			b, values = b[1:], values+2
			continue
		}
		if _, b, err = splitPayload(b[0], b[1:]); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// IsNull reports whether b starts with a null.
func IsNull(b []byte) bool { return len(b) > 0 && b[0] == ctorNull }

// The Read functions below read one value of one type in any of its forms and return what follows it. They do not allocate unless they
// say so or fail. A null is an error like any other type.

func ReadBool(b []byte) (v bool, rest []byte, err error) {
	if len(b) > 0 {
		switch b[0] {
		case ctorTrue:
			return true, b[1:], nil
		case ctorFalse:
			return false, b[1:], nil
		case ctorBool:
			if len(b) < 2 {
				break
			}
			if v, err = boolOf(b[1]); err != nil {
				return false, nil, err
			}
			return v, b[2:], nil
		}
	}
	return false, nil, badValue("boolean", b)
}

func boolOf(c byte) (bool, error) {
	if c > 1 {
		return false, decodeErrorf("boolean %#02x, want 0 or 1", c)
	}
	return c == 1, nil
}

func ReadUbyte(b []byte) (v uint8, rest []byte, err error) {
	if len(b) >= 2 && b[0] == ctorUbyte {
		return b[1], b[2:], nil
	}
	return 0, nil, badValue("ubyte", b)
}

func ReadUshort(b []byte) (v uint16, rest []byte, err error) {
	if len(b) >= 3 && b[0] == ctorUshort {
		return binary.BigEndian.Uint16(b[1:]), b[3:], nil
	}
	return 0, nil, badValue("ushort", b)
}

func ReadUint(b []byte) (v uint32, rest []byte, err error) {
	if len(b) > 0 {
		switch {
		case b[0] == ctorUint0:
			return 0, b[1:], nil
		case b[0] == ctorSmallUint && len(b) >= 2:
			return uint32(b[1]), b[2:], nil
		case b[0] == ctorUint && len(b) >= 5:
			return binary.BigEndian.Uint32(b[1:]), b[5:], nil
		}
	}
	return 0, nil, badValue("uint", b)
}

func ReadUlong(b []byte) (v uint64, rest []byte, err error) {
	if len(b) > 0 {
		switch {
		case b[0] == ctorUlong0:
			return 0, b[1:], nil
		case b[0] == ctorSmallUlong && len(b) >= 2:
			return uint64(b[1]), b[2:], nil
		case b[0] == ctorUlong && len(b) >= 9:
			return binary.BigEndian.Uint64(b[1:]), b[9:], nil
		}
	}
	return 0, nil, badValue("ulong", b)
}

func ReadTimestamp(b []byte) (v Timestamp, rest []byte, err error) {
	if len(b) >= 9 && b[0] == ctorTimestamp {
		return Timestamp(binary.BigEndian.Uint64(b[1:])), b[9:], nil
	}
	return 0, nil, badValue("timestamp", b)
}

func ReadUUID(b []byte) (v UUID, rest []byte, err error) {
	if len(b) >= 17 && b[0] == ctorUUID {
		return UUID(b[1:17]), b[17:], nil
	}
	return UUID{}, nil, badValue("uuid", b)
}

// ReadInteger reads a value of any of the eight integer types. A ulong beyond the range of int64 is an error.
func ReadInteger(b []byte) (v int64, rest []byte, err error) {
	if len(b) == 0 {
		return 0, nil, badValue("integer", b)
	}
	data, rest, err := splitPayload(b[0], b[1:])
	switch wideOf(b[0]) {
	case ctorUbyte, ctorUshort, ctorUint, ctorUlong:
		u := unsigned(data)
		if u > math.MaxInt64 {
			return 0, nil, decodeErrorf("ulong %d does not fit an int64", u)
		}
		return int64(u), rest, err
	case ctorByte, ctorShort, ctorInt, ctorLong:
		return signed(data), rest, err
	}
	return 0, nil, badValue("integer", b)
}

// unsigned is a big-endian number of up to 8 bytes.
func unsigned(data []byte) (v uint64) {
	for _, c := range data {
		v = v<<8 | uint64(c)
	}
	return v
}

// signed is a big-endian two's complement number of 1 to 8 bytes.
func signed(data []byte) int64 {
	unused := 64 - 8*len(data)
	return int64(unsigned(data)<<unused) >> unused
}

// ReadBinary returns a part of b.
func ReadBinary(b []byte) (v, rest []byte, err error) {
	return readText(b, ctorBinary32, "binary")
}

// ReadStringBytes returns a part of b, as it came: it may not be UTF-8.
func ReadStringBytes(b []byte) (v, rest []byte, err error) {
	return readText(b, ctorString32, "string")
}

// ReadSymbolBytes returns a part of b.
func ReadSymbolBytes(b []byte) (v, rest []byte, err error) {
	return readText(b, ctorSymbol32, "symbol")
}

// ReadString returns a copy.
func ReadString(b []byte) (string, []byte, error) {
	v, rest, err := ReadStringBytes(b)
	return string(v), rest, err
}

// ReadSymbol returns a copy.
func ReadSymbol(b []byte) (Symbol, []byte, error) {
	v, rest, err := ReadSymbolBytes(b)
	return Symbol(v), rest, err
}

func readText(b []byte, long byte, name string) (v, rest []byte, err error) {
	if len(b) == 0 || b[0]|0x10 != long {
		return nil, nil, badValue(name, b)
	}
	return splitPayload(b[0], b[1:])
}

// ReadSymbols reads a field that may have several symbols: an array of them, or just one [1.4]. It allocates; the slice is not nil.
func ReadSymbols(b []byte) (symbols []Symbol, rest []byte, err error) {
	if len(b) == 0 || b[0]|0x10 != ctorArray32 {
		one, rest, err := ReadSymbol(b)
		if err != nil {
			return nil, nil, err
		}
		return []Symbol{one}, rest, nil
	}
	data, rest, err := splitPayload(b[0], b[1:])
	if err != nil {
		return nil, nil, err
	}
	count, data, err := splitCompound(b[0], data)
	if err != nil {
		return nil, nil, err
	}
	if len(data) == 0 || data[0]|0x10 != ctorSymbol32 {
		return nil, nil, badValue("symbol", data)
	}
	elem, data := data[0], data[1:]
	symbols = make([]Symbol, count)
	for i := range symbols {
		var s []byte
		if s, data, err = splitPayload(elem, data); err != nil {
			return nil, nil, err
		}
		symbols[i] = Symbol(s)
	}
	return symbols, rest, wantEnd(data)
}

// ReadListHeader opens a list: entries are the encodings of count values, each at least a byte long, and rest is what follows the list.
func ReadListHeader(b []byte) (count int, entries, rest []byte, err error) {
	return readHeader(b, ctorList32, "list")
}

// ReadMapHeader opens a map: entries are the encodings of a key and a value for each of the pairs, and rest is what follows the map.
func ReadMapHeader(b []byte) (pairs int, entries, rest []byte, err error) {
	count, entries, rest, err := readHeader(b, ctorMap32, "map")
	if err == nil && count%2 != 0 {
		return 0, nil, nil, errOddMap(count)
	}
	return count / 2, entries, rest, err
}

func readHeader(b []byte, long byte, name string) (count int, entries, rest []byte, err error) {
	if len(b) >= compound8Bytes && b[0] == long-0x10 { // by far the most, and on the way of each event
		count, end := int(b[2]), int(b[1])+2
		if end <= len(b) && count <= end-compound8Bytes {
			return count, b[compound8Bytes:end:end], b[end:], nil
		}
	}
	if len(b) == 0 || wideOf(b[0]) != long {
		return 0, nil, nil, badValue(name, b)
	}
	data, rest, err := splitPayload(b[0], b[1:])
	if err != nil {
		return 0, nil, nil, err
	}
	count, entries, err = splitCompound(b[0], data)
	if err != nil {
		return 0, nil, nil, err
	}
	return count, entries, rest, nil
}
