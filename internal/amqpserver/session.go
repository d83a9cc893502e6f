package amqpserver

import (
	"fmt"
	"sync/atomic"

	"github.com/evhub-dev/evhub/internal/amqp"
)

// session is one AMQP session.
type session struct {
	c       *Conn
	channel uint16 // ours

	links      map[uint32]*Link  // reader: by the peer's handle
	names      map[linkKey]*Link // reader: attached links
	sinceFlow  int               // reader: transfer frames taken since the peer last heard our window
	nextID     uint32            // guarded by Conn.mu: next outgoing delivery-id
	lastLink   *Link             // reader: of the last transfer; saves looking it up
	handlesEnd uint64            // reader: behind the highest handle that the peer has ever attached
	taken      uint32            // reader: next-incoming-id
	incomingID atomic.Uint32     // taken, as the writer shows it

	// guarded by Conn.mu
	handles    []*Link     // by our handle, nil where free
	handleMax  uint32      // the peer's
	outgoingID uint32      // next-outgoing-id
	window     uint32      // transfer frames the peer still takes, which is also the outgoing-window we show (recorded)
	blocked    []*Link     // ready, but the window is closed
	flowOwed   bool        // in Conn.flowing
	ended      atomic.Bool // our end is queued, or the peer's came; set under Conn.mu
}

// linkKey names a link: names are unique in a session for each direction [2.6.1].
type linkKey struct {
	name string
	role amqp.Role
}

// frame handles one AMQP frame of an open connection. A returned error ends the connection.
func (c *Conn) frame(channel uint16, body []byte) error {
	if len(body) == 0 {
		return nil
	}
	code, err := amqp.PeekCode(body)
	if err != nil {
		return undecodable(err)
	}
	switch code {
	case amqp.CodeClose:
		var p amqp.Close
		if _, err := p.Decode(body); err != nil {
			return undecodable(err)
		}
		return errPeerClosed{p.Error}
	case amqp.CodeOpen:
		return violation(amqp.CondIllegalState, "a second open on one connection")
	}
	if c.deaf {
		return nil
	}
	if code == amqp.CodeBegin {
		return c.begin(channel, body)
	}
	if s := c.lastSession; s != nil && c.lastChannel == channel && code == amqp.CodeTransfer && !s.ended.Load() {
		return s.transfer(body)
	}
	c.publish()
	s, known := c.sessions[channel]
	c.lastSession, c.lastChannel = s, channel
	if !known {
		return violation(amqp.CondFramingError, "a frame (descriptor %#x) for channel %d, where no session was begun", uint64(code), channel)
	}
	if s == nil {
		return nil // the peer ended it: what it sent before it saw our answer is ignored (recorded)
	}
	return s.frame(channel, code, body)
}

func (c *Conn) begin(channel uint16, body []byte) error {
	var p amqp.Begin
	if _, err := p.Decode(body); err != nil {
		return undecodable(err)
	}
	if channel > c.srv.o.ChannelMax {
		return violation(amqp.CondFramingError, "channel %d is above channel-max %d", channel, c.srv.o.ChannelMax)
	}
	if c.sessions[channel] != nil {
		return violation(amqp.CondIllegalState, "channel %d already carries a session", channel)
	}
	s := &session{
		c:          c,
		links:      make(map[uint32]*Link),
		names:      make(map[linkKey]*Link),
		nextID:     c.srv.o.FirstDeliveryID,
		handleMax:  p.HandleMax.Or(1<<32 - 1),
		outgoingID: c.srv.o.FirstOutgoingID,
		window:     p.IncomingWindow,
	}
	s.taken = p.NextOutgoingID
	s.publish()

	c.mu.Lock()
	defer c.mu.Unlock()
	free := firstFree(c.channels)
	if free > int(c.peer.ChannelMax.Or(1<<16-1)) {
		return violation(amqp.CondResourceLimitExceeded, "no channel is left below the channel-max %d of your open", c.peer.ChannelMax.V)
	}
	c.sessions[channel] = s
	c.channels = setAt(c.channels, free, s)
	s.channel = uint16(free)
	if c.closing {
		return nil
	}
	c.appendLocked(s.channel, &amqp.Begin{
		RemoteChannel:  amqp.Some(channel),
		NextOutgoingID: s.outgoingID,
		IncomingWindow: sessionWindow,
		OutgoingWindow: s.window,
		HandleMax:      amqp.Some(c.srv.o.LinksMax),
	})
	c.signal()
	return nil
}

// publish lets the writer show what the reader has counted. While transfers of one link follow each other that is once, at the end of the
// burst: atomic stores for each would cost as much as looking at the frame.
func (c *Conn) publish() {
	if c.lastSession != nil {
		c.lastSession.publish()
	}
}

func (s *session) publish() {
	s.incomingID.Store(s.taken)
	if s.lastLink != nil {
		s.lastLink.delivered.Store(s.lastLink.taken)
	}
}

