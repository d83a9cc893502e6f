package hub

import (
	"slices"
	"sync"
	"sync/atomic"
)

// watches are functions to call after each change of Links. Telling them costs one atomic load when there are none.
type watches struct {
	list atomic.Pointer[[]*watch] // copied on write; nil when there are none
	mu   sync.Mutex               // serializes writers of list
}

type watch struct{ f func() }

// Watch has f called after each change of what Links gives, so that a condition on Links can be waited for without polling: watch
// first, then look, then wait for a call. f runs on the goroutine that made the change while no lock of the hall is held; it must not
// block, and calls may overlap. A call that has begun may still be running when stop returns. Stopping twice is allowed.
func (h *Hall) Watch(f func()) (stop func()) {
	w := &watch{f}
	h.watches.edit(func(list []*watch) []*watch { return append(list, w) })
	return func() {
		h.watches.edit(func(list []*watch) []*watch {
			return slices.DeleteFunc(list, func(other *watch) bool { return other == w })
		})
	}
}

func (w *watches) edit(change func([]*watch) []*watch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var list []*watch
	if old := w.list.Load(); old != nil {
		list = slices.Clone(*old)
	}
	if list = change(list); len(list) == 0 {
		w.list.Store(nil)
		return
	}
	w.list.Store(&list)
}

func (w *watches) changed() {
	list := w.list.Load()
	if list == nil {
		return
	}
	for _, watch := range *list {
		watch.f()
	}
}
