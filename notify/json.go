package notify

import (
	"bytes"
	"cmp"
	"encoding"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"
)

// JSON makes a message of content type application/json whose body is v, with no HTML escapes and no newline behind it. It may be called
// concurrently.
//
// The body is what encoding/json makes of v: struct tags, embedded structs, json.Marshaler and encoding.TextMarshaler mean what they mean
// there; time.Time is RFC 3339, []byte is base64, keys of maps are sorted. It is different in this:
//   - A time.Duration is an ISO 8601 duration, such as "PT1H30M" or "-PT0.5S", wherever it stands, as a key too; a day has 24 hours, and 365
//     days are a year ("P1Y35D").
//   - A map whose values are the empty struct is a set, and becomes an array: numbers by size, all else by its encoding.
//   - Text that is not UTF-8 is an error. encoding/json would replace what it cannot read.
//   - A json.RawMessage that is v itself stays as it is, byte for byte, and is not copied. It has to be JSON.
//
// The error is an *Error of Reason Invalid, and says where in v the value stands that cannot be encoded, such as "orders[2].done: a channel
// cannot be encoded". What is nested more than 1000 deep, pointers included, is refused, and with it what contains itself.
func JSON(v any) (Message, error) {
	body, err := encodeJSON(v)
	if err != nil {
		return Message{}, err
	}
	return Message{ContentType: "application/json", Body: body}, nil
}

const (
	jsonDepthMax = 1000 // where the readers of several languages end
	jsonPathMax  = 200  // bytes of a path that an error shows
)

func encodeJSON(v any) ([]byte, error) {
	if raw, ok := v.(json.RawMessage); ok && raw != nil {
		if !json.Valid(raw) {
			return nil, &Error{Reason: Invalid, Text: "the json.RawMessage is not JSON"}
		}
		return raw, nil
	}
	e := &jsonEncoder{fields: map[reflect.Type][]jsonField{}}
	e.std = json.NewEncoder(&e.buf)
	e.std.SetEscapeHTML(false)
	if err := e.value(reflect.ValueOf(v)); err != nil {
		return nil, err
	}
	return e.buf.Bytes(), nil
}

// jsonEncoder walks one value. encoding/json cannot be told to write single types in another way, nor to say where it failed; so the walk is
// ours, and whatever has no rule of its own is given to encoding/json.
type jsonEncoder struct {
	buf    bytes.Buffer
	std    *json.Encoder // writes to buf
	path   []byte        // to the value in hand
	depth  int
	fields map[reflect.Type][]jsonField // of structs seen
}

var (
	durationType      = reflect.TypeFor[time.Duration]()
	numberType        = reflect.TypeFor[json.Number]()
	marshalerType     = reflect.TypeFor[json.Marshaler]()
	textMarshalerType = reflect.TypeFor[encoding.TextMarshaler]()
)

func (e *jsonEncoder) value(v reflect.Value) error {
	switch {
	case !v.IsValid() || (v.Kind() == reflect.Interface || v.Kind() == reflect.Pointer) && v.IsNil():
		return e.null()
	case v.Type() == durationType:
		e.text(durationText(time.Duration(v.Int())))
		return nil
	case v.CanAddr() && marshals(reflect.PointerTo(v.Type())):
		return e.standard(v.Addr())
	case marshals(v.Type()), v.Type() == numberType:
		return e.standard(v)
	}
	switch v.Kind() {
	case reflect.Interface:
		return e.value(v.Elem())
	case reflect.Pointer, reflect.Struct, reflect.Map, reflect.Slice, reflect.Array:
		if e.depth == jsonDepthMax {
			return e.errorf("nested more than %d deep; does the value contain itself?", jsonDepthMax)
		}
		e.depth++
		err := e.compound(v)
		e.depth--
		return err
	}
	return e.scalar(v)
}

func (e *jsonEncoder) null() error {
	e.buf.WriteString("null")
	return nil
}

// marshals says whether encoding/json asks the type itself.
func marshals(t reflect.Type) bool {
	return t.Implements(marshalerType) || t.Implements(textMarshalerType)
}

func (e *jsonEncoder) compound(v reflect.Value) error {
	switch kind := v.Kind(); {
	case kind == reflect.Pointer:
		return e.value(v.Elem())
	case kind == reflect.Struct:
		return e.object(v)
	case kind != reflect.Array && v.IsNil():
		return e.null()
	case kind == reflect.Map && isSet(v.Type()):
		return e.set(v)
	case kind == reflect.Map:
		return e.dict(v)
	}
	return e.list(v)
}

