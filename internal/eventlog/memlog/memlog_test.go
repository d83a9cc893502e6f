package memlog

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evhub-dev/evhub/internal/clock"
	"github.com/evhub-dev/evhub/internal/eventlog"
	"github.com/evhub-dev/evhub/internal/eventlog/logtest"
)

func TestContract(t *testing.T) {
	t.Parallel()
	logtest.Run(t, logtest.Harness{Open: func(*testing.T) eventlog.Store { return New(Options{}) }})
}

var hub = eventlog.HubID{Namespace: "ns", Name: "hub"}

func open(t *testing.T, s *Store, partition int) *log {
	t.Helper()
	l, err := s.Open(hub, partition, eventlog.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return l.(*log)
}

// appendBytes appends one batch of records with so many bytes of Data each.
func appendBytes(l eventlog.Log, bytes ...int) *eventlog.Batch {
	b := &eventlog.Batch{Done: func(*eventlog.Batch) {}}
	for _, n := range bytes {
		b.Records = append(b.Records, eventlog.Record{Step: 8, Data: make([]byte, n)})
	}
	l.Append(b)
	return b
}

func mustAppend(t *testing.T, l eventlog.Log, bytes ...int) {
	t.Helper()
	if err := appendBytes(l, bytes...).Err; err != nil {
		t.Fatal(err)
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	rows := []struct {
		name      string
		partition int
		first     eventlog.Position
		want      string
	}{
		{"negative partition", -1, eventlog.Position{}, "partition -1"},
		{"negative sequence number", 0, eventlog.Position{Seq: -1}, "sequence number -1"},
		{"negative offset", 0, eventlog.Position{Offset: -8}, "offset -8"},
		{"large sequence number", 0, eventlog.Position{Seq: eventlog.SeqMax + 1}, "not in 0.."},
		{"large offset", 0, eventlog.Position{Offset: eventlog.SeqMax + 1}, "not in 0.."},
	}
	s := New(Options{})
	for _, row := range rows {
		if _, err := s.Open(hub, row.partition, eventlog.Options{First: row.first}); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: got error %v, want one with %q", row.name, err, row.want)
		}
	}
	if hubs, err := s.List(); err != nil || len(hubs) != 0 {
		t.Errorf("List gives %v, error %v after refusals only", hubs, err)
	}
}

func TestNumbersRunOut(t *testing.T) {
	t.Parallel()
	rows := []struct {
		name  string
		first eventlog.Position
	}{
		{"sequence numbers", eventlog.Position{Seq: eventlog.SeqMax - 2}},
		{"offsets", eventlog.Position{Offset: eventlog.SeqMax - 16}},
	}
	for _, row := range rows {
		l, err := New(Options{}).Open(hub, 0, eventlog.Options{First: row.first})
		if err != nil {
			t.Fatal(err)
		}
		if err := appendBytes(l, 1, 1, 1).Err; !errors.Is(err, errExhausted) {
			t.Errorf("%s: three records where two fit: got error %v", row.name, err)
		}
		if err := appendBytes(l, 1, 1).Err; err != nil {
			t.Errorf("%s: the last two records: %v", row.name, err)
		}
		if err := appendBytes(l, 1).Err; !errors.Is(err, errExhausted) {
			t.Errorf("%s: one more: got error %v", row.name, err)
		}
	}
}

func TestStepIsChecked(t *testing.T) {
	t.Parallel()
	for _, steps := range [][]int64{{0}, {-8}, {8, 0}, {eventlog.SeqMax, 1}, {1 << 62, 1 << 62}} {
		var records []eventlog.Record
		for _, step := range steps {
			records = append(records, eventlog.Record{Step: step})
		}
		func() {
			defer func() {
				if r := fmt.Sprint(recover()); !strings.HasPrefix(r, "BUG: ") {
					t.Errorf("steps %d: recovered %q", steps, r)
				}
			}()
			measure(records)
		}()
	}
}

func TestEmptyBatch(t *testing.T) {
	t.Parallel()
	l := open(t, New(Options{}), 0)
	l.Watch(0, &eventlog.Watcher{Wake: func(bool) { t.Error("woken by a batch without records") }})
	before := l.State()
	if b := appendBytes(l); b.Err != nil || l.State() != before {
		t.Errorf("error %v, state %+v, want none and %+v", b.Err, l.State(), before)
	}
}

// tickingClock is a millisecond later each time it is asked.
type tickingClock struct {
	clock.Clock
	ms int64
}

func (c *tickingClock) Now() time.Time {
	c.ms++
	return time.UnixMilli(c.ms)
}

func TestOneTimePerBatch(t *testing.T) {
	t.Parallel()
	l := open(t, New(Options{Clock: &tickingClock{}}), 0)
	for i := range int64(3) {
		b := appendBytes(l, 3000, 3000, 3000)
		var into eventlog.Records
		if err := l.Read(3*i, 1<<20, &into); err != nil || len(into.List) != 3 {
			t.Fatal(len(into.List), err)
		}
		for _, r := range into.List {
			if r.TimeMs != b.First.TimeMs || r.TimeMs != i+1 {
				t.Errorf("record %d has time %d, want %d as the batch", r.Seq, r.TimeMs, i+1)
			}
		}
		into.Release()
	}
}

// What a Read gives is not only within its limit but all of it, whichever chunks it lies in.
func TestReadFillsItsLimit(t *testing.T) {
	t.Parallel()
	const n, size = 5000, 100
	l := open(t, New(Options{}), 0)
	for range n {
		mustAppend(t, l, size)
	}
	var into eventlog.Records
	for _, from := range []int{0, 1, 1234, n - 1} {
		for _, bytesMax := range []int{0, size, 12345, n * size} {
			if err := l.Read(int64(from), bytesMax, &into); err != nil {
				t.Fatal(err)
			}
			if got, want := len(into.List), min(max(1, bytesMax/size), n-from); got != want {
				t.Errorf("Read of %d bytes from %d gives %d records, want %d", bytesMax, from, got, want)
			}
			for _, r := range into.List {
				if cap(r.Data) != len(r.Data) {
					t.Fatalf("who appends to the Data of record %d overwrites the next one's", r.Seq)
				}
			}
			into.Release()
		}
	}
}

// Each Done appends once more until a Wake says that it is enough, and the other way round.
func TestDonesAndWakesTakeTurns(t *testing.T) {
	t.Parallel()
	l := open(t, New(Options{}), 0)
	woken, dones := false, 0
	l.Watch(0, &eventlog.Watcher{Wake: func(bool) { woken = true }})
	var again func(*eventlog.Batch)
	again = func(b *eventlog.Batch) {
		if dones++; !woken && dones < 1000 {
			l.Append(b)
		}
	}
	l.Append(&eventlog.Batch{Records: []eventlog.Record{{Step: 1}}, Done: again})
	if dones > 2 {
		t.Errorf("a Wake waited for %d Dones", dones)
	}

	done, wakes := false, 0
	w := &eventlog.Watcher{}
	w.Wake = func(bool) {
		if wakes++; wakes == 1 {
			l.Append(&eventlog.Batch{Done: func(*eventlog.Batch) { done = true }})
		}
		if !done && wakes < 1000 {
			l.Watch(0, w)
		}
	}
	l.Watch(0, w)
	if wakes > 2 {
		t.Errorf("a Done waited for %d Wakes", wakes)
	}
}

// A Wake that takes its time, which none may, shows that Unwatch and Close wait for one that runs on another goroutine.
func TestWaitForRunningWake(t *testing.T) {
	t.Parallel()
	rows := []struct {
		name string
		call func(*log, *eventlog.Watcher)
	}{
		{"unwatch", func(l *log, w *eventlog.Watcher) { l.Unwatch(w) }},
		{"close", func(l *log, _ *eventlog.Watcher) { l.Close() }},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l := open(t, New(Options{}), 0)
				begun, finish := make(chan struct{}), make(chan struct{})
				w := &eventlog.Watcher{}
				w.Wake = func(bool) {
					close(begun) // a second Wake would panic
					<-finish
					if row.name == "unwatch" {
						l.Watch(l.State().Next.Seq, w) // also to be unwatched
					}
				}
				l.Watch(0, w)
				go appendBytes(l, 1)
				<-begun
				returned := false
				go func() {
					row.call(l, w)
					returned = true
				}()
				synctest.Wait()
				if returned {
					t.Error("returned while the Wake was running")
				}
				close(finish)
				synctest.Wait()
				if !returned {
					t.Error("has not returned though the Wake has")
				}
				appendBytes(l, 1)
			})
		})
	}
}

