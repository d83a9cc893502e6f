package memlog

import (
	"runtime"
	"sync"

	"github.com/evhub-dev/evhub/internal/eventlog"
)

// calls are the callbacks that a log owes: Dones in the order of their appends, and Wakes. All of it is guarded by the log's mutex, which
// is free while a callback runs.
//
// One goroutine at a time runs them, the one whose call to the log found nobody at it. So a callback may call the log again: what is owed
// by that is run by the loop it came from, in order and without recursion. The price is that a goroutine may run others' callbacks for as
// long as they keep coming; callbacks are short, but for at most one Wake that was told to be the last, and the batches in flight are
// bounded by those who own them.
type calls struct {
	done    fifo[*eventlog.Batch]
	ready   fifo[*eventlog.Watcher] // to be woken; their Slot is slotReady
	waiting []*eventlog.Watcher     // at the next record, all of them: everything else can be read at once
	running bool
	waking  *eventlog.Watcher // whose Wake runs, or is about to
	turn    chan struct{}     // closed when that Wake has returned; nil if nobody waits for it
}

// slotReady marks a Watcher that is in ready. In waiting, Slot is its index there plus 1.
const slotReady = -1

// Watch lets the Wake run at once where Read would give something or fail.
func (l *log) Watch(from int64, w *eventlog.Watcher) {
	l.mu.Lock()
	l.calls.forget(w)
	w.From = from
	if from == l.next.Seq && !l.closed {
		l.calls.waiting = append(l.calls.waiting, w)
		w.Slot = len(l.calls.waiting)
	} else {
		l.calls.wake(w)
	}
	l.runCallsAndUnlock(false)
}

// Unwatch waits for w's Wake if that is just running on another goroutine: there is no telling whether it has begun. A call from inside
// a callback does not wait.
func (l *log) Unwatch(w *eventlog.Watcher) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls.forget(w)
	if l.calls.waking != w || insideCall() {
		return
	}
	for l.calls.waking == w {
		if l.calls.turn == nil {
			l.calls.turn = make(chan struct{})
		}
		turn := l.calls.turn
		l.mu.Unlock()
		<-turn
		l.mu.Lock()
		l.calls.forget(w) // it may have watched again
	}
}

func (q *calls) wake(w *eventlog.Watcher) {
	w.Slot = slotReady
	q.ready.push(w)
}

func (q *calls) wakeAll() {
	for i, w := range q.waiting {
		q.wake(w)
		q.waiting[i] = nil
	}
	q.waiting = q.waiting[:0]
}

// forget takes w's wish back if it has one.
func (q *calls) forget(w *eventlog.Watcher) {
	if w.Slot == 0 {
		return
	}
	if w.Slot == slotReady {
		if !q.ready.remove(w) {
			panic("BUG: memlog: watcher waits at another log")
		}
		w.Slot = 0
		return
	}
	i, last := w.Slot-1, len(q.waiting)-1
	if i > last || q.waiting[i] != w {
		panic("BUG: memlog: watcher waits at another log")
	}
	q.waiting[i] = q.waiting[last]
	q.waiting[i].Slot = w.Slot
	q.waiting[last] = nil
	q.waiting = q.waiting[:last]
	w.Slot = 0
}

// mark gives a group that is done when all callbacks owed by now have run.
func (q *calls) mark() *sync.WaitGroup {
	var ran sync.WaitGroup
	ran.Add(2)
	q.done.push(&eventlog.Batch{Done: func(*eventlog.Batch) { ran.Done() }})
	q.wake(&eventlog.Watcher{Wake: func(bool) { ran.Done() }})
	return &ran
}

// runCallsAndUnlock runs what is owed unless a goroutine is at it: this one further up its stack, or another. Dones and Wakes take turns,
// so that a callback that always causes the next one of its kind cannot starve the other kind. With spare set, one Wake may be told that it
// is the last: only one, because this goroutine may find itself at the calls of many. The name is known to insideCall.
func (l *log) runCallsAndUnlock(spare bool) {
	q := &l.calls
	if q.running {
		l.mu.Unlock()
		return
	}
	q.running = true
	for q.done.len() > 0 || q.ready.len() > 0 {
		l.runDone()
		if l.runWake(spare) {
			spare = false
		}
	}
	q.running = false
	l.mu.Unlock()
}

func (l *log) runDone() {
	if l.calls.done.len() == 0 {
		return
	}
	b := l.calls.done.pop()
	l.mu.Unlock()
	b.Done(b)
	l.mu.Lock()
}

// runWake says whether it told a Wake that it is the last.
func (l *log) runWake(spare bool) (last bool) {
	q := &l.calls
	if q.ready.len() == 0 {
		return false
	}
	w := q.ready.pop()
	w.Slot = 0
	q.waking = w
	last = spare && q.ready.len() == 0 && q.done.len() == 0
	l.mu.Unlock()
	w.Wake(last)
	l.mu.Lock()
	q.waking = nil
	if q.turn != nil {
		close(q.turn)
		q.turn = nil
	}
	return last
}

// insideCall says whether this goroutine is running a callback of some log. Goroutines have no identity that could be remembered and
// compared, but a stack has. Walking it takes microseconds, so it is asked only where a callback is running: by Unwatch if that is its
// Wake, by Close if it is any of the log's.
func insideCall() bool {
	const runner = "github.com/evhub-dev/evhub/internal/eventlog/memlog.(*log).runCallsAndUnlock"
	var pcs [64]uintptr
	for skip := 2; ; skip += len(pcs) {
		n := runtime.Callers(skip, pcs[:])
		frames := runtime.CallersFrames(pcs[:n])
		for more := n > 0; more; {
			var f runtime.Frame
			if f, more = frames.Next(); f.Function == runner {
				return true
			}
		}
		if n < len(pcs) {
			return false
		}
	}
}
