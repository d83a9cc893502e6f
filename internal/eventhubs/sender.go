package eventhubs

import (
	"slices"
	"strconv"
	"sync"

	"github.com/evhub-dev/evhub/internal/amqp"
	"github.com/evhub-dev/evhub/internal/amqpserver"
	"github.com/evhub-dev/evhub/internal/auth"
	"github.com/evhub-dev/evhub/internal/event"
	"github.com/evhub-dev/evhub/internal/eventlog"
	"github.com/evhub-dev/evhub/internal/hub"
)

const (
	hubCredit       = 300  // of a sender to a hub (recorded)
	hubRefill       = 100  // deliveries after which its credit is restored (recorded)
	partitionCredit = 1000 // of a sender to a partition (recorded)
	partitionRefill = 500  // not recorded; each flow wakes a client that still has credit, and more of them cost a fast one a fifth of its speed
	burstBytesMax   = 256 << 10
)

// Link properties by which clients and service tell each other things.
const (
	propTimeout    = "com.microsoft:timeout"
	propEpoch      = "com.microsoft:epoch"
	propTrackingID = "com.microsoft:tracking-id"
)

// attachSender answers a client that sends events to a hub or to one of its partitions.
func (c *conn) attachSender(l *amqpserver.Link, a address) {
	h, grant, refused := c.entity(a, auth.Send)
	if refused != nil {
		c.refuse(l, a, refused)
		return
	}
	s := &sender{c: c, l: l, h: h, publisher: a.publisher, limit: wishOr(l.Request(), uint64(c.svc.o.EventBytesMax)),
		sends: newDelayLine(c.svc.o.Clock), acks: newDelayLine(c.svc.o.Clock)}
	if a.partition != "" {
		p, err := h.Partition(a.partition)
		if err != nil {
			c.refuse(l, a, c.refusal(err, systemOf(h, nil, "")))
			return
		}
		s.p = p
	}
	c.obey(s.subject(hub.Attach, 0), fate{refuse: func(e *refusal) { c.refuse(l, a, e) }, pass: func() { s.attach(a, grant) }})
}

// entity finds the hub behind an address, if the client has the right on it.
func (c *conn) entity(a address, right auth.Right) (*hub.Hub, auth.Grant, *refusal) {
	grant, ok := c.may(right, a.path)
	space := c.space()
	if !ok || space == nil {
		return nil, grant, c.errorf(amqp.CondUnauthorizedAccess, "gateway5",
			"Unauthorized access. '%s' claim(s) are required to perform this operation. Resource: 'sb://%s/%s'.", right, c.host, a.path)
	}
	if a.blank {
		return nil, grant, c.invalidAddress()
	}
	h, err := space.Hub(a.hub)
	if err != nil {
		return nil, grant, c.refusal(err, space.Name()+":eventhub:"+a.hub)
	}
	return h, grant, nil
}

func (c *conn) invalidAddress() *refusal {
	return c.errorf(amqp.CondArgumentError, noSystem, "Invalid EventHub address. It must be either of the following: "+
		"<hub>/ConsumerGroups/<group>/Partitions/<partition> to receive, <hub> or <hub>/Partitions/<partition> to send.")
}

// refuse answers an attach with an error, and tells log and hall.
func (c *conn) refuse(l *amqpserver.Link, a address, e *refusal) {
	subject := c.subject(hub.Attach)
	subject.Hub, subject.Group, subject.Link = a.hub, a.group, l.Request().Name
	if n, err := strconv.Atoi(a.partition); err == nil && n >= 0 {
		subject.Partition = n
	}
	c.report(subject, e)
	c.log.Warn("attach refused", "remote", c.c.RemoteAddr(), "policy", c.policies(), "link", l.Request().Name, "address", a.path,
		"condition", e.Condition, "reason", e.Description)
	l.Refuse(e.Error)
}

