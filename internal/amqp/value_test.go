package amqp

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"testing"
)

// read makes the typed readers one type, for tables.
func read[T any](f func([]byte) (T, []byte, error)) func([]byte) (any, []byte, error) {
	return func(b []byte) (any, []byte, error) {
		v, rest, err := f(b)
		return v, rest, err
	}
}

type wireForm struct {
	hex   string
	value any
	ours  string                            // how we write it, "" for hex
	typed func([]byte) (any, []byte, error) // nil where no typed reader is exported
}

func wireForms() []wireForm {
	long := strings.Repeat("x", 256)
	longHex := fmt.Sprintf("%x", long)
	uuid := UUID{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}
	return []wireForm{
		{hex: "40", value: nil},
		{hex: "41", value: true, typed: read(ReadBool)},
		{hex: "42", value: false, typed: read(ReadBool)},
		{hex: "5601", value: true, ours: "41", typed: read(ReadBool)},
		{hex: "5600", value: false, ours: "42", typed: read(ReadBool)},
		{hex: "5000", value: uint8(0), typed: read(ReadUbyte)},
		{hex: "50ff", value: uint8(255), typed: read(ReadUbyte)},
		{hex: "600000", value: uint16(0), typed: read(ReadUshort)},
		{hex: "60fffe", value: uint16(65534), typed: read(ReadUshort)},
		{hex: "43", value: uint32(0), typed: read(ReadUint)},
		{hex: "5200", value: uint32(0), ours: "43", typed: read(ReadUint)},
		{hex: "5201", value: uint32(1), typed: read(ReadUint)},
		{hex: "52ff", value: uint32(255), typed: read(ReadUint)},
		{hex: "70000000ff", value: uint32(255), ours: "52ff", typed: read(ReadUint)},
		{hex: "7000000100", value: uint32(256), typed: read(ReadUint)},
		{hex: "70ffffffff", value: uint32(math.MaxUint32), typed: read(ReadUint)},
		{hex: "44", value: uint64(0), typed: read(ReadUlong)},
		{hex: "5300", value: uint64(0), ours: "44", typed: read(ReadUlong)},
		{hex: "53ff", value: uint64(255), typed: read(ReadUlong)},
		{hex: "80 0000000000000001", value: uint64(1), ours: "5301", typed: read(ReadUlong)},
		{hex: "80 0000000000000100", value: uint64(256), typed: read(ReadUlong)},
		{hex: "80 ffffffffffffffff", value: uint64(math.MaxUint64), typed: read(ReadUlong)},
		{hex: "5180", value: int8(-128)},
		{hex: "617fff", value: int16(32767)},
		{hex: "618000", value: int16(-32768)},
		{hex: "5480", value: int32(-128)},
		{hex: "547f", value: int32(127)},
		{hex: "7100000080", value: int32(128)},
		{hex: "71ffffff7f", value: int32(-129)},
		{hex: "7100000001", value: int32(1), ours: "5401"},
		{hex: "7180000000", value: int32(math.MinInt32)},
		{hex: "5580", value: int64(-128)},
		{hex: "557f", value: int64(127)},
		{hex: "81 0000000000000080", value: int64(128)},
		{hex: "81 ffffffffffffffff", value: int64(-1), ours: "55ff"},
		{hex: "81 8000000000000000", value: int64(math.MinInt64)},
		{hex: "723fc00000", value: float32(1.5)},
		{hex: "82 bff8000000000000", value: float64(-1.5)},
		{hex: "7401020304", value: Decimal32{1, 2, 3, 4}},
		{hex: "84 0102030405060708", value: Decimal64{1, 2, 3, 4, 5, 6, 7, 8}},
		{hex: "94 000102030405060708090a0b0c0d0e0f", value: Decimal128(uuid)},
		{hex: "730001f600", value: Char('😀')},
		{hex: "83 0000018bcfe56800", value: Timestamp(1700000000000), typed: read(ReadTimestamp)},
		{hex: "83 ffffc77cedd32800", value: Timestamp(-62135596800000), typed: read(ReadTimestamp)},
		{hex: "98 000102030405060708090a0b0c0d0e0f", value: uuid, typed: read(ReadUUID)},
		{hex: "a000", value: []byte{}, typed: read(readBinaryCopy)},
		{hex: "a002 00ff", value: []byte{0, 255}, typed: read(readBinaryCopy)},
		{hex: "b000000002 00ff", value: []byte{0, 255}, ours: "a00200ff", typed: read(readBinaryCopy)},
		{hex: "b000000100" + longHex, value: []byte(long), typed: read(readBinaryCopy)},
		{hex: "a100", value: "", typed: read(ReadString)},
		{hex: `a103"abc"`, value: "abc", typed: read(ReadString)},
		{hex: `b100000003"abc"`, value: "abc", ours: `a103"abc"`, typed: read(ReadString)},
		{hex: "b100000100" + longHex, value: long, typed: read(ReadString)},
		{hex: "a1ff" + longHex[2:], value: long[1:], typed: read(ReadString)},
		{hex: `a303"abc"`, value: Symbol("abc"), typed: read(ReadSymbol)},
		{hex: `b300000003"abc"`, value: Symbol("abc"), ours: `a303"abc"`, typed: read(ReadSymbol)},
		{hex: "b300000100" + longHex, value: Symbol(long), typed: read(ReadSymbol)},
		{hex: "45", value: List{}, typed: read(readList)},
		{hex: "c00100", value: List{}, ours: "45", typed: read(readList)},
		{hex: "d00000000400000000", value: List{}, ours: "45", typed: read(readList)},
		{hex: "c0 04 02 41 5201", value: List{true, uint32(1)}, typed: read(readList)},
		{hex: "d0 00000007 00000002 41 5201", value: List{true, uint32(1)}, ours: "c0 04 02 41 5201", typed: read(readList)},
		{hex: "c10100", value: Map{}, typed: read(ReadMap)},
		{hex: "d10000000400000000", value: Map{}, ours: "c10100", typed: read(ReadMap)},
		{hex: `c1 08 04 a1016b 40 5401 41`, value: Map{{"k", nil}, {int32(1), true}}, typed: read(ReadMap)},
		{hex: `d1 0000000b 00000004 a1016b 40 5401 41`, value: Map{{"k", nil}, {int32(1), true}}, ours: `c1 08 04 a1016b 40 5401 41`,
			typed: read(ReadMap)},
		{hex: "00 5324 45", value: &Described{uint64(0x24), List{}}},
		{hex: `00 a30164 00 43 40`, value: &Described{Symbol("d"), &Described{uint32(0), nil}}},
	}
}

