package memlog

import (
	"container/heap"
	"fmt"
	"math/bits"
	"sync"
	"sync/atomic"

	"github.com/evhub-dev/evhub/internal/eventlog"
)

// classes is how many sizes of chunk are recycled: the powers of two from chunkBytesMin to chunkBytesMax.
const classes = 10

// freeBytesMin is kept for reuse where an eighth of the budget is less: what evictions for a large batch set free is to be there for it.
const freeBytesMin = 2 << 20

// memory owns the budget: who may have a chunk, which chunks lie free, and which log loses its head when there is none left.
//
// Its lock comes after a log's. Eviction needs the lock of another log than the one that appends; so an append reserves bytes with no
// lock held, and turns them into chunks under its log's lock, which then cannot fail.
//
// What is really allocated, used less reservations plus free, is never above bytesMax: reserve keeps used below it, take makes room for
// what it allocates by letting free chunks go, and recycle only moves bytes from used to free.
type memory struct {
	bytesMax      int64
	chunkBytesMax int   // below the constant where the budget is small, so that one eviction does not take much of it
	freeBytesMax  int64 // kept for reuse

	stamp  atomic.Int64 // counts the batches of all logs: an order of age that no clock can disturb
	pinned atomic.Int64 // cost of the chunks that readers hold

	mu        sync.Mutex // guards what follows
	used      int64      // cost of the chunks that logs or readers have, and what is reserved
	freeBytes int64
	free      [classes]*chunk
	heads     heads
}

func newMemory(bytesMax int64) *memory {
	m := &memory{bytesMax: bytesMax, chunkBytesMax: chunkBytesMin, freeBytesMax: max(bytesMax/8, freeBytesMin)}
	for m.chunkBytesMax < chunkBytesMax && int64(m.chunkBytesMax) < bytesMax/64 {
		m.chunkBytesMax *= 2
	}
	return m
}

// chunkBytes is the size of a new chunk for a record that needs that many bytes, in a batch of which so many are left, in a log that
// holds so many: it takes the batch if it can, and is no larger than the log otherwise, so that a log wastes no more than it uses. Above
// chunkBytesUsual it is no larger than an eighth of the log: where many logs share a budget, their half-filled chunks are what it loses.
func (m *memory) chunkBytes(need, left int, held int64) int {
	if need > m.chunkBytesMax {
		return need
	}
	size := chunkBytesMin << class(max(need, min(left, m.chunkBytesMax)))
	for size < m.chunkBytesMax && (size < chunkBytesUsual && int64(size)*2 <= held || int64(size)*16 <= held) {
		size *= 2
	}
	return size
}

// class is the index of the smallest size class with room for that many bytes.
func class(bytes int) int { return bits.Len(uint(max(bytes, 1)-1) / chunkBytesMin) }

// tryReserve sets bytes aside if that needs no eviction.
func (m *memory) tryReserve(bytes int64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.used+bytes > m.bytesMax {
		return false
	}
	m.used += bytes
	return true
}

// reserve sets bytes aside, dropping the oldest heads until they are there. The caller holds no lock. Nothing is dropped where that
// could not be enough, because the batch is too large or readers hold too much: then the error is ErrBusy.
func (m *memory) reserve(bytes int64) error {
	for !m.tryReserve(bytes) {
		if bytes > m.bytesMax-m.pinned.Load() {
			return eventlog.ErrBusy
		}
		victim, head, age := m.oldest()
		if victim == nil { // others have reserved all there is
			return eventlog.ErrBusy
		}
		victim.evict(head, age)
	}
	return nil
}

func (m *memory) unreserve(bytes int64) {
	m.mu.Lock()
	m.used -= bytes
	m.mu.Unlock()
}

// take gives an empty chunk that belongs to l, out of what was reserved.
func (m *memory) take(bytes int, l *log, first int64) *chunk {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.takeFree(bytes)
	if c == nil {
		for m.used+m.freeBytes > m.bytesMax {
			m.discardFree()
		}
		c = &chunk{buf: make([]byte, bytes), mem: m}
	}
	c.first, c.n, c.end = first, 0, 0
	c.refs.Store(logRef)
	if l.chunks.len() == 0 {
		m.setHead(c, l)
	}
	return c
}

func (m *memory) takeFree(bytes int) *chunk {
	if bytes > m.chunkBytesMax {
		return nil
	}
	k := class(bytes)
	c := m.free[k]
	if c != nil {
		m.free[k], c.next = c.next, nil
		m.freeBytes -= c.cost()
	}
	return c
}

// discardFree leaves one free chunk to the collector, a large one if there is any.
func (m *memory) discardFree() {
	for k := classes - 1; k >= 0; k-- {
		if c := m.free[k]; c != nil {
			m.free[k] = c.next
			m.freeBytes -= c.cost()
			return
		}
	}
	panic(fmt.Sprintf("BUG: memlog: %d bytes used and %d free of %d, but no chunk is free", m.used, m.freeBytes, m.bytesMax))
}

// dropHead takes a log's first chunk from it; next is the one behind it or nil. The caller has the log's lock.
func (m *memory) dropHead(c, next *chunk) {
	m.mu.Lock()
	l := c.log
	heap.Remove(&m.heads, c.slot)
	c.log = nil
	if next != nil {
		m.setHead(next, l)
	}
	m.mu.Unlock()
	if c.refs.Add(-logRef) == 0 {
		m.recycle(c)
	}
}

func (m *memory) setHead(c *chunk, l *log) {
	c.log, c.age = l, c.newest
	heap.Push(&m.heads, c)
}

// recycle takes back a chunk that nobody has a reference to.
func (m *memory) recycle(c *chunk) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.used -= c.cost()
	if len(c.buf) > m.chunkBytesMax || m.freeBytes+c.cost() > m.freeBytesMax {
		return
	}
	k := class(len(c.buf))
	c.next, m.free[k] = m.free[k], c
	m.freeBytes += c.cost()
}

// oldest gives the head that seems oldest, its log, and the age it seems to have. Only the log knows whether that still holds.
func (m *memory) oldest() (l *log, head *chunk, age int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.heads) == 0 {
		return nil, nil, 0
	}
	head = m.heads[0]
	return head.log, head, head.age
}

// refresh corrects the age of a head. The caller has the log's lock.
func (m *memory) refresh(c *chunk) {
	m.mu.Lock()
	c.age = c.newest
	heap.Fix(&m.heads, c.slot)
	m.mu.Unlock()
}

// heads is a heap of the first chunks of all logs, the one that seems oldest first. An append does not touch it: ages that lag behind
// are corrected when they come to the top, which finds the oldest all the same because ages only rise.
type heads []*chunk

func (h heads) Len() int           { return len(h) }
func (h heads) Less(i, j int) bool { return h[i].age < h[j].age }

func (h heads) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].slot, h[j].slot = i, j
}

func (h *heads) Push(c any) {
	c.(*chunk).slot = len(*h)
	*h = append(*h, c.(*chunk))
}

func (h *heads) Pop() any {
	last := len(*h) - 1
	c := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return c
}
