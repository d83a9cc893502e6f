package amqp

import (
	"encoding/binary"
	"fmt"
	"math"
)

// The Go types of AMQP values: nil, bool, uint8, uint16, uint32, uint64, int8, int16, int32, int64, float32, float64, []byte and string as
// they are, List, Map, Array and *Described, and the types below for the rest. A value in an `any` is always one of these.
type (
	Symbol     string
	Char       rune
	Timestamp  int64 // Unix milliseconds
	UUID       [16]byte
	Decimal32  [4]byte // decimal numbers are passed on, not computed with
	Decimal64  [8]byte
	Decimal128 [16]byte
	List       []any
)

// Pair is an entry of a Map.
type Pair struct{ Key, Value any }

// Map keeps the order of its entries. A nil Map is null; an empty one that is not nil is an empty map.
type Map []Pair

// Lookup finds the value under a key that is a string or a symbol.
func (m Map) Lookup(key string) (any, bool) {
	for _, p := range m {
		switch k := p.Key.(type) {
		case string:
			if k == key {
				return p.Value, true
			}
		case Symbol:
			if string(k) == key {
				return p.Value, true
			}
		}
	}
	return nil, false
}

// Described is a value with a descriptor, which is usually a Symbol or a uint64.
type Described struct{ Descriptor, Value any }

// Array is a list of values of one type [1.6.24].
type Array struct {
	// Elem is the constructor byte of the elements in the widest form of their type, such as 0xb3 for symbols. That is how they are
	// written, as recorded; a decoded array has the widest form of the type it came in.
	Elem       byte
	Descriptor any // nil unless the elements are described
	Elements   []any
}

// SymbolArray is an array of symbols.
func SymbolArray(symbols ...Symbol) Array { return arrayOf(ctorSymbol32, symbols) }

// StringArray is an array of strings.
func StringArray(strings ...string) Array { return arrayOf(ctorString32, strings) }

func arrayOf[T any](elem byte, values []T) Array {
	a := Array{Elem: elem, Elements: make([]any, len(values))}
	for i, v := range values {
		a.Elements[i] = v
	}
	return a
}

// AppendValue writes any AMQP value in its shortest form. A nil Map, List or []byte is null, as nil is. A Go type that is none of AMQP's,
// or an array element of another type than the array's, is a bug of the caller and panics.
func AppendValue(b []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return AppendNull(b)
	case bool:
		return AppendBool(b, v)
	case uint32:
		return AppendUint(b, v)
	case uint64:
		return AppendUlong(b, v)
	case int32:
		return AppendInt(b, v)
	case int64:
		return AppendLong(b, v)
	case []byte:
		return appendUnlessNil(b, v, AppendBinary)
	case string:
		return AppendString(b, v)
	case Symbol:
		return AppendSymbol(b, v)
	case List:
		return appendUnlessNil(b, v, appendList)
	case Map:
		return appendUnlessNil(b, v, appendMap)
	case Array:
		return appendArray(b, v)
	case *Described:
		return AppendValue(AppendValue(append(b, ctorDescribed), v.Descriptor), v.Value)
	}
	mark := len(b)
	b, ctor := appendWide(append(b, 0), v)
	b[mark] = ctor
	return b
}

func appendUnlessNil[S ~[]E, E any](b []byte, v S, write func([]byte, S) []byte) []byte {
	if v == nil {
		return AppendNull(b)
	}
	return write(b, v)
}

func appendList(b []byte, l List) []byte {
	b, mark := BeginList(b)
	for _, v := range l {
		b = AppendValue(b, v)
	}
	return EndList(b, mark, len(l))
}

func appendMap(b []byte, m Map) []byte {
	b, mark := BeginMap(b)
	b = appendPairs(b, m)
	return EndMap(b, mark, len(m))
}

func appendPairs(b []byte, m Map) []byte {
	for _, p := range m {
		b = AppendValue(AppendValue(b, p.Key), p.Value)
	}
	return b
}

func appendArray(b []byte, a Array) []byte {
	b, mark := beginCompound(b, ctorArray8)
	return endCompound(appendArrayContent(b, a), mark, len(a.Elements), ctorArray32)
}

// appendArrayContent writes what follows an array's size and count: the elements' constructor, once, and their bytes.
func appendArrayContent(b []byte, a Array) []byte {
	if a.Descriptor != nil {
		b = AppendValue(append(b, ctorDescribed), a.Descriptor)
	}
	b = append(b, a.Elem)
	for _, e := range a.Elements {
		var ctor byte
		if b, ctor = appendWide(b, e); ctor != a.Elem {
			panic(fmt.Sprintf("BUG: %T in an array of constructor %#x", e, a.Elem))
		}
	}
	return b
}