// arrayForms are arrays in the narrow forms that others write; ours have elements in the widest form.
func arrayForms() []wireForm {
	array := func(elem byte, elements ...any) Array {
		return Array{Elem: elem, Elements: append([]any{}, elements...)}
	}
	return []wireForm{
		{hex: "e0 02 00 40", value: array(0x40)},
		{hex: "e0 02 02 41", value: array(0x56, true, true), ours: "e0 04 02 56 01 01"},
		{hex: "e0 04 02 56 01 00", value: array(0x56, true, false)},
		{hex: "e0 02 01 42", value: array(0x56, false), ours: "e0 03 01 56 00"},
		{hex: "e0 04 02 50 01 ff", value: array(0x50, uint8(1), uint8(255))},
		{hex: "e0 03 01 51 ff", value: array(0x51, int8(-1))},
		{hex: "e0 04 01 60 0102", value: array(0x60, uint16(258))},
		{hex: "e0 04 01 61 fffe", value: array(0x61, int16(-2))},
		{hex: "e0 02 01 43", value: array(0x70, uint32(0)), ours: "e0 06 01 70 00000000"},
		{hex: "e0 03 01 52 07", value: array(0x70, uint32(7)), ours: "e0 06 01 70 00000007"},
		{hex: "e0 06 01 70 00000007", value: array(0x70, uint32(7))},
		{hex: "e0 02 01 44", value: array(0x80, uint64(0)), ours: "e0 0a 01 80 0000000000000000"},
		{hex: "e0 03 01 53 07", value: array(0x80, uint64(7)), ours: "e0 0a 01 80 0000000000000007"},
		{hex: "e0 03 01 54 ff", value: array(0x71, int32(-1)), ours: "e0 06 01 71 ffffffff"},
		{hex: "e0 03 01 55 ff", value: array(0x81, int64(-1)), ours: "e0 0a 01 81 ffffffffffffffff"},
		{hex: "e0 06 01 72 3fc00000", value: array(0x72, float32(1.5))},
		{hex: "e0 0a 01 82 bff8000000000000", value: array(0x82, float64(-1.5))},
		{hex: "e0 06 01 73 00000041", value: array(0x73, Char('A'))},
		{hex: "e0 06 01 74 01020304", value: array(0x74, Decimal32{1, 2, 3, 4})},
		{hex: "e0 0a 01 83 0000018bcfe56800", value: array(0x83, Timestamp(1700000000000))},
		{hex: "e0 0a 01 84 0102030405060708", value: array(0x84, Decimal64{1, 2, 3, 4, 5, 6, 7, 8})},
		{hex: "e0 12 01 94 00000000000000000000000000000001", value: array(0x94, Decimal128{15: 1})},
		{hex: "e0 12 01 98 00000000000000000000000000000001", value: array(0x98, UUID{15: 1})},
		{hex: "e0 04 01 a0 01 ff", value: array(0xb0, []byte{255}), ours: "e0 07 01 b0 00000001 ff"},
		{hex: "e0 06 02 a1 0130 0131", value: StringArray("0", "1"), ours: `e0 0c 02 b1 00000001"0" 00000001"1"`},
		{hex: "f0 00000009 00000002 a1 0130 0131", value: StringArray("0", "1"), ours: `e0 0c 02 b1 00000001"0" 00000001"1"`},
		{hex: "e0 04 01 a3 0161", value: SymbolArray("a"), ours: `e0 07 01 b3 00000001"a"`},
		{hex: "e0 02 00 b3", value: SymbolArray()},
		{hex: "e0 02 01 45", value: array(0xd0, List{}), ours: "e0 0a 01 d0 00000004 00000000"},
		{hex: "e0 05 01 c0 02 01 41", value: array(0xd0, List{true}), ours: "e0 0b 01 d0 00000005 00000001 41"},
		{hex: "e0 06 01 c1 03 02 40 41", value: array(0xd1, Map{{nil, true}}), ours: "e0 0c 01 d1 00000006 00000002 40 41"},
		{hex: "e0 06 01 e0 03 01 50 07", value: array(0xf0, array(0x50, uint8(7))), ours: "e0 0c 01 f0 00000006 00000001 50 07"},
		{hex: "e0 06 01 00 5307 50 01", value: Array{Elem: 0x50, Descriptor: uint64(7), Elements: []any{uint8(1)}}},
		{hex: "f0 00000109 00000001 b1 00000100" + strings.Repeat("78", 256), value: StringArray(strings.Repeat("x", 256))},
	}
}

