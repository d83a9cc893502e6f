package event

import (
	"fmt"
	"strings"
	"testing"

	"github.com/evhub-dev/evhub/internal/amqp"
)

// typical is an event with a key, properties and a body of so many bytes.
func typical(size int) []byte {
	m := amqp.Message{
		MessageAnnotations:    amqp.Map{{Key: amqp.Symbol(annKey), Value: "device-1"}},
		Properties:            &amqp.Properties{MessageID: "0e3a2049-2169-4a40-5807-2fb17f25eb17"},
		ApplicationProperties: amqp.Map{{Key: "tenant", Value: "contoso"}, {Key: "version", Value: int32(3)}},
		Data:                  [][]byte{make([]byte, size)},
	}
	return m.Append(nil)
}

// way is an event's way through this package, from a sender's message to a receiver's, in buffers that are there already.
type way struct {
	m              Message
	envelope, sent []byte
}

func (w *way) walk(message, batchKey []byte) error {
	if err := w.m.Scan(message); err != nil {
		return err
	}
	w.envelope = w.m.Append(w.envelope[:0], batchKey)
	s, err := Open(w.envelope)
	if err != nil {
		return err
	}
	w.sent = AppendRuntime(w.sent[:0], Runtime{Last: position, RetrievedMs: noon})
	w.sent = s.AppendMessage(w.sent, position)
	return nil
}

func TestNoAllocations(t *testing.T) {
	batchKey := []byte("0e3a2049-2169-4a40-5807-2fb17f25eb17")
	clash := (&amqp.Message{
		MessageAnnotations: amqp.Map{{Key: amqp.Symbol("own"), Value: "kept"}, {Key: amqp.Symbol(annSeq), Value: int64(7)}},
		Data:               [][]byte{{1}},
	}).Append(nil)
	wide := (&amqp.Message{
		MessageAnnotations: amqp.Map{{Key: amqp.Symbol("own"), Value: strings.Repeat("x", 300)}},
		Data:               [][]byte{{1}},
	}).Append(nil)
	var w way
	for _, c := range []struct {
		name     string
		message  []byte
		batchKey []byte
	}{
		{"own key", typical(1024), nil},
		{"key of the batch", payloadOf(t, batchOfPython)[5:], nil},
		{"long key of the batch", clash, batchKey},
		{"names of the service", clash, nil},
		{"wide annotations", wide, nil},
		{"header and footer", everySection(), batchKey},
	} {
		if got := testing.AllocsPerRun(100, func() {
			if err := w.walk(c.message, c.batchKey); err != nil {
				t.Fatalf("%s: %v", c.name, err)
			}
		}); got != 0 {
			t.Errorf("%s: %v allocations", c.name, got)
		}
	}

	batch := payloadOf(t, batchOfGo)
	var b Batch
	if got := testing.AllocsPerRun(100, func() {
		if err := b.Open(batch); err != nil {
			t.Fatal(err)
		}
		for {
			message, err := b.Next()
			if err != nil {
				t.Fatal(err)
			}
			if message == nil {
				return
			}
		}
	}); got != 0 {
		t.Errorf("a batch: %v allocations", got)
	}
}

func BenchmarkStore(b *testing.B) {
	for _, size := range []int{0, 1 << 10, 64 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			message := typical(size)
			var m Message
			var buf []byte
			b.SetBytes(int64(len(message)))
			b.ReportAllocs()
			for b.Loop() {
				if err := m.Scan(message); err != nil {
					b.Fatal(err)
				}
				buf = m.Append(buf[:0], nil)
			}
		})
	}
}

func BenchmarkDeliver(b *testing.B) {
	for _, size := range []int{0, 1 << 10, 64 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			stored := store(b, typical(size), nil).b
			var buf []byte
			b.SetBytes(int64(len(stored)))
			b.ReportAllocs()
			for b.Loop() {
				s, err := Open(stored)
				if err != nil {
					b.Fatal(err)
				}
				buf = s.AppendMessage(buf[:0], position)
			}
		})
	}
}

func BenchmarkSplitBatch(b *testing.B) {
	var envelope amqp.Message
	for range 100 {
		envelope.Data = append(envelope.Data, typical(100))
	}
	sent := envelope.Append(nil)
	var t Batch
	b.SetBytes(int64(len(sent)))
	b.ReportAllocs()
	for b.Loop() {
		if err := t.Open(sent); err != nil {
			b.Fatal(err)
		}
		n := 0
		for m, err := t.Next(); m != nil; m, err = t.Next() {
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
		if n != 100 {
			b.Fatalf("%d messages, want 100", n)
		}
	}
}
