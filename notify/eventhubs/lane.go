package eventhubs

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/evhub-dev/evhub/notify"
)

// sender is where lanes send to: the SDK's client, or a test's stand-in. Its errors are *notify.Error.
type sender interface {
	// open makes an empty batch, and first whatever link it needs.
	open(ctx context.Context, to target) (batch, error)
	// hub asks the hub for its name.
	hub(ctx context.Context) (string, error)
}

// batch is used by one goroutine, and sent once.
type batch interface {
	// add encodes a message, and keeps nothing of it. errFull: it has no room for it, and would have none if it were empty if it is.
	add(*notify.Message) error
	// send hands the batch to the hub and waits for its answer. An error of another Reason than Unknown says that nothing of it is stored.
	send(ctx context.Context) error
}

var errFull = errors.New("the batch is full")

const (
	triesMax     = 3
	retryWaitMin = 100 * time.Millisecond // doubles with each failure of a lane, up to
	retryWaitMax = 2 * time.Second
)

// lane is what waits for one target. It exists while something of it waits or is under way.
type lane struct {
	to       target
	slots    int
	queue    queue
	active   int  // batches under way, one that opens included
	opening  bool // one of them has not taken its items yet: it will take what comes until then
	failures int  // in a row
	pause    *time.Timer
	turn     *turn       // while it is among Notifier.ready
	place    link[*lane] // in turn
}

func (n *Notifier) newLane(to target) *lane {
	l := &lane{to: to, slots: n.o.Slots}
	if to.ordered() {
		l.slots = 1
	}
	return l
}

// flight is one batch under way.
type flight struct {
	items   []*item
	probe   bool
	encoded chan struct{} // closed when the callers' bodies are not needed any more
}

// kick gives a lane whose state has changed its place: among those that may send, or, when there is nothing left of it, nowhere.
func (n *Notifier) kick(l *lane) {
	if l.queue.n > 0 && !l.opening && l.active < l.slots && l.pause == nil {
		if l.turn == nil {
			n.ready.add(n.turnOf(l), l)
		}
		n.dispatch()
		return
	}
	if l.turn != nil {
		n.ready.remove(l)
	}
	if l.queue.n == 0 && l.active == 0 {
		if l.pause != nil {
			l.pause.Stop()
		}
		if n.lanes[l.to] == l { // a timer that could not be stopped comes late
			delete(n.lanes, l.to)
		}
	}
}

// turnOf tells with whose turn a lane sends: that of the call that waits first in it.
func (n *Notifier) turnOf(l *lane) *turn {
	if !l.to.ordered() {
		return &n.shared
	}
	return &l.queue.first.call.turn
}

// dispatch starts batches of the lanes that are ready, as many as may be under way, and none after Close has given up.
func (n *Notifier) dispatch() {
	for !n.ready.empty() && n.flying < flyingMax && n.ctx.Err() == nil {
		probe, ok := n.breaker.pass(time.Now())
		if !ok {
			return
		}
		l := n.ready.next()
		l.opening = true
		l.active++
		n.flying++
		go n.fly(l, probe)
	}
}

// fly sends one batch of a lane.
func (n *Notifier) fly(l *lane, probe bool) {
	n.linger()
	ctx, cancel := context.WithTimeout(n.ctx, n.o.SendTimeout)
	defer cancel()
	b, err := n.sender.open(ctx, l.to)
	f := n.take(l, probe)
	if err != nil {
		close(f.encoded)
		n.land(l, f, err)
		return
	}
	refused, rest := f.load(b)
	n.loaded(l, f, refused, rest)
	if len(f.items) > 0 {
		err = b.send(ctx)
	}
	n.land(l, f, err)
}

func (n *Notifier) linger() {
	if n.o.Linger <= 0 {
		return
	}
	t := time.NewTimer(n.o.Linger)
	defer t.Stop()
	select {
	case <-t.C:
	case <-n.ctx.Done():
	}
}

// take moves items from the lane's queue into a flight, those that expired aside.
func (n *Notifier) take(l *lane, probe bool) *flight {
	f := &flight{probe: probe, encoded: make(chan struct{})}
	n.mu.Lock()
	defer n.mu.Unlock()
	f.items = make([]*item, 0, min(l.queue.n, eventsMax))
	for it, most := l.queue.first, eventsMax; it != nil; it = l.queue.first {
		if most = min(most, it.most); len(f.items) >= most {
			break
		}
		l.queue.remove(it)
		if it.call.ctx.Err() != nil {
			n.settle(it, expired(it.call.ctx))
			continue
		}
		it.state, it.flight = flying, f
		f.items = append(f.items, it)
	}
	if !l.to.ordered() {
		f.leadWithLeast()
	}
	l.opening = false
	n.kick(l)
	return f
}

// leadWithLeast puts the item with the smallest properties first: those of a batch's first event are sent twice.
func (f *flight) leadWithLeast() {
	least := 0
	for i, it := range f.items {
		if it.propertiesBytes < f.items[least].propertiesBytes {
			least = i
		}
	}
	if least > 0 {
		f.items[0], f.items[least] = f.items[least], f.items[0]
	}
}

type refusal struct {
	item *item
	err  *notify.Error
}