func TestWireForms(t *testing.T) {
	t.Parallel()
	for _, f := range append(wireForms(), arrayForms()...) {
		t.Run(fmt.Sprintf("%.24s", f.hex), func(t *testing.T) {
			t.Parallel()
			wire := unhex(t, f.hex)
			ours := wire
			if f.ours != "" {
				ours = unhex(t, f.ours)
			}
			wantBytes(t, "encoded", AppendValue([]byte{1}, f.value), append([]byte{1}, ours...))
			skip := func(b []byte) (any, []byte, error) {
				rest, err := SkipValue(b)
				return f.value, rest, err
			}
			for name, read := range map[string]func([]byte) (any, []byte, error){"any": read(ReadValue), "typed": f.typed, "skip": skip} {
				if read == nil {
					continue
				}
				v, rest, err := read(append(wire, 0x55))
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				wantValue(t, name, v, f.value)
				wantBytes(t, name+" rest", rest, []byte{0x55})
				for n := range wire {
					if _, _, err := read(wire[:n]); err == nil {
						t.Errorf("%s: no error after %d of %d bytes", name, n, len(wire))
					}
				}
			}
		})
	}
}

func TestReadInteger(t *testing.T) {
	t.Parallel()
	rows := []struct {
		hex  string
		want int64
	}{
		{"50ff", 255}, {"60ffff", 65535}, {"43", 0}, {"52ff", 255}, {"70ffffffff", math.MaxUint32}, {"44", 0}, {"53ff", 255},
		{"80 7fffffffffffffff", math.MaxInt64}, {"51ff", -1}, {"618000", -32768}, {"54ff", -1}, {"7180000000", math.MinInt32},
		{"5503", 3}, {"81 8000000000000000", math.MinInt64},
	}
	for _, r := range rows {
		wire := unhex(t, r.hex)
		got, rest, err := ReadInteger(append(wire, 1))
		if err != nil || got != r.want || len(rest) != 1 {
			t.Errorf("%s: %d, %d bytes left, error %v; want %d", r.hex, got, len(rest), err, r.want)
		}
		for n := range wire {
			if _, _, err := ReadInteger(wire[:n]); err == nil {
				t.Errorf("%s: no error after %d bytes", r.hex, n)
			}
		}
	}
	_, _, err := ReadInteger(unhex(t, "80 8000000000000000"))
	wantError(t, "large ulong", err, CondDecodeError, "ulong 9223372036854775808 does not fit an int64")
	_, _, err = ReadInteger(unhex(t, "a10131"))
	wantError(t, "string", err, CondDecodeError, "want integer, found string (0xa1)")
}

