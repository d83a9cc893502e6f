package amqpserver

import (
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/evhub-dev/evhub/internal/amqp"
)

type linkState uint8

const (
	linkPending  linkState = iota // the container has not answered yet
	linkAttached                  // our attach is queued
	linkDetached                  // our detach is queued
	linkGone                      // both detached, or the session or connection is over
)

// Link is one AMQP link. Its methods are safe for concurrent use unless they say otherwise; on a link that is gone they do nothing.
type Link struct {
	s       *session
	request amqp.Attach // immutable: what the client sent

	sink       Sink          // set before the link is open, then immutable
	source     Source        // same
	limit      int           // same: bytes a delivery may have
	open       atomic.Bool   // state is linkAttached; lets the reader look without mu
	delivered  atomic.Uint32 // delivery-count where the client sends: counted by the reader, shown by the writer
	granted    atomic.Uint32 // the delivery-count at which the credit ends that the client was shown last
	taken      uint32        // reader: delivered, not yet shown
	sinceTopUp uint32        // reader
	refill     uint32        // reader: deliveries after which credit is topped up
	dirty      bool          // reader: in Conn.dirty
	told       bool          // reader, or who writes if leave is set: Detached was called
	part       assembly      // reader: a delivery that is still arriving
	rest       remainder     // guarded by Conn.writing: a delivery that is still leaving

	// guarded by Conn.mu
	handle    uint32 // ours
	state     linkState
	flowOwed  bool // in Conn.flowing
	queued    bool // in Conn.ready or session.blocked
	filling   bool // somebody is in Fill
	leave     bool // the reader left Detached to who is in Fill
	early     *amqp.Flow
	credit    uint32 // where the client sends: the credit we grant
	available uint32 // what the peer's last flow said
	count     uint32 // our delivery-count where the client receives
	end       uint32 // the delivery-count at which the client's credit ends
	drain     bool
	settle    []settlement
}

// settlement is a range of deliveries of one link with one outcome, ready to be told.
type settlement struct {
	first, last uint32
	state       amqp.DeliveryState
}

// Request is the client's attach. It must not be changed.
func (l *Link) Request() *amqp.Attach { return &l.request }

// SameSession says whether both links belong to one session.
func (l *Link) SameSession(other *Link) bool { return l.s == other.s }

// Conn is the connection the link lives on.
func (l *Link) Conn() *Conn { return l.s.c }

// ClientSends says whether the client is the link's sender.
func (l *Link) ClientSends() bool { return l.request.Role == amqp.RoleSender }

// Answer is how an accepted link is answered.
type Answer struct {
	SndSettleMode uint8
	RcvSettleMode uint8
	Source        *amqp.Source // nil: only the client's address is echoed
	Target        *amqp.Target // same
	Properties    amqp.Map
	MessageBytes  uint64 // max-message-size; also enforced where the client sends

	Credit uint32 // where the client sends: the credit granted at once,
	Refill uint32 // and restored after this many deliveries
}

// AcceptSink answers an attach of a sending client. It returns false if the link went before it was answered: the sink will then hear
// nothing, not even Detached.
func (l *Link) AcceptSink(sink Sink, a Answer) bool {
	c := l.s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if l.state != linkPending || c.closing {
		return false
	}
	l.sink, l.credit, l.refill = sink, a.Credit, a.Refill
	l.granted.Store(l.delivered.Load() + a.Credit)
	l.limit = int(min(a.MessageBytes, 1<<31-1))
	l.acceptLocked(a)
	c.oweFlowLocked(l.s, l)
	c.signal()
	return true
}

// AcceptSource answers an attach of a receiving client. It returns false if the link went before it was answered: the source will then
// hear nothing, not even Detached.
func (l *Link) AcceptSource(source Source, a Answer) bool {
	c := l.s.c
	c.mu.Lock()
	if l.state != linkPending || c.closing {
		c.mu.Unlock()
		return false
	}
	l.source = source
	l.acceptLocked(a)
	var credit uint32
	tell := false
	if l.early != nil {
		credit, tell = l.flowLocked(l.early)
		if l.early.Echo.Or(false) {
			c.oweFlowLocked(l.s, l)
		}
		l.early = nil
	}
	c.mu.Unlock()
	c.signal()
	if tell {
		source.Credit(credit)
	}
	return true
}

func (l *Link) acceptLocked(a Answer) {
	answer := l.answer(a)
	l.s.c.appendLocked(l.s.channel, &answer)
	l.state = linkAttached
	l.open.Store(true)
}