func (e *jsonEncoder) scalar(v reflect.Value) error {
	switch v.Kind() {
	case reflect.Bool:
		e.buf.Write(strconv.AppendBool(e.buf.AvailableBuffer(), v.Bool()))
		return nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		e.buf.Write(strconv.AppendInt(e.buf.AvailableBuffer(), v.Int(), 10))
		return nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		e.buf.Write(strconv.AppendUint(e.buf.AvailableBuffer(), v.Uint(), 10))
		return nil
	case reflect.Float32, reflect.Float64:
		if f := v.Float(); math.IsNaN(f) || math.IsInf(f, 0) {
			return e.errorf("%v has no form in JSON", f)
		}
		return e.standard(v)
	case reflect.String:
		return e.checkedText(v.String())
	case reflect.Chan:
		return e.errorf("a channel cannot be encoded")
	case reflect.Func:
		return e.errorf("a function cannot be encoded")
	}
	return e.errorf("a value of type %s cannot be encoded", v.Type())
}

// standard leaves v to encoding/json.
func (e *jsonEncoder) standard(v reflect.Value) error {
	if err := e.std.Encode(v.Interface()); err != nil {
		failed := e.errorf("a value of type %s cannot be encoded", v.Type())
		failed.Err = err
		return failed
	}
	e.buf.Truncate(e.buf.Len() - 1) // the newline
	return nil
}

// text writes a string of UTF-8; encoding/json knows what to escape, if there may be something.
func (e *jsonEncoder) text(s string) {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			if err := e.std.Encode(s); err != nil {
				panic("BUG: a string cannot be encoded: " + err.Error())
			}
			e.buf.Truncate(e.buf.Len() - 1)
			return
		}
	}
	e.buf.WriteByte('"')
	e.buf.WriteString(s)
	e.buf.WriteByte('"')
}

func (e *jsonEncoder) checkedText(s string) error {
	if !utf8.ValidString(s) {
		return e.errorf("the text is not UTF-8")
	}
	e.text(s)
	return nil
}

func (e *jsonEncoder) list(v reflect.Value) error {
	if elem := v.Type().Elem(); v.Kind() == reflect.Slice && elem.Kind() == reflect.Uint8 && !marshals(reflect.PointerTo(elem)) {
		return e.standard(v) // base64
	}
	e.buf.WriteByte('[')
	for i := range v.Len() {
		e.separate(i > 0)
		here := len(e.path)
		e.path = append(strconv.AppendInt(append(e.path, '['), int64(i), 10), ']')
		if err := e.value(v.Index(i)); err != nil {
			return err
		}
		e.leave(here)
	}
	e.buf.WriteByte(']')
	return nil
}

func (e *jsonEncoder) separate(needed bool) {
	if needed {
		e.buf.WriteByte(',')
	}
}

// enter goes one step down the path; leave goes back.
func (e *jsonEncoder) enter(step string) (here int) {
	here = len(e.path)
	if here > 0 && step[0] != '[' {
		e.path = append(e.path, '.')
	}
	e.path = append(e.path, step...)
	return here
}

func (e *jsonEncoder) leave(here int) { e.path = e.path[:here] }

func (e *jsonEncoder) errorf(format string, args ...any) *Error {
	text := fmt.Sprintf(format, args...)
	if path := string(e.path); len(path) > jsonPathMax {
		text = path[:jsonPathMax] + "...: " + text
	} else if path != "" {
		text = path + ": " + text
	}
	return &Error{Reason: Invalid, Text: text}
}

func (e *jsonEncoder) object(v reflect.Value) error {
	fields, known := e.fields[v.Type()]
	if !known {
		fields = jsonFields(v.Type())
		e.fields[v.Type()] = fields
	}
	e.buf.WriteByte('{')
	wrote := false
	for i := range fields {
		f := &fields[i]
		fv, there := f.of(v)
		if !there {
			continue
		}
		e.separate(wrote)
		wrote = true
		e.text(f.name)
		e.buf.WriteByte(':')
		here := e.enter(step(f.name))
		if err := e.field(f, fv); err != nil {
			return err
		}
		e.leave(here)
	}
	e.buf.WriteByte('}')
	return nil
}

// field writes the value of a struct's field, and quotes it if its tag says so.
func (e *jsonEncoder) field(f *jsonField, v reflect.Value) error {
	mark := e.buf.Len()
	if err := e.value(v); err != nil || !f.quoted {
		return err
	}
	if bare := string(e.buf.Bytes()[mark:]); bare != "null" {
		e.buf.Truncate(mark)
		e.text(bare)
	}
	return nil
}

// step is how a key stands in a path.
func step(key string) string {
	for _, r := range key {
		if !(r == '_' || r == '-' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z') {
			return fmt.Sprintf("[%q]", key)
		}
	}
	if key == "" {
		return `[""]`
	}
	return key
}

