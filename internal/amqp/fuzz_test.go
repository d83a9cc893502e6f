package amqp

import (
	"bytes"
	"runtime"
	"testing"
)

// bounded runs f and checks that it allocates no more than a small multiple of the input. What an error costs is on top.
func bounded(t *testing.T, inputBytes int, f func()) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	if got, most := after.TotalAlloc-before.TotalAlloc, uint64(64*inputBytes+8192); got > most {
		t.Errorf("%d bytes allocated for %d bytes of input, want %d at most", got, inputBytes, most)
	}
}

func addFrameBodies(f *testing.F, add func(body []byte)) {
	for _, g := range append(recordedFrames(), clientFrames()...) {
		_, body := splitFrame(f, unhex(f, g.frame))
		add(body)
	}
}

func FuzzFrameHeader(f *testing.F) {
	for _, g := range recordedFrames() {
		f.Add(unhex(f, g.frame))
	}
	f.Add(AppendEmptyFrame(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := ParseFrameHeader(b)
		if err != nil {
			return
		}
		if h.BodyBytesAt() < FrameHeaderBytes || int64(h.Size) < int64(h.BodyBytesAt()) {
			t.Errorf("%+v: no room for its header", h)
		}
		if h.DOff == 2 && int64(h.Size) == int64(len(b)) {
			out, mark := BeginFrame(nil, h.Type, h.Channel)
			wantBytes(t, "encoded", EndFrame(append(out, b[FrameHeaderBytes:]...), mark), b)
		}
	})
}

// FuzzComposite puts the input to the decoder that its descriptor asks for.
func FuzzComposite(f *testing.F) {
	addFrameBodies(f, func(body []byte) { f.Add(body) })
	for _, p := range sampleCodecs() {
		f.Add(p.Append(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		code, err := PeekCode(b)
		if err != nil {
			return
		}
		p := newCodec(code)
		if p == nil {
			return
		}
		var rest []byte
		bounded(t, len(b), func() { rest, err = p.Decode(b) })
		if err != nil {
			return
		}
		if !bytes.HasSuffix(b, rest) {
			t.Errorf("rest %x is not the end of the input", rest)
		}
		wire := p.Append(nil)
		again := newCodec(code)
		if rest, err := again.Decode(append(wire, "rest"...)); err != nil || string(rest) != "rest" {
			t.Fatalf("our encoding of %+v: rest %q, error %v", p, rest, err)
		}
		wantBytes(t, "encoded twice", again.Append(nil), wire)
	})
}

func FuzzReadValue(f *testing.F) {
	for _, form := range append(wireForms(), arrayForms()...) {
		f.Add(unhex(f, form.hex))
	}
	addFrameBodies(f, func(body []byte) { f.Add(body) })
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, form := range wireForms() {
			if form.typed != nil {
				checkTyped(t, b, form.typed)
			}
		}
		var v any
		var rest []byte
		var err error
		bounded(t, len(b), func() { v, rest, err = ReadValue(b) })
		skipped, skipErr := SkipValue(b)
		if err != nil {
			return
		}
		if skipErr != nil || !bytes.Equal(skipped, rest) {
			t.Errorf("skipped to %x, error %v; read to %x", skipped, skipErr, rest)
		}
		wire := AppendValue(nil, v)
		again, rest, err := ReadValue(append(wire, "rest"...))
		if err != nil || string(rest) != "rest" {
			t.Fatalf("our encoding of %#v: rest %q, error %v", v, rest, err)
		}
		wantBytes(t, "encoded twice", AppendValue(nil, again), wire)
	})
}

// checkTyped checks that a typed reader takes nothing that ReadValue would not take in the same way.
func checkTyped(t *testing.T, b []byte, read func([]byte) (any, []byte, error)) {
	t.Helper()
	typed, typedRest, err := read(b)
	if err != nil {
		return
	}
	v, rest, err := ReadValue(b)
	if err != nil || !bytes.Equal(rest, typedRest) {
		t.Errorf("typed reader leaves %x, ReadValue %x with error %v", typedRest, rest, err)
	}
	wantBytes(t, "typed", AppendValue(nil, typed), AppendValue(nil, v))
}

func FuzzMessage(f *testing.F) {
	for _, m := range clientMessages(f) {
		b := unhex(f, m.frame)
		if m.transfer != nil {
			_, body := splitFrame(f, b)
			var err error
			if b, err = new(Transfer).Decode(body); err != nil {
				f.Fatal(err)
			}
		}
		f.Add(b)
	}
	f.Add(sampleMessage().Append(nil))
	f.Add(eventPayload())
	f.Fuzz(func(t *testing.T, b []byte) {
		checkSections(t, b)
		var m *Message
		var err error
		bounded(t, len(b), func() { m, err = DecodeMessage(b) })
		if err != nil {
			return
		}
		wire := m.Append(nil)
		again, err := DecodeMessage(wire)
		if err != nil {
			t.Fatalf("our encoding of %+v: %v", m, err)
		}
		wantBytes(t, "encoded twice", again.Append(nil), wire)
	})
}

// checkSections checks that sections lie next to each other and hold their values.
func checkSections(t *testing.T, b []byte) {
	t.Helper()
	for len(b) > 0 {
		code, section, value, rest, err := NextSection(b)
		if err != nil {
			return
		}
		if code < CodeHeader || code > CodeFooter {
			t.Errorf("section %#x", uint64(code))
		}
		if len(section) == 0 || !bytes.HasSuffix(section, value) {
			t.Fatalf("section %x with value %x", section, value)
		}
		wantBytes(t, "section and rest", append(bytes.Clone(section), rest...), b)
		if left, err := SkipValue(value); err != nil || len(left) > 0 {
			t.Errorf("value %x: %d bytes left, error %v", value, len(left), err)
		}
		b = rest
	}
}
