// Package amqp is the AMQP 1.0 wire format: types, frames, performatives, SASL frames and message sections as pure functions on bytes.
//
// Encoders append to a slice and give it back; decoders take a slice and give back what follows the value. There is no I/O, goroutine,
// clock or reflection here, and no state: everything is safe for concurrent use as long as its arguments are.
//
// Three things matter to users, and each has something that could break it:
//
//   - What we write is what Event Hubs writes, byte for byte as recorded. Performatives carry all their fields, trailing nulls included
//     (Python clients index fields by position and die otherwise); lists and maps take the 8-bit form while they fit; numbers take their
//     shortest form; arrays of symbols and strings use 32-bit elements.
//   - What we read may be anything a client or an attacker sends. Every length and count is checked against the bytes that are there
//     before it is used, nesting is limited to 32 levels, and memory stays within a small multiple of the input. Bad input gives
//     a *DecodeError, never a panic; an error of ours (a Go type that has no AMQP encoding) panics with "BUG:".
//   - The way of an event does not allocate: Transfer, Disposition, Flow, NextSection, SkipValue and the Read functions that say so. Their
//     results alias the input, so they live as long as its buffer does.
//
// Numbers in square brackets are sections of the AMQP 1.0 specification.
package amqp

// Opt is a field that may be null on the wire. The zero value is null.
type Opt[T any] struct {
	V   T
	Set bool
}

// Some is a field with a value.
func Some[T any](v T) Opt[T] { return Opt[T]{V: v, Set: true} }

// Or is the field's value, or def where it is null.
func (o Opt[T]) Or(def T) T {
	if o.Set {
		return o.V
	}
	return def
}
