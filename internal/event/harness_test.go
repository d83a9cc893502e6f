package event

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/evhub-dev/evhub/internal/amqp"
)

// unhex reads hex digits with blanks between them as one likes, and text in double quotes as it is.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	var out []byte
	for i, part := range strings.Split(s, `"`) {
		if i%2 == 1 {
			out = append(out, part...)
			continue
		}
		b, err := hex.DecodeString(strings.Join(strings.Fields(part), ""))
		if err != nil {
			t.Fatalf("hex %q: %v", part, err)
		}
		out = append(out, b...)
	}
	return out
}

func unbase64(t testing.TB, s string) []byte {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func wantBytes(t testing.TB, what string, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Errorf("%s:\n got %x\nwant %x", what, got, want)
	}
}

func wantError(t testing.TB, what string, err error, part string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), part) {
		t.Errorf("%s: error %v, want one with %q", what, err, part)
	}
}

// store takes a message through scan and envelope, and sees that the envelope is whole.
func store(t testing.TB, message, batchKey []byte) Stored {
	t.Helper()
	var m Message
	if err := m.Scan(message); err != nil {
		t.Fatalf("scan %x: %v", message, err)
	}
	before := []byte("before")
	b := m.Append(before, batchKey)
	if !bytes.HasPrefix(b, before) {
		t.Fatalf("the envelope is not behind what was there: %x", b)
	}
	s, err := Open(b[len(before):])
	if err != nil {
		t.Fatal(err)
	}
	if s.LengthAsSent() != len(message) || m.Length() != len(message) {
		t.Errorf("length as sent: %d stored, %d scanned, want %d", s.LengthAsSent(), m.Length(), len(message))
	}
	return s
}

// noon is a time as recorded, in Unix milliseconds.
const noon = 1745950669106

// serviceAnnotations are the four entries that the service adds, as recorded, for sequence number 7, offset "560" and noon.
const serviceAnnotations = `a31b"x-opt-sequence-number-epoch"54ff a315"x-opt-sequence-number"5507
	a30c"x-opt-offset"a103"560" a313"x-opt-enqueued-time"830000019682c4f932`

// annotations writes a message-annotations section in its short form: so many pairs, and their encodings.
func annotations(t testing.TB, pairs int, entries string) string {
	t.Helper()
	return fmt.Sprintf("005372c1%02x%02x ", len(unhex(t, entries))+1, 2*pairs) + entries
}

var position = Position{Seq: 7, Offset: 560, TimeMs: noon}

// deliver is the event as a receiver gets it at position.
func deliver(t testing.TB, s Stored) []byte {
	t.Helper()
	return s.AppendMessage(nil, position)
}

// everySection is a message with all that a sender may put into one.
func everySection() []byte {
	m := amqp.Message{
		Header:                &amqp.MessageHeader{Durable: amqp.Some(true), Priority: amqp.Some[uint8](10)},
		DeliveryAnnotations:   amqp.Map{{Key: amqp.Symbol("d"), Value: "dropped"}},
		MessageAnnotations:    amqp.Map{{Key: amqp.Symbol("ann_key"), Value: "ann"}, {Key: amqp.Symbol(annKey), Value: "k1"}},
		Properties:            &amqp.Properties{MessageID: "id", GroupID: amqp.Some("g")},
		ApplicationProperties: amqp.Map{{Key: "a", Value: int64(1)}},
		Data:                  [][]byte{[]byte("one"), []byte("two")},
		Footer:                amqp.Map{{Key: amqp.Symbol("f"), Value: true}},
	}
	return m.Append(nil)
}
