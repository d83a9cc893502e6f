package event

import (
	"bytes"
	"runtime"
	"testing"

	"github.com/evhub-dev/evhub/internal/amqp"
)

// keptSections are the sections of a message that a receiver gets as they are: all but header, leading delivery annotations and annotations.
func keptSections(t *testing.T, b []byte) []byte {
	t.Helper()
	for len(b) > 0 {
		code, _, _, rest, err := amqp.NextSection(b)
		if err != nil {
			t.Fatalf("what was scanned has no sections: %v", err)
		}
		if code > amqp.CodeMessageAnnotations {
			return b
		}
		b = rest
	}
	return nil
}

// ownEntries are the annotations of a message, entry by entry, without those that are not kept.
func ownEntries(t *testing.T, message []byte) (entries [][]byte) {
	t.Helper()
	for b := message; len(b) > 0; {
		code, _, value, rest, err := amqp.NextSection(b)
		if err != nil {
			t.Fatalf("what was delivered has no sections: %v", err)
		}
		if code == amqp.CodeMessageAnnotations {
			pairs, list, _, err := amqp.ReadMapHeader(value)
			if err != nil {
				t.Fatal(err)
			}
			n := 0
			for ; len(list) > 0; n++ {
				name, v, next, err := nextEntry(list)
				if err != nil {
					t.Fatal(err)
				}
				if kept(name, v) {
					entries = append(entries, list[:len(list)-len(next)])
				}
				list = next
			}
			if n != pairs {
				t.Fatalf("a map of %d pairs has %d", pairs, n)
			}
		}
		if code > amqp.CodeMessageAnnotations {
			break
		}
		b = rest
	}
	return entries
}

// FuzzMessage: what scans is delivered with the sections and annotations it came with, and with the service's four annotations once.
func FuzzMessage(f *testing.F) {
	f.Add(everySection(), []byte("batch key"))
	f.Add(unhex(f, `005375a00e"Event Number 0"`), []byte{})
	f.Add(unhex(f, annotations(f, 1, `a313"x-opt-partition-key"40`)+`00537740`), []byte("k"))
	f.Add(unhex(f, annotations(f, 4, serviceAnnotations)+`005375a000 005371c10100`), []byte{})
	f.Add(unhex(f, `005372c10502 41414242`), []byte{})
	f.Fuzz(func(t *testing.T, sent, batchKey []byte) {
		if len(batchKey) > keyBytesMax {
			return // Scan lets none through
		}
		var m Message
		if m.Scan(sent) != nil {
			return
		}
		envelope := m.Append(nil, batchKey)
		s, err := Open(envelope)
		if err != nil {
			t.Fatal(err)
		}
		checkKey(t, &m, s, batchKey)
		got := s.AppendMessage(nil, position)
		var again Message
		if err := again.Scan(got); err != nil {
			t.Fatalf("what is delivered does not scan: %v", err)
		}
		if again.dropped != 4 {
			t.Errorf("%d annotations under the service's names, want 4", again.dropped)
		}
		if kept := keptSections(t, sent); !bytes.Equal(keptSections(t, got), kept) {
			t.Errorf("sections\n got %x\nwant %x", keptSections(t, got), kept)
		}
		own := ownEntries(t, sent)
		delivered := ownEntries(t, got)
		if len(delivered) < len(own) {
			t.Fatalf("%d annotations sent, %d delivered", len(own), len(delivered))
		}
		for i := range own {
			if !bytes.Equal(own[i], delivered[i]) {
				t.Errorf("annotation %d: %x, want %x", i, delivered[i], own[i])
			}
		}
	})
}

// checkKey: an event has its own key, else its batch's, and the envelope points at it.
func checkKey(t *testing.T, m *Message, s Stored, batchKey []byte) {
	t.Helper()
	want, ok := m.Key()
	if !ok && batchKey != nil {
		want, ok = batchKey, true
	}
	key, kind := s.Key()
	if ok != (kind == KeyText) || !bytes.Equal(key, want) {
		t.Errorf("key %q of kind %d, want %q (%t)", key, kind, want, ok)
	}
	if n := len(key); n > 0 {
		if entries, _ := s.annotations(); !bytes.Contains(entries, key) {
			t.Errorf("the key %q is not among the annotations", key)
		}
	}
}

// FuzzBatch: every message of a batch lies within it, in order, and none is larger than what is there.
func FuzzBatch(f *testing.F) {
	f.Add(payloadOf(f, batchOfGo))
	f.Add(payloadOf(f, batchOfPython))
	f.Add(unhex(f, annotations(f, 1, `a313"x-opt-partition-key"a102"k1"`)+`005375a006005375a001"a" 005378c10100`))
	f.Fuzz(func(t *testing.T, sent []byte) {
		messages, key, _ := split(sent)
		if len(key) > keyBytesMax {
			t.Errorf("a key of %d bytes", len(key))
		}
		rest := sent
		for i, m := range messages {
			at := bytes.Index(rest, m)
			if at < 0 {
				t.Fatalf("message %d (%x) is not in what is left of the batch", i, m)
			}
			rest = rest[at:]
		}
	})
}

// FuzzOpen: whatever opens can be asked everything.
func FuzzOpen(f *testing.F) {
	var m Message
	if err := m.Scan(everySection()); err != nil {
		f.Fatal(err)
	}
	f.Add(m.Append(nil, nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := Open(b)
		if err != nil {
			return
		}
		s.Plain()
		key, _ := s.Key()
		if got := s.AppendMessage(nil, position); len(got) > 2*len(b)+200 || len(key) > len(b) {
			t.Errorf("%d bytes became %d, and a key of %d", len(b), len(got), len(key))
		}
		s.BodyNull()
		s.LengthAsSent()
	})
}

// TestMemoryOfHostileMessages: lengths and counts that promise more than there is cost nothing.
func TestMemoryOfHostileMessages(t *testing.T) {
	hostile := [][]byte{
		unhex(t, `005372d1ffffffff7ffffffe`),
		unhex(t, `005372d1000000047ffffffe`),
		unhex(t, `005372d100000004000007fe`),
		unhex(t, `005375b07fffffff`),
		unhex(t, `005376d0000000047fffffff`),
		bytes.Repeat([]byte{0}, 1<<16),
		bytes.Repeat([]byte{0, 0x53, 0x72, 0xc1, 1, 0}, 1<<12),
		append(unhex(t, `005377`), bytes.Repeat([]byte{0, 0x40}, 1<<16)...),
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var m Message
	for range 10 {
		for _, b := range hostile {
			if m.Scan(b) == nil {
				t.Errorf("%.20x... scans", b)
			}
			_, _, _ = split(b)
		}
	}
	runtime.ReadMemStats(&after)
	if spent := after.TotalAlloc - before.TotalAlloc; spent > 1<<19 { // error texts
		t.Errorf("%d bytes were allocated", spent)
	}
}
