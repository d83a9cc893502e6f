package logtest

import (
	"fmt"
	"strings"
	"sync"

	"github.com/evhub-dev/evhub/internal/eventlog"
)

func testPositions(s *scene) {
	next := s.start
	var want []string
	for i := range 40 {
		b := &eventlog.Batch{}
		for j := range i%4 + 1 {
			data := strings.Repeat(fmt.Sprint(i, j), i*j)
			want = append(want, data)
			b.Records = append(b.Records, eventlog.Record{Step: int64(1 + i*7 + j), Data: []byte(data)})
		}
		s.ok(appendAndWait(s.log, b))
		if first := s.follows(next, b.First); b.First != first {
			s.Fatalf("batch %d: First is %+v, want %+v", i, b.First, first)
		}
		next = b.First
		for _, r := range b.Records {
			next.Seq++
			next.Offset += r.Step
		}
	}
	got := s.readAll(s.start.Seq)
	s.wantData(got, want...)
	s.wantChain(s.start, got)

	state, last := s.log.State(), got[len(got)-1]
	wantNext := s.follows(after(last), state.Next)
	wantNext.TimeMs = 0
	if state.Next != wantNext || state.Last != last.Position || state.First != got[0].Seq {
		s.Fatalf("state is %+v, want next %+v and last %+v", state, wantNext, last.Position)
	}
}

func testFirstPosition(s *scene) {
	first := eventlog.Position{Seq: 1000, Offset: 4096, TimeMs: 12345}
	s.log = s.open(hub, 1, eventlog.Options{First: first, Clock: s.clock})
	if s.Foreign {
		first = s.log.State().Next
	}
	got := s.append("a", "b")
	if want := s.follows(first, got); got != want {
		s.Fatalf("the first record is at %+v, want %+v", got, want)
	}
	if !s.Foreign && got.TimeMs != s.clock.ms.Load() {
		s.Fatalf("the first record has time %d, want the clock's %d", got.TimeMs, s.clock.ms.Load())
	}
	s.wantChain(got, s.readAll(first.Seq))
}

func testTimeNeverFalls(s *scene) {
	if s.Foreign {
		for range 10 {
			s.append("x", "y")
		}
		s.wantChain(s.start, s.readAll(s.start.Seq))
		return
	}
	clock := []int64{1000, 1000, 5000, 2000, 4999, 5001, 1}
	want := []int64{1000, 1000, 5000, 5000, 5000, 5001, 5001}
	for i, ms := range clock {
		s.clock.ms.Store(ms)
		if got := s.append("x", "y").TimeMs; got != want[i] {
			s.Errorf("clock at %d: record took time %d, want %d", ms, got, want[i])
		}
	}
	s.wantChain(s.start, s.readAll(s.start.Seq))
	if got := s.log.State().Last.TimeMs; got != 5001 {
		s.Errorf("the last record has time %d, want 5001", got)
	}
}

func testAppendCopies(s *scene) {
	b := batchOf("before", "unchanged")
	done := make(chan struct{})
	b.Done = func(*eventlog.Batch) { close(done) }
	data := b.Records[0].Data
	s.log.Append(b)
	copy(data, "AFTER!")
	s.wait(done, "Done")
	s.ok(b.Err)
	s.wantData(s.readAll(b.First.Seq), "before", "unchanged")
}

// doneOrder notes batches in the order of their Done.
type doneOrder struct {
	mu      sync.Mutex
	batches []*eventlog.Batch
	all     sync.WaitGroup
}

func (o *doneOrder) done(b *eventlog.Batch) {
	o.mu.Lock()
	o.batches = append(o.batches, b)
	o.mu.Unlock()
	o.all.Done()
}

// wait waits until all have been done, and gives them.
func (o *doneOrder) wait(s *scene) []*eventlog.Batch {
	s.Helper()
	done := make(chan struct{})
	go func() {
		o.all.Wait()
		close(done)
	}()
	s.wait(done, "all Dones")
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.batches
}

func testOrderOfCalls(s *scene) {
	const n = 300
	var order doneOrder
	order.all.Add(n)
	var called []*eventlog.Batch
	for range n {
		b := batchOf("x", "y")
		b.Done = order.done
		called = append(called, b)
		s.log.Append(b)
	}
	seq := int64(-1)
	for i, b := range order.wait(s) {
		s.ok(b.Err)
		if b != called[i] {
			s.Fatalf("Done %d is not that of call %d", i, i)
		}
		if b.First.Seq <= seq {
			s.Fatalf("batch %d begins with %d, though %d was before it", i, b.First.Seq, seq)
		}
		seq = b.First.Seq + 1
	}
}

