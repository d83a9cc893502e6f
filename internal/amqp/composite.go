package amqp

import "fmt"

// A composite is a described list of fields in a fixed order [1.4]. The types of this package that are one have the same two methods:
//
//   - Append writes the composite with all its fields, null where a field is not set, in the encodings that were recorded.
//   - Decode resets the receiver, reads into it, and returns what follows the composite. Fields at the end may be missing and count as null.
//     An error names composite and field; the receiver is then of no use.

// beginComposite starts a composite; its fields follow, and then EndList.
func beginComposite(b []byte, c Code) ([]byte, int) {
	return BeginList(AppendDescriptor(b, c))
}

func appendOpt[T any](b []byte, o Opt[T], write func([]byte, T) []byte) []byte {
	if !o.Set {
		return AppendNull(b)
	}
	return write(b, o.V)
}

// appendUnlessEmpty writes a field for which "" stands for null.
func appendUnlessEmpty[T ~string](b []byte, v T, write func([]byte, T) []byte) []byte {
	if v == "" {
		return AppendNull(b)
	}
	return write(b, v)
}

// fields walks the fields of a composite. The first error sticks, and after it every field reads as null; so a decoder is one expression
// that mirrors the definition, and asks for the error once, of done.
type fields struct {
	of   Code
	left int    // fields not read yet
	b    []byte // their encodings
	rest []byte // what follows the composite
	err  error
}

// fieldsOf opens the composite that b starts with, which must be the one wanted.
func fieldsOf(b []byte, want Code) (f fields) {
	f.open(b)
	if f.err == nil && f.of != want {
		f.fail(decodeErrorf("found %s", f.of))
	}
	if f.of = want; f.err != nil {
		f.err = fmt.Errorf("%s: %w", want, f.err)
	}
	return f
}

// open starts the walk through the composite that b starts with, whatever it is.
func (f *fields) open(b []byte) {
	descriptor, list, err := ReadDescriptor(b)
	if err == nil {
		f.of = Code(descriptor)
		f.left, f.b, f.rest, err = ReadListHeader(list)
	}
	if err != nil {
		f.fail(err)
	}
}

func (f *fields) fail(err error) {
	if f.err == nil {
		f.err = err
	}
	f.left, f.b, f.rest = 0, nil, nil
}

func (f *fields) failField(name string, err error) {
	f.fail(fmt.Errorf("%s: %s: %w", f.of, name, err))
}

// null steps over the next field if it is null, and says so. A missing field is null.
func (f *fields) null() bool {
	if f.left == 0 {
		return true
	}
	f.left--
	if !IsNull(f.b) {
		return false
	}
	f.b = f.b[1:]
	return true
}

// optional reads a field that may be null.
func optional[T any](f *fields, name string, read func([]byte) (T, []byte, error)) (o Opt[T]) {
	if f.null() {
		return o
	}
	v, rest, err := read(f.b)
	if err != nil {
		f.failField(name, err)
		return o
	}
	f.b = rest
	return Opt[T]{V: v, Set: true}
}

// orZero reads a field for which the zero value of its Go type stands for null.
func orZero[T any](f *fields, name string, read func([]byte) (T, []byte, error)) T {
	return optional(f, name, read).V
}

// required reads a mandatory field.
func required[T any](f *fields, name string, read func([]byte) (T, []byte, error)) T {
	o := optional(f, name, read)
	if !o.Set && f.err == nil {
		f.failField(name, &DecodeError{CondInvalidField, "mandatory field is missing"})
	}
	return o.V
}

// nested reads a field that is itself a composite, nil for null.
func nested[T any, P interface {
	*T
	Decode([]byte) ([]byte, error)
}](f *fields) P {
	if f.null() {
		return nil
	}
	p := P(new(T))
	rest, err := p.Decode(f.b)
	if f.b = rest; err != nil { // the error names the inner composite, so the field's name would only repeat it
		f.fail(fmt.Errorf("%s: %w", f.of, err))
	}
	return p
}

// done ends the walk. Fields beyond those that were asked for belong to no definition of AMQP 1.0, and are passed over.
func (f *fields) done() (rest []byte, err error) {
	for ; f.left > 0; f.left-- {
		if f.b, err = SkipValue(f.b); err != nil {
			f.failField("unknown field", err)
			break
		}
	}
	if err := wantEnd(f.b); err != nil {
		f.fail(fmt.Errorf("%s: %w", f.of, err))
	}
	return f.rest, f.err
}
