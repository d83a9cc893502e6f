package kit

import (
	"cmp"
	"container/heap"
	"context"
	"errors"
	"fmt"

	"github.com/evhub-dev/evhub/internal/eventlog"
	"github.com/evhub-dev/evhub/internal/hub"
)

// readBytesMax is what a Drain takes out of the logs at a time, of all partitions together.
const readBytesMax = 64 << 10

// Reader reads a hub's events from a mark on, in the order of each partition. It is for one goroutine; Close it.
type Reader struct {
	hub   *hub.Hub
	turns *turns
	from  Mark
	tail  []cursor
	wake  bell // some partition has grown, or failed
}

// cursor is how far one partition has been read.
type cursor struct {
	p       *hub.Partition
	next    int64
	end     int64 // of the last Drain: it gave nothing from there on
	watcher eventlog.Watcher

	// Of a Drain that is under way.
	read eventlog.Records
	at   int   // in read.List
	turn int64 // of the record there
}

// Reader begins at a mark. Errors: kind NotFound; *StaleError if the hub is not the one of the mark.
func (s *Space) Reader(hubName string, from Mark) (*Reader, error) {
	h, err := s.ns.Hub(hubName)
	if err != nil {
		return nil, err
	}
	next, err := from.start(h)
	if err != nil {
		return nil, err
	}
	r := &Reader{hub: h, turns: s.turnsOf(h), from: from, tail: make([]cursor, len(next)), wake: make(bell, 1)}
	for i := range r.tail {
		c := &r.tail[i]
		c.p, c.next = h.PartitionAt(i), next[i]
		c.watcher.Wake = r.wake.woken
	}
	return r, nil
}

// Close lets go of the log.
func (r *Reader) Close() {
	for i := range r.tail {
		r.tail[i].p.Log().Unwatch(&r.tail[i].watcher)
	}
}

// Next gives the next event, and waits for one if it must: of those that are there the first in the order of Sort. Errors: the context's;
// *StaleError; kind Updated once the hub is deleted.
func (r *Reader) Next(ctx context.Context) (next Event, err error) {
	found := false
	for {
		err := r.Drain(func(e Event) (enough bool) {
			next, found = e, true
			return true
		})
		if found || err != nil {
			return next, err
		}
		if err := r.Wait(ctx); err != nil {
			return Event{}, err
		}
	}
}

// Sort orders events of the hub by their time. Of those of the same millisecond in two partitions, one that was acknowledged before the
// other was sent comes first; else the number of the partition decides, so that all listings agree.
func (r *Reader) Sort(events []Event) { r.turns.sort(events) }

// Drain gives all that is there when it is called to take, in the order of Sort, until take has had enough. What take has not seen is read
// another time.
func (r *Reader) Drain(take func(Event) (enough bool)) error {
	defer func() {
		for i := range r.tail {
			r.tail[i].read.Release()
		}
	}()
	r.cut()
	var h heads
	for i := range r.tail {
		c := &r.tail[i]
		if err := r.load(c, 1); err != nil { // in any case, to hear of a log that is closed
			return err
		}
		if c.next < c.end && len(c.read.List) > 0 { // else the log brings it later, and wakes us
			c.turn = r.turns.of(c.p.ID(), c.read.List[0].Seq)
			h = append(h, c)
		}
	}
	heap.Init(&h)
	for len(h) > 0 {
		c := h[0]
		e, err := r.decode(c, &c.read.List[c.at])
		if err != nil {
			return err
		}
		c.next = c.read.List[c.at].Seq + 1
		if take(e) {
			return nil
		}
		there, err := r.advance(c)
		switch {
		case err != nil:
			return err
		case there:
			heap.Fix(&h, 0)
		default:
			heap.Pop(&h)
		}
	}
	return nil
}