func TestWatcherOfAnotherLog(t *testing.T) {
	t.Parallel()
	s := New(Options{})
	a, b := open(t, s, 0), open(t, s, 1)
	waiting := &eventlog.Watcher{Wake: func(bool) {}}
	wantBug := func(state string) {
		if r := fmt.Sprint(recover()); !strings.HasPrefix(r, "BUG: ") {
			t.Errorf("watch by a watcher that is %s at another log: recovered %q", state, r)
			return
		}
		b.mu.Unlock() // panicked with it
	}
	first := &eventlog.Watcher{Wake: func(bool) { // the other one's turn is next
		defer wantBug("about to be woken")
		b.Watch(0, waiting)
	}}
	a.Watch(0, first)
	a.Watch(0, waiting)
	func() {
		defer wantBug("waiting")
		b.Watch(0, waiting)
	}()
	mustAppend(t, a, 1)
}

// No test may run beside the ones that count allocations or the heap, so these are not parallel.

func TestSteadyStateAllocatesNothing(t *testing.T) {
	rows := []struct {
		name    string
		records int
		bytes   int
	}{
		{"one record of 100 bytes", 1, 100},
		{"one record of 1 KiB", 1, 1000},
		{"64 records of 1 KiB", 64, 1000},
		{"10 records of 50 KiB", 10, 50_000},
	}
	for _, row := range rows {
		evicted := int64(0)
		s := New(Options{BytesMax: 4 << 20, OnEvict: func(_ eventlog.HubID, _ int, _, n int64) { evicted += n }})
		l := open(t, s, 0)
		b := newBatch(row.records, row.bytes)
		w := &eventlog.Watcher{Wake: func(bool) {}}
		var into eventlog.Records
		pass := func() {
			next := l.State().Next.Seq
			l.Watch(next, w)
			l.Append(b)
			if err := l.Read(next, 1<<20, &into); err != nil || len(into.List) != row.records {
				t.Fatal(err, len(into.List))
			}
			into.Release()
		}
		for l.State().Next.Seq*int64(row.bytes) < 8<<20 { // until the store is full and all has grown
			pass()
		}
		evicted = 0
		if got := testing.AllocsPerRun(5000/row.records, pass); got != 0 {
			t.Errorf("%s: %v allocations for each Append, Wake, Read and Release", row.name, got)
		}
		if evicted == 0 {
			t.Errorf("%s: nothing was evicted meanwhile", row.name)
		}
	}
}

