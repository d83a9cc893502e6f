package memlog

import (
	"errors"
	"math"
	"sort"
	"sync"

	"github.com/evhub-dev/evhub/internal/clock"
	"github.com/evhub-dev/evhub/internal/eventlog"
)

// errExhausted fails an append that would pass eventlog.SeqMax.
var errExhausted = errors.New("memlog: the partition has used up its sequence numbers or offsets")

// log is one partition. It is an eventlog.Log.
//
// Kept records and chunks go together: there is a chunk if and only if a record is kept, the first kept record is in the first chunk,
// and the last in the last.
type log struct {
	hub       *hubLogs
	partition int
	clock     clock.Clock

	mu     sync.Mutex // guards what follows; memory.mu may be taken under it, and nothing else
	chunks fifo[*chunk]
	bytes  int64 // cost of chunks
	first  int64 // sequence number of the first kept record
	next   eventlog.Position
	last   eventlog.Position
	closed bool

	calls calls
}

func newLog(hub *hubLogs, partition int, first eventlog.Position, c clock.Clock) *log {
	return &log{
		hub: hub, partition: partition, clock: c,
		first: first.Seq,
		next:  eventlog.Position{Seq: first.Seq, Offset: first.Offset},
		last:  eventlog.Position{Seq: first.Seq - 1, Offset: eventlog.OffsetNone},
	}
}

// Append copies under the lock: that is what makes order of calls the order of everything, at the price of a reader that waits for one
// batch's copy now and then.
func (l *log) Append(b *eventlog.Batch) {
	size, more := measure(b.Records), b.More
	now := l.clock.Now().UnixMilli()

	l.mu.Lock()
	reserved, err := l.reserveLocked(b.Records, size)
	b.First, b.Err = eventlog.Position{}, err
	if err == nil {
		l.writeLocked(b, max(now, l.last.TimeMs), size.bytes, reserved)
	}
	l.calls.done.push(b)
	l.runCallsAndUnlock(!more)
}

// size is what a batch takes.
type size struct {
	bytes   int // of data and entries
	steps   int64
	records int64
}

func measure(records []eventlog.Record) size {
	s := size{records: int64(len(records))}
	for i := range records {
		r := &records[i]
		if r.Step < 1 || r.Step > eventlog.SeqMax-s.steps {
			panic("BUG: memlog: a record's Step is below 1 or a batch's are beyond all offsets")
		}
		s.steps += r.Step
		s.bytes += r.Size() + entryBytes
	}
	return s
}

// reserveLocked sets aside the memory for new chunks that the batch needs. It gives up the lock while it evicts, and looks again then.
func (l *log) reserveLocked(records []eventlog.Record, s size) (reserved int64, err error) {
	for {
		if err = l.refusal(s); err != nil {
			break
		}
		more := l.newChunksCost(records, s.bytes) - reserved
		if more <= 0 {
			return reserved, nil
		}
		if l.hub.store.mem.tryReserve(more) {
			return reserved + more, nil
		}
		l.mu.Unlock()
		err = l.hub.store.mem.reserve(more)
		l.mu.Lock()
		if err != nil {
			break
		}
		reserved += more
	}
	l.hub.store.mem.unreserve(reserved)
	return 0, err
}

func (l *log) refusal(s size) error {
	switch {
	case l.closed:
		return eventlog.ErrClosed
	case l.next.Seq > eventlog.SeqMax-s.records || l.next.Offset > eventlog.SeqMax-s.steps:
		return errExhausted
	default:
		return nil
	}
}

// newChunksCost is what writeLocked will take for the records beyond the room in the last chunk: it makes the same steps.
func (l *log) newChunksCost(records []eventlog.Record, left int) int64 {
	room := 0
	if c := l.tail(); c != nil {
		room = c.room()
	}
	if left <= room {
		return 0
	}
	held := l.bytes
	for i := range records {
		need := records[i].Size() + entryBytes
		if need > room {
			room = l.hub.store.mem.chunkBytes(need, left, held)
			held += cost(room)
		}
		room -= need
		left -= need
	}
	return held - l.bytes
}

// writeLocked cannot fail: the chunks it takes are reserved.
func (l *log) writeLocked(b *eventlog.Batch, timeMs int64, left int, reserved int64) {
	mem := l.hub.store.mem
	stamp := mem.stamp.Add(1)
	pos := eventlog.Position{Seq: l.next.Seq, Offset: l.next.Offset, TimeMs: timeMs}
	b.First = pos
	held := l.bytes
	c := l.tail()
	for i := range b.Records {
		r := &b.Records[i]
		need := r.Size() + entryBytes
		if c == nil || need > c.room() {
			c = mem.take(mem.chunkBytes(need, left, l.bytes), l, pos.Seq)
			l.chunks.push(c)
			l.bytes += c.cost()
		}
		c.put(pos.Offset, timeMs, r)
		left -= need
		l.last = pos
		pos.Seq++
		pos.Offset += r.Step
		c.endOffset, c.newest = pos.Offset, stamp
	}
	l.next.Seq, l.next.Offset = pos.Seq, pos.Offset
	switch surplus := reserved - (l.bytes - held); {
	case surplus < 0:
		panic("BUG: memlog: an append took more than it had reserved")
	case surplus > 0:
		mem.unreserve(surplus)
	}
	if len(b.Records) > 0 {
		l.calls.wakeAll()
	}
}