// cut settles where the next Drain ends, so that a sender who never stops does not hold it: at one moment for all partitions, so that it gives
// nothing without what was acknowledged before that was sent. While others store all the time there may be no such moment to be seen; then
// it is nearly one.
func (r *Reader) cut() {
	const looksMax = 4
	for range looksMax {
		same := true
		for i := range r.tail {
			c := &r.tail[i]
			if end := c.p.State().Next.Seq; end != c.end {
				c.end, same = end, false
			}
		}
		if same {
			return
		}
	}
}

// advance moves a cursor to its next record, and says whether that is there already.
func (r *Reader) advance(c *cursor) (there bool, err error) {
	c.at++
	if c.next >= c.end {
		return false, nil
	}
	if c.at == len(c.read.List) {
		if err := r.load(c, max(1, readBytesMax/len(r.tail))); err != nil || len(c.read.List) == 0 {
			return false, err
		}
	}
	c.turn = r.turns.of(c.p.ID(), c.read.List[c.at].Seq)
	return true, nil
}

// heads are cursors that have a record, as a heap of which the first is to be given next.
type heads []*cursor

func (h heads) Len() int      { return len(h) }
func (h heads) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *heads) Push(c any)   { *h = append(*h, c.(*cursor)) }

func (h heads) Less(i, j int) bool {
	a, b := h[i], h[j]
	return cmp.Or(
		cmp.Compare(a.read.List[a.at].TimeMs, b.read.List[b.at].TimeMs),
		cmp.Compare(a.turn, b.turn),
		cmp.Compare(a.p.Index(), b.p.Index())) < 0
}

func (h *heads) Pop() any {
	last := len(*h) - 1
	c := (*h)[last]
	*h = (*h)[:last]
	return c
}

// load reads on at the cursor's place.
func (r *Reader) load(c *cursor, bytesMax int) error {
	c.read.Release()
	c.at = 0
	err := c.p.Log().Read(c.next, bytesMax, &c.read)
	if err == nil {
		return nil
	}
	if trimmed, ok := errors.AsType[*eventlog.TrimmedError](err); ok {
		return &StaleError{Hub: r.hub.Name(), Partition: c.p.ID(), Next: c.next, First: trimmed.First}
	}
	if errors.Is(err, eventlog.ErrClosed) {
		return errDeleted(r.hub, err)
	}
	return fmt.Errorf("reading partition %s of hub %s: %w", c.p.ID(), r.hub.Name(), err)
}

func errDeleted(h *hub.Hub, err error) error {
	return &hub.Error{Kind: hub.Updated, Text: fmt.Sprintf("The hub '%s' was deleted, or the broker was closed, meanwhile.", h.Name()), Err: err}
}

func (r *Reader) decode(c *cursor, rec *eventlog.Record) (Event, error) {
	e, err := eventOf(c.p.ID(), rec)
	if err != nil {
		return Event{}, fmt.Errorf("event %s/%d of hub %s cannot be shown: %w", c.p.ID(), rec.Seq, r.hub.Name(), err)
	}
	return e, nil
}

// Wait returns once there may be more to read, or with the context's error.
func (r *Reader) Wait(ctx context.Context) error {
	for i := range r.tail {
		c := &r.tail[i]
		c.p.Log().Watch(c.next, &c.watcher)
	}
	select {
	case <-r.wake:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Mark is where the reader stands: as the mark it began at, with the hub as far as it was read.
func (r *Reader) Mark() Mark {
	next := make([]int64, len(r.tail))
	for i := range r.tail {
		next[i] = r.tail[i].next
	}
	m := r.from.with(r.hub, next)
	m.Name = ""
	return m
}

// Events gives what is stored after the mark, without waiting: at most max events, and the mark behind them. Errors are those of Reader
// and Next.
func (s *Space) Events(hubName string, from Mark, max int) ([]Event, Mark, error) {
	r, err := s.Reader(hubName, from)
	if err != nil {
		return nil, Mark{}, err
	}
	defer r.Close()
	if max == 0 {
		return nil, r.Mark(), nil
	}
	var list []Event
	err = r.Drain(func(e Event) (enough bool) {
		list = append(list, e)
		return len(list) == max
	})
	return list, r.Mark(), err
}