func (l *Link) answer(a Answer) amqp.Attach {
	p := amqp.Attach{
		Name:           l.request.Name,
		Handle:         l.handle,
		Role:           !l.request.Role,
		SndSettleMode:  amqp.Some(a.SndSettleMode),
		RcvSettleMode:  amqp.Some(a.RcvSettleMode),
		Source:         a.Source,
		Target:         a.Target,
		MaxMessageSize: amqp.Some(a.MessageBytes),
		Properties:     a.Properties,
	}
	if p.Source == nil {
		p.Source = &amqp.Source{}
		if l.request.Source != nil {
			p.Source.Address = l.request.Source.Address
		}
	}
	if p.Target == nil {
		p.Target = &amqp.Target{}
		if l.request.Target != nil {
			p.Target.Address = l.request.Target.Address
		}
	}
	if !l.ClientSends() {
		p.InitialDeliveryCount = amqp.Some(uint32(0))
	}
	return p
}

// Refuse answers an attach with an error: an attach without source and target, and a detach behind it (recorded).
func (l *Link) Refuse(e *amqp.Error) {
	c := l.s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if l.state != linkPending || c.closing {
		return
	}
	c.appendLocked(l.s.channel, &amqp.Attach{Name: l.request.Name, Handle: l.handle, Role: !l.request.Role})
	l.detachLocked(e)
	c.signal()
}

// Detach closes the link with an error, or without if e is nil.
func (l *Link) Detach(e *amqp.Error) {
	c := l.s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if l.state == linkAttached && !c.closing {
		l.detachLocked(e)
		c.signal()
	}
}

func (l *Link) detachLocked(e *amqp.Error) {
	l.settleLocked()
	l.s.c.appendLocked(l.s.channel, &amqp.Detach{Handle: l.handle, Closed: amqp.Some(true), Error: e})
	l.leaveLocked(linkDetached)
}

func (l *Link) leaveLocked(to linkState) {
	l.state = to
	l.open.Store(false)
}

// Ready tells the writer that the link's source may have something to send.
func (l *Link) Ready() {
	if l.queue() {
		l.s.c.signal()
	}
}

// ReadyNow is Ready for a caller that has nothing better to do and knows that it is little: where the socket takes it without waiting, the
// source's Fill runs and its deliveries are written before ReadyNow returns. So the caller may hold no lock that a Source of the connection
// takes, in Fill or in Detached.
func (l *Link) ReadyNow() {
	if l.queue() {
		l.s.c.writeNow(true)
	}
}

// queue says whether the link's client takes deliveries now. Then the link has its turn at the next writing.
func (l *Link) queue() bool {
	c := l.s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if l.state != linkAttached || l.creditLocked() == 0 && !l.drain {
		return false
	}
	c.queueLocked(l)
	return true
}

func (c *Conn) queueLocked(l *Link) {
	if l.state == linkAttached && !l.queued && !c.closing {
		l.queued = true
		c.ready.push(l)
	}
}

func (l *Link) creditLocked() uint32 {
	if n := int32(l.end - l.count); n > 0 {
		return uint32(n)
	}
	return 0
}

// Settle tells the client the outcome of its deliveries first to last, which must be consecutive ids of this link, and gives back their
// bytes. A first of deliveries that came settled is answered by Done instead.
func (l *Link) Settle(first, last uint32, bytes int, state amqp.DeliveryState) {
	c := l.s.c
	c.inflight.Add(-int64(bytes))
	c.mu.Lock()
	l.addSettlementLocked(settlement{first, last, state})
	c.roomLocked()
	c.mu.Unlock()
	c.signal()
}

// Done gives back the bytes of deliveries that came settled, or that are never to be answered.
func (l *Link) Done(bytes int) {
	c := l.s.c
	if c.inflight.Add(-int64(bytes)) <= c.srv.o.InflightBytesMax {
		c.mu.Lock()
		c.roomLocked()
		c.mu.Unlock()
	}
}

func (c *Conn) roomLocked() {
	if c.waiting && !c.crowdedLocked() {
		c.roomFor.Signal()
	}
}

func (l *Link) addSettlementLocked(n settlement) {
	if l.state == linkGone || l.s.c.closing {
		return
	}
	if len(l.settle) == 0 {
		l.s.c.settling = append(l.s.c.settling, l)
	} else if tail := &l.settle[len(l.settle)-1]; tail.last+1 == n.first && accepted(tail.state) && accepted(n.state) {
		tail.last = n.last
		return
	}
	l.settle = append(l.settle, n)
	l.s.c.ranges++
}

func accepted(s amqp.DeliveryState) bool { return s.Code == amqp.CodeAccepted }

// settleLocked encodes the link's settlements: nothing may overtake them any more.
func (l *Link) settleLocked() {
	c := l.s.c
	for i := range l.settle {
		n := &l.settle[i]
		p := amqp.Disposition{Role: amqp.RoleReceiver, First: n.first, Settled: amqp.Some(true), State: n.state}
		if n.last != n.first {
			p.Last = amqp.Some(n.last)
		}
		b, mark := amqp.BeginFrame(c.out, amqp.FrameAMQP, l.s.channel) // not appendLocked: on the way of an event p stays off the heap
		c.out = amqp.EndFrame(p.Append(b), mark)
		n.state = amqp.DeliveryState{}
	}
	c.ranges -= len(l.settle)
	l.settle = l.settle[:0]
}