type jsonEntry struct {
	key   string
	value reflect.Value
}

func (e *jsonEncoder) dict(v reflect.Value) error {
	entries := make([]jsonEntry, 0, v.Len())
	for it := v.MapRange(); it.Next(); {
		key, err := e.key(it.Key())
		if err != nil {
			return err
		}
		entries = append(entries, jsonEntry{key, it.Value()})
	}
	slices.SortFunc(entries, func(a, b jsonEntry) int { return cmp.Compare(a.key, b.key) })
	e.buf.WriteByte('{')
	for i, entry := range entries {
		e.separate(i > 0)
		here := e.enter(step(entry.key))
		if err := e.checkedText(entry.key); err != nil {
			return err
		}
		e.buf.WriteByte(':')
		if err := e.value(entry.value); err != nil {
			return err
		}
		e.leave(here)
	}
	e.buf.WriteByte('}')
	return nil
}

// key is a map's key as text, by the order of encoding/json's rules: a string is itself, then comes what the type says, then numbers.
func (e *jsonEncoder) key(k reflect.Value) (string, error) {
	switch {
	case k.Type() == durationType:
		return durationText(time.Duration(k.Int())), nil
	case k.Kind() == reflect.String:
		return k.String(), nil
	case k.Type().Implements(textMarshalerType):
		if k.Kind() == reflect.Pointer && k.IsNil() {
			return "", nil
		}
		text, err := k.Interface().(encoding.TextMarshaler).MarshalText()
		if err != nil {
			failed := e.errorf("a key of type %s cannot be encoded", k.Type())
			failed.Err = err
			return "", failed
		}
		return string(text), nil
	case k.CanInt():
		return strconv.FormatInt(k.Int(), 10), nil
	case k.CanUint():
		return strconv.FormatUint(k.Uint(), 10), nil
	}
	return "", e.errorf("a map with keys of type %s cannot be encoded", k.Type())
}

// isSet says whether a map type stands for a set.
func isSet(t reflect.Type) bool {
	return t.Elem().Kind() == reflect.Struct && t.Elem().NumField() == 0 && !marshals(t.Elem())
}

// set writes the elements in an order that does not change from one time to the next.
func (e *jsonEncoder) set(v reflect.Value) error {
	mark, here := e.buf.Len(), len(e.path)
	e.path = append(e.path, "[]"...)
	elements := make([]jsonEntry, 0, v.Len()) // each under its encoding
	for it := v.MapRange(); it.Next(); {
		if err := e.value(it.Key()); err != nil {
			return err
		}
		elements = append(elements, jsonEntry{string(e.buf.Bytes()[mark:]), it.Key()})
		e.buf.Truncate(mark)
	}
	e.leave(here)
	slices.SortFunc(elements, func(a, b jsonEntry) int {
		switch x, y := a.value, b.value; {
		case x.CanInt():
			return cmp.Compare(x.Int(), y.Int())
		case x.CanUint():
			return cmp.Compare(x.Uint(), y.Uint())
		case x.CanFloat():
			return cmp.Compare(x.Float(), y.Float())
		}
		return cmp.Compare(a.key, b.key)
	})
	e.buf.WriteByte('[')
	for i, element := range elements {
		e.separate(i > 0)
		e.buf.WriteString(element.key)
	}
	e.buf.WriteByte(']')
	return nil
}

// durationText is d as ISO 8601 has it, in the form that pydantic gives a timedelta.
func durationText(d time.Duration) string {
	const day, year = 24 * uint64(time.Hour), 365
	var b []byte
	left := uint64(d)
	if d < 0 {
		b, left = append(b, '-'), -left
	}
	if left == 0 {
		return "PT0S"
	}
	b = append(b, 'P')
	unit := func(n uint64, letter byte) {
		if n > 0 {
			b = append(strconv.AppendUint(b, n, 10), letter)
		}
	}
	unit(left/day/year, 'Y')
	unit(left/day%year, 'D')
	if left %= day; left == 0 {
		return string(b)
	}
	b = append(b, 'T')
	unit(left/uint64(time.Hour), 'H')
	unit(left/uint64(time.Minute)%60, 'M')
	if seconds := left % uint64(time.Minute); seconds > 0 {
		b = strconv.AppendUint(b, seconds/uint64(time.Second), 10)
		if fraction := seconds % uint64(time.Second); fraction > 0 {
			b = append(b, '.')
			b = append(b, bytes.TrimRight(fmt.Appendf(nil, "%09d", fraction), "0")...)
		}
		b = append(b, 'S')
	}
	return string(b)
}
