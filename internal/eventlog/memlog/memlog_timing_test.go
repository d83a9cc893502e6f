package memlog

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/evhub-dev/evhub/internal/eventlog"
)

// What a broker does with 1 KiB events, one at a time and in batches, in a store that is full: each chunk is an eviction. The small
// budget stays in the cache and shows our own cost, the large one is bound by memory.
func BenchmarkAppend(b *testing.B) {
	for _, records := range []int{1, 64} {
		for _, budget := range []int64{1 << 20, 64 << 20} {
			b.Run(fmt.Sprintf("records=%d/budget=%dMiB", records, budget>>20), func(b *testing.B) {
				l := openBench(b, budget)
				batch := newBatch(records, 1024-entryBytes)
				b.SetBytes(1024)
				for n := 0; n < b.N; n += records {
					l.Append(batch)
				}
			})
		}
	}
}

// BenchmarkAppendParallel has a partition for each goroutine: what they share is the budget and the stamp.
func BenchmarkAppendParallel(b *testing.B) {
	s := New(Options{BytesMax: 64 << 20})
	logs := make(chan eventlog.Log, 1024)
	for i := range cap(logs) {
		l, err := s.Open(eventlog.HubID{Name: "bench"}, i, eventlog.Options{})
		if err != nil {
			b.Fatal(err)
		}
		logs <- l
	}
	b.RunParallel(func(pb *testing.PB) {
		l, batch := <-logs, newBatch(1, 1000)
		for pb.Next() {
			l.Append(batch)
		}
	})
}

// BenchmarkAppendContended has one partition for all.
func BenchmarkAppendContended(b *testing.B) {
	l := openBench(b, 64<<20)
	b.RunParallel(func(pb *testing.PB) {
		done := make(chan struct{}, 1)
		batch := newBatch(1, 1000)
		batch.Done = func(*eventlog.Batch) { done <- struct{}{} }
		for pb.Next() {
			l.Append(batch)
			<-done
		}
	})
}

// BenchmarkRead counts records: what a reader that is far behind gets in reads of 256 KiB.
func BenchmarkRead(b *testing.B) {
	for _, size := range []int{16, 128, 1024} {
		b.Run(fmt.Sprintf("bytes=%d", size), func(b *testing.B) {
			l := openBench(b, 1<<30)
			batch := newBatch(64, size)
			for range (64 << 20) / 64 / size {
				l.Append(batch)
			}
			var into eventlog.Records
			var seq int64
			b.SetBytes(int64(size))
			b.ResetTimer()
			for n := 0; n < b.N; n += len(into.List) {
				into.Release()
				if seq == l.State().Next.Seq {
					seq = 0
				}
				if err := l.Read(seq, 256<<10, &into); err != nil {
					b.Fatal(err)
				}
				seq += int64(len(into.List))
			}
		})
	}
}

// BenchmarkFind looks for one record among ten million.
func BenchmarkFind(b *testing.B) {
	const records = 10_000_000
	l := openBench(b, 1<<30)
	batch := newBatch(1000, 8)
	for range records / 1000 {
		l.Append(batch)
	}
	if got := l.State(); got.First != 0 || got.Next.Seq != records {
		b.Fatalf("state is %+v", got)
	}
	b.Run("read", func(b *testing.B) {
		var into eventlog.Records
		for b.Loop() {
			if err := l.Read(rand.Int64N(records), 0, &into); err != nil {
				b.Fatal(err)
			}
			into.Release()
		}
	})
	for by, name := range []string{"sequence number", "offset", "time"} {
		b.Run("seek/"+name, func(b *testing.B) {
			most := []int64{records, l.State().Last.Offset, l.State().Last.TimeMs}[by]
			for b.Loop() {
				l.Seek(eventlog.Query{By: eventlog.By(by), Value: rand.Int64N(most)}, func(eventlog.Position, error) {})
			}
		})
	}
}

// BenchmarkPassing is an event's whole way for one reader: Watch, Append, Wake, Read, Release.
func BenchmarkPassing(b *testing.B) {
	l := openBench(b, 64<<20)
	batch := newBatch(1, 1000)
	var into eventlog.Records
	var seq int64
	w := &eventlog.Watcher{Wake: func(bool) {}}
	for b.Loop() {
		l.Watch(seq, w)
		l.Append(batch)
		if err := l.Read(seq, 1<<20, &into); err != nil || len(into.List) != 1 {
			b.Fatal(err, len(into.List))
		}
		seq++
		into.Release()
	}
}

func openBench(b *testing.B, budget int64) eventlog.Log {
	l, err := New(Options{BytesMax: budget}).Open(eventlog.HubID{Name: "bench"}, 0, eventlog.Options{})
	if err != nil {
		b.Fatal(err)
	}
	return l
}

func newBatch(records, bytes int) *eventlog.Batch {
	b := &eventlog.Batch{Done: func(*eventlog.Batch) {}}
	for range records {
		b.Records = append(b.Records, eventlog.Record{Step: 8, Data: make([]byte, bytes)})
	}
	return b
}