// sender takes a client's events. Each burst of them that goes to one partition is appended as one batch of the log.
type sender struct {
	c         *conn
	l         *amqpserver.Link
	h         *hub.Hub
	p         *hub.Partition // nil: any
	publisher string
	limit     uint64    // bytes of one event or batch
	link      *hub.Link // the hall's view
	forget    func()    // takes back what conn.rest was told

	sends *delayLine // deliveries that the rules put off
	acks  *delayLine // acknowledgements that they put off

	open    []*sendBatch // reader: one for each partition this burst goes to
	message event.Message
	batch   event.Batch
}

func (s *sender) attach(a address, grant auth.Grant) {
	cut := &cutter{}
	info := hub.LinkInfo{Kind: hub.Sender, Partition: s.at(), Client: s.c.c.ContainerID(), Agent: s.c.agent, Principal: grant.Principal}
	link, err := s.h.OpenLink(info, cut.run)
	if err != nil {
		s.c.refuse(s.l, a, s.c.refusal(err, systemOf(s.h, s.p, "")))
		return
	}
	s.link = link
	s.forget = s.c.rest(&hold{auth.Send, a.path, s.detach})
	if !s.l.AcceptSink(s, s.answer(grant)) {
		s.Detached()
		return
	}
	cut.ready(func(e *hub.Error) { s.detach(s.c.refusal(e, systemOf(s.h, s.p, ""))) })
}

// detach ends the link and tells the hall why.
func (s *sender) detach(e *refusal) {
	s.c.report(s.subject(hub.Send, 0), e)
	s.l.Detach(e.Error)
}

// answer: settle modes and properties as recorded. rcv-settle-mode is first whatever the client asked.
func (s *sender) answer(grant auth.Grant) amqpserver.Answer {
	r := s.l.Request()
	a := amqpserver.Answer{
		SndSettleMode: r.SndSettleMode.Or(sndMixed),
		RcvSettleMode: rcvFirst,
		MessageBytes:  s.limit,
		Credit:        hubCredit,
		Refill:        hubRefill,
	}
	if s.p != nil {
		a.Credit, a.Refill = partitionCredit, partitionRefill
	}
	if r.Properties != nil {
		a.Properties = s.properties(grant)
	}
	return a
}

func (s *sender) properties(grant auth.Grant) amqp.Map {
	asked := s.l.Request().Properties
	if s.p == nil {
		return append(asked[:len(asked):len(asked)], amqp.Pair{Key: amqp.Symbol(propTrackingID), Value: trackingID()})
	}
	return append(amqp.Map{{Key: amqp.Symbol(propTimeout), Value: uint32(65000)}}, s.c.backend(grant)...)
}

// backend is what a partition tells of the client that attached to it (recorded).
func (c *conn) backend(grant auth.Grant) amqp.Map {
	return amqp.Map{
		{Key: amqp.Symbol("app-id"), Value: grant.Principal},
		{Key: amqp.Symbol("auth-type"), Value: "NamespaceSAS"},
		{Key: amqp.Symbol("client-id"), Value: c.c.ContainerID()},
	}
}

// wishOr is the smaller of the client's max-message-size and the limit; none or 0 is no wish.
func wishOr(r *amqp.Attach, limit uint64) uint64 {
	if wish := r.MaxMessageSize.Or(0); wish > 0 {
		return min(wish, limit)
	}
	return limit
}

func (s *sender) Deliver(d *amqpserver.Delivery) {
	if s.c.svc.o.Hall.Rules() == nil {
		s.take(d.ID, d.Format, d.Settled, d.Bytes, d.Payload)
		return
	}
	s.deliverByRules(d)
}