// load encodes the flight's items into a batch. The flight keeps those that got in. Those that can get into none are refused, and the rest
// must wait for another.
func (f *flight) load(b batch) (refused []refusal, rest []*item) {
	in := f.items[:0]
	for i, it := range f.items {
		err := b.add(it.message)
		switch {
		case err == nil:
			in = append(in, it)
		case errors.Is(err, errFull) && len(in) > 0:
			rest = f.items[i:]
			f.items = in
			return refused, rest
		case errors.Is(err, errFull):
			refused = append(refused, refusal{it, &notify.Error{Reason: notify.TooLarge,
				Text: "the message is larger than what the hub takes; a message alone in its batch has its properties counted twice"}})
		default:
			refused = append(refused, refusal{it, asError(err)})
		}
	}
	f.items = in
	return refused, nil
}

func asError(err error) *notify.Error {
	if e, ok := errors.AsType[*notify.Error](err); ok {
		return e
	}
	return &notify.Error{Reason: notify.Internal, Text: "the message could not be encoded", Err: err}
}

// loaded lets callers of the flight go, and settles what is not in it.
func (n *Notifier) loaded(l *lane, f *flight, refused []refusal, rest []*item) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, r := range refused {
		n.settle(r.item, r.err)
	}
	n.putBack(l, rest)
	close(f.encoded)
	n.kick(l)
}

// putBack returns items to the head of their lane, in their order, those of callers that left aside.
func (n *Notifier) putBack(l *lane, items []*item) {
	for i := len(items) - 1; i >= 0; i-- {
		if items[i].call.left {
			n.release(items[i])
		} else {
			l.queue.pushFront(items[i])
		}
	}
}

// land ends a flight.
func (n *Notifier) land(l *lane, f *flight, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	l.active--
	n.flying--
	switch {
	case len(f.items) > 0:
		n.total.batches++
		n.total.events += int64(len(f.items))
		n.settleFlight(l, f, err)
	case f.probe: // all that waited had left or was refused
		n.breaker.unused()
	}
	n.kick(l)
	n.dispatch()
	n.rest()
}

// settleFlight deals with the items of a flight by its outcome.
func (n *Notifier) settleFlight(l *lane, f *flight, err error) {
	var e *notify.Error
	if err != nil {
		e = asError(err)
	}
	if f.probe && (e == nil || e.Reason != notify.Busy) {
		n.breaker.answered()
	}
	switch {
	case e == nil:
		l.failures = 0
		n.settleAll(f.items, nil)
	case (e.Reason == notify.TooLarge || e.Reason == notify.Invalid) && len(f.items) > 1:
		n.split(l, f)
	case e.Reason == notify.Busy:
		n.throttled(l, f, e)
	case e.Reason == notify.Unknown:
		n.lost(l, f, e)
	case e.Reason == notify.Unavailable:
		n.backOff(l, f.items, e)
	default:
		n.settleAll(f.items, e)
	}
}

func (n *Notifier) settleAll(items []*item, err *notify.Error) {
	for _, it := range items {
		n.settle(it, err)
	}
}

// split sends the items of a flight again, in flights of half its size, until the one that is to blame is alone.
func (n *Notifier) split(l *lane, f *flight) {
	for _, it := range f.items {
		it.most = (len(f.items) + 1) / 2
	}
	n.putBack(l, f.items)
}

// lost: the answer never came.
func (n *Notifier) lost(l *lane, f *flight, e *notify.Error) {
	n.total.lost++
	if !n.o.Resend {
		n.settleAll(f.items, e)
		return
	}
	for _, it := range f.items {
		it.maybe = true
	}
	n.backOff(l, f.items, e)
}

// backOff has items sent again after a pause of their lane.
func (n *Notifier) backOff(l *lane, items []*item, e *notify.Error) {
	wait := rand.N(min(retryWaitMin<<min(l.failures, 10), retryWaitMax))
	l.failures++
	if !n.again(l, items, e, wait) || l.pause != nil {
		return
	}
	l.pause = time.AfterFunc(wait, func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		l.pause = nil
		n.kick(l)
	})
}

// again puts back the items that may be tried once more and can wait so long. The others get the error.
func (n *Notifier) again(l *lane, items []*item, e *notify.Error, wait time.Duration) bool {
	then := time.Now().Add(wait)
	kept := items[:0]
	for _, it := range items {
		it.tries++
		deadline, limited := it.call.ctx.Deadline()
		if it.tries >= triesMax || limited && !then.Before(deadline) {
			n.settle(it, e)
		} else {
			kept = append(kept, it)
		}
	}
	n.total.retried += int64(len(kept))
	n.putBack(l, kept)
	return len(kept) > 0
}

// throttled: the hub is busy. A first refusal may be over in a moment, so what waits is kept for it. When the probe is refused as well,
// everyone is told.
func (n *Notifier) throttled(l *lane, f *flight, e *notify.Error) {
	n.total.throttled++
	now := time.Now()
	pause, again := n.breaker.busy(now, f.probe)
	if pause > 0 {
		time.AfterFunc(pause, func() {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.dispatch()
		})
	}
	wait := max(n.breaker.until.Sub(now), retryAfterMin)
	e = busy(wait, e.Err)
	n.again(l, f.items, e, wait)
	if again {
		n.shed(e)
	}
}

// shed answers all that waits.
func (n *Notifier) shed(e *notify.Error) {
	for _, l := range n.lanes {
		for l.queue.n > 0 {
			it := l.queue.first
			l.queue.remove(it)
			n.settle(it, e)
		}
		n.kick(l)
	}
}
