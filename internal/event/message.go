package event

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/evhub-dev/evhub/internal/amqp"
)

// Names of the annotations that the service owns; a sender's own values for them are dropped.
const (
	annEpoch    = "x-opt-sequence-number-epoch"
	annSeq      = "x-opt-sequence-number"
	annOffset   = "x-opt-offset"
	annEnqueued = "x-opt-enqueued-time"
	annKey      = "x-opt-partition-key"
)

const (
	annotationsMax = 1 << 11 // pairs
	keyBytesMax    = 1 << 12 // the service documents 128 characters; SDKs check, the service was not seen to
)

// Message is one scanned AMQP message. It aliases the bytes it was scanned from. Scan one, ask for its key, then append it as an envelope.
type Message struct {
	key      []byte
	keyed    bool
	entries  []byte // of the sender's message annotations
	count    int
	dropped  int // entries that are not kept
	sections []byte
	length   int
	bodyNull bool
}

// Key is the partition key, if the message has one.
func (m *Message) Key() (key []byte, ok bool) { return m.key, m.keyed }

// Length is the size of the message as sent.
func (m *Message) Length() int { return m.length }

// Scan walks the sections of an encoded AMQP message [3.2]. Each is checked to be of its type and to end where it says, so that it cannot
// break the message of a receiver; none is decoded.
func (m *Message) Scan(b []byte) error {
	*m = Message{length: len(b), bodyNull: true}
	rest := b
	for len(rest) > 0 {
		code, _, value, next, err := amqp.NextSection(rest)
		if err != nil {
			return err
		}
		if code > amqp.CodeMessageAnnotations {
			break
		}
		if code == amqp.CodeMessageAnnotations {
			err = m.scanAnnotations(value)
		} else {
			err = checkType(code, value)
		}
		if err != nil {
			return err
		}
		rest = next
	}
	m.sections = rest
	return m.scanSections(rest)
}

// scanSections checks what is kept as it is.
func (m *Message) scanSections(rest []byte) error {
	for len(rest) > 0 {
		code, _, value, next, err := amqp.NextSection(rest)
		if err == nil {
			err = checkType(code, value)
		}
		switch {
		case err != nil:
			return err
		case code == amqp.CodeMessageAnnotations || code == amqp.CodeHeader:
			return fmt.Errorf("a message section with descriptor %#x stands behind properties or body, against the order of the specification [3.2]", uint64(code))
		case code == amqp.CodeData || code == amqp.CodeSequence || code == amqp.CodeValue && value[0] != nullConstructor:
			m.bodyNull = false
		}
		rest = next
	}
	return nil
}

const nullConstructor = 0x40

// checkType sees that a section holds the type that it has to [3.2].
func checkType(code amqp.Code, value []byte) (err error) {
	switch code {
	case amqp.CodeHeader, amqp.CodeProperties, amqp.CodeSequence:
		_, _, _, err = amqp.ReadListHeader(value)
	case amqp.CodeData:
		_, _, err = amqp.ReadBinary(value)
	case amqp.CodeValue: // any
	default:
		_, _, _, err = amqp.ReadMapHeader(value)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", code, err)
	}
	return nil
}

func (m *Message) scanAnnotations(value []byte) error {
	pairs, entries, _, err := amqp.ReadMapHeader(value)
	if err != nil {
		return fmt.Errorf("message-annotations: %w", err)
	}
	if m.entries != nil {
		return errors.New("a second message-annotations section")
	}
	if pairs > annotationsMax {
		return fmt.Errorf("message-annotations: %d entries exceed the limit of %d", pairs, annotationsMax)
	}
	m.entries = entries
	for rest := entries; len(rest) > 0; m.count++ {
		name, val, next, err := nextEntry(rest)
		if err != nil {
			return fmt.Errorf("message-annotations: %w", err)
		}
		switch {
		case !kept(name, val):
			m.dropped++
		case string(name) == annKey:
			if err := m.scanKey(val); err != nil {
				return err
			}
		}
		rest = next
	}
	if m.count != pairs {
		return fmt.Errorf("message-annotations: %d entries where the map says %d", m.count, pairs)
	}
	return nil
}

