package replay

import (
	"encoding/binary"
	"fmt"
	"regexp"
	"slices"
)

// value is one AMQP value as it stands on the wire: which constructor it has matters as much as what it says. Reader and writer are this
// test's own, so that a mistake of the codec under test cannot hide itself.
type value struct {
	ctor byte    // described for a described value
	data []byte  // of a number, text, uuid, ...: the bytes behind constructor and length
	kids []value // of a list, map (keys and values in turn) or array; descriptor and value of a described one
	elem byte    // of an array: the constructor of its elements

	// Of values written down in an exchange only.
	mask   *mask  // a text that is not the same each time
	anyInt bool   // an integer whose type is not known, only its size
	token  string // a token the world makes when it is sent
}

const (
	described = 0x00
	null      = 0x40
	boolTrue  = 0x41
	boolFalse = 0x42
)

// constructors of each type, the shortest form first.
var constructors = []struct {
	typ   string
	ctors []byte
}{
	{"null", []byte{null}},
	{"boolean", []byte{boolTrue, boolFalse, 0x56}},
	{"ubyte", []byte{0x50}}, {"ushort", []byte{0x60}}, {"uint", []byte{0x43, 0x52, 0x70}}, {"ulong", []byte{0x44, 0x53, 0x80}},
	{"byte", []byte{0x51}}, {"short", []byte{0x61}}, {"int", []byte{0x54, 0x71}}, {"long", []byte{0x55, 0x81}},
	{"float", []byte{0x72}}, {"double", []byte{0x82}}, {"timestamp", []byte{0x83}}, {"uuid", []byte{0x98}},
	{"binary", []byte{0xa0, 0xb0}}, {"string", []byte{0xa1, 0xb1}}, {"symbol", []byte{0xa3, 0xb3}},
	{"list", []byte{0x45, 0xc0, 0xd0}}, {"map", []byte{0xc1, 0xd1}}, {"array", []byte{0xe0, 0xf0}},
}

func typeOf(ctor byte) string {
	for _, c := range constructors {
		if slices.Contains(c.ctors, ctor) {
			return c.typ
		}
	}
	return fmt.Sprintf("constructor %#02x", ctor)
}

func ctorsOf(typ string) []byte {
	for _, c := range constructors {
		if c.typ == typ {
			return c.ctors
		}
	}
	return nil
}

func (v value) typ() string { return typeOf(v.ctor) }

func (v value) isNull() bool { return v.ctor == null }

// code is the numeric descriptor of a composite, or -1.
func (v value) code() int64 {
	if v.ctor != described || v.kids[0].typ() != "ulong" {
		return -1
	}
	return v.kids[0].number()
}

// number is what an integer, boolean or timestamp says.
func (v value) number() int64 {
	switch v.ctor {
	case boolTrue:
		return 1
	case boolFalse:
		return 0
	}
	var n uint64
	for _, c := range v.data {
		n = n<<8 | uint64(c)
	}
	if unused := 64 - 8*len(v.data); isSigned(v.typ()) {
		return int64(n<<unused) >> unused
	}
	return int64(n)
}

func isSigned(typ string) bool {
	return slices.Contains([]string{"byte", "short", "int", "long", "timestamp"}, typ)
}

func isInteger(typ string) bool {
	return isSigned(typ) && typ != "timestamp" || slices.Contains([]string{"ubyte", "ushort", "uint", "ulong"}, typ)
}

// integer makes a number of the type in its shortest form, which is how the service writes them (recorded).
func integer(typ string, n int64) value {
	ctors := ctorsOf(typ)
	ctor := ctors[len(ctors)-1]
	switch {
	case len(ctors) == 3 && n == 0:
		ctor = ctors[0]
	case len(ctors) == 3 && n > 0 && n < 256:
		ctor = ctors[1]
	case len(ctors) == 2 && n == int64(int8(n)):
		ctor = ctors[0]
	}
	return value{ctor: ctor, data: bigEndian(n, fixedSize(ctor))}
}

func bigEndian(n int64, size int) []byte {
	return binary.BigEndian.AppendUint64(nil, uint64(n))[8-size:]
}

func boolean(b bool) value {
	if b {
		return value{ctor: boolTrue}
	}
	return value{ctor: boolFalse}
}

// text makes a binary, string or symbol.
func text(typ string, data []byte) value {
	ctor := ctorsOf(typ)[0]
	if len(data) > 255 {
		ctor += 0x10
	}
	return value{ctor: ctor, data: data}
}

