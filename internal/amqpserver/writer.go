package amqpserver

import (
	"time"

	"github.com/evhub-dev/evhub/internal/amqp"
	"github.com/evhub-dev/evhub/internal/clock"
)

const outKeepMax = 4 << 10 // an idle connection keeps no larger answer buffer

// writeLoop is the writer. It ends when the connection is closing and everything queued before was written, or when the socket fails.
func (c *Conn) writeLoop() {
	for range c.wake {
		if c.writeAll() {
			return
		}
	}
}

func (c *Conn) writeAll() (over bool) {
	c.writing.Lock()
	defer c.writing.Unlock()
	b := c.srv.buffers.takeWrite()
	defer c.srv.buffers.giveWrite(b)
	for again := true; again && !over; {
		*b, again, over = c.round((*b)[:0])
	}
	return over
}

// round collects what is to go out and writes it in one go.
func (c *Conn) round(b []byte) (buf []byte, again, over bool) {
	b, c.untaken = append(b, c.untaken...), nil
	c.due.Store(false) // what was signalled until now is collected next
	b, closing, cut := c.collect(b)
	if cut {
		return b, false, true
	}
	if !closing {
		b, again = c.deliveries(b, burstBytesMax)
		if c.beatDue.Swap(false) && len(b) == 0 {
			b = amqp.AppendEmptyFrame(b)
		}
	}
	if len(b) > 0 {
		if _, err := c.to.Write(b); err != nil {
			c.Drop()
			return b, false, true
		}
		c.lastWrite.Store(int64(c.now()))
	}
	if closing {
		c.hangUp()
	}
	return b, again, closing
}

// hangUp ends our direction and gives the peer a little time to end its own.
func (c *Conn) hangUp() {
	c.nc.SetReadDeadline(time.Now().Add(lingerTime))
	if w, ok := c.nc.(interface{ CloseWrite() error }); ok {
		w.CloseWrite()
	}
}

// collect moves answers, dispositions and flows into b.
func (c *Conn) collect(b []byte) (buf []byte, closing, cut bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.collectLocked(b), c.closing, c.cut
}

func (c *Conn) collectLocked(b []byte) []byte {
	if !c.closing {
		c.settleAllLocked()
		for i, f := range c.flowing {
			c.flowing[i] = flowDue{}
			c.sendFlowLocked(f.s, f.l)
		}
		c.flowing = c.flowing[:0]
	}
	return c.takeAnswersLocked(b)
}

// takeAnswersLocked moves the encoded answers into b, and lets the reader go on if it waited for that.
func (c *Conn) takeAnswersLocked(b []byte) []byte {
	b = append(b, c.out...)
	if cap(c.out) > outKeepMax {
		c.out = nil
	}
	c.out = c.out[:0]
	c.roomLocked()
	return b
}

// sendFlowLocked encodes a flow with the latest numbers. Fields as recorded: drain null and echo false on a link, all link fields null
// on a session.
func (c *Conn) sendFlowLocked(s *session, l *Link) {
	if l != nil {
		l.flowOwed = false
	} else {
		s.flowOwed = false
	}
	if s.ended.Load() || l != nil && l.state != linkAttached {
		return
	}
	c.out = s.appendFlowLocked(c.out, l)
}

// appendFlowLocked encodes a flow with the numbers as they are now, about the link or, if l is nil, about the session.
func (s *session) appendFlowLocked(b []byte, l *Link) []byte {
	p := amqp.Flow{
		NextIncomingID: amqp.Some(s.incomingID.Load()),
		IncomingWindow: sessionWindow,
		NextOutgoingID: s.outgoingID,
		OutgoingWindow: s.window,
		Echo:           amqp.Some(false),
	}
	switch {
	case l == nil:
	case l.ClientSends():
		delivered := l.delivered.Load()
		l.granted.Store(delivered + l.credit)
		p.Handle, p.DeliveryCount = amqp.Some(l.handle), amqp.Some(delivered)
		p.LinkCredit, p.Available = amqp.Some(l.credit), amqp.Some(l.available)
	default:
		p.Handle, p.DeliveryCount = amqp.Some(l.handle), amqp.Some(l.count)
		p.LinkCredit, p.Available = amqp.Some(l.creditLocked()), amqp.Some(uint32(0))
		if l.drain {
			p.Drain = amqp.Some(true)
		}
	}
	b, mark := amqp.BeginFrame(b, amqp.FrameAMQP, s.channel)
	return amqp.EndFrame(p.Append(b), mark)
}

// deliveries lets the ready links fill b, each for a turn, until it has the bytes. again: there is more to do at once.
func (c *Conn) deliveries(b []byte, bytes int) (buf []byte, again bool) {
	o := &c.box
	for len(b) < bytes {
		o.b = b
		l := c.nextReady(o)
		if l != nil {
			c.turn(l, o, bytes)
		}
		b = o.b
		*o = Outbox{unsettled: o.unsettled[:0]} // the buffer is only lent, and the link may go
		if l == nil {
			return b, c.owesAnswers()
		}
	}
	return b, true
}