// Each reader is put before each constructor byte, with bytes after it, and takes those of its own type only.
func TestTypedReadersRefuseOtherTypes(t *testing.T) {
	t.Parallel()
	header := func(f func([]byte) (int, []byte, []byte, error)) func([]byte) (any, []byte, error) {
		return func(b []byte) (any, []byte, error) {
			n, _, rest, err := f(b)
			return n, rest, err
		}
	}
	readers := []struct {
		name  string
		read  func([]byte) (any, []byte, error)
		ctors []byte
	}{
		{"boolean", read(ReadBool), []byte{0x41, 0x42, 0x56}},
		{"ubyte", read(ReadUbyte), []byte{0x50}},
		{"ushort", read(ReadUshort), []byte{0x60}},
		{"uint", read(ReadUint), []byte{0x43, 0x52, 0x70}},
		{"ulong", read(ReadUlong), []byte{0x44, 0x53, 0x80}},
		{"timestamp", read(ReadTimestamp), []byte{0x83}},
		{"uuid", read(ReadUUID), []byte{0x98}},
		{"binary", read(ReadBinary), []byte{0xa0, 0xb0}},
		{"string", read(ReadStringBytes), []byte{0xa1, 0xb1}},
		{"symbol", read(ReadSymbolBytes), []byte{0xa3, 0xb3}},
		{"list", header(ReadListHeader), []byte{0x45, 0xc0, 0xd0}},
		{"map", header(ReadMapHeader), []byte{0xc1, 0xd1}},
		{"map", read(ReadMap), []byte{0xc1, 0xd1}},
		{"integer", read(ReadInteger), []byte{0x43, 0x44, 0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x60, 0x61, 0x70, 0x71, 0x80, 0x81}},
	}
	for _, r := range readers {
		for c := range 256 {
			b := make([]byte, 32)
			b[0] = byte(c)
			_, _, err := r.read(b)
			switch {
			case !strings.Contains(string(r.ctors), string([]byte{byte(c)})):
				wantError(t, fmt.Sprintf("%s before %#02x", r.name, c), err, CondDecodeError, "want "+r.name+", found ")
			case err != nil && !strings.Contains(err.Error(), "count"): // a compound of size 0 has no room for one
				t.Errorf("%s before %#02x: %v", r.name, c, err)
			}
		}
	}
}