func testOrderOfConcurrentCalls(s *scene) {
	const appenders, n = 8, 200
	var order doneOrder
	order.all.Add(appenders * n)
	var running sync.WaitGroup
	for a := range appenders {
		running.Go(func() {
			for i := range n {
				b := batchOf(fmt.Sprint(a), fmt.Sprint(i))
				b.Done = order.done
				s.log.Append(b)
			}
		})
	}
	running.Wait()
	seq := int64(-1)
	calls := map[string]int{}
	for _, b := range order.wait(s) {
		s.ok(b.Err)
		if b.First.Seq <= seq {
			s.Fatalf("Done for %d after that for %d", b.First.Seq, seq)
		}
		seq = b.First.Seq
		a := string(b.Records[0].Data)
		if want := fmt.Sprint(calls[a]); string(b.Records[1].Data) != want {
			s.Fatalf("Done for call %s of appender %s, want call %s", b.Records[1].Data, a, want)
		}
		calls[a]++
	}
}

func testVisibleBeforeDone(s *scene) {
	var order doneOrder
	order.all.Add(100)
	for i := range 100 {
		b := batchOf("x", "y", "z")
		b.Done = func(b *eventlog.Batch) {
			defer order.done(b)
			var into eventlog.Records
			defer into.Release()
			if err := s.log.Read(b.First.Seq, 1<<20, &into); err != nil || len(into.List) < 3 || into.List[0].Position != b.First {
				s.Errorf("in Done of batch %d at %+v: Read gives %d records, error %v", i, b.First, len(into.List), err)
			}
			if next := s.log.State().Next.Seq; next < b.First.Seq+3 {
				s.Errorf("in Done of batch %d at %+v: Next is %d", i, b.First, next)
			}
		}
		s.log.Append(b)
	}
	order.wait(s)
}

// A chain long enough that recursion would be noticed, with others in between: what Done appends is a call like any other.
func testAppendFromDone(s *scene) {
	const chain, others = 2000, 500
	var order doneOrder
	order.all.Add(chain + others)
	left := chain
	var link func(*eventlog.Batch)
	link = func(b *eventlog.Batch) {
		if left--; left > 0 { // Dones come one after the other
			b := batchOf("chain")
			b.Done = link
			s.log.Append(b)
		}
		order.done(b)
	}
	first := batchOf("chain")
	first.Done = link
	s.log.Append(first)
	for range others {
		b := batchOf("other")
		b.Done = order.done
		s.log.Append(b)
	}
	seq := int64(-1)
	for _, b := range order.wait(s) {
		s.ok(b.Err)
		if b.First.Seq <= seq {
			s.Fatalf("Done for %d after that for %d", b.First.Seq, seq)
		}
		seq = b.First.Seq
	}
	if got := len(s.readAll(s.start.Seq)); got != chain+others {
		s.Fatalf("the log has %d records, want %d", got, chain+others)
	}
}

// Each record says how many of its batch are still to come, 0 to 9; some batches are larger than what an implementation may handle as
// one piece of memory.
func testBatchVisibleWhole(s *scene) {
	const batches = 400
	var running sync.WaitGroup
	for a := range 2 {
		running.Go(func() {
			for i := range batches {
				b := &eventlog.Batch{}
				for left := i % 10; left >= 0; left-- {
					data := strings.Repeat(fmt.Sprint(left), 1+i%7*(1+a*200))
					b.Records = append(b.Records, eventlog.Record{Step: 1, Data: []byte(data)})
				}
				if err := appendAndWait(s.log, b); err != nil {
					s.Error(err)
					return
				}
			}
		})
	}
	const total = 2 * batches * 11 / 2 // 1 to 10 records a batch
	for range 3 {
		running.Go(func() { readWholeBatches(s, total) })
	}
	running.Wait()
}

func readWholeBatches(s *scene, total int) {
	r := newReader(s.log)
	var into eventlog.Records
	for seq := s.start.Seq; total > 0; {
		if err := r.read(seq, 64<<20, &into); err != nil {
			s.Error(err)
			return
		}
		total -= len(into.List)
		last := into.List[len(into.List)-1]
		left := int64(last.Data[0] - '0')
		if left != 0 {
			s.Errorf("a Read with room for everything ended at %d, with %d records of the batch still to come", last.Seq, left)
			return
		}
		seq = last.Seq + 1
		into.Release()
	}
}