// tail is the last chunk, nil if no record is kept.
func (l *log) tail() *chunk {
	if n := l.chunks.len(); n > 0 {
		return l.chunks.at(n - 1)
	}
	return nil
}

// Ahead does not wait for the lock: who holds it is mostly an append, and then the place is another's.
func (l *log) Ahead() eventlog.Ahead {
	if !l.mu.TryLock() {
		return eventlog.Ahead{}
	}
	defer l.mu.Unlock()
	return eventlog.AheadOf(l.roomLocked())
}

// roomLocked is what is free of the last chunk.
func (l *log) roomLocked() []byte {
	c := l.tail()
	if c == nil {
		return nil
	}
	return c.buf[c.end : c.end+c.room()]
}

// Read holds the lock only to find chunks. What it sees of one cannot change while it decodes, and if the log is trimmed or closed
// between two chunks it gives what it has.
func (l *log) Read(from int64, bytesMax int, into *eventlog.Records) error {
	seq, room := from, max(bytesMax, 0)
	for atLeast := 1; ; atLeast = 0 {
		v, err := l.view(seq)
		if v.chunk == nil {
			if seq > from {
				return nil
			}
			return err
		}
		into.Hold(v.chunk, release)
		var n int
		n, room = v.appendTo(into, atLeast, room)
		seq += int64(n)
		if n < v.to-v.from {
			return nil
		}
	}
}

// view gives the part of a chunk that begins with the record seq, held for the caller, or none at the end of the log.
func (l *log) view(seq int64) (view, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		return view{}, eventlog.ErrClosed
	case seq < l.first:
		return view{}, &eventlog.TrimmedError{First: l.first}
	case seq > l.next.Seq:
		return view{}, &eventlog.BeyondError{Next: l.next.Seq}
	case seq == l.next.Seq:
		return view{}, nil
	}
	c := l.tail()
	if seq < c.first { // most readers are at the end
		c = l.chunkAt(eventlog.BySeq, seq)
	}
	c.hold()
	return view{chunk: c, from: int(seq - c.first), to: c.n, endOffset: c.endOffset}, nil
}

// chunkAt gives the first chunk whose last record's key is least or more, nil if there is none.
func (l *log) chunkAt(by eventlog.By, least int64) *chunk {
	n := l.chunks.len()
	i := sort.Search(n, func(i int) bool {
		c := l.chunks.at(i)
		return c.key(by, c.n-1) >= least
	})
	if i == n {
		return nil
	}
	return l.chunks.at(i)
}

func (l *log) Seek(q eventlog.Query, done func(eventlog.Position, error)) { done(l.seek(q)) }

func (l *log) seek(q eventlog.Query) (eventlog.Position, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return eventlog.Position{}, eventlog.ErrClosed
	}
	least := q.Value
	if q.After {
		if least == math.MaxInt64 {
			return l.next, nil
		}
		least++
	}
	c := l.chunkAt(q.By, least)
	if c == nil {
		return l.next, nil
	}
	i := c.search(q.By, least)
	return c.position(max(i, int(l.first-c.first))), nil // the first chunk may begin with trimmed records
}

func (l *log) State() eventlog.State {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := eventlog.State{First: l.first, Next: l.next, Last: l.last, Bytes: l.bytes}
	if l.closed {
		s.Failed = eventlog.ErrClosed
	}
	return s
}

// Trim wakes nobody, and neither does evict: who waits here waits at the next record, and that is never trimmed.
func (l *log) Trim(before int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before = min(before, l.next.Seq)
	for l.chunks.len() > 0 && l.chunks.at(0).endSeq() <= before {
		l.dropHeadLocked()
	}
	l.first = max(l.first, before)
}

// evict drops the chunk head to make room for another log's records (or this one's), unless it is no longer the first one or no longer
// that old. The caller holds no lock.
func (l *log) evict(head *chunk, age int64) {
	l.mu.Lock()
	if l.chunks.len() == 0 || l.chunks.at(0) != head {
		l.mu.Unlock()
		return
	}
	if head.newest != age {
		l.hub.store.mem.refresh(head)
		l.mu.Unlock()
		return
	}
	first := l.first
	l.dropHeadLocked()
	records := l.first - first
	l.mu.Unlock()
	if l.hub.store.onEvict != nil {
		l.hub.store.onEvict(l.hub.id, l.partition, first, records)
	}
}

// dropHeadLocked forgets the records of the first chunk. The chunk lives on while readers hold it.
func (l *log) dropHeadLocked() {
	c := l.chunks.pop()
	var next *chunk
	if l.chunks.len() > 0 {
		next = l.chunks.at(0)
	}
	l.first = c.endSeq()
	l.bytes -= c.cost()
	l.hub.store.mem.dropHead(c, next)
}

// Close gives the memory back at once. Only then it waits, for callbacks that run on another goroutine; a call from inside a callback
// does not wait. Where nobody runs callbacks it runs what is owed itself, and there is nothing to wait for.
func (l *log) Close() error {
	l.mu.Lock()
	l.closed = true
	for l.chunks.len() > 0 {
		l.dropHeadLocked()
	}
	l.calls.wakeAll()
	if !l.calls.running {
		l.runCallsAndUnlock(false)
		return nil
	}
	ran := l.calls.mark()
	l.mu.Unlock()
	if !insideCall() {
		ran.Wait()
	}
	return nil
}