func (c *Conn) turn(l *Link, o *Outbox, bytes int) {
	o.limit = min(len(o.b)+turnBytesMax, bytes)
	o.resume()
	if o.Room() > 0 {
		l.source.Fill(o)
	}
	if c.commit(l, o) {
		l.tellDetached()
	}
}

func (c *Conn) owesAnswers() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.out) > 0 || len(c.settling) > 0 || len(c.flowing) > 0
}

// nextReady takes the next link that has credit and window, and prepares the outbox for it.
func (c *Conn) nextReady(o *Outbox) *Link {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		l := c.ready.pop()
		if l == nil || c.closing {
			return nil
		}
		l.queued = false
		if l.state != linkAttached {
			continue
		}
		if l.creditLocked() == 0 && !l.rest.active() {
			l.drainedLocked(o)
			continue
		}
		if l.s.window == 0 {
			l.blockLocked()
			continue
		}
		// What was queued since collect comes first: this link's attach answer, the disposition of the request it replies to.
		c.settleAllLocked()
		o.b = c.takeAnswersLocked(o.b)
		*o = Outbox{b: o.b, l: l, credit: l.creditLocked(), window: l.s.window, frameMax: int(c.frameMax), nextID: l.s.nextID,
			unsettled: o.unsettled}
		l.filling = true
		return l
	}
}

// blockLocked parks a link until the session's window opens. One that became ready meanwhile is parked when its turn comes.
func (l *Link) blockLocked() {
	if !l.queued {
		l.queued = true
		l.s.blocked = append(l.s.blocked, l)
	}
}

// drainedLocked answers a drain once nothing is left to send: the unused credit is consumed [2.6.7]. The flow goes right behind the link's
// deliveries, in front of those of other links, since it counts all that were sent so far.
func (l *Link) drainedLocked(o *Outbox) {
	if l.drain {
		if l.creditLocked() > 0 {
			l.count = l.end
		}
		o.b = l.s.appendFlowLocked(o.b, l)
		l.drain = false
	}
}

// commit takes over what the outbox has put out for the link. It says whether the link went meanwhile and its end was left to us.
func (c *Conn) commit(l *Link, o *Outbox) (gone bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := l.s
	l.filling = false
	l.count += o.sent
	s.nextID = o.nextID
	s.outgoingID += o.frames
	s.window -= min(s.window, o.frames) // the peer may have closed it while the turn lasted
	for _, id := range o.unsettled {
		c.unsettled.add(c, s, id)
	}
	switch {
	case l.state != linkAttached:
	case s.window == 0 && (l.rest.active() || l.creditLocked() > 0):
		l.blockLocked()
	case l.rest.active() || o.Room() == 0 && l.creditLocked() > 0: // also if credit or window came while the turn lasted
		c.queueLocked(l)
	case !l.queued: // a link that has another turn may yet find more to send
		l.drainedLocked(o)
	}
	return l.leave
}

// unsettledList keeps the deliveries we sent unsettled, in the order they were sent. Most clients never settle them; like the service
// (recorded) we do it for them after a minute. Guarded by Conn.mu.
type unsettledList struct {
	list  []unsettledDelivery
	timer clock.Timer
}

type unsettledDelivery struct {
	s  *session
	id uint32
	at time.Duration // Conn.now when it was sent
}

func (u *unsettledList) add(c *Conn, s *session, id uint32) {
	if len(u.list) >= unsettledMax {
		u.settle(c, u.list[0])
		u.list = append(u.list[:0], u.list[1:]...)
	}
	u.list = append(u.list, unsettledDelivery{s, id, c.now()})
	if len(u.list) == 1 {
		if u.timer == nil {
			u.timer = c.srv.o.Clock.AfterFunc(unsettledTime, c.settleOld)
		} else {
			u.timer.Reset(unsettledTime)
		}
	}
}

// remove forgets the session's deliveries first to last and counts them.
func (u *unsettledList) remove(s *session, first, last uint32) (n int) {
	kept := u.list[:0]
	for _, d := range u.list {
		if d.s == s && d.id-first <= last-first {
			n++
		} else {
			kept = append(kept, d)
		}
	}
	clear(u.list[len(kept):])
	u.list = kept
	return n
}

func (u *unsettledList) settle(c *Conn, d unsettledDelivery) {
	if !d.s.ended.Load() && !c.closing {
		c.appendLocked(d.s.channel, &amqp.Disposition{Role: amqp.RoleSender, First: d.id, Settled: amqp.Some(true), State: amqp.DeliveryState{Code: amqp.CodeReleased}})
	}
}

func (u *unsettledList) stop() {
	if u.timer != nil {
		u.timer.Stop()
	}
	u.list = nil
}

// settleOld runs on a timer.
func (c *Conn) settleOld() {
	c.mu.Lock()
	defer c.mu.Unlock()
	u, now := &c.unsettled, c.now()
	n := 0
	for n < len(u.list) && now-u.list[n].at >= unsettledTime {
		u.settle(c, u.list[n])
		n++
	}
	u.list = append(u.list[:0], u.list[n:]...)
	if len(u.list) > 0 && !c.closing {
		u.timer.Reset(unsettledTime - (now - u.list[0].at))
	}
	c.signal()
}