func TestBadValues(t *testing.T) {
	t.Parallel()
	rows := []struct{ name, hex, want string }{
		{"nothing", "", "input ends before the value"},
		{"unknown constructor", "46", "unknown constructor 0x46"},
		{"unknown constructor with a length", "a20161", "unknown constructor 0xa2"},
		{"reserved constructor", "3f", "unknown constructor 0x3f"},
		{"boolean of two", "5602", "boolean 0x02, want 0 or 1"},
		{"list without count", "c000", "list has no room for its count"},
		{"list32 without count", "d000000003 000000", "list has no room for its count"},
		{"list with more elements than bytes", "c00203 41", "list of 3 elements in 1 bytes"},
		{"list with fewer elements than bytes", "c00301 4141", "1 bytes after the last element"},
		{"list that ends in an element", "c00401 5041 41", "1 bytes after the last element"},
		{"list cut in an element", "c00301 7001", "uint is cut off"},
		{"list larger than the input", "d0 ffffffff ffffffff", "list is cut off"},
		{"list of 4 billion", "d0 00000005 ffffffff 40", "list of 4294967295 elements"},
		{"map of three", "c10403 414141", "map of 3 elements, want an even number"},
		{"map with bytes left", "c10402 414141", "1 bytes after the last element"},
		{"array without count", "e000", "array has no room for its count"},
		{"array without constructor", "e00100", "array ends before the constructor"},
		{"array without descriptor", "e0020000", "input ends before the value"},
		{"array described, without constructor", "e0030000 43", "array ends before the constructor"},
		{"array described twice", "e0 07 01 00 43 00 43 5001", "unknown constructor 0x00"},
		{"array cut in an element", "e00302 6001", "ushort is cut off"},
		{"array with bytes left", "e00401 500102", "1 bytes after the last element"},
		{"array of nulls", "e0 02 01 40", "array of nulls"},
		{"array of many trues", "f0 00000005 00001000 41", "more elements than bytes"},
		{"array of four billion trues", "f0 00000005 ffffffff 41", "array of 4294967295 elements"},
		{"lists that claim each other's bytes", "d0 00000011 0000000d d0 00000008 00000004 40404040 40", "input ends before the value"},
		{"descriptor only", "00", "input ends before the value"},
		{"descriptor without value", "0043", "input ends before the value"},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			_, _, err := ReadValue(unhex(t, r.hex))
			wantError(t, r.hex, err, CondDecodeError, r.want)
		})
	}
}

func TestNestingLimit(t *testing.T) {
	t.Parallel()
	wrap := map[string]func(any) any{
		"list":      func(v any) any { return List{v} },
		"map":       func(v any) any { return Map{{"k", v}} },
		"array":     func(v any) any { return Array{Elem: 0xf0, Elements: []any{v}} },
		"described": func(v any) any { return &Described{uint64(1), v} },
	}
	for name, wrap := range wrap {
		var v any = StringArray() // one level by itself
		for range nestingMax - 1 {
			v = wrap(v)
		}
		if _, _, err := ReadValue(AppendValue(nil, v)); err != nil {
			t.Errorf("%s: %d levels: %v", name, nestingMax, err)
		}
		_, _, err := ReadValue(AppendValue(nil, wrap(v)))
		wantError(t, name, err, CondDecodeError, "more than 32 values nested")
	}
	deep := make([]byte, 1<<20) // descriptors of descriptors
	_, _, err := ReadValue(deep)
	wantError(t, "descriptors", err, CondDecodeError, "more than 32 values nested")
	_, err = SkipValue(deep)
	wantError(t, "descriptors skipped", err, CondDecodeError, "input ends before the value")
}

// Lists in lists, and maps in maps, that each claim as many elements as there are bytes left must not each get room for them.
func TestNestedClaimsAreBounded(t *testing.T) {
	for _, ctor := range []byte{ctorList32, ctorMap32} {
		b := bytes.Repeat([]byte{ctorNull}, 64<<10)
		for at := 0; at < nestingMax*compound32Bytes; at += compound32Bytes {
			left := len(b) - at
			copy(b[at:], binary.BigEndian.AppendUint32([]byte{ctor}, uint32(left-5)))
			binary.BigEndian.PutUint32(b[at+5:], uint32(left-compound32Bytes)&^1)
		}
		bounded(t, len(b), func() {
			_, _, err := ReadValue(b)
			wantError(t, typeName(ctor), err, CondDecodeError, "more elements than bytes")
		})
	}
}

