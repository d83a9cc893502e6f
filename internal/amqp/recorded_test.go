package amqp

import (
	"testing"
)

// What the service was recorded to write: each of these decodes to the value, and the value encodes to exactly these bytes.

type goldenFrame struct {
	name    string
	channel uint16
	typ     uint8
	frame   string // hex
	want    codec
	payload []byte // after the performative
}

func (g goldenFrame) check(t *testing.T) {
	t.Helper()
	frame := unhex(t, g.frame)
	h, body := splitFrame(t, frame)
	if h.Type != g.typ || h.Channel != g.channel {
		t.Errorf("type %d channel %d, want %d and %d", h.Type, h.Channel, g.typ, g.channel)
	}
	wantBytes(t, "payload", decodeAs(t, body, g.want), g.payload)
	out, mark := BeginFrame([]byte("before"), g.typ, g.channel)
	out = EndFrame(append(g.want.Append(out), g.payload...), mark)
	wantBytes(t, "encoded", out, append([]byte("before"), frame...))
}

const (
	linkName    = "6d9ce0a5-5d2a-4d0e-8c1b-1e3b6f1f0a11"
	containerID = "b9b47ad5cc10432aaa4be86a07f482b8_G9"
)

func recordedFrames() []goldenFrame {
	cbs := Opt[string]{V: "$cbs", Set: true}
	return []goldenFrame{
		{
			name: "sasl mechanisms", typ: FrameSASL,
			frame: `0000003f 02010000 005340c03201e02f04b3 00000007"MSSBCBS" 00000005"PLAIN" 00000009"ANONYMOUS" 00000008"EXTERNAL"`,
			want:  &SASLMechanisms{Mechanisms: []Symbol{"MSSBCBS", "PLAIN", "ANONYMOUS", "EXTERNAL"}},
		},
		{
			name: "sasl outcome", typ: FrameSASL,
			frame: `0000001a 02010000 005344c00d025000a00857656c636f6d6521`,
			want:  &SASLOutcome{Code: SASLOk, AdditionalData: []byte("Welcome!")},
		},
		{
			name:  "open",
			frame: `00000046 02000000 005310c0390a a123"` + containerID + `" 40 7000010000 601387 700001d4c0 4040404040`,
			want: &Open{ContainerID: containerID, MaxFrameSize: Some[uint32](65536), ChannelMax: Some[uint16](4999),
				IdleTimeOut: Some[uint32](120000)},
		},
		{
			name:  "begin",
			frame: `00000022 02000000 005311c01508 600001 5201 7000001388 7000010000 52ff 404040`,
			want: &Begin{RemoteChannel: Some[uint16](1), NextOutgoingID: 1, IncomingWindow: 5000, OutgoingWindow: 65536,
				HandleMax: Some[uint32](255)},
		},
		{
			name: "attach of $cbs",
			frame: `00000071 02000000 005312c0640e a124"` + linkName + `" 43 42 5000 5000
				005328c0110b a10424636273 40404040404040404040 005329c00d07 a10424636273 404040404040
				40 40 43 80ffffffffffffffff 404040`,
			want: &Attach{Name: linkName, Role: RoleSender, SndSettleMode: Some(SndUnsettled), RcvSettleMode: Some(RcvFirst),
				Source: &Source{Address: cbs}, Target: &Target{Address: cbs},
				InitialDeliveryCount: Some[uint32](0), MaxMessageSize: Some[uint64](1<<64 - 1)},
		},
		{
			name:  "refused attach",
			frame: `00000041 02000000 005312c0340e a124"` + linkName + `" 43 41 4040404040404040404040`,
			want:  &Attach{Name: linkName, Role: RoleReceiver},
		},
		{
			name:  "flow of a link",
			frame: `0000002d 02000000 005313c0200b 5265 7000001388 5202 700000ffff 5202 5264 700000012c 70ffffffff 40 42 40`,
			want: &Flow{NextIncomingID: Some[uint32](101), IncomingWindow: 5000, NextOutgoingID: 2, OutgoingWindow: 65535,
				Handle: Some[uint32](2), DeliveryCount: Some[uint32](100), LinkCredit: Some[uint32](300),
				Available: Some[uint32](1<<32 - 1), Echo: Some(false)},
		},
		{
			name:  "flow of a session",
			frame: `00000023 02000000 005313c0160b 5202 7000001388 5202 700000ffff 40 40 40 40 40 41 40`,
			want: &Flow{NextIncomingID: Some[uint32](2), IncomingWindow: 5000, NextOutgoingID: 2, OutgoingWindow: 65535,
				Echo: Some(true)},
		},
		{
			name:  "disposition of an event",
			frame: `00000018 02000000 005315c00b06 41 5201 40 41 00532445 40`,
			want:  &Disposition{Role: RoleReceiver, First: 1, Settled: Some(true), State: Accepted()},
		},
		{
			name:  "disposition of an unsettled reply",
			frame: `00000017 02000000 005315c00a06 42 43 40 41 00532645 40`,
			want:  &Disposition{Role: RoleSender, Settled: Some(true), State: Released()},
		},
		{
			name:  "transfer of an event",
			frame: `0000001c 02000000 005314c00f0b 5202 5201 a000 43 41 42 40404040 41`,
			want: &Transfer{Handle: 2, DeliveryID: Some[uint32](1), DeliveryTag: []byte{}, MessageFormat: Some(FormatMessage),
				Settled: Some(true), Batchable: Some(true)},
		},
		{
			name: "transfer of a reply with its payload",
			frame: `00000077 02000000 005314c0110b 43 43 a00401000000 43 40 42 40404040 42
				005373c01e0d 40404040 40 98000102030405060708090a0b0c0d0e0f 40404040404040
				005374c13104 a10b"status-code" 71000000ca a112"status-description" a108"Accepted"`,
			want: &Transfer{DeliveryID: Some[uint32](0), DeliveryTag: []byte{1, 0, 0, 0}, MessageFormat: Some(FormatMessage),
				Batchable: Some(false)},
			payload: (&Message{
				Properties: &Properties{CorrelationID: UUID{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}},
				ApplicationProperties: Map{
					{"status-code", int32(202)}, {"status-description", "Accepted"},
				},
			}).Append(nil),
		},
		{
			name:  "continuation of a large event",
			frame: `0000001a 02000000 005314c00d0b 5202 40 40 40 40 41 40404040 40`,
			want:  &Transfer{Handle: 2, More: true},
		},
	}
}