// frame handles one frame of a session.
func (s *session) frame(channel uint16, code amqp.Code, body []byte) error {
	if code == amqp.CodeEnd {
		return s.peerEnded(channel, body)
	}
	if s.ended.Load() {
		return nil // our end is out; the peer has not seen it yet
	}
	switch code {
	case amqp.CodeTransfer:
		return s.transfer(body)
	case amqp.CodeFlow:
		return s.flow(body)
	case amqp.CodeDisposition:
		return s.disposition(body)
	case amqp.CodeAttach:
		return s.attach(body)
	case amqp.CodeDetach:
		return s.detach(body)
	}
	return violation(amqp.CondNotImplemented, "a frame with descriptor %#x is not a performative of AMQP 1.0", uint64(code))
}

func (s *session) peerEnded(channel uint16, body []byte) error {
	var p amqp.End
	if _, err := p.Decode(body); err != nil {
		return undecodable(err)
	}
	c := s.c
	c.flushDirty()
	c.sessions[channel] = nil
	c.lastSession = nil
	c.mu.Lock()
	s.endLocked(nil, false)
	c.channels[s.channel] = nil
	c.mu.Unlock()
	c.signal()
	s.detachAll()
	return nil
}

// fail ends the session with an error. The peer's frames are ignored until its end arrives.
func (s *session) fail(cond amqp.Symbol, format string, args ...any) {
	e := &amqp.Error{Condition: cond, Description: fmt.Sprintf(format, args...)}
	s.c.log.Warn("session ended: the client broke the protocol", "remote", s.c.RemoteAddr(), "condition", cond, "reason", e.Description)
	s.c.flushDirty()
	s.c.mu.Lock()
	s.endLocked(e, false)
	s.c.mu.Unlock()
	s.c.signal()
	s.detachAll()
}

// endLocked queues our end, once. With detach, each link is told first.
func (s *session) endLocked(e *amqp.Error, detach bool) {
	if s.ended.Load() {
		return
	}
	for _, l := range s.handles {
		if l == nil {
			continue
		}
		if detach && l.state == linkAttached {
			l.detachLocked(e)
		}
		l.settleLocked()
		l.leaveLocked(linkGone)
	}
	s.ended.Store(true)
	if !s.c.closing {
		s.c.appendLocked(s.channel, &amqp.End{Error: e})
	}
}

// detachAll tells what stands behind the session's links that they are gone. Reader only.
func (s *session) detachAll() {
	s.lastLink = nil
	for handle, l := range s.links {
		delete(s.links, handle)
		l.gone()
	}
	clear(s.names)
}

func (s *session) flow(body []byte) error {
	var p amqp.Flow
	if _, err := p.Decode(body); err != nil {
		return undecodable(err)
	}
	var l *Link
	if p.Handle.Set {
		if l = s.links[p.Handle.V]; l == nil && uint64(p.Handle.V) >= s.handlesEnd { // go-amqp may send a last flow behind its detach
			s.fail(amqp.CondUnattachedHandle, "a flow for handle %d, where no link is attached", p.Handle.V)
			return nil
		}
	}
	c := s.c
	c.mu.Lock()
	s.openWindowLocked(&p)
	var credit uint32
	tell := false
	switch {
	case l == nil:
	case l.state == linkPending:
		early := p
		l.early = &early
	case l.state == linkAttached:
		credit, tell = l.flowLocked(&p)
	}
	if p.Echo.Or(false) {
		c.oweFlowLocked(s, l)
	}
	c.mu.Unlock()
	c.signal()
	if tell {
		l.source.Credit(credit)
	}
	return nil
}

// openWindowLocked takes the peer's view of the session [2.5.6]. Links that waited for the window are ready again.
func (s *session) openWindowLocked(p *amqp.Flow) {
	open := p.NextIncomingID.Or(s.c.srv.o.FirstOutgoingID) + p.IncomingWindow - s.outgoingID
	if int32(open) < 0 && p.IncomingWindow < 1<<31 {
		open = 0
	}
	s.window = open
	if open > 0 {
		for i, l := range s.blocked {
			s.blocked[i], l.queued = nil, false
			s.c.queueLocked(l)
		}
		s.blocked = s.blocked[:0]
	}
}

// disposition settles what we sent unsettled.
func (s *session) disposition(body []byte) error {
	var p amqp.Disposition
	if _, err := p.Decode(body); err != nil {
		return undecodable(err)
	}
	if p.Role != amqp.RoleReceiver {
		return nil // the peer settles what it sent: we forgot that when we settled it
	}
	if !p.Settled.Or(false) && !final(p.State) {
		return nil // how far it has got with a delivery
	}
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	settled := c.unsettled.remove(s, p.First, p.Last.Or(p.First))
	if settled > 0 && !p.Settled.Or(false) && !c.closing && !s.ended.Load() {
		c.appendLocked(s.channel, &amqp.Disposition{Role: amqp.RoleSender, First: p.First, Last: p.Last, Settled: amqp.Some(true), State: p.State})
		c.signal()
	}
	return nil
}

// final says whether a state is an outcome [3.4].
func final(s amqp.DeliveryState) bool {
	return s.Code >= amqp.CodeAccepted && s.Code <= amqp.CodeModified
}

func firstFree[T comparable](list []T) int {
	var none T
	for i, v := range list {
		if v == none {
			return i
		}
	}
	return len(list)
}

func setAt[T any](list []T, i int, v T) []T {
	if i == len(list) {
		return append(list, v)
	}
	list[i] = v
	return list
}
