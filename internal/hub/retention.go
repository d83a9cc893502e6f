package hub

import (
	"cmp"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/evhub-dev/evhub/internal/clock"
	"github.com/evhub-dev/evhub/internal/eventlog"
)

// trimmer forgets a hub's records when their time is over. It has one timer, armed by an append when none is, and again after each pass
// as long as there may be something left: a hub without records costs nothing, and no timer keeps a standing clock from standing still.
//
// Records whose time is over stay up to slack longer, so that a busy hub is not trimmed record by record.
type trimmer struct {
	hub       *Hub
	retention time.Duration // negative: no limit
	slack     time.Duration
	armed     atomic.Bool // a timer is armed or a pass is running
	seen      int64       // records offered up to the last pass; owned by the pass

	mu      sync.Mutex // guards timer and stopped
	timer   clock.Timer
	stopped bool
}

const (
	slackMin = time.Millisecond // positions count milliseconds
	slackMax = time.Second
)

func (t *trimmer) init(b *Hub, retention time.Duration) {
	t.hub = b
	t.retention = cmp.Or(retention, b.namespace.hall.retention)
	t.slack = max(slackMin, min(t.retention/16, slackMax))
	if t.retention < 0 {
		t.armed.Store(true) // for good: there is nothing to do
	}
}

// appended is called after each append.
func (t *trimmer) appended() {
	if !t.armed.Load() {
		t.arm(t.retention)
	}
}

// resume is called once when a hub is taken up again: what ran out meanwhile goes now.
func (t *trimmer) resume() {
	for i := range t.hub.partitions {
		if s := t.hub.partitions[i].State(); !s.Empty() {
			t.arm(0)
			return
		}
	}
}

func (t *trimmer) arm(d time.Duration) {
	if t.armed.CompareAndSwap(false, true) {
		t.schedule(d)
	}
}

func (t *trimmer) schedule(d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.stopped:
	case t.timer == nil:
		t.timer = t.hub.namespace.hall.clock.AfterFunc(d, t.pass)
	default:
		t.timer.Reset(d)
	}
}

// stop ends it for good. A pass that is running may still trim.
func (t *trimmer) stop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stopped = true
	if t.timer != nil {
		t.timer.Stop()
	}
}

// pass trims every partition. One pass runs at a time; its end is where the last partition's Seek is done.
func (t *trimmer) pass() {
	now := t.hub.namespace.hall.clock.Now().UnixMilli()
	cutoff := now - t.retention.Milliseconds()
	all := &trimPass{trimmer: t, oldest: math.MaxInt64}
	all.left.Store(int64(len(t.hub.partitions)))
	for i := range t.hub.partitions {
		p := &t.hub.partitions[i]
		p.log.Seek(eventlog.Query{By: eventlog.ByTime, Value: cutoff, After: true}, func(keep eventlog.Position, err error) {
			all.done(p, keep, err)
		})
	}
}

// trimPass gathers what the partitions of one pass have left.
type trimPass struct {
	*trimmer
	left atomic.Int64

	mu     sync.Mutex
	oldest int64 // when the oldest record left was stored; MaxInt64: there is none
	failed bool
}

func (a *trimPass) done(p *Partition, keep eventlog.Position, err error) {
	if err == nil {
		p.log.Trim(keep.Seq)
	}
	a.mu.Lock()
	switch {
	case err != nil:
		a.failed = true
	case keep.TimeMs != 0:
		a.oldest = min(a.oldest, keep.TimeMs)
	}
	a.mu.Unlock()
	if a.left.Add(-1) == 0 {
		a.end()
	}
}

// end arms the timer for the oldest record left. Where none is left an append may yet be on its way to being visible, so the timer
// rests only if nothing was offered since the last pass; what is offered from now on finds it unarmed, or is found here.
func (a *trimPass) end() {
	t := a.trimmer
	if a.oldest != math.MaxInt64 {
		age := t.hub.namespace.hall.clock.Now().UnixMilli() - a.oldest
		t.schedule(max(t.retention-time.Duration(age)*time.Millisecond, t.slack))
		return
	}
	offered := t.hub.offered()
	if a.failed || offered != t.seen {
		t.seen = offered
		t.schedule(t.retention)
		return
	}
	t.armed.Store(false)
	if t.hub.offered() != offered {
		t.arm(t.retention)
	}
}

// offered is how many records were ever offered to the hub's logs in this process.
func (b *Hub) offered() int64 {
	var sum int64
	for i := range b.partitions {
		sum += b.partitions[i].recordsIn.Load()
	}
	return sum
}