func TestRecordedFrames(t *testing.T) {
	t.Parallel()
	for _, g := range recordedFrames() {
		t.Run(g.name, func(t *testing.T) {
			t.Parallel()
			g.check(t)
		})
	}
}

func TestRecordedPayloads(t *testing.T) {
	t.Parallel()
	noTime := Timestamp(-62135596800000) // 0001-01-01T00:00:00Z
	rows := []struct {
		name    string
		payload []byte
		want    *Message
	}{
		{
			"reply of $cbs",
			unhex(t, `005373c01e0d 4040404040 98000102030405060708090a0b0c0d0e0f 40404040404040
				005374c13104 a10b"status-code" 71000000ca a112"status-description" a108"Accepted"`),
			&Message{
				Properties: &Properties{CorrelationID: UUID{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}},
				ApplicationProperties: Map{
					{"status-code", int32(202)},
					{"status-description", "Accepted"},
				},
			},
		},
		{
			"properties of an empty partition",
			unbase64(t, `AFNzwB4NQEBAQECYpwMtv4rgQVmj6Zla9BNNCkBAQEBAQEAAU3TBJAShCW9wZXJhdGlvbqEEUkVBRKELc3RhdHVzLWNvZGVxAAAAyABTd9EAAAEvAAAAFKEEbmFt
				ZaEmZWhmZWNiZjY4MS1hOGRkLTRjOTMtYmExZS1kMTU0MDQ2ZjEwMDWhCXBhcnRpdGlvbqEBMKEEdHlwZaEXY29tLm1pY3Jvc29mdDpwYXJ0aXRpb26hG2JlZ2lu
				X3NlcXVlbmNlX251bWJlcl9lcG9jaFT/oRViZWdpbl9zZXF1ZW5jZV9udW1iZXJV/6EjbGFzdF9lbnF1ZXVlZF9zZXF1ZW5jZV9udW1iZXJfZXBvY2hU/6EdbGFz
				dF9lbnF1ZXVlZF9zZXF1ZW5jZV9udW1iZXJV/6EUbGFzdF9lbnF1ZXVlZF9vZmZzZXShAi0xoRZsYXN0X2VucXVldWVkX3RpbWVfdXRjg///x3zt0ygAoRJpc19w
				YXJ0aXRpb25fZW1wdHlB`),
			&Message{
				Properties: &Properties{CorrelationID: UUID(unhex(t, "a7032dbf8ae04159a3e9995af4134d0a"))},
				ApplicationProperties: Map{
					{"operation", "READ"},
					{"status-code", int32(200)},
				},
				HasValue: true,
				Value: Map{
					{"name", "ehfecbf681-a8dd-4c93-ba1e-d154046f1005"},
					{"partition", "0"},
					{"type", "com.microsoft:partition"},
					{"begin_sequence_number_epoch", int32(-1)},
					{"begin_sequence_number", int64(-1)},
					{"last_enqueued_sequence_number_epoch", int32(-1)},
					{"last_enqueued_sequence_number", int64(-1)},
					{"last_enqueued_offset", "-1"},
					{"last_enqueued_time_utc", noTime},
					{"is_partition_empty", true},
				},
			},
		},
		{
			"event",
			unbase64(t, `AFNywWgIoxt4LW9wdC1zZXF1ZW5jZS1udW1iZXItZXBvY2hU/6MVeC1vcHQtc2VxdWVuY2UtbnVtYmVyVQCjDHgtb3B0LW9mZnNldKEBMKMTeC1v
				cHQtZW5xdWV1ZWQtdGltZYMAAAGWgsT5MgBTdaAORXZlbnQgTnVtYmVyIDA=`),
			&Message{
				MessageAnnotations: Map{
					{Symbol("x-opt-sequence-number-epoch"), int32(-1)},
					{Symbol("x-opt-sequence-number"), int64(0)},
					{Symbol("x-opt-offset"), "0"},
					{Symbol("x-opt-enqueued-time"), Timestamp(1745950669106)},
				},
				Data: [][]byte{[]byte("Event Number 0")},
			},
		},
		{
			"partition ids",
			unhex(t, `005377 e00c02b1 00000001"0" 00000001"1"`),
			&Message{HasValue: true, Value: StringArray("0", "1")},
		},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			m, err := DecodeMessage(r.payload)
			if err != nil {
				t.Fatal(err)
			}
			wantValue(t, "decoded", m, r.want)
			wantBytes(t, "encoded", r.want.Append(nil), r.payload)
		})
	}
}

