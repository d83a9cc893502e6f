package amqp

import "testing"

// An event as the service delivers it: the frame's performative, and a payload of annotations, properties and data.
func eventTransfer() Transfer {
	return Transfer{Handle: 2, DeliveryID: Some[uint32](4711), DeliveryTag: []byte{}, MessageFormat: Some(FormatMessage),
		Settled: Some(true), Batchable: Some(true)}
}

func eventPayload() []byte {
	m := Message{
		MessageAnnotations: Map{
			{Symbol("x-opt-sequence-number-epoch"), int32(-1)},
			{Symbol("x-opt-sequence-number"), int64(4711)},
			{Symbol("x-opt-offset"), "12884901888"},
			{Symbol("x-opt-enqueued-time"), Timestamp(1745950669106)},
		},
		Properties:            &Properties{MessageID: "0e3a2049-2169-4a40-5807-2fb17f25eb17"},
		ApplicationProperties: Map{{"tenant", "contoso"}, {"version", int32(3)}},
		Data:                  [][]byte{make([]byte, 1024)},
	}
	return m.Append(nil)
}

// walkMap reads the way a door does that looks for an annotation.
func walkMap(value []byte) (found int, err error) {
	pairs, b, _, err := ReadMapHeader(value)
	if err != nil {
		return 0, err
	}
	for range pairs {
		key, rest, err := ReadSymbolBytes(b)
		if err != nil {
			return 0, err
		}
		if string(key) == "x-opt-offset" {
			found++
		}
		if b, err = SkipValue(rest); err != nil {
			return 0, err
		}
	}
	return found, nil
}

func TestNoAllocations(t *testing.T) {
	transfer, flow := eventTransfer(), Flow{NextIncomingID: Some[uint32](101), IncomingWindow: 5000, NextOutgoingID: 2,
		OutgoingWindow: 65535, Handle: Some[uint32](2), DeliveryCount: Some[uint32](100), LinkCredit: Some[uint32](300), Echo: Some(false)}
	disposition := Disposition{Role: RoleReceiver, First: 4711, Settled: Some(true), State: Accepted()}
	payload := eventPayload()
	buf := make([]byte, 0, 256)
	must := func(_ []byte, err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	work := map[string]func(){
		"transfer": func() {
			buf = transfer.Append(buf[:0])
			must(transfer.Decode(buf))
		},
		"disposition": func() {
			buf = disposition.Append(buf[:0])
			must(disposition.Decode(buf))
		},
		"modified": func() {
			d := Disposition{State: DeliveryState{Code: CodeModified, DeliveryFailed: Some(true)}}
			buf = d.Append(buf[:0])
			must(d.Decode(buf))
		},
		"flow": func() {
			buf = flow.Append(buf[:0])
			must(flow.Decode(buf))
		},
		"sections": func() {
			for b := payload; len(b) > 0; {
				code, section, value, rest, err := NextSection(b)
				must(section, err)
				must(SkipValue(value))
				if code == CodeMessageAnnotations {
					if found, err := walkMap(value); found != 1 || err != nil {
						t.Fatalf("found %d, error %v", found, err)
					}
				}
				b = rest
			}
		},
		"symbolic descriptor": func() {
			must(SkipValue(append(buf[:0], "\x00\xa3\x0eamqp:open:list\x45"...)))
			if code, err := PeekCode(append(buf[:0], "\x00\xa3\x0eamqp:open:list"...)); code != CodeOpen {
				t.Fatalf("code %s, error %v", code, err)
			}
		},
		"frame": func() {
			var mark int
			buf, mark = BeginFrame(buf[:0], FrameAMQP, 1)
			buf = EndFrame(transfer.Append(buf), mark)
			if h, err := ParseFrameHeader(buf); err != nil || int(h.Size) != len(buf) {
				t.Fatalf("%+v, error %v", h, err)
			}
		},
	}
	for name, f := range work {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations, want none", name, n)
		}
	}
}

func BenchmarkTransferAppend(b *testing.B) {
	p := eventTransfer()
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = p.Append(buf[:0])
	}
}

func BenchmarkTransferDecode(b *testing.B) {
	p := eventTransfer()
	wire := p.Append(nil)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Decode(wire); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDispositionAppend(b *testing.B) {
	p := Disposition{Role: RoleReceiver, First: 4711, Settled: Some(true), State: Accepted()}
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = p.Append(buf[:0])
	}
}

func BenchmarkDispositionDecode(b *testing.B) {
	p := Disposition{Role: RoleReceiver, First: 4711, Settled: Some(true), State: Accepted()}
	wire := p.Append(nil)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Decode(wire); err != nil {
			b.Fatal(err)
		}
	}
}

// One operation is an event of four sections.
func BenchmarkNextSection(b *testing.B) {
	payload := eventPayload()
	b.ReportAllocs()
	for b.Loop() {
		for rest := payload; len(rest) > 0; {
			var err error
			if _, _, _, rest, err = NextSection(rest); err != nil {
				b.Fatal(err)
			}
		}
	}
}

func BenchmarkMapWalk(b *testing.B) {
	_, _, value, _, err := NextSection(eventPayload())
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := walkMap(value); err != nil {
			b.Fatal(err)
		}
	}
}
