package kit

import (
	"context"
	"errors"
	"fmt"

	"github.com/evhub-dev/evhub/internal/eventlog"
	"github.com/evhub-dev/evhub/internal/hub"
)

// readBytesMax is what one Read takes out of the log at a time.
const readBytesMax = 64 << 10

// Reader reads a hub's events from a mark on, in the order of each partition. It is for one goroutine; Close it.
type Reader struct {
	hub   *hub.Hub
	turns *turns
	from  Mark
	tail  []cursor
	wake  chan struct{} // capacity 1: some partition has grown, or failed
}

// cursor is how far one partition has been read.
type cursor struct {
	p       *hub.Partition
	next    int64
	read    eventlog.Records
	watcher eventlog.Watcher
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
	r := &Reader{hub: h, turns: s.turnsOf(h), from: from, tail: make([]cursor, len(next)), wake: make(chan struct{}, 1)}
	for i := range r.tail {
		c := &r.tail[i]
		c.p, c.next = h.PartitionAt(i), next[i]
		c.watcher.Wake = r.woken
	}
	return r, nil
}

func (r *Reader) woken() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Close lets go of the log.
func (r *Reader) Close() {
	for i := range r.tail {
		r.tail[i].p.Log().Unwatch(&r.tail[i].watcher)
	}
}

// Next gives the next event, and waits for one if it must: of those that are there the first in the order of Sort. Errors: the context's;
// *StaleError; kind Updated once the hub is deleted.
func (r *Reader) Next(ctx context.Context) (Event, error) {
	for {
		e, ok, err := r.first()
		if ok || err != nil {
			return e, err
		}
		if err := r.Wait(ctx); err != nil {
			return Event{}, err
		}
	}
}

// first takes the event that was stored first, if there is any.
func (r *Reader) first() (e Event, ok bool, err error) {
	defer func() {
		for i := range r.tail {
			r.tail[i].read.Release()
		}
	}()
	var best *cursor
	for i := range r.tail {
		c := &r.tail[i]
		if err := r.load(c, 1); err != nil {
			return Event{}, false, err
		}
		if len(c.read.List) > 0 && (best == nil || r.before(c, best)) {
			best = c
		}
	}
	if best != nil {
		e, err = r.decode(best, &best.read.List[0])
		best.next = best.read.List[0].Seq + 1
	}
	return e, best != nil && err == nil, err
}

// before says whether the first record of a comes before that of b, which is in a partition with a lower number.
func (r *Reader) before(a, b *cursor) bool {
	x, y := &a.read.List[0], &b.read.List[0]
	if x.TimeMs != y.TimeMs {
		return x.TimeMs < y.TimeMs
	}
	return r.turns.of(a.p.ID(), x.Seq) < r.turns.of(b.p.ID(), y.Seq)
}

// Sort orders events of the hub by their time. Of those of the same millisecond in two partitions, one that was acknowledged before the
// other was sent comes first; else the number of the partition decides, so that all listings agree.
func (r *Reader) Sort(events []Event) { r.turns.sort(events) }

// Drain gives all that is there when it is called to take, until take has had enough. What take has not seen is read another time.
func (r *Reader) Drain(take func(Event) (enough bool)) error {
	ends := make([]int64, len(r.tail)) // so that a sender who never stops does not hold us at one partition
	for i := range r.tail {
		ends[i] = r.tail[i].p.State().Next.Seq
	}
	for i := range r.tail {
		enough, err := r.drainTo(&r.tail[i], ends[i], take)
		if enough || err != nil {
			return err
		}
	}
	return nil
}

func (r *Reader) drainTo(c *cursor, end int64, take func(Event) bool) (enough bool, err error) {
	defer func() { c.read.Release() }()
	for first := true; !enough && (first || c.next < end); first = false { // once in any case, to hear of a log that is closed
		if err := r.load(c, readBytesMax); err != nil {
			return false, err
		}
		if len(c.read.List) == 0 {
			return false, nil // the log brings it later, and wakes us
		}
		for i := 0; i < len(c.read.List) && c.next < end && !enough; i++ {
			e, err := r.decode(c, &c.read.List[i])
			if err != nil {
				return false, err
			}
			c.next = c.read.List[i].Seq + 1
			enough = take(e)
		}
		c.read.Release()
	}
	return enough, nil
}

func (r *Reader) load(c *cursor, bytesMax int) error {
	err := c.p.Log().Read(c.next, bytesMax, &c.read)
	if err == nil {
		return nil
	}
	if trimmed, ok := errors.AsType[*eventlog.TrimmedError](err); ok {
		return &StaleError{Hub: r.hub.Name(), Partition: c.p.ID(), Next: c.next, First: trimmed.First}
	}
	if errors.Is(err, eventlog.ErrClosed) {
		text := fmt.Sprintf("The hub '%s' was deleted, or the broker was closed, while it was read.", r.hub.Name())
		return &hub.Error{Kind: hub.Updated, Text: text, Err: err}
	}
	return fmt.Errorf("reading partition %s of hub %s: %w", c.p.ID(), r.hub.Name(), err)
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
	var list []Event
	for len(list) < max {
		e, ok, err := r.first()
		if err != nil {
			return list, r.Mark(), err
		}
		if !ok {
			break
		}
		list = append(list, e)
	}
	return list, r.Mark(), nil
}