func TestReadHeaders(t *testing.T) {
	t.Parallel()
	for wire, want := range map[string]int{"45 ff": 0, "c0 04 02 41 5201 ff": 2, "d0 00000007 00000002 41 5201 ff": 2} {
		count, entries, rest, err := ReadListHeader(unhex(t, wire))
		if count != want || err != nil {
			t.Errorf("%s: %d entries, error %v, want %d", wire, count, err, want)
		}
		wantBytes(t, wire+": entries", entries, unhex(t, "415201")[:want*3/2])
		wantBytes(t, wire+": rest", rest, []byte{255})
	}
	for wire, want := range map[string]int{"c10100 ff": 0, "c1 04 02 41 5201 ff": 1, "d1 00000007 00000002 41 5201 ff": 1} {
		pairs, entries, rest, err := ReadMapHeader(unhex(t, wire))
		if pairs != want || err != nil {
			t.Errorf("%s: %d pairs, error %v, want %d", wire, pairs, err, want)
		}
		wantBytes(t, wire+": entries", entries, unhex(t, "415201")[:want*3])
		wantBytes(t, wire+": rest", rest, []byte{255})
	}
	for _, wire := range []string{"c10401 414141", "d1 00000005 00000001 41"} {
		_, _, _, err := ReadMapHeader(unhex(t, wire))
		wantError(t, wire, err, CondDecodeError, "map of 1 elements, want an even number")
	}
	for _, wire := range []string{"c1", "c101", "c1ff00", "c10002", "c10105", "d10000000500000003 41", "d1000000"} {
		if _, _, _, err := ReadMapHeader(unhex(t, wire)); err == nil {
			t.Errorf("%s: no error", wire)
		}
	}
}

// Lists and maps move to the 32-bit form when their content does not fit 8 bits of size, in which the count's own byte counts.
func TestCompoundWidth(t *testing.T) {
	t.Parallel()
	for _, r := range []struct {
		text   int // bytes of text in the list
		header string
	}{
		{252, "c0ff01 a1fc"},
		{253, "d0 00000103 00000001 a1fd"},
	} {
		header := unhex(t, r.header)
		text := strings.Repeat("x", r.text)
		wantBytes(t, "list", AppendValue(nil, List{text}), append(header, text...))
		b, mark := BeginList([]byte("before"))
		b, inner := BeginMap(b)
		b = EndMap(AppendString(AppendNull(b), text), inner, 1)
		b = EndList(b, mark, 1)
		v, rest, err := ReadValue(b[len("before"):])
		if err != nil || len(rest) > 0 {
			t.Fatalf("%d bytes left, error %v", len(rest), err)
		}
		wantValue(t, "nested", v, List{Map{{nil, text}}})
	}
	nulls := make(List, 255)
	wantBytes(t, "255 nulls", AppendValue(nil, nulls)[:9], unhex(t, "d0 00000103 000000ff"))
	array := Array{Elem: ctorNull, Elements: make([]any, 256)}
	wantBytes(t, "array of 256 nulls", AppendValue(nil, array), unhex(t, "f0 00000005 00000100 40"))
}

func TestNilValuesAreNull(t *testing.T) {
	t.Parallel()
	for _, v := range []any{nil, Map(nil), List(nil), []byte(nil)} {
		wantBytes(t, fmt.Sprintf("%T", v), AppendValue(nil, v), []byte{ctorNull})
	}
	wantBytes(t, "symbols", AppendSymbols(nil, nil), []byte{ctorNull})
	wantBytes(t, "no symbols", AppendSymbols(nil, []Symbol{}), unhex(t, "e00200b3"))
	wantBytes(t, "binary", AppendBinary(nil, nil), []byte{ctorBinary8, 0})
	if !IsNull([]byte{0x40, 1}) || IsNull([]byte{0x41}) || IsNull(nil) {
		t.Error("IsNull is not about the first byte")
	}
}