// The bytes of a hub's properties were not kept, but their number was.
func TestRecordedHubPropertiesSize(t *testing.T) {
	t.Parallel()
	m := Message{
		Properties: &Properties{CorrelationID: UUID{1}},
		ApplicationProperties: Map{
			{"operation", "READ"},
			{"status-code", int32(200)},
		},
		HasValue: true,
		Value: Map{
			{"name", "ehfecbf681-a8dd-4c93-ba1e-d154046f1005"},
			{"type", "com.microsoft:eventhub"},
			{"created_at", Timestamp(1745950594294)},
			{"partition_count", int32(2)},
			{"partition_ids", StringArray("0", "1")},
			{"georeplication_factor", int32(1)},
		},
	}
	if got := len(m.Append(nil)); got != 252 {
		t.Errorf("%d bytes, want 252", got)
	}
}

// The service answers a selector filter under a number of its own, and a put-token failure with a symbol in a map of string keys.
func TestRecordedParts(t *testing.T) {
	t.Parallel()
	const selector = "apache.org:selector-filter:string"
	rows := []struct {
		name  string
		value any
		hex   string
	}{
		{
			"filter",
			Map{{Symbol(selector), &Described{uint64(0x137000000A), "amqp.annotation.x-opt-offset > '-1'"}}},
			`c1 53 02 a321"` + selector + `" 00 80 000000137000000a a123"amqp.annotation.x-opt-offset > '-1'"`,
		},
		{
			"error condition",
			Map{{"error-condition", CondAuthFailed}},
			`c1 2d 02 a10f"error-condition" a319"com.microsoft:auth-failed"`,
		},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			wire := unhex(t, r.hex)
			wantBytes(t, "encoded", AppendValue(nil, r.value), wire)
			v, rest, err := ReadValue(wire)
			if err != nil || len(rest) > 0 {
				t.Fatalf("%d bytes left, error %v", len(rest), err)
			}
			wantValue(t, "decoded", v, r.value)
		})
	}
}