// deliverByRules asks the rules first. A delay outlives the call, so the payload is copied; what waits counts as unsettled.
func (s *sender) deliverByRules(d *amqpserver.Delivery) {
	id, format, settled, size := d.ID, d.Format, d.Settled, d.Bytes
	payload := append([]byte(nil), d.Payload...)
	s.c.obey(s.subject(hub.Send, eventsIn(format, payload)), fate{
		pass: func() { s.take(id, format, settled, size, payload) },
		late: func() { // the burst is the reader's, so a late event gets one of its own
			late := &sender{c: s.c, l: s.l, h: s.h, p: s.p, publisher: s.publisher, limit: s.limit, link: s.link, acks: s.acks}
			late.take(id, format, settled, size, payload)
			late.Flush()
		},
		refuse: func(e *refusal) { s.reject(id, settled, size, e) },
		detach: func(e *refusal) { s.l.Done(size); s.detach(e) },
		give:   func() { s.l.Done(size) },
		line:   s.sends,
		count:  s.link,
	})
}

// eventsIn counts the events of a delivery, as far as it can be read.
func eventsIn(format uint32, payload []byte) int {
	var b event.Batch
	if format != amqp.FormatBatch || b.Open(payload) != nil {
		return 1
	}
	n := 0
	for m, err := b.Next(); m != nil && err == nil; m, err = b.Next() {
		n++
	}
	return n
}

func (s *sender) subject(op hub.Op, records int) hub.Subject {
	return hub.Subject{Op: op, Namespace: s.h.Namespace().Name(), Hub: s.h.Name(), Partition: s.at(),
		Client: s.c.c.ContainerID(), Agent: s.c.agent, Link: s.l.Request().Name, Records: records}
}

// at is the index of the link's partition, or -1.
func (s *sender) at() int {
	if s.p == nil {
		return -1
	}
	return s.p.Index()
}

// take adds one delivery, an event or a batch of events, to the burst.
func (s *sender) take(id, format uint32, settled bool, size int, payload []byte) {
	var err *refusal
	switch {
	case payload == nil && size > 0:
		err = s.c.errorf(amqp.CondMessageSizeExceeded, noSystem,
			"The received message (delivery-id:%d, size:%d bytes) exceeds the limit (%d bytes) currently allowed on the link.", id, size, s.limit)
	case format == amqp.FormatBatch:
		err = s.takeBatch(id, settled, size, payload)
	default:
		err = s.takeEvent(id, settled, size, payload)
	}
	if err != nil {
		s.c.log.Warn("event refused", "remote", s.c.c.RemoteAddr(), "hub", s.h.Name(), "condition", err.Condition, "reason", err.Description)
		s.reject(id, settled, size, err)
	}
}

// reject answers a delivery with an error, if it wants an answer, and tells the hall.
func (s *sender) reject(id uint32, settled bool, size int, e *refusal) {
	s.c.report(s.subject(hub.Send, 1), e)
	if settled {
		s.l.Done(size)
		return
	}
	s.l.Settle(id, id, size, amqp.Rejected(e.Error))
}

func (s *sender) takeEvent(id uint32, settled bool, size int, payload []byte) *refusal {
	if err := s.message.Scan(payload); err != nil {
		return s.malformed(err)
	}
	key, _ := s.message.Key()
	b := s.batchFor(key)
	b.add(&s.message, s.publisherKey())
	b.acknowledge(id, settled, size)
	return nil
}

// takeBatch adds the events of a batch, all or none: one partition, one moment.
func (s *sender) takeBatch(id uint32, settled bool, size int, payload []byte) *refusal {
	if err := s.batch.Open(payload); err != nil {
		return s.malformed(err)
	}
	key := s.batch.Key()
	if publisher := s.publisherKey(); publisher != nil {
		key = publisher
	}
	b := s.batchFor(key)
	mark := b.mark()
	for {
		message, err := s.batch.Next()
		if err == nil && message != nil {
			err = s.message.Scan(message)
		}
		if err != nil {
			b.undo(mark)
			return s.malformed(err)
		}
		if message == nil {
			break
		}
		b.add(&s.message, key)
	}
	b.acknowledge(id, settled, size)
	return nil
}

func (s *sender) malformed(err error) *refusal {
	return s.c.errorf(amqp.CondDecodeError, systemOf(s.h, s.p, ""), "The message is not valid AMQP: %v.", err)
}