func (c *Conn) settleAllLocked() {
	for i, l := range c.settling {
		l.settleLocked()
		c.settling[i] = nil
	}
	c.settling = c.settling[:0]
}

// flowLocked takes the peer's flow for the link. It says what to tell the source.
func (l *Link) flowLocked(p *amqp.Flow) (credit uint32, tell bool) {
	l.available = p.Available.Or(availableUnknown)
	if l.ClientSends() || !p.LinkCredit.Set {
		return 0, false
	}
	l.end = p.DeliveryCount.Or(0) + min(p.LinkCredit.V, creditMax)
	l.drain = p.Drain.Or(false)
	credit = l.creditLocked()
	if credit > 0 || l.drain {
		l.s.c.queueLocked(l)
	}
	return credit, true
}

// gone tells what stands behind the link that it is over. Reader only, once its frames are behind us.
func (l *Link) gone() {
	c := l.s.c
	c.partial -= l.part.drop()
	c.mu.Lock()
	l.leaveLocked(linkGone)
	c.ranges -= len(l.settle)
	l.settle = nil
	l.s.blocked = slices.DeleteFunc(l.s.blocked, func(b *Link) bool { return b == l })
	if l.filling {
		l.leave = true
	}
	leave := l.leave
	c.mu.Unlock()
	if !leave {
		l.tellDetached()
	}
}

// tellDetached runs on the reader, or behind Fill if the link was being filled when it went.
func (l *Link) tellDetached() {
	if l.told {
		return
	}
	l.told = true
	if l.sink != nil {
		l.sink.Detached()
	}
	if l.source != nil {
		l.source.Detached()
	}
}

func (s *session) attach(body []byte) error {
	l := &Link{s: s}
	if _, err := l.request.Decode(body); err != nil {
		return undecodable(err)
	}
	r := &l.request
	l.taken = r.InitialDeliveryCount.Or(0) // the client counts from here [2.6.7]
	l.delivered.Store(l.taken)
	if s.links[r.Handle] != nil {
		s.fail(amqp.CondHandleInUse, "handle %d is attached already", r.Handle)
		return nil
	}
	key := linkKey{r.Name, r.Role}
	if old := s.names[key]; old != nil {
		stolen := &amqp.Error{Condition: amqp.CondLinkStolen, Description: fmt.Sprintf("The link name %.128q was attached again in the same session.", r.Name)}
		old.Refuse(stolen) // if it was not answered yet
		old.Detach(stolen)
	}
	if !s.admit(l) {
		s.fail(amqp.CondResourceLimitExceeded, "Cannot allocate more handles to the current session or connection. The maximum number of handles allowed is %d. "+
			"Please free up resources and try again.", min(s.c.srv.o.LinksMax, s.handleMax))
		return nil
	}
	s.links[r.Handle], s.names[key] = l, l
	s.handlesEnd = max(s.handlesEnd, uint64(r.Handle)+1)
	s.c.container.Attach(l)
	return nil
}

// admit gives the link a handle of ours: the lowest free one (recorded: 0, 1, 2 in order of attach).
func (s *session) admit(l *Link) bool {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	free := firstFree(s.handles)
	if uint32(free) >= s.c.srv.o.LinksMax || uint32(free) > s.handleMax {
		return false
	}
	l.handle = uint32(free)
	s.handles = setAt(s.handles, free, l)
	return true
}

func (s *session) detach(body []byte) error {
	var p amqp.Detach
	if _, err := p.Decode(body); err != nil {
		return undecodable(err)
	}
	l := s.links[p.Handle]
	if l == nil {
		s.fail(amqp.CondUnattachedHandle, "a detach for handle %d, where no link is attached", p.Handle)
		return nil
	}
	s.c.flushDirty()
	delete(s.links, p.Handle)
	s.lastLink = nil
	if key := (linkKey{l.request.Name, l.request.Role}); s.names[key] == l {
		delete(s.names, key)
	}
	c := s.c
	c.mu.Lock()
	if l.state < linkDetached && !c.closing {
		if l.state == linkPending { // the peer gave up before it was answered; an answer must name the link first
			c.appendLocked(s.channel, &amqp.Attach{Name: l.request.Name, Handle: l.handle, Role: !l.request.Role})
		}
		l.detachLocked(nil)
	}
	s.handles[l.handle] = nil
	c.mu.Unlock()
	c.signal()
	l.gone()
	return nil
}