func TestTypedAppend(t *testing.T) {
	t.Parallel()
	rows := []struct {
		name string
		got  []byte
		hex  string
	}{
		{"null", AppendNull(nil), "40"},
		{"true", AppendBool(nil, true), "41"},
		{"false", AppendBool(nil, false), "42"},
		{"ubyte", AppendUbyte(nil, 7), "5007"},
		{"ushort", AppendUshort(nil, 0x1387), "601387"},
		{"uint", AppendUint(nil, 300), "700000012c"},
		{"ulong", AppendUlong(nil, 1<<20), "80 0000000000100000"},
		{"int", AppendInt(nil, 7), "5407"},
		{"wide int", AppendIntWide(nil, 7), "7100000007"},
		{"long", AppendLong(nil, -1), "55ff"},
		{"timestamp", AppendTimestamp(nil, -62135596800000), "83 ffffc77cedd32800"},
		{"uuid", AppendUUID(nil, UUID{15: 1}), "98 00000000000000000000000000000001"},
		{"binary", AppendBinary(nil, []byte{1}), "a00101"},
		{"string", AppendString(nil, "$cbs"), "a10424636273"},
		{"symbol", AppendSymbol(nil, "a"), "a30161"},
		{"symbols", AppendSymbols(nil, []Symbol{"a"}), "e00701b3 00000001 61"},
	}
	for _, r := range rows {
		wantBytes(t, r.name, r.got, unhex(t, r.hex))
	}
}

func TestReadSymbols(t *testing.T) {
	t.Parallel()
	rows := []struct {
		hex  string
		want []Symbol
		err  string
	}{
		{hex: "a30161", want: []Symbol{"a"}},
		{hex: "b30000000161", want: []Symbol{"a"}},
		{hex: "e006 02 a3 0161 0162", want: []Symbol{"a", "b"}},
		{hex: "f0 00000009 00000002 a3 0161 0162", want: []Symbol{"a", "b"}},
		{hex: "e00c02 b3 0000000161 0000000162", want: []Symbol{"a", "b"}},
		{hex: "e002 00 a3", want: []Symbol{}},
		{hex: "e004 01 a1 0161", err: "want symbol, found string"},
		{hex: "e005 01 a3 0161 00", err: "1 bytes after the last element"},
		{hex: "e004 05 a3 0161", err: "array of 5 elements in 3 bytes"},
		{hex: "e003 02 a3 00", err: "symbol is cut off"},
		{hex: "e001 00", err: "input ends before the symbol"},
		{hex: "e000", err: "array has no room for its count"},
		{hex: "e00200", err: "array is cut off"},
		{hex: "a10161", err: "want symbol, found string"},
		{hex: "45", err: "want symbol, found list"},
		{hex: "", err: "input ends before the symbol"},
	}
	for _, r := range rows {
		got, rest, err := ReadSymbols(unhex(t, r.hex))
		if r.err != "" {
			wantError(t, r.hex, err, CondDecodeError, r.err)
			continue
		}
		if err != nil || len(rest) > 0 {
			t.Errorf("%s: %d bytes left, error %v", r.hex, len(rest), err)
		}
		wantValue(t, r.hex, got, r.want)
	}
}

func TestMapLookup(t *testing.T) {
	t.Parallel()
	m := Map{{uint64(1), 0}, {"a", 1}, {Symbol("b"), nil}, {"a", 2}}
	if v, ok := m.Lookup("a"); v != 1 || !ok {
		t.Errorf("a: %v, %v", v, ok)
	}
	if v, ok := m.Lookup("b"); v != nil || !ok {
		t.Errorf("b: %v, %v", v, ok)
	}
	if v, ok := m.Lookup("c"); v != nil || ok {
		t.Errorf("c: %v, %v", v, ok)
	}
}

func TestBugsPanic(t *testing.T) {
	t.Parallel()
	bugs := map[string]func(){
		"a Go type of no AMQP type": func() { AppendValue(nil, 1) },
		"an element of another type": func() {
			AppendValue(nil, Array{Elem: ctorSymbol32, Elements: []any{"a string"}})
		},
		"an unknown state": func() { (&DeliveryState{Code: CodeOpen}).Append(nil) },
	}
	for name, bug := range bugs {
		func() {
			defer func() {
				if s, _ := recover().(string); !strings.HasPrefix(s, "BUG: ") {
					t.Errorf("%s: panic %q, want BUG", name, s)
				}
			}()
			bug()
		}()
	}
}

func TestOpt(t *testing.T) {
	t.Parallel()
	if got := Some(false).Or(true); got {
		t.Error("a set field gave the default")
	}
	if got := (Opt[int]{}).Or(7); got != 7 {
		t.Errorf("a null field gave %d, want 7", got)
	}
}