func TestTrimmedMemoryIsUsedAgain(t *testing.T) {
	l := open(t, New(Options{}), 0)
	b := newBatch(64, 1000)
	pass := func() {
		l.Append(b)
		l.Trim(l.State().Next.Seq - 1000)
	}
	for range 100 {
		pass()
	}
	if got := testing.AllocsPerRun(1000, pass); got != 0 {
		t.Errorf("%v allocations for each Append and Trim", got)
	}
}

func TestEmptyLogIsSmall(t *testing.T) {
	const logs = 10_000
	rows := []struct {
		name string
		use  func(*log)
	}{
		{"new", func(*log) {}},
		{"used, trimmed", func(l *log) {
			appendBytes(l, 100)
			l.Trim(1)
		}},
	}
	for _, row := range rows {
		for _, perHub := range []int{1, logs} {
			goroutines := runtime.NumGoroutine()
			before := heapBytes()
			s := New(Options{})
			for i := range logs {
				l, err := s.Open(eventlog.HubID{Name: hub.Name, Incarnation: incarnations[i/perHub]}, i%perHub, eventlog.Options{})
				if err != nil {
					t.Fatal(err)
				}
				row.use(l.(*log))
			}
			each := (heapBytes() - before) / logs
			if each >= 1<<10 {
				t.Errorf("%s: %d logs a hub: %d bytes each, want less than 1 KiB", row.name, perHub, each)
			}
			t.Logf("%s: %d logs a hub: %d bytes each", row.name, perHub, each)
			if n := runtime.NumGoroutine(); n > goroutines {
				t.Errorf("%s: %d goroutines, %d before", row.name, n, goroutines)
			}
			runtime.KeepAlive(s)
		}
	}
}

// incarnations are the names of hubs, whose own memory is not the logs'.
var incarnations = func() (names [10_000]string) {
	for i := range names {
		names[i] = fmt.Sprint(i)
	}
	return names
}()

func heapBytes() int64 {
	runtime.GC()
	runtime.GC() // the first one may leave what has a finalizer
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestConcurrentOpenAndDelete(t *testing.T) {
	t.Parallel()
	s := New(Options{BytesMax: 1 << 20})
	var running sync.WaitGroup
	for g := range 4 {
		running.Go(func() {
			for i := range 300 {
				l, err := s.Open(hub, g%2, eventlog.Options{})
				if err != nil {
					t.Error(err)
					return
				}
				if err := appendBytes(l, 5000).Err; err != nil && !errors.Is(err, eventlog.ErrClosed) {
					t.Error(err)
				}
				if i%10 == 0 {
					if err := s.Delete(hub); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	running.Wait()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if s.mem.used != 0 {
		t.Errorf("%d bytes in use by a store that is closed", s.mem.used)
	}
}

// TestLast: of the watchers that an append wakes one is told to be the last, unless there is more to come.
func TestLast(t *testing.T) {
	t.Parallel()
	rows := []struct {
		watchers int
		more     bool
		want     string
	}{{1, false, "1"}, {3, false, "001"}, {1, true, "0"}, {3, true, "000"}}
	for _, row := range rows {
		l := open(t, New(Options{}), 0)
		got := ""
		for range row.watchers {
			l.Watch(0, &eventlog.Watcher{Wake: func(last bool) {
				if last {
					got += "1"
					appendBytes(l, 1) // what this wakes is another call's business
					return
				}
				got += "0"
			}})
		}
		again := &eventlog.Watcher{Wake: func(last bool) {
			if last {
				t.Error("a second Wake on this goroutine was told to be the last")
			}
		}}
		l.Watch(1, again)
		l.Append(&eventlog.Batch{Records: []eventlog.Record{{Step: 1, Data: []byte("x")}}, More: row.more, Done: func(*eventlog.Batch) {}})
		if got != row.want {
			t.Errorf("%d watchers, more %v: told %q, want %q", row.watchers, row.more, got, row.want)
		}
	}
}
