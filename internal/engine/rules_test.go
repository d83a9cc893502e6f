package engine

import (
	"sync"

	"github.com/evhub-dev/evhub/internal/hub"
)

// fault is rules that answer one kind of question with one verdict, so many times, and count what they were asked.
type fault struct {
	op    hub.Op
	v     hub.Verdict
	times int // -1: always

	mu    sync.Mutex
	asked map[hub.Op]int
}

func (f *fault) Ask(q *hub.Subject) hub.Verdict {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.asked == nil {
		f.asked = make(map[hub.Op]int)
	}
	f.asked[q.Op]++
	if q.Op != f.op || f.times == 0 {
		return hub.Verdict{}
	}
	f.times--
	return f.v
}

func (f *fault) count(op hub.Op) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked[op]
}
