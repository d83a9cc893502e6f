package eventhubs

import (
	"context"
	"errors"
	"time"

	"github.com/evhub-dev/evhub/notify"
)

// call is one Send: as many items and results as messages, in their order. From admit on, Notifier.mu guards it until done is closed.
type call struct {
	ctx     context.Context
	items   []item
	results []notify.Result
	open    int // items without a result
	done    chan struct{}
	left    bool // Send has returned or is about to: the results are its caller's
	turn    turn // of the lanes in which it waits first
}

// item is a message on its way.
type item struct {
	call    *call
	index   int             // in it
	message *notify.Message // the caller's
	flight  *flight         // while its state is flying

	propertiesBytes int
	bytes           int64 // accounted for it
	tries           int   // that failed
	most            int   // items of a flight that may take it
	state           state
	maybe           bool // one of the tries may have stored it

	next, previous *item // in the lane's queue, while waiting
}

type state uint8

const (
	done    state = iota // has its result, or never came in
	waiting              // in a lane's queue; not stored, or maybe
	flying               // in a batch
)

func newCall(ctx context.Context, messages []notify.Message) *call {
	c := &call{ctx: ctx, items: make([]item, len(messages)), results: make([]notify.Result, len(messages)), done: make(chan struct{})}
	for i := range messages {
		c.items[i] = item{call: c, index: i, message: &messages[i], most: eventsMax}
	}
	return c
}

// refuse gives err to all from an index on that have no error yet.
func (c *call) refuse(from int, err *notify.Error) {
	for i := from; i < len(c.results); i++ {
		if c.results[i].Err == nil {
			c.results[i].Err = err
		}
	}
}

// check finds the messages that cannot be sent as they are.
func (c *call) check() {
	for i := range c.items {
		it := &c.items[i]
		size, err := check(it.message)
		if err != nil {
			c.results[i].Err = err
			continue
		}
		it.propertiesBytes, it.bytes = size, memoryBytes(it.message, size)
	}
}

// target is what an AMQP batch can be for: a key, a partition, or neither.
type target struct{ key, partition string }

func (t target) ordered() bool { return t != target{} }

// admit puts into lanes what can be taken, and tells whether there is anything to wait for.
func (n *Notifier) admit(c *call) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		c.refuse(0, errClosed)
		return false
	}
	if wait, yes := n.breaker.refuses(time.Now()); yes {
		c.refuse(0, busy(wait, nil))
		return false
	}
	for i := range c.items {
		it := &c.items[i]
		switch {
		case c.results[i].Err != nil:
		case it.bytes > n.o.MemoryBytes:
			c.results[i].Err = &notify.Error{Reason: notify.TooLarge, Text: "the message is larger than what this service lets wait in all"}
		case n.bytes+it.bytes > n.o.MemoryBytes:
			c.refuse(i, &notify.Error{Reason: notify.Busy, Text: "too many messages are waiting to be sent already: try again later"})
			return c.open > 0
		default:
			c.open++
			n.messages++
			n.bytes += it.bytes
			n.enqueue(it)
		}
	}
	return c.open > 0
}

func busy(wait time.Duration, cause error) *notify.Error {
	return &notify.Error{Reason: notify.Busy, Text: "the hub is busy and asks senders to wait", RetryAfter: wait, Err: cause}
}

func (n *Notifier) enqueue(it *item) {
	to := target{it.message.Key, it.message.Partition}
	l := n.lanes[to]
	if l == nil {
		l = n.newLane(to)
		n.lanes[to] = l
	}
	l.queue.pushBack(it)
	n.kick(l)
}

// leave answers what is still open of a call whose caller goes: why, if it was not handed over. What is under way flies on, for the sake
// of its batch. It returns only when nothing reads the caller's bodies any more.
func (n *Notifier) leave(c *call, why *notify.Error) {
	var encoding []*flight
	n.mu.Lock()
	c.left = true
	for i := range c.items {
		it := &c.items[i]
		switch it.state {
		case waiting:
			l := n.lanes[target{it.message.Key, it.message.Partition}]
			l.queue.remove(it)
			c.results[i].Err = it.outcome(why)
			n.release(it)
			n.kick(l)
			n.rest()
		case flying:
			c.results[i].Err = errLeft(why)
			if len(encoding) == 0 || encoding[len(encoding)-1] != it.flight {
				encoding = append(encoding, it.flight)
			}
		}
	}
	n.mu.Unlock()
	for _, f := range encoding {
		<-f.encoded
	}
}

func errLeft(why *notify.Error) *notify.Error {
	return &notify.Error{Reason: notify.Unknown, Text: "the message was handed to the hub, and its answer was not waited for", Err: errors.Unwrap(why)}
}

// outcome is err as the caller must hear it, given what earlier tries may have done.
func (it *item) outcome(err *notify.Error) *notify.Error {
	if err != nil && it.maybe && err.Reason != notify.Unknown {
		return &notify.Error{Reason: notify.Unknown, Text: "an earlier try to send the message was lost, and the last one failed", Err: err}
	}
	return err
}

// settle gives an item its result: nil is stored.
func (n *Notifier) settle(it *item, err *notify.Error) {
	if c := it.call; !c.left {
		if err != nil { // not a nil *Error in an interface
			c.results[it.index].Err = it.outcome(err)
		}
		if c.open--; c.open == 0 {
			close(c.done)
		}
	}
	n.release(it)
}

// release ends the accounting for an item.
func (n *Notifier) release(it *item) {
	it.state, it.flight = done, nil
	n.bytes -= it.bytes
	n.messages--
}

// queue holds waiting items in order. An item can leave from anywhere in it.
type queue struct {
	first, last *item
	n           int
}

func (q *queue) pushBack(it *item) {
	it.state, it.flight, it.previous, it.next = waiting, nil, q.last, nil
	if q.last == nil {
		q.first = it
	} else {
		q.last.next = it
	}
	q.last = it
	q.n++
}

func (q *queue) pushFront(it *item) {
	it.state, it.flight, it.previous, it.next = waiting, nil, nil, q.first
	if q.first == nil {
		q.last = it
	} else {
		q.first.previous = it
	}
	q.first = it
	q.n++
}

func (q *queue) remove(it *item) {
	if it.previous == nil {
		q.first = it.next
	} else {
		it.previous.next = it.next
	}
	if it.next == nil {
		q.last = it.previous
	} else {
		it.next.previous = it.previous
	}
	it.next, it.previous = nil, nil
	q.n--
}
