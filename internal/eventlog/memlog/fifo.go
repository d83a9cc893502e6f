package memlog

import "slices"

// fifo is a queue that can be indexed. The zero value is an empty one. Once it has seen its longest length, pushing allocates nothing.
type fifo[T comparable] struct {
	items []T
	head  int // items before it were popped
}

func (q *fifo[T]) len() int   { return len(q.items) - q.head }
func (q *fifo[T]) at(i int) T { return q.items[q.head+i] }

func (q *fifo[T]) push(v T) {
	// Moving down only when more than half was popped costs each item one move on average.
	if len(q.items) == cap(q.items) && q.head > len(q.items)/2 {
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items, q.head = q.items[:n], 0
	}
	q.items = append(q.items, v)
}

func (q *fifo[T]) pop() T {
	var zero T
	v := q.items[q.head]
	q.items[q.head] = zero
	q.head++
	q.rewindIfEmpty()
	return v
}

// remove takes v out of the middle, in time that grows with the length, and says whether it was there.
func (q *fifo[T]) remove(v T) bool {
	i := slices.Index(q.items[q.head:], v)
	if i < 0 {
		return false
	}
	q.items = slices.Delete(q.items, q.head+i, q.head+i+1)
	q.rewindIfEmpty()
	return true
}

// rewindIfEmpty starts again at the front, and without the old room where that was large: idle logs are to be small.
func (q *fifo[T]) rewindIfEmpty() {
	const idleCapMax = 32
	if q.head < len(q.items) {
		return
	}
	q.items, q.head = q.items[:0], 0
	if cap(q.items) > idleCapMax {
		q.items = nil
	}
}
