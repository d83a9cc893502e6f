package amqp

import (
	"testing"
)

func sampleMessage() *Message {
	return &Message{
		Header:                &MessageHeader{Durable: Some(true)},
		DeliveryAnnotations:   Map{{Symbol("d"), int64(1)}},
		MessageAnnotations:    Map{{Symbol("x-opt-partition-key"), "pk"}},
		Properties:            sampleProperties(),
		ApplicationProperties: Map{{"timespan", &Described{Symbol("com.microsoft:timespan"), int64(1)}}},
		Data:                  [][]byte{{1, 2, 3}, {}},
		Footer:                Map{{Symbol("f"), nil}},
	}
}

func TestMessageRoundTrip(t *testing.T) {
	t.Parallel()
	sequence, value, null := sampleMessage(), sampleMessage(), sampleMessage()
	sequence.Data, sequence.Sequence = nil, []List{{int32(1), "two"}, {}}
	value.Data, value.HasValue, value.Value = nil, true, Map{{"k", List{}}}
	null.Data, null.HasValue = nil, true
	rows := map[string]*Message{
		"data":           sampleMessage(),
		"sequences":      sequence,
		"value":          value,
		"null value":     null,
		"nothing":        {},
		"empty sections": {Header: &MessageHeader{}, MessageAnnotations: Map{}, Properties: &Properties{}, Footer: Map{}},
	}
	for name, m := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := DecodeMessage(m.Append(nil))
			if err != nil {
				t.Fatal(err)
			}
			wantValue(t, "decoded", got, m)
		})
	}
}

// A message cut between two sections is a message; cut anywhere else it is an error.
func TestMessageCutOff(t *testing.T) {
	t.Parallel()
	wire := sampleMessage().Append(nil)
	boundary := map[int]bool{0: true}
	for rest := wire; len(rest) > 0; boundary[len(wire)-len(rest)] = true {
		var err error
		if _, _, _, rest, err = NextSection(rest); err != nil {
			t.Fatal(err)
		}
	}
	if len(boundary) != 9 {
		t.Errorf("%d boundaries of 8 sections", len(boundary))
	}
	for n := range wire {
		if _, err := DecodeMessage(wire[:n]); (err == nil) != boundary[n] {
			t.Errorf("after %d bytes: error %v, at a boundary: %v", n, err, boundary[n])
		}
	}
}

func TestNextSection(t *testing.T) {
	t.Parallel()
	rows := []struct {
		name string
		hex  string
		code Code
		// what the section's value and the rest are
		value, rest string
	}{
		{"small descriptor", `005375 a0025566 00`, CodeData, "a0025566", "00"},
		{"large descriptor", `00 800000000000000075 b0000000025566`, CodeData, "b0000000025566", ""},
		{"symbolic descriptor", `00 a310"amqp:data:binary" a0025566 005375`, CodeData, "a0025566", "005375"},
		{"empty header", "005370 45", CodeHeader, "45", ""},
		{"empty annotations", "005372 c10100", CodeMessageAnnotations, "c10100", ""},
		{"described value", "005377 00 5301 43 43", CodeValue, "00530143", "43"},
		{"null value", "005377 40", CodeValue, "40", ""},
	}
	for _, r := range rows {
		wire := unhex(t, r.hex)
		code, section, value, rest, err := NextSection(wire)
		if err != nil || code != r.code {
			t.Errorf("%s: code %s, error %v, want %s", r.name, code, err, r.code)
		}
		wantBytes(t, r.name+": value", value, unhex(t, r.value))
		wantBytes(t, r.name+": rest", rest, unhex(t, r.rest))
		wantBytes(t, r.name+": section", section, wire[:len(wire)-len(rest)])
	}
}

func TestBadMessages(t *testing.T) {
	t.Parallel()
	rows := []struct{ name, hex, want string }{
		{"no descriptor", "a0025566", "message: want a descriptor, found binary (0xa0)"},
		{"performative", "005314 45", "message: transfer is not a message section"},
		{"unknown section", "005379 45", "message: type 0x79 is not a message section"},
		{"unknown symbol", `00 a304"data" 40`, `message: unknown descriptor "data"`},
		{"no value", "005375", "data: input ends before the value"},
		{"value cut off", "005375 a00255", "data: binary is cut off"},
		{"data of another type", "005375 a10161", "message: data: want binary, found string"},
		{"sequence of another type", "005376 c10100", "message: amqp-sequence: want list, found map"},
		{"annotations of another type", "005372 45", "message: message-annotations: want map, found list"},
		{"bad annotations", "005372 c10301 4141", "message: message-annotations: map of 1 elements"},
		{"bad delivery annotations", "005371 40", "message: delivery-annotations: want map, found null"},
		{"bad application properties", "005374 40", "message: application-properties: want map, found null"},
		{"bad footer", "005378 40", "message: footer: want map, found null"},
		{"bad value", "005377 5602", "message: amqp-value: boolean 0x02"},
		{"bad header", "005370 c00201 43", "message: header: durable: want boolean, found uint"},
		{"bad properties", "005373 c00401 a30161", "message: properties: message-id: want message id, found symbol"},
		{"two headers", "005370 45 005370 45", "message: header section after another one"},
		{"two annotations", "005372 c10100 005372 c10100", "message: message-annotations section after another one"},
		{"two delivery annotations", "005371 c10100 005371 c10100", "message: delivery-annotations section after another one"},
		{"two properties", "005373 45 005373 45", "message: properties section after another one"},
		{"two application properties", "005374 c10100 005374 c10100", "message: application-properties section after another one"},
		{"two footers", "005378 c10100 005378 c10100", "message: footer section after another one"},
		{"two values", "005377 40 005377 40", "message: amqp-value section after another one or another kind of body"},
		{"value after data", "005375 a000 005377 40", "message: amqp-value section after another one or another kind of body"},
		{"data after sequence", "005376 45 005375 a000", "message: data section after another one or another kind of body"},
		{"sequence after value", "005377 40 005376 45", "message: amqp-sequence section after another one or another kind of body"},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			_, err := DecodeMessage(unhex(t, r.hex))
			wantError(t, r.hex, err, CondDecodeError, r.want)
		})
	}
}

// An id goes back on the wire in the type it came in.
func TestMessageIDTypes(t *testing.T) {
	t.Parallel()
	for wire, id := range map[string]any{
		"44":                                  uint64(0),
		"530c":                                uint64(12),
		"98 000102030405060708090a0b0c0d0e0f": UUID{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
		"a0020102":                            []byte{1, 2},
		`a10b"12345678901"`:                   "12345678901",
	} {
		properties := &Properties{MessageID: id, CorrelationID: id}
		decodeAs(t, properties.Append(nil), properties)
		_, fields := parts(t, properties)
		if len(fields) != 13 {
			t.Fatalf("%d fields, want 13", len(fields))
		}
		wantBytes(t, "message-id", fields[0], unhex(t, wire))
		wantBytes(t, "correlation-id", fields[5], unhex(t, wire))
	}
}

func TestDecodeMessageCopies(t *testing.T) {
	t.Parallel()
	wire := sampleMessage().Append(nil)
	m, err := DecodeMessage(wire)
	if err != nil {
		t.Fatal(err)
	}
	clear(wire)
	wantValue(t, "after the input is gone", m, sampleMessage())
}
