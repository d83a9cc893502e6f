// Package event is the stored form of one event, and the way between it and AMQP messages.
//
// What its users need: an event comes out as the sender encoded it, byte for byte, with the service's annotations added; every door sees
// the same event, whatever door it came in through; nothing is allocated or decoded on the way beyond one scan of the section headers.
//
// # Stored form
//
// A log keeps each event as an envelope around the event in its sender's form. Numbers are big endian.
//
//	 0  version        u8   1
//	 1  form           u8   1: AMQP sections
//	 2  flags          u16  bit 0: the body is null; bits 4-5: kind of key (0 none, 1 text, 2 bytes)
//	 4  size           u32  of the whole envelope
//	 8  length as sent u32  of the message as its sender encoded it, header section included
//	12  annotations    u32  bytes of the sender's message annotations (map entries, without the map's own header)
//	16  annotations    u16  how many entries that is
//	18  key length     u16
//	20  key position   u32  from the start of the envelope
//	24  create time    i64  Unix milliseconds as the producer gave it; the smallest i64: none
//	32  producer id    i64  of an idempotent producer; -1: none
//	40  producer seq   i32
//	44  producer epoch i16
//	46  reserved       u16  0
//	48  annotations, then (form 1) the sections from properties on
//
// There is no checksum in it: that what comes back is what was stored is a promise of the log, which can keep it for many events at once.
//
// The header section and the delivery annotations of the sender are not kept, as the service keeps neither (recorded); a
// delivery-annotations section behind the body is part of the sections and comes back there (recorded).
package event

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

const (
	version   = 1
	formAMQP  = 1
	headBytes = 48
	sizeAt    = 4

	flagBodyNull = 1 << 0
	keyKindShift = 4
)

// KeyKind says what a partition key is made of.
type KeyKind uint8

const (
	KeyNone  KeyKind = 0
	KeyText  KeyKind = 1 // an AMQP partition key
	KeyBytes KeyKind = 2 // a Kafka record key
)

// TimeNone is the create time of an event whose producer gave none.
const TimeNone = math.MinInt64

// Position is where an event stands in its partition.
type Position struct{ Seq, Offset, TimeMs int64 }

// Step says how far the offset moves behind an event of the given length as sent; it fits all recorded offsets.
func Step(lengthAsSent int) int64 { return (56 + int64(lengthAsSent) + 7) &^ 7 }

// Stored is one event in its stored form. It aliases the bytes it was opened on.
type Stored struct{ b []byte }

// Open looks at stored bytes. It checks that they are of a known version and form and that their lengths fit.
func Open(b []byte) (Stored, error) {
	if len(b) < headBytes {
		return Stored{}, fmt.Errorf("event: %d bytes are less than an envelope's head (%d)", len(b), headBytes)
	}
	if b[0] != version || b[1] != formAMQP {
		return Stored{}, fmt.Errorf("event: envelope of version %d, form %d is unknown", b[0], b[1])
	}
	s := Stored{b}
	if s.u32(sizeAt) != uint32(len(b)) {
		return Stored{}, fmt.Errorf("event: %d bytes of an envelope of %d", len(b), s.u32(sizeAt))
	}
	if headBytes+uint64(s.u32(12)) > uint64(len(b)) || uint64(s.u32(20))+uint64(s.u16(18)) > uint64(len(b)) {
		return Stored{}, errors.New("event: the envelope's lengths exceed its size")
	}
	return s, nil
}

func (s Stored) u16(at int) uint16 { return binary.BigEndian.Uint16(s.b[at:]) }
func (s Stored) u32(at int) uint32 { return binary.BigEndian.Uint32(s.b[at:]) }

// LengthAsSent is the size of the message as its sender encoded it.
func (s Stored) LengthAsSent() int { return int(s.u32(8)) }

// Key is the partition key, which aliases the stored bytes.
func (s Stored) Key() ([]byte, KeyKind) {
	kind := KeyKind(s.u16(2) >> keyKindShift & 3)
	at := int(s.u32(20))
	return s.b[at : at+int(s.u16(18))], kind
}

// BodyNull says whether the event has no body at all, or the null value as its body.
func (s Stored) BodyNull() bool { return s.u16(2)&flagBodyNull != 0 }

// annotations are the sender's own message annotations: map entries, and how many.
func (s Stored) annotations() (entries []byte, count int) {
	return s.b[headBytes : headBytes+int(s.u32(12))], int(s.u16(16))
}

// Sections are the encoded AMQP sections from properties on.
func (s Stored) Sections() []byte { return s.b[headBytes+int(s.u32(12)):] }

// head is what is written in front of an event.
type head struct {
	flags        uint16
	lengthAsSent int
	annotations  int // bytes
	entries      int
	keyAt        int
	keyLen       int
}

// put fills in the head at the start of b. The whole envelope has size bytes.
func (h *head) put(b []byte, size int) {
	b[0], b[1] = version, formAMQP
	binary.BigEndian.PutUint16(b[2:], h.flags)
	binary.BigEndian.PutUint32(b[sizeAt:], uint32(size))
	binary.BigEndian.PutUint32(b[8:], uint32(h.lengthAsSent))
	binary.BigEndian.PutUint32(b[12:], uint32(h.annotations))
	binary.BigEndian.PutUint16(b[16:], uint16(h.entries))
	binary.BigEndian.PutUint16(b[18:], uint16(h.keyLen))
	binary.BigEndian.PutUint32(b[20:], uint32(h.keyAt))
	createTime, producerNone := int64(TimeNone), int64(-1)
	binary.BigEndian.PutUint64(b[24:], uint64(createTime))
	binary.BigEndian.PutUint64(b[32:], uint64(producerNone))
	clear(b[40:headBytes])
}