// kept says whether a sender's annotation is delivered: it must not stand under a name that the service owns, and a key that is null is none.
func kept(name, value []byte) bool {
	switch string(name) {
	case annEpoch, annSeq, annOffset, annEnqueued:
		return false
	case annKey:
		return value[0] != nullConstructor
	}
	return true
}

func (m *Message) scanKey(value []byte) error {
	if m.keyed {
		return fmt.Errorf("message-annotations: a second %s", annKey)
	}
	key, _, err := amqp.ReadStringBytes(value)
	if err != nil {
		return fmt.Errorf("message-annotations: %s must be a string: %w", annKey, err)
	}
	if len(key) > keyBytesMax {
		return fmt.Errorf("message-annotations: %s of %d bytes exceeds the limit of %d", annKey, len(key), keyBytesMax)
	}
	m.key, m.keyed = key, true
	return nil
}

// nextEntry splits one entry off a map: the text of its key (nil if it is neither symbol nor string) and its encoded value.
func nextEntry(b []byte) (name, value, rest []byte, err error) {
	name, rest, err = amqp.ReadSymbolBytes(b)
	if err != nil {
		if name, rest, err = amqp.ReadStringBytes(b); err != nil {
			name = nil
			if rest, err = amqp.SkipValue(b); err != nil {
				return nil, nil, nil, err
			}
		}
	}
	value = rest
	rest, err = amqp.SkipValue(value)
	if err != nil {
		return nil, nil, nil, err
	}
	return name, value[:len(value)-len(rest)], rest, nil
}

// Append adds the message's envelope to b: its head and its sections in one.
func (m *Message) Append(b []byte, batchKey []byte) []byte {
	return append(m.AppendHead(b, batchKey), m.sections...)
}

// Sections are the encoded sections from properties on: what follows the head in the envelope. They alias the bytes that were scanned.
func (m *Message) Sections() []byte { return m.sections }

// AppendHead adds what the envelope has in front of the sections. batchKey is the key of the batch the message came in, or nil: an event
// without a key of its own takes it over.
func (m *Message) AppendHead(b []byte, batchKey []byte) []byte {
	start := len(b)
	h := head{lengthAsSent: m.length, entries: m.count}
	if m.bodyNull {
		h.flags |= flagBodyNull
	}
	b = append(b, make([]byte, headBytes)...)
	key, keyAt := m.key, -1
	if m.dropped > 0 {
		b, h.entries = appendKept(b, m.entries), m.count-m.dropped
	} else {
		b = append(b, m.entries...)
	}
	if !m.keyed && batchKey != nil {
		b = amqp.AppendSymbol(b, annKey)
		b = appendText(b, batchKey)
		key, keyAt = batchKey, len(b)-len(batchKey)-start
		h.entries++
	}
	h.annotations = len(b) - start - headBytes
	if m.keyed {
		keyAt = keyPosition(b[start:], headBytes, h.annotations)
	}
	if keyAt >= 0 {
		h.keyAt, h.keyLen = keyAt, len(key)
		h.flags |= uint16(KeyText) << keyKindShift
	}
	h.put(b[start:], len(b)-start+len(m.sections))
	return b
}

// keyPosition finds the partition key within an envelope whose annotations are complete.
func keyPosition(envelope []byte, at, size int) int {
	for rest := envelope[at : at+size]; len(rest) > 0; {
		name, value, next, err := nextEntry(rest)
		if err != nil {
			break
		}
		if string(name) == annKey {
			if key, tail, err := amqp.ReadStringBytes(value); err == nil {
				end := at + size - len(next)
				return end - len(tail) - len(key)
			}
		}
		rest = next
	}
	panic("BUG: the partition key that was scanned is not among the annotations")
}

