package eventhubs

import (
	"encoding/binary"
	"math"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/evhub-dev/evhub/internal/amqp"
	"github.com/evhub-dev/evhub/internal/amqpserver"
	"github.com/evhub-dev/evhub/internal/hub"
)

const (
	requestCredit  = 100 // on $cbs and $management (recorded)
	requestBytes   = 256 << 10
	repliesHeldMax = 1000 // replies a client leaves unread on one link before its requests are refused
)

// attachRequests answers a client that sends requests to $cbs or $management.
func (c *conn) attachRequests(l *amqpserver.Link, a address) {
	handle := c.putToken
	if a.node == nodeManagement {
		handle = c.read
	}
	l.AcceptSink(&requestSink{c: c, l: l, node: a.node, handle: handle}, echoModes(l, amqpserver.Answer{
		MessageBytes: math.MaxUint64,
		Credit:       requestCredit,
		Refill:       requestCredit / 2,
	}))
}

// attachReplies answers a client that waits for the replies.
func (c *conn) attachReplies(l *amqpserver.Link, a address) {
	s := &replySource{c: c, l: l, node: a.node}
	answer := echoModes(l, amqpserver.Answer{MessageBytes: math.MaxUint64})
	s.settled = answer.SndSettleMode == sndSettled
	if l.AcceptSource(s, answer) {
		c.replies = append(slices.DeleteFunc(c.replies, func(s *replySource) bool { return s.gone.Load() }), s)
	}
}

const (
	sndSettled = 1
	sndMixed   = 2
	rcvFirst   = 0
)

// echoModes answers the settle modes the client asked for, or the specification's defaults.
func echoModes(l *amqpserver.Link, a amqpserver.Answer) amqpserver.Answer {
	r := l.Request()
	a.SndSettleMode, a.RcvSettleMode = r.SndSettleMode.Or(sndMixed), r.RcvSettleMode.Or(rcvFirst)
	return a
}

// requestSink takes requests. They are few, so each is decoded whole.
type requestSink struct {
	c      *conn
	l      *amqpserver.Link
	node   string
	handle func(*request)
}

// request is one message to $cbs or $management, and the way back.
type request struct {
	*amqp.Message
	c  *conn
	to *replySource
}

func (r *request) text(property string) string {
	v, _ := r.ApplicationProperties.Lookup(property)
	s, _ := v.(string)
	return s
}

func (s *requestSink) Deliver(d *amqpserver.Delivery) {
	outcome := amqp.DeliveryState{Code: amqp.CodeAccepted}
	r, refused := s.open(d)
	if refused != nil {
		s.c.report(s.c.subject(s.op()), refused)
		s.c.log.Warn("request refused", "node", s.node, "remote", s.c.c.RemoteAddr(), "condition", refused.Condition, "reason", refused.Description)
		outcome = amqp.DeliveryState{Code: amqp.CodeRejected, Error: refused.Error}
	}
	if d.Settled {
		s.l.Done(d.Bytes)
	} else {
		s.l.Settle(d.ID, d.ID, d.Bytes, outcome)
	}
	if refused == nil {
		s.handle(r)
	}
}

func (s *requestSink) op() hub.Op {
	if s.node == nodeManagement {
		return hub.Manage
	}
	return hub.Auth
}

func (s *requestSink) open(d *amqpserver.Delivery) (*request, *refusal) {
	if d.Payload == nil || d.Bytes > requestBytes {
		return nil, s.c.errorf(amqp.CondMessageSizeExceeded, noSystem, "A request of %d bytes exceeds the limit of %d.", d.Bytes, requestBytes)
	}
	m, err := amqp.DecodeMessage(d.Payload)
	if err != nil {
		return nil, s.c.errorf(amqp.CondDecodeError, noSystem, "The request is not a valid message: %v.", err)
	}
	r := &request{Message: m, c: s.c}
	if m.Properties == nil {
		m.Properties = &amqp.Properties{}
	}
	r.to = s.c.replyTo(s, m.Properties.ReplyTo.V)
	switch {
	case r.to == nil:
		return nil, s.c.errorf(amqp.CondPreconditionFailed, noSystem, "No receiver is attached to %s to take the reply.", s.node)
	case r.to.crowded():
		return nil, s.c.errorf(amqp.CondResourceLimitExceeded, noSystem, "%d replies wait to be received from %s.", repliesHeldMax, s.node)
	}
	return r, nil
}

func (s *requestSink) Flush()    {}
func (s *requestSink) Detached() {}

// replyTo finds the receiver for a reply. Each SDK puts another text into reply-to, and some none, so the link pair counts first: the
// receivers of the request's session; among several the one whose target or name is the reply-to; else the latest. A client that keeps
// the two links in different sessions is served as well.
func (c *conn) replyTo(from *requestSink, replyTo string) *replySource {
	c.replies = slices.DeleteFunc(c.replies, func(s *replySource) bool { return s.gone.Load() })
	var best *replySource
	score := -1
	for _, s := range c.replies {
		if s.node != from.node {
			continue
		}
		n := 0
		if s.l.SameSession(from.l) {
			n += 2
		}
		if t := s.l.Request().Target; replyTo != "" && (t != nil && t.Address.V == replyTo || s.l.Request().Name == replyTo) {
			n++
		}
		if n >= score {
			best, score = s, n
		}
	}
	return best
}

// reply sends a message back, with the request's id as its correlation id, in the same AMQP type.
func (r *request) reply(m *amqp.Message) {
	m.Properties = &amqp.Properties{CorrelationID: r.Properties.MessageID}
	r.to.put(m.Append(nil))
}

// replySource holds the replies a client has not received yet.
type replySource struct {
	c       *conn
	l       *amqpserver.Link
	node    string
	settled bool
	gone    atomic.Bool
	tag     uint32 // Fill's: the last delivery's

	mu      sync.Mutex
	waiting [][]byte
}

func (s *replySource) put(m []byte) {
	s.mu.Lock()
	s.waiting = append(s.waiting, m)
	s.mu.Unlock()
	s.l.Ready()
}

func (s *replySource) crowded() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.waiting) >= repliesHeldMax
}

func (s *replySource) take() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.waiting) == 0 {
		return nil
	}
	m := s.waiting[0]
	s.waiting = s.waiting[1:]
	return m
}

// Fill sends replies unsettled, with a counter as tag, as recorded; settled to clients that asked for that.
func (s *replySource) Fill(out *amqpserver.Outbox) {
	for out.Room() > 0 {
		m := s.take()
		if m == nil {
			return
		}
		s.tag++
		t := amqp.Transfer{
			DeliveryTag:   binary.LittleEndian.AppendUint32(nil, s.tag),
			MessageFormat: amqp.Some(uint32(amqp.FormatMessage)),
			Batchable:     amqp.Some(false),
		}
		if s.settled {
			t.Settled = amqp.Some(true)
		}
		out.End(append(out.Begin(&t), m...))
	}
}

func (s *replySource) Credit(uint32) {}

// Detached may run on any goroutine, behind Fill, while the list of receivers is the reader's: the reader drops s when it next looks.
func (s *replySource) Detached() { s.gone.Store(true) }