// publisherKey is the key that a publisher address forces on its events.
func (s *sender) publisherKey() []byte {
	if s.publisher == "" {
		return nil
	}
	return []byte(s.publisher)
}

// batchFor finds the burst's batch for the partition the next delivery goes to: the link's own, the key's, or the next in turn.
func (s *sender) batchFor(key []byte) *sendBatch {
	p := s.p
	if publisher := s.publisherKey(); p == nil && publisher != nil {
		key = publisher
	}
	switch {
	case p != nil:
	case key != nil:
		p = s.h.PartitionAt(s.h.Place(key))
	default:
		p = s.h.PartitionAt(s.h.Next())
	}
	for i, b := range s.open {
		if b.p != p {
			continue
		}
		if b.bytes < burstBytesMax {
			return b
		}
		s.open[i] = nil
		b.More = true
		b.append()
		s.open[i] = s.c.svc.batches.take(s, p) // behind the append: what comes next lies behind it
		return s.open[i]
	}
	b := s.c.svc.batches.take(s, p)
	s.open = append(s.open, b)
	return b
}

// Flush appends the burst.
func (s *sender) Flush() {
	for i, b := range s.open {
		s.open[i] = nil
		b.More = i+1 < len(s.open)
		b.append()
	}
	s.open = s.open[:0]
}

func (s *sender) Detached() {
	s.forget()
	s.link.Close()
}

// sendBatch is a burst on its way into one partition, with what is to be acknowledged once it is stored. It is the log's from append on
// until done.
type sendBatch struct {
	eventlog.Batch
	pool  *batchPool
	s     *sender
	p     *hub.Partition
	heads []byte         // of the envelopes, one behind the other; their sections lie in the reader's buffer until append
	ends  []int          // where each head ends
	bytes int            // of the envelopes
	ahead eventlog.Ahead // where they will lie
	acks  []ack

	counted int // deliveries that count as unsettled at the hall's link
}

// ack is a run of deliveries with consecutive ids.
type ack struct {
	first, last uint32
	bytes       int
	settled     bool
}

type batchPool struct{ pool sync.Pool }

const batchKeepMax = 512 << 10

func (p *batchPool) take(s *sender, to *hub.Partition) *sendBatch {
	b, ok := p.pool.Get().(*sendBatch)
	if !ok {
		b = &sendBatch{pool: p}
		b.Done = b.done
	}
	b.s, b.p, b.ahead = s, to, to.Log().Ahead()
	return b
}

func (b *sendBatch) add(m *event.Message, batchKey []byte) {
	start := len(b.heads)
	b.heads = m.AppendHead(b.heads, batchKey)
	b.ends = append(b.ends, len(b.heads))
	b.Records = append(b.Records, eventlog.Record{Step: event.Step(m.Length()), Tail: m.Sections()})
	n := len(b.heads) - start + len(m.Sections())
	b.ahead.Prepare(b.bytes, n)
	b.bytes += n
}

// batchMark is how far a batch was filled.
type batchMark struct{ records, heads, bytes int }

func (b *sendBatch) mark() batchMark { return batchMark{len(b.Records), len(b.heads), b.bytes} }

func (b *sendBatch) undo(to batchMark) {
	clear(b.Records[to.records:]) // a pooled batch must not hold the reader's buffer
	b.Records, b.ends, b.heads, b.bytes = b.Records[:to.records], b.ends[:to.records], b.heads[:to.heads], to.bytes
}

func (b *sendBatch) acknowledge(id uint32, settled bool, size int) {
	if n := len(b.acks); n > 0 {
		if a := &b.acks[n-1]; a.settled == settled && a.last+1 == id {
			a.last, a.bytes = id, a.bytes+size
			return
		}
	}
	b.acks = append(b.acks, ack{id, id, size, settled})
}

