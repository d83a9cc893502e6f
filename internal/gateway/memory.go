package gateway

import (
	"math"
	"sync"
)

// memory is the budget for requests under way. Nobody waits for it: what does not fit is refused.
type memory struct {
	max, share int64 // bytes; immutable

	mu   sync.Mutex // guards used and by
	used int64
	by   map[string]int64 // what each caller holds; no zeroes, so it is no larger than the number of requests under way
}

func newMemory(bytesMax int64, share float64) memory {
	return memory{max: bytesMax, share: int64(math.Ceil(float64(bytesMax) * share)), by: make(map[string]int64)}
}

func (m *memory) inUse() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.used
}

// lease is what one request holds of the budget.
type lease struct {
	memory *memory
	holder string
	bytes  int64
}

// grow takes n bytes more, or says why not.
func (l *lease) grow(n int64) *problem {
	m := l.memory
	m.mu.Lock()
	defer m.mu.Unlock()
	held := m.by[l.holder]
	switch {
	case held+n > m.share:
		return problemOf(overShare, "the requests that you have under way hold all that one caller may: wait for their answers before sending more")
	case m.used+n > m.max:
		return problemOf(overloaded, "this instance has no memory left for another request: send it again after the seconds in Retry-After")
	}
	m.used += n
	m.by[l.holder] = held + n
	l.bytes += n
	return nil
}

func (l *lease) release() {
	if l.bytes == 0 {
		return
	}
	m := l.memory
	m.mu.Lock()
	defer m.mu.Unlock()
	m.used -= l.bytes
	if left := m.by[l.holder] - l.bytes; left > 0 {
		m.by[l.holder] = left
	} else {
		delete(m.by, l.holder)
	}
	l.bytes = 0
}