// compound makes a list or map: in the 32-bit form above 255 bytes (recorded).
func compound(typ string, kids []value) value {
	v := value{ctor: 0xc0, kids: kids}
	if typ == "map" {
		v.ctor = 0xc1
	} else if len(kids) == 0 {
		v.ctor = 0x45
	}
	size := 1
	for _, k := range kids {
		size += len(k.append(nil))
	}
	if size > 255 || len(kids) > 255 {
		v.ctor += 0x10
	}
	return v
}

// array makes an array of texts, whose elements stand in their 32-bit form (recorded).
func array(kids []value) value {
	v := value{ctor: 0xe0, elem: ctorsOf(kids[0].typ())[1]}
	size := 2
	for _, k := range kids {
		k.ctor = v.elem
		v.kids = append(v.kids, k)
		size += 4 + len(k.data)
	}
	if size > 255 {
		v.ctor = 0xf0
	}
	return v
}

// fixedSize is how many bytes follow the constructor of a type without a length.
func fixedSize(ctor byte) int {
	if ctor>>4 == 4 {
		return 0
	}
	return 1 << (ctor>>4 - 5)
}

func (v value) append(b []byte) []byte {
	b = append(b, v.ctor)
	if v.ctor == described {
		return v.kids[1].append(v.kids[0].append(b))
	}
	return v.appendContent(b)
}

func (v value) appendContent(b []byte) []byte {
	switch v.ctor >> 4 {
	case 0xa:
		return append(append(b, byte(len(v.data))), v.data...)
	case 0xb:
		return append(binary.BigEndian.AppendUint32(b, uint32(len(v.data))), v.data...)
	case 0xc, 0xd, 0xe, 0xf:
		width := 1
		if v.ctor&0x10 != 0 {
			width = 4
		}
		var content []byte
		if v.ctor >= 0xe0 {
			content = append(content, v.elem)
		}
		for _, k := range v.kids {
			if v.ctor >= 0xe0 {
				content = k.appendContent(content)
			} else {
				content = k.append(content)
			}
		}
		b = append(b, bigEndian(int64(len(content)+width), width)...)
		b = append(b, bigEndian(int64(len(v.kids)), width)...)
		return append(b, content...)
	}
	return append(b, v.data...)
}

// reader takes values apart. The first error sticks.
type reader struct {
	b   []byte
	err error
}

func (r *reader) take(n int) []byte {
	if r.err != nil || n > len(r.b) {
		if r.err == nil {
			r.err = fmt.Errorf("%d bytes wanted, %d left", n, len(r.b))
		}
		return nil
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) uint(width int) (n int) {
	for _, c := range r.take(width) {
		n = n<<8 | int(c)
	}
	return n
}

func (r *reader) value() value {
	ctor := byte(r.uint(1))
	if r.err != nil {
		return value{ctor: null}
	}
	if ctor == described {
		return value{ctor: described, kids: []value{r.value(), r.value()}}
	}
	return r.content(ctor)
}

func (r *reader) content(ctor byte) value {
	v := value{ctor: ctor}
	switch kind := ctor >> 4; {
	case kind >= 4 && kind <= 9:
		v.data = r.take(fixedSize(ctor))
	case kind == 0xa:
		v.data = r.take(r.uint(1))
	case kind == 0xb:
		v.data = r.take(r.uint(4))
	case kind >= 0xc:
		r.compound(&v)
	default:
		r.err = fmt.Errorf("unknown constructor %#02x", ctor)
	}
	return v
}

func (r *reader) compound(v *value) {
	width := 1
	if v.ctor&0x10 != 0 {
		width = 4
	}
	in := reader{b: r.take(r.uint(width)), err: r.err}
	count := in.uint(width)
	if v.ctor >= 0xe0 {
		v.elem = byte(in.uint(1))
	}
	for i := 0; i < count && in.err == nil; i++ {
		if v.ctor >= 0xe0 {
			v.kids = append(v.kids, in.content(v.elem))
		} else {
			v.kids = append(v.kids, in.value())
		}
	}
	if in.err == nil && len(in.b) > 0 {
		in.err = fmt.Errorf("%d bytes behind the last element", len(in.b))
	}
	r.err = in.err
}

// mask stands for a text of which parts are other ones each time: ids, addresses, times.
type mask struct {
	pattern *regexp.Regexp // with a group for each part
	parts   []string       // their names
	sample  int            // bytes of the parts as they were recorded
}