// append gives the burst to the log. It may be done, and reused, before append returns.
func (b *sendBatch) append() {
	if len(b.Records) == 0 {
		b.done(nil)
		return
	}
	start := 0
	for i, end := range b.ends {
		b.Records[i].Data = b.heads[start:end:end]
		start = end
	}
	b.counted = len(b.acks)
	b.s.link.AddUnsettled(b.counted)
	b.p.Append(&b.Batch)
}

// done runs inside the log's Append or later, and must not block. What the deliveries come to is decided before they count as settled, and
// told after it.
func (b *sendBatch) done(*eventlog.Batch) {
	if len(b.Records) > 0 {
		b.s.link.Sent(len(b.Records), b.bytes)
	}
	switch {
	case b.Err != nil:
		b.fail(b.s.c.refusal(b.Err, systemOf(b.s.h, b.p, "")))
	case b.s.c.svc.o.Hall.Rules() == nil:
		b.settled()
		b.answer(amqp.DeliveryState{Code: amqp.CodeAccepted})
	default:
		b.answerByRules()
	}
	b.reset()
}

// settled takes the deliveries out of the count that append has put them in.
func (b *sendBatch) settled() {
	if b.counted > 0 {
		b.s.link.AddUnsettled(-b.counted)
	}
}

func (b *sendBatch) fail(e *refusal) {
	b.s.c.log.Warn("events not stored", "hub", b.s.h.Name(), "part", b.p.Index(), "records", len(b.Records), "err", b.Err)
	b.s.c.report(b.subject(hub.Send), e)
	b.settled()
	b.answer(amqp.Rejected(e.Error))
}

func (b *sendBatch) subject(op hub.Op) hub.Subject {
	subject := b.s.subject(op, len(b.Records))
	subject.Partition = b.p.Index()
	return subject
}

func (b *sendBatch) answer(state amqp.DeliveryState) {
	for _, a := range b.acks {
		if a.settled {
			b.s.l.Done(a.bytes)
		} else {
			b.s.l.Settle(a.first, a.last, a.bytes, state)
		}
	}
}

// answerByRules asks the rules whether what was stored is to be acknowledged. Until that is decided it counts as unsettled.
func (b *sendBatch) answerByRules() {
	late := &sendBatch{s: b.s, p: b.p, acks: slices.Clone(b.acks), counted: b.counted}
	subject := b.subject(hub.Stored)
	b.s.c.obey(subject, fate{
		pass: func() { late.settled(); late.answer(amqp.DeliveryState{Code: amqp.CodeAccepted}) },
		refuse: func(e *refusal) {
			late.s.c.report(subject, e)
			late.settled()
			late.answer(amqp.Rejected(e.Error))
		},
		detach: func(e *refusal) { late.free(); late.s.detach(e) },
		give:   late.free,
		line:   b.s.acks,
	})
}

// free gives the deliveries' bytes back without an answer.
func (b *sendBatch) free() {
	b.settled()
	for _, a := range b.acks {
		b.s.l.Done(a.bytes)
	}
	b.acks = nil
}

func (b *sendBatch) reset() {
	pool := b.pool
	clear(b.Records)
	clear(b.acks)
	b.Records, b.ends, b.acks, b.heads, b.bytes = b.Records[:0], b.ends[:0], b.acks[:0], b.heads[:0], 0
	b.s, b.p, b.ahead, b.counted, b.Err, b.First = nil, nil, eventlog.Ahead{}, 0, nil, eventlog.Position{}
	if cap(b.heads) <= batchKeepMax {
		pool.pool.Put(b)
	}
}

// cutter brings together the hall's wish to cut a link with the link's being attached, whichever comes first.
type cutter struct {
	mu  sync.Mutex
	why *hub.Error
	end func(*hub.Error)
}

func (c *cutter) run(why *hub.Error) {
	c.mu.Lock()
	end := c.end
	c.why = why
	c.mu.Unlock()
	if end != nil {
		end(why)
	}
}

func (c *cutter) ready(end func(*hub.Error)) {
	c.mu.Lock()
	c.end = end
	why := c.why
	c.mu.Unlock()
	if why != nil {
		end(why)
	}
}
