// Package logtest puts the contract of eventlog.Store, eventlog.Log and eventlog.KV to an implementation:
//
//	func TestContract(t *testing.T) {
//		logtest.Run(t, logtest.Harness{Open: func(t *testing.T) eventlog.Store { return memlog.New(memlog.Options{}) }})
//	}
//
// The tests take nothing for granted that the contract leaves open: Done and Wake may come from any goroutine and late, records may have
// to be fetched before a Read gives them. What must come is waited for with patience, and with no sleep.
package logtest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/evhub-dev/evhub/internal/clock"
	"github.com/evhub-dev/evhub/internal/eventlog"
)

// Harness says how to come by stores, and what they are exempt from.
type Harness struct {
	// Open gives a new and empty store with room for 100 MiB at least. The tests close it; what it leaves behind is Open's to clean up.
	Open func(t *testing.T) eventlog.Store

	// Reopen opens what a store that was closed left behind, and gives the new store. Nil: stores forget everything.
	Reopen func(t *testing.T, closed eventlog.Store) eventlog.Store

	// Foreign is for logs whose positions are given by a foreign cluster: there are gaps in the sequence numbers, an offset is a sequence
	// number whatever Step says, and neither Options.First nor Options.Clock counts.
	Foreign bool

	// Seed repeats a run of the tests that roll dice; they log theirs. 0: another one each time.
	Seed uint64
}

// patience is how long a test waits for what must come.
const patience = 20 * time.Second

// Run runs all tests as parallel subtests of t.
func Run(t *testing.T, h Harness) {
	tests := []struct {
		name string
		run  func(*scene)
	}{
		{"append/positions", testPositions},
		{"append/first position", testFirstPosition},
		{"append/time never falls", testTimeNeverFalls},
		{"append/copies data", testAppendCopies},
		{"append/order of calls", testOrderOfCalls},
		{"append/order of concurrent calls", testOrderOfConcurrentCalls},
		{"append/visible before done", testVisibleBeforeDone},
		{"append/from done", testAppendFromDone},
		{"append/batch becomes visible whole", testBatchVisibleWhole},
		{"read/bytes", testReadBytes},
		{"read/ends and errors", testReadErrors},
		{"read/appends", testReadAppends},
		{"read/data stays until release", testDataStays},
		{"trim", testTrim},
		{"state/empty", testStateEmpty},
		{"state/one moment", testStateOneMoment},
		{"watch/at once", testWatchAtOnce},
		{"watch/later", testWatchLater},
		{"watch/once", testWatchOnce},
		{"watch/replaced", testWatchReplaced},
		{"watch/from wake", testWatchFromWake},
		{"watch/at a trimmed end", testWatchTrimmedEnd},
		{"unwatch", testUnwatch},
		{"unwatch/from wake", testUnwatchFromWake},
		{"unwatch/race", testUnwatchRace},
		{"seek", testSeek},
		{"seek/empty", testSeekEmpty},
		{"seek/trimmed", testSeekTrimmed},
		{"close", testClose},
		{"close/under load", testCloseUnderLoad},
		{"close/from done and wake", testCloseFromCallbacks},
		{"store/open", testOpen},
		{"store/delete", testDelete},
		{"store/list", testList},
		{"store/close", testStoreClose},
		{"kv", testKV},
		{"kv/copies", testKVCopies},
		{"kv/keys", testKVKeys},
		{"kv/compare and swap", testKVCompareAndSwap},
		{"stress", testStress},
		{"model", testModel},
	}
	if h.Reopen != nil {
		tests = append(tests, []struct {
			name string
			run  func(*scene)
		}{
			{"reopen/log", testReopenLog},
			{"reopen/kv", testReopenKV},
		}...)
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.run(newScene(t, h))
		})
	}
}

// scene is a store with a log, and what tests do with them. Its methods that may fail the test are for the test's own goroutine.
type scene struct {
	*testing.T
	Harness
	store eventlog.Store
	log   eventlog.Log      // of hub, partition 0
	start eventlog.Position // log's Next while it was empty
	clock *handClock
}

var hub = eventlog.HubID{Namespace: "ns", Name: "hub", Incarnation: "1"}

func newScene(t *testing.T, h Harness) *scene {
	s := &scene{T: t, Harness: h, store: h.Open(t), clock: newHandClock()}
	t.Cleanup(func() { s.ok(s.store.Close()) })
	s.log = s.open(hub, 0, eventlog.Options{Clock: s.clock})
	s.start = s.log.State().Next
	return s
}

func (s *scene) open(hub eventlog.HubID, partition int, o eventlog.Options) eventlog.Log {
	s.Helper()
	l, err := s.store.Open(hub, partition, o)
	s.ok(err)
	return l
}

