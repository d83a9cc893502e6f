package amqpserver

import (
	"fmt"

	"github.com/evhub-dev/evhub/internal/amqp"
)

// assembly gathers a delivery that comes in several frames.
type assembly struct {
	active  bool
	id      uint32
	format  uint32
	settled bool
	size    int    // of all frames, also of those that were dropped because the delivery is too large
	buf     []byte // kept between deliveries while it is small
}

const assemblyKeepMax = 8 << 10 // what an idle link may hold

// drop forgets the delivery and says how many bytes it held.
func (a *assembly) drop() int {
	held := len(a.buf)
	a.active, a.size = false, 0
	if cap(a.buf) > assemblyKeepMax {
		a.buf = nil
	}
	a.buf = a.buf[:0]
	return held
}

func (s *session) transfer(body []byte) error {
	var p amqp.Transfer
	payload, err := p.Decode(body)
	if err != nil {
		return undecodable(err)
	}
	s.taken++
	l := s.lastLink
	if l == nil || l.request.Handle != p.Handle {
		s.publish()
		l = s.links[p.Handle]
		s.lastLink = l
	}
	switch {
	case l == nil:
		s.fail(amqp.CondUnattachedHandle, "a transfer for handle %d, where no link is attached", p.Handle)
		return nil
	case !l.open.Load():
		return nil // our detach is out and the peer has not seen it yet, or it sends before it was answered, which no client does
	case l.sink == nil:
		l.breach(amqp.CondNotAllowed, "a transfer on a link whose receiver you are")
		return nil
	}
	if s.sinceFlow++; s.sinceFlow > sessionWindow/2 {
		s.sinceFlow = 0
		s.c.oweFlow(s, nil)
	}
	l.transfer(&p, payload)
	return nil
}

// transfer takes one frame of a delivery.
func (l *Link) transfer(p *amqp.Transfer, payload []byte) {
	if l.part.active {
		l.transferMore(p, payload)
		return
	}
	switch {
	case !p.DeliveryID.Set:
		l.breach(amqp.CondInvalidField, "the first transfer of a delivery has no delivery-id")
		return
	case int32(l.taken-l.granted.Load()) >= overrunMax:
		l.breach(amqp.CondTransferLimitExceeded, fmt.Sprintf("delivery %d came more than %d deliveries beyond the granted credit", p.DeliveryID.V, overrunMax))
		return
	}
	l.taken++
	if p.Aborted.Or(false) {
		l.aborted()
		return
	}
	settled := p.Settled.Or(false)
	if !p.More {
		l.deliver(p.DeliveryID.V, p.MessageFormat.Or(0), settled, len(payload), payload)
		return
	}
	a := &l.part
	a.active, a.id, a.format, a.settled = true, p.DeliveryID.V, p.MessageFormat.Or(0), settled
	l.gather(payload)
}

func (l *Link) transferMore(p *amqp.Transfer, payload []byte) {
	a := &l.part
	if p.DeliveryID.Set && p.DeliveryID.V != a.id {
		l.breach(amqp.CondIllegalState, fmt.Sprintf("a transfer of delivery %d came before delivery %d was complete", p.DeliveryID.V, a.id))
		return
	}
	if p.Aborted.Or(false) {
		l.s.c.partial -= a.drop()
		l.aborted()
		return
	}
	a.settled = a.settled || p.Settled.Or(false)
	if !l.gather(payload) || p.More {
		return
	}
	whole := a.buf
	if a.size > l.limit {
		whole = nil
	}
	l.deliver(a.id, a.format, a.settled, a.size, whole)
	l.s.c.flushDirty() // the next delivery in pieces uses the buffer again
	l.s.c.partial -= a.drop()
}

// aborted counts a delivery that the client took back: it has used credit all the same.
func (l *Link) aborted() {
	l.sinceTopUp++
	l.topUp()
}

// gather keeps one more piece, unless the delivery has grown too large: then only its size goes on counting.
func (l *Link) gather(piece []byte) bool {
	a, c := &l.part, l.s.c
	a.size += len(piece)
	if a.size > l.limit {
		c.partial -= len(a.buf)
		a.buf = a.buf[:0]
		return true
	}
	if c.partial+len(piece) > partialBytesMax {
		l.breach(amqp.CondResourceLimitExceeded, fmt.Sprintf("the unfinished deliveries of this connection exceed %d bytes", partialBytesMax))
		return false
	}
	c.partial += len(piece)
	a.buf = append(a.buf, piece...)
	return true
}

// deliver hands a whole message to the sink.
func (l *Link) deliver(id, format uint32, settled bool, size int, payload []byte) {
	if size > l.limit {
		payload = nil
	}
	c := l.s.c
	l.sinceTopUp++
	c.burstBytes += int64(size)
	c.delivery = Delivery{ID: id, Format: format, Settled: settled, Bytes: size, Payload: payload}
	l.sink.Deliver(&c.delivery)
	c.delivery.Payload = nil // the buffer is only lent
	if !l.dirty {
		l.dirty = true
		c.dirty = append(c.dirty, l)
	}
}

// topUp restores the client's credit once it has used enough of it.
func (l *Link) topUp() {
	if l.sinceTopUp >= l.refill && l.refill > 0 {
		l.sinceTopUp = 0
		l.s.sinceFlow = 0
		l.s.c.oweFlow(l.s, l)
	}
}

// breach detaches a link whose client broke the rules of that link.
func (l *Link) breach(cond amqp.Symbol, text string) {
	c := l.s.c
	c.log.Warn("link detached: the client broke the protocol", "remote", c.RemoteAddr(), "link", l.request.Name, "condition", cond, "reason", text)
	c.partial -= l.part.drop()
	l.Detach(&amqp.Error{Condition: cond, Description: text})
}

// flushDirty lets the sinks hand on what they got, and answers what can be answered by then. Reader only.
func (c *Conn) flushDirty() {
	c.publish()
	c.inflight.Add(c.burstBytes)
	c.burstBytes = 0
	c.minded.Store(true)
	for i, l := range c.dirty {
		c.dirty[i] = nil
		l.dirty = false
		l.sink.Flush()
		l.topUp()
	}
	c.dirty = c.dirty[:0]
	c.minded.Store(false)
	if c.due.Swap(false) {
		c.answer()
	}
}

// oweFlow has a flow sent at the end of the burst, for the link, or for the session if l is nil. What it shows is counted up to this frame:
// a peer that was shown less would stop before it is due the next one. Reader only.
func (c *Conn) oweFlow(s *session, l *Link) {
	s.publish()
	c.mu.Lock()
	c.oweFlowLocked(s, l)
	c.mu.Unlock()
	c.due.Store(true)
}

func (c *Conn) oweFlowLocked(s *session, l *Link) {
	owed := &s.flowOwed
	if l != nil {
		owed = &l.flowOwed
	}
	if !*owed {
		*owed = true
		c.flowing = append(c.flowing, flowDue{s, l})
	}
}
