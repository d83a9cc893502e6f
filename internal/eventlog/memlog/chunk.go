package memlog

import (
	"encoding/binary"
	"sort"
	"sync/atomic"

	"github.com/evhub-dev/evhub/internal/eventlog"
)

const (
	chunkBytesMin   = 2 << 10
	chunkBytesUsual = 256 << 10
	chunkBytesMax   = 1 << 20
	chunkOverhead   = 128 // what a chunk counts for beside its buffer: the struct and the places that point to it
	entryBytes      = 24  // offset, time, end of data: 8 bytes each, little endian
)

// logRef is the log's own share in chunk.refs; a reader's is 1.
const logRef = 1 << 32

// chunk is a run of records with consecutive sequence numbers:
//
//	| data 0 | data 1 | ... free ... | entry 1 | entry 0 |
//
// One buffer for both needs no guess at the size of records, and holds no pointers for the collector to follow.
//
// What is written never changes until refs is 0. So a reader that has a reference may look at the records it saw under the log's lock
// without that lock, while others are put behind them.
type chunk struct {
	buf []byte  // as long as a size class or, above mem.chunkBytesMax, one record; immutable
	mem *memory // immutable

	refs  atomic.Int64 // logRef while a log has it, and 1 for each hold of a reader
	first int64        // sequence number of record 0; does not change until refs is 0

	// Guarded by the log's mutex.
	n         int   // records
	end       int   // bytes of data
	endOffset int64 // offset of the record after the last one
	newest    int64 // memory.stamp of the last batch

	// Guarded by mem.mu.
	log  *log   // the log whose head it is; nil elsewhere
	age  int64  // newest, as last seen: it may be behind, never ahead
	slot int    // index in mem.heads
	next *chunk // in the free list
}

// cost is what a chunk with a buffer of that size counts for in the budget.
func cost(bytes int) int64 { return int64(bytes) + chunkOverhead }

func (c *chunk) cost() int64 { return cost(len(c.buf)) }

// room is how much data and entries still fit.
func (c *chunk) room() int { return len(c.buf) - c.end - c.n*entryBytes }

func (c *chunk) endSeq() int64 { return c.first + int64(c.n) }

// put adds a record. The caller knows that it fits.
func (c *chunk) put(offset, timeMs int64, r *eventlog.Record) {
	c.end += copy(c.buf[c.end:], r.Data)
	c.end += copy(c.buf[c.end:], r.Tail)
	c.n++
	e := c.entry(c.n - 1)
	binary.LittleEndian.PutUint64(e[0:], uint64(offset))
	binary.LittleEndian.PutUint64(e[8:], uint64(timeMs))
	binary.LittleEndian.PutUint64(e[16:], uint64(c.end))
}

func (c *chunk) entry(i int) []byte {
	at := len(c.buf) - (i+1)*entryBytes
	return c.buf[at : at+entryBytes : at+entryBytes]
}

func (c *chunk) offset(i int) int64 { return int64(binary.LittleEndian.Uint64(c.entry(i)[0:])) }
func (c *chunk) timeMs(i int) int64 { return int64(binary.LittleEndian.Uint64(c.entry(i)[8:])) }
func (c *chunk) dataEnd(i int) int  { return int(binary.LittleEndian.Uint64(c.entry(i)[16:])) }

func (c *chunk) position(i int) eventlog.Position {
	return eventlog.Position{Seq: c.first + int64(i), Offset: c.offset(i), TimeMs: c.timeMs(i)}
}

// key is what a query compares of record i. It never falls from one record to the next.
func (c *chunk) key(by eventlog.By, i int) int64 {
	switch by {
	case eventlog.ByOffset:
		return c.offset(i)
	case eventlog.ByTime:
		return c.timeMs(i)
	default:
		return c.first + int64(i)
	}
}

// search gives the index of the first record whose key is least or more, n if there is none.
func (c *chunk) search(by eventlog.By, least int64) int {
	return sort.Search(c.n, func(i int) bool { return c.key(by, i) >= least })
}

// hold takes a reader's reference. The caller has the log's lock, and the log has the chunk.
func (c *chunk) hold() {
	if refs := c.refs.Add(1); refs&(logRef-1) == 1 {
		c.mem.pinned.Add(c.cost())
	}
}

// release gives a reader's reference back. It is an eventlog.Records' way to do so, and needs no lock.
func release(h any) {
	c := h.(*chunk)
	refs := c.refs.Add(-1)
	if refs&(logRef-1) == 0 {
		c.mem.pinned.Add(-c.cost())
	}
	if refs == 0 {
		c.mem.recycle(c)
	}
}

// view is the part of a chunk that a reader may look at once the log's lock is gone.
type view struct {
	*chunk
	from, to  int // records
	endOffset int64
}

// appendTo gives the records that keep all Data within room bytes, but at least atLeast, and says how many there were and what room is
// left.
func (v view) appendTo(into *eventlog.Records, atLeast, room int) (n, roomLeft int) {
	begin := 0
	if v.from > 0 {
		begin = v.dataEnd(v.from - 1)
	}
	pos := v.position(v.from)
	for i := v.from; i < v.to; i++ {
		end := v.dataEnd(i)
		if end-begin > room && i-v.from >= atLeast {
			return i - v.from, room
		}
		next := eventlog.Position{Seq: pos.Seq + 1, Offset: v.endOffset}
		if i+1 < v.to {
			next = v.position(i + 1)
		}
		into.List = append(into.List, eventlog.Record{Position: pos, Step: next.Offset - pos.Offset, Data: v.buf[begin:end:end]})
		room -= end - begin
		begin, pos = end, next
	}
	return v.to - v.from, room
}