func (s *scene) ok(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// wait waits for c.
func (s *scene) wait(c <-chan struct{}, what string) {
	s.Helper()
	select {
	case <-c:
	case <-time.After(patience):
		s.Fatalf("%s: waited %v in vain", what, patience)
	}
}

// append appends records of those Data as one batch, waits for Done and gives the first position. The offset's steps are 100, 101, ...
func (s *scene) append(data ...string) eventlog.Position {
	s.Helper()
	b := batchOf(data...)
	s.ok(appendAndWait(s.log, b))
	return b.First
}

func batchOf(data ...string) *eventlog.Batch {
	b := &eventlog.Batch{}
	for i, d := range data {
		b.Records = append(b.Records, eventlog.Record{Step: int64(100 + i), Data: []byte(d)})
	}
	return b
}

// appendAndWait sets b.Done and gives b.Err. Any goroutine may call it.
func appendAndWait(l eventlog.Log, b *eventlog.Batch) error {
	done := make(chan struct{})
	b.Done = func(*eventlog.Batch) { close(done) }
	l.Append(b)
	select {
	case <-done:
		return b.Err
	case <-time.After(patience):
		return fmt.Errorf("append: no Done within %v", patience)
	}
}

// reader reads, and waits where there is nothing to read yet. It is for one goroutine, any.
type reader struct {
	log     eventlog.Log
	watcher eventlog.Watcher
	woken   chan struct{}
}

func newReader(l eventlog.Log) *reader {
	r := &reader{log: l, woken: make(chan struct{}, 1)}
	r.watcher.Wake = func(bool) { r.woken <- struct{}{} }
	return r
}

// read is Log.Read into the empty into, but gives at least one record or an error.
func (r *reader) read(from int64, bytesMax int, into *eventlog.Records) error {
	for {
		if err := r.log.Read(from, bytesMax, into); err != nil || len(into.List) > 0 {
			return err
		}
		r.log.Watch(from, &r.watcher)
		select {
		case <-r.woken:
		case <-time.After(patience):
			return fmt.Errorf("watch from %d: no Wake within %v; state %+v", from, patience, r.log.State())
		}
	}
}

// readAll gives copies of all records from a sequence number to the end.
func (s *scene) readAll(from int64) []eventlog.Record {
	s.Helper()
	var all []eventlog.Record
	var into eventlog.Records
	r := newReader(s.log)
	for end := s.log.State().Next.Seq; from < end; {
		s.ok(r.read(from, 1<<20, &into))
		for _, rec := range into.List {
			rec.Data = bytes.Clone(rec.Data)
			all = append(all, rec)
			from = rec.Seq + 1
		}
		into.Release()
	}
	return all
}

// wantData fails the test unless the records carry just those Data.
func (s *scene) wantData(records []eventlog.Record, want ...string) {
	s.Helper()
	var got []string
	for _, r := range records {
		got = append(got, string(r.Data))
	}
	if !slices.Equal(got, want) {
		s.Fatalf("got the records %.200q, want %.200q", got, want)
	}
}

func (s *scene) wantTrimmed(err error, first int64) {
	s.Helper()
	var trimmed *eventlog.TrimmedError
	if !errors.As(err, &trimmed) || trimmed.First != first {
		s.Fatalf("got error %v, want a TrimmedError with First %d", err, first)
	}
}

func (s *scene) wantBeyond(err error, next int64) {
	s.Helper()
	var beyond *eventlog.BeyondError
	if !errors.As(err, &beyond) || beyond.Next != next {
		s.Fatalf("got error %v, want a BeyondError with Next %d", err, next)
	}
}

func (s *scene) wantErr(got, want error) {
	s.Helper()
	if !errors.Is(got, want) {
		s.Fatalf("got error %v, want %v", got, want)
	}
}

// follows gives the position that a record must have if the one before it led to next, where got is what it has. The time is got's.
func (h Harness) follows(next, got eventlog.Position) eventlog.Position {
	if h.Foreign {
		next.Seq = max(next.Seq, got.Seq)
		next.Offset = next.Seq
	}
	next.TimeMs = got.TimeMs
	return next
}

// after gives the position behind a record.
func after(r eventlog.Record) eventlog.Position {
	return eventlog.Position{Seq: r.Seq + 1, Offset: r.Offset + r.Step}
}

// wantChain fails the test unless each record follows the one before it, the first one that at next.
func (s *scene) wantChain(next eventlog.Position, records []eventlog.Record) {
	s.Helper()
	timeMs := int64(0)
	for i, r := range records {
		if want := s.follows(next, r.Position); r.Position != want {
			s.Fatalf("record %d is at %+v, want %+v", i, r.Position, want)
		}
		if r.TimeMs < timeMs {
			s.Fatalf("record %d has time %d after %d", i, r.TimeMs, timeMs)
		}
		next, timeMs = after(r), r.TimeMs
	}
}

// handClock is moved by hand. Timers run in real time.
type handClock struct {
	clock.Clock
	ms atomic.Int64
}

func newHandClock() *handClock {
	c := &handClock{Clock: clock.System}
	c.ms.Store(1_700_000_000_000)
	return c
}

func (c *handClock) Now() time.Time { return time.UnixMilli(c.ms.Load()) }