// appendWide writes v in the widest form of its type but for the constructor byte, which it returns.
func appendWide(b []byte, v any) ([]byte, byte) {
	switch v := v.(type) {
	case nil:
		return b, ctorNull
	case bool:
		if v {
			return append(b, 1), ctorBool
		}
		return append(b, 0), ctorBool
	case uint8:
		return append(b, v), ctorUbyte
	case int8:
		return append(b, byte(v)), ctorByte
	case uint16:
		return binary.BigEndian.AppendUint16(b, v), ctorUshort
	case int16:
		return binary.BigEndian.AppendUint16(b, uint16(v)), ctorShort
	case uint32:
		return binary.BigEndian.AppendUint32(b, v), ctorUint
	case int32:
		return binary.BigEndian.AppendUint32(b, uint32(v)), ctorInt
	case float32:
		return binary.BigEndian.AppendUint32(b, math.Float32bits(v)), ctorFloat
	case Char:
		return binary.BigEndian.AppendUint32(b, uint32(v)), ctorChar
	case uint64:
		return binary.BigEndian.AppendUint64(b, v), ctorUlong
	case int64:
		return binary.BigEndian.AppendUint64(b, uint64(v)), ctorLong
	case float64:
		return binary.BigEndian.AppendUint64(b, math.Float64bits(v)), ctorDouble
	case Timestamp:
		return binary.BigEndian.AppendUint64(b, uint64(v)), ctorTimestamp
	case Decimal32:
		return append(b, v[:]...), ctorDecimal32
	case Decimal64:
		return append(b, v[:]...), ctorDecimal64
	case Decimal128:
		return append(b, v[:]...), ctorDecimal128
	case UUID:
		return append(b, v[:]...), ctorUUID
	}
	return appendWideSized(b, v)
}

// appendWideSized is appendWide for the types that carry a length.
func appendWideSized(b []byte, v any) ([]byte, byte) {
	switch v := v.(type) {
	case []byte:
		return appendWideText(b, v), ctorBinary32
	case string:
		return appendWideText(b, v), ctorString32
	case Symbol:
		return appendWideText(b, v), ctorSymbol32
	}
	mark := len(b)
	b = append(b, make([]byte, compound32Bytes-1)...)
	var count int
	var ctor byte
	switch v := v.(type) {
	case List:
		for _, e := range v {
			b = AppendValue(b, e)
		}
		count, ctor = len(v), ctorList32
	case Map:
		b, count, ctor = appendPairs(b, v), 2*len(v), ctorMap32
	case Array:
		b, count, ctor = appendArrayContent(b, v), len(v.Elements), ctorArray32
	default:
		panic(fmt.Sprintf("BUG: no AMQP encoding for %T", v))
	}
	binary.BigEndian.PutUint32(b[mark:], uint32(len(b)-mark-4))
	binary.BigEndian.PutUint32(b[mark+4:], uint32(count))
	return b, ctor
}

// wideOf is the widest constructor of a type, by any of its constructors.
func wideOf(ctor byte) byte {
	switch ctor {
	case ctorTrue, ctorFalse:
		return ctorBool
	case ctorUint0, ctorSmallUint:
		return ctorUint
	case ctorUlong0, ctorSmallUlong:
		return ctorUlong
	case ctorSmallInt:
		return ctorInt
	case ctorSmallLong:
		return ctorLong
	case ctorList0:
		return ctorList32
	case ctorBinary8, ctorString8, ctorSymbol8, ctorList8, ctorMap8, ctorArray8:
		return ctor + 0x10
	}
	return ctor
}

// nestingMax is how deep lists, maps, arrays and descriptions may stand in each other.
const nestingMax = 32

// ReadValue reads one value of any type and copies it, so that it does not keep b alive. The bytes of strings and symbols are taken as they
// come: whether they are UTF-8 or ASCII is for those to ask who show them.
func ReadValue(b []byte) (v any, rest []byte, err error) {
	r := valueReader{elements: len(b)}
	return r.value(b, 0)
}

// ReadMap reads a map as ReadValue does. The map is not nil.
func ReadMap(b []byte) (Map, []byte, error) { return readAs[Map](b, ctorMap32, "map") }

func readList(b []byte) (List, []byte, error) { return readAs[List](b, ctorList32, "list") }

func readAs[T any](b []byte, wide byte, name string) (v T, rest []byte, err error) {
	if len(b) == 0 || wideOf(b[0]) != wide {
		return v, nil, badValue(name, b)
	}
	value, rest, err := ReadValue(b)
	if err != nil {
		return v, nil, err
	}
	return value.(T), rest, nil
}

// valueReader reads one value and what it holds.
type valueReader struct {
	// elements is how many more elements lists, maps and arrays may claim. It starts at the number of bytes in the input: elements have a
	// byte each or more, but for a few forms in arrays that nobody uses. So no claim makes us allocate more than some words for a byte.
	elements int
}

func (r *valueReader) value(b []byte, depth int) (any, []byte, error) {
	if len(b) == 0 {
		return nil, nil, badValue("value", b)
	}
	if b[0] != ctorDescribed {
		return r.payload(b[0], b[1:], depth)
	}
	if depth++; depth > nestingMax {
		return nil, nil, errNesting()
	}
	descriptor, b, err := r.value(b[1:], depth)
	if err != nil {
		return nil, nil, err
	}
	v, b, err := r.value(b, depth)
	if err != nil {
		return nil, nil, err
	}
	return &Described{descriptor, v}, b, nil
}