// appendKept copies the map entries that are kept.
func appendKept(b, entries []byte) []byte {
	for rest := entries; len(rest) > 0; {
		name, value, next, err := nextEntry(rest)
		if err != nil {
			panic("BUG: annotations that were scanned do not scan: " + err.Error())
		}
		if kept(name, value) {
			b = append(b, rest[:len(rest)-len(next)]...)
		}
		rest = next
	}
	return b
}

// appendText writes a string that is at hand as bytes: of the same shape as a binary, under the constructor behind it [1.6.20].
func appendText(b, text []byte) []byte {
	mark := len(b)
	b = amqp.AppendBinary(b, text)
	b[mark]++
	return b
}

// Runtime is what a receiver with the runtime-metric capability is told beside each event: the end of the partition at one moment.
type Runtime struct {
	Last        Position // of the last record of the partition; Seq -1 and Offset -1 if there was none
	RetrievedMs int64
}

// TimeNever is 0001-01-01T00:00:00Z in Unix milliseconds, which the service shows for an event that never was (recorded).
const TimeNever = -62135596800000

// AppendRuntime adds the delivery-annotations section that carries r; fields and order as recorded.
func AppendRuntime(b []byte, r Runtime) []byte {
	b = append(b, 0x00, 0x53, byte(amqp.CodeDeliveryAnnotations))
	b, mark := amqp.BeginMap(b)
	b = amqp.AppendInt(amqp.AppendSymbol(b, "last_enqueued_sequence_number_epoch"), -1)
	b = amqp.AppendLong(amqp.AppendSymbol(b, "last_enqueued_sequence_number"), r.Last.Seq)
	b = appendDecimal(amqp.AppendSymbol(b, "last_enqueued_offset"), r.Last.Offset)
	at := r.Last.TimeMs
	if r.Last.Seq < 0 {
		at = TimeNever
	}
	b = amqp.AppendTimestamp(amqp.AppendSymbol(b, "last_enqueued_time_utc"), amqp.Timestamp(at))
	b = amqp.AppendTimestamp(amqp.AppendSymbol(b, "runtime_info_retrieval_time_utc"), amqp.Timestamp(r.RetrievedMs))
	return amqp.EndMap(b, mark, 5)
}

// AppendMessage adds the event as a receiver gets it, without header or delivery annotations: the sender's own annotations, the
// service's behind them, and everything else as it was sent (recorded).
func (s Stored) AppendMessage(b []byte, p Position) []byte {
	entries, count := s.annotations()
	b = append(b, 0x00, 0x53, byte(amqp.CodeMessageAnnotations))
	b, mark := amqp.BeginMap(b)
	b = append(b, entries...)
	b = append(b, annBeforeSeq...)
	b = amqp.AppendLong(b, p.Seq)
	b = append(b, annBeforeOffset...)
	b = appendDecimal(b, p.Offset)
	b = append(b, annBeforeEnqueued...)
	b = amqp.AppendTimestamp(b, amqp.Timestamp(p.TimeMs))
	b = amqp.EndMap(b, mark, count+4)
	return append(b, s.Sections()...)
}

// The service's annotations as encoded, between the values that differ from event to event: a symbol (a3, length, name), and for the epoch
// its value -1 (54 ff).
const (
	annBeforeSeq      = "\xa3\x1b" + annEpoch + "\x54\xff\xa3\x15" + annSeq
	annBeforeOffset   = "\xa3\x0c" + annOffset
	annBeforeEnqueued = "\xa3\x13" + annEnqueued
)

// appendDecimal writes v as a str8 of decimal digits.
func appendDecimal(b []byte, v int64) []byte {
	mark := len(b)
	b = append(b, 0xa1, 0)
	b = strconv.AppendInt(b, v, 10)
	b[mark+1] = byte(len(b) - mark - 2)
	return b
}