// payload reads a value whose constructor byte has been read.
func (r *valueReader) payload(ctor byte, b []byte, depth int) (v any, rest []byte, err error) {
	data, rest, err := splitPayload(ctor, b)
	if err != nil {
		return nil, nil, err
	}
	switch wideOf(ctor) {
	case ctorBinary32:
		return append([]byte{}, data...), rest, nil
	case ctorString32:
		return string(data), rest, nil
	case ctorSymbol32:
		return Symbol(data), rest, nil
	case ctorList32:
		v, err = r.list(ctor, data, depth+1)
	case ctorMap32:
		v, err = r.pairs(ctor, data, depth+1)
	case ctorArray32:
		v, err = r.array(ctor, data, depth+1)
	default:
		v, err = fixedValue(ctor, data)
	}
	if err != nil {
		return nil, nil, err
	}
	return v, rest, nil
}

// claim checks that count more elements at this depth are allowed.
func (r *valueReader) claim(count, depth int) error {
	if depth > nestingMax {
		return errNesting()
	}
	if r.elements -= count; r.elements < 0 {
		return decodeErrorf("more elements than bytes")
	}
	return nil
}

func (r *valueReader) list(ctor byte, data []byte, depth int) (List, error) {
	count, b, err := splitCompound(ctor, data)
	if err != nil {
		return nil, err
	}
	values, err := r.values(count, b, depth)
	return List(values), err
}

// values reads exactly count values from all of b.
func (r *valueReader) values(count int, b []byte, depth int) ([]any, error) {
	if err := r.claim(count, depth); err != nil {
		return nil, err
	}
	values := make([]any, count)
	for i := range values {
		var err error
		if values[i], b, err = r.value(b, depth); err != nil {
			return nil, err
		}
	}
	return values, wantEnd(b)
}

func (r *valueReader) pairs(ctor byte, data []byte, depth int) (Map, error) {
	count, b, err := splitCompound(ctor, data)
	if err != nil {
		return nil, err
	}
	if count%2 != 0 {
		return nil, errOddMap(count)
	}
	if err := r.claim(count, depth); err != nil {
		return nil, err
	}
	m := make(Map, count/2)
	for i := range m {
		if m[i].Key, b, err = r.value(b, depth); err != nil {
			return nil, err
		}
		if m[i].Value, b, err = r.value(b, depth); err != nil {
			return nil, err
		}
	}
	return m, wantEnd(b)
}

func (r *valueReader) array(ctor byte, data []byte, depth int) (Array, error) {
	count, b, err := splitCount(ctor, data)
	if err != nil {
		return Array{}, err
	}
	if err := r.claim(count, depth); err != nil {
		return Array{}, err
	}
	var a Array
	if len(b) > 0 && b[0] == ctorDescribed {
		if a.Descriptor, b, err = r.value(b[1:], depth); err != nil {
			return Array{}, err
		}
	}
	if len(b) == 0 {
		return Array{}, decodeErrorf("array ends before the constructor of its elements")
	}
	elem, b := b[0], b[1:]
	if elem == ctorNull && count > 0 { // says nothing, and has no bytes that would bound it
		return Array{}, decodeErrorf("array of nulls")
	}
	a.Elem = wideOf(elem)
	a.Elements = make([]any, count)
	for i := range a.Elements {
		if a.Elements[i], b, err = r.payload(elem, b, depth); err != nil {
			return Array{}, err
		}
	}
	return a, wantEnd(b)
}

// fixedValue is the value of a type without a length; data is as long as the constructor says.
func fixedValue(ctor byte, data []byte) (any, error) {
	switch ctor {
	case ctorNull:
		return nil, nil
	case ctorTrue:
		return true, nil
	case ctorFalse:
		return false, nil
	case ctorBool:
		return boolOf(data[0])
	case ctorUbyte:
		return data[0], nil
	case ctorUshort:
		return binary.BigEndian.Uint16(data), nil
	case ctorUint0, ctorSmallUint, ctorUint:
		return uint32(unsigned(data)), nil
	case ctorUlong0, ctorSmallUlong, ctorUlong:
		return unsigned(data), nil
	case ctorByte:
		return int8(data[0]), nil
	case ctorShort:
		return int16(signed(data)), nil
	case ctorSmallInt, ctorInt:
		return int32(signed(data)), nil
	case ctorSmallLong, ctorLong:
		return signed(data), nil
	case ctorFloat:
		return math.Float32frombits(binary.BigEndian.Uint32(data)), nil
	case ctorDouble:
		return math.Float64frombits(binary.BigEndian.Uint64(data)), nil
	case ctorDecimal32:
		return Decimal32(data), nil
	case ctorDecimal64:
		return Decimal64(data), nil
	case ctorDecimal128:
		return Decimal128(data), nil
	case ctorChar:
		return Char(signed(data)), nil
	case ctorTimestamp:
		return Timestamp(signed(data)), nil
	case ctorUUID:
		return UUID(data), nil
	}
	return nil, errConstructor(ctor)
}
