package eventhubs

import (
	"errors"
	"net"
	"slices"
	"sync/atomic"

	"github.com/evhub-dev/evhub/internal/amqp"
	"github.com/evhub-dev/evhub/internal/amqpserver"
	"github.com/evhub-dev/evhub/internal/auth"
	"github.com/evhub-dev/evhub/internal/event"
	"github.com/evhub-dev/evhub/internal/eventlog"
	"github.com/evhub-dev/evhub/internal/hub"
)

// What the goroutine that stored events delivers itself, at most.
const (
	promptMax      = 4        // events
	promptBytesMax = 16 << 10 // of offsets, which are a little more than the events' bytes
)

const capabilityRuntime amqp.Symbol = "com.microsoft:enable-receiver-runtime-metric"

// Names under which a client gives its receiver's name; Rust mistypes it.
var propReceiverName = []string{"com.microsoft:receiver-name", "com.microsoft.com:receiver-name"}

// attachReceiver answers a client that receives the events of a partition. Where it starts is found first, so that a position that is
// refused displaces no other reader.
func (c *conn) attachReceiver(l *amqpserver.Link, a address) {
	h, grant, refused := c.entity(a, auth.Listen)
	if refused != nil {
		c.refuse(l, a, refused)
		return
	}
	r := &receiver{c: c, l: l, h: h, group: a.group, grant: grant, address: a}
	if refused := r.prepare(); refused != nil {
		c.refuse(l, a, refused)
		return
	}
	subject := r.subject(hub.Attach)
	c.obey(subject, fate{refuse: func(e *refusal) { c.refuse(l, a, e) }, pass: r.seek})
}

// receiver gives a client the events of one partition.
type receiver struct {
	c       *conn
	l       *amqpserver.Link
	h       *hub.Hub
	p       *hub.Partition
	log     eventlog.Log
	group   string
	grant   auth.Grant
	address address
	link    *hub.Link
	forget  func()

	start    start
	selector string
	filtered bool
	runtime  bool // the client wants the partition's end told with each event

	// Fill's
	next    int64
	read    eventlog.Records
	watcher eventlog.Watcher
	waits   waitPoint
	t       amqp.Transfer
	extra   []byte       // the delivery annotations of the read at hand
	verdict *hub.Verdict // about the event at hand, which has waited its delay; nil: the rules are to be asked

	paused atomic.Bool // nothing is delivered; set by Fill
}

// prepare checks what the client asked for.
func (r *receiver) prepare() *refusal {
	if r.group == "" || r.address.partition == "" {
		return r.c.invalidAddress()
	}
	p, err := r.h.Partition(r.address.partition)
	if err != nil {
		return r.c.refusal(err, systemOf(r.h, nil, ""))
	}
	r.p, r.log = p, p.Log()
	request := r.l.Request()
	r.start = earliest
	r.selector, r.filtered, err = selectorOf(request.Source.Filter)
	if err == nil && r.filtered {
		r.start, err = parseSelector(r.selector)
	}
	if err != nil {
		return r.c.errorf(amqp.CondArgumentError, r.system(), "%s.", upperFirst(err.Error()))
	}
	r.runtime = slices.Contains(request.DesiredCapabilities, capabilityRuntime)
	return nil
}

func (r *receiver) system() string { return systemOf(r.h, r.p, r.group) }

func (r *receiver) subject(op hub.Op) hub.Subject {
	return hub.Subject{Op: op, Namespace: r.h.Namespace().Name(), Hub: r.h.Name(), Partition: r.p.Index(), Group: r.group,
		Client: r.c.c.ContainerID(), Agent: r.c.agent, Link: r.l.Request().Name}
}

// seek finds the first record, which a log on disk may do later.
func (r *receiver) seek() {
	if r.start.latest {
		s := r.p.State()
		at := s.Next
		if !r.start.query.After && !s.Empty() {
			at = s.Last
		}
		r.attach(at, nil)
		return
	}
	r.p.Seek(r.start.query, r.attach)
}

func (r *receiver) attach(at eventlog.Position, err error) {
	cut := &cutter{}
	if err == nil {
		r.next = at.Seq
		r.link, err = r.h.OpenLink(r.info(), cut.run)
	}
	if err != nil {
		r.c.refuse(r.l, r.address, r.c.refusal(err, r.system()))
		return
	}
	r.watcher.Wake = r.wake
	r.t = amqp.Transfer{
		DeliveryTag:   []byte{},
		MessageFormat: amqp.Some(uint32(amqp.FormatMessage)),
		Settled:       amqp.Some(true),
		Batchable:     amqp.Some(true),
	}
	r.forget = r.c.rest(&hold{auth.Listen, r.address.path, r.detach})
	if !r.l.AcceptSource(r, r.answer()) {
		r.Detached()
		return
	}
	cut.ready(func(e *hub.Error) {
		r.c.log.Info("receiver cut", "hub", r.h.Name(), "part", r.p.Index(), "group", r.group, "reason", e.Text)
		r.detach(r.c.refusal(e, r.system()))
	})
}

// detach ends the link and tells the hall why.
func (r *receiver) detach(e *refusal) {
	r.c.report(r.subject(hub.Deliver), e)
	r.l.Detach(e.Error)
}

func (r *receiver) info() hub.LinkInfo {
	info := hub.LinkInfo{Kind: hub.Reader, Partition: r.p.Index(), Group: r.group, Client: r.c.c.ContainerID(), Agent: r.c.agent,
		Principal: r.grant.Principal}
	properties := r.l.Request().Properties
	for _, key := range propReceiverName {
		if v, ok := properties.Lookup(key); ok {
			info.Name, _ = v.(string)
		}
	}
	if v, ok := properties.Lookup(propEpoch); ok {
		info.Epoch, info.HasEpoch = integer(v)
	}
	return info
}

// integer takes any integer type: clients encode an epoch as they like.
func integer(v any) (int64, bool) {
	switch n := v.(type) {
	case int64:
		return n, true
	case int32:
		return int64(n), true
	case int16:
		return int64(n), true
	case int8:
		return int64(n), true
	case uint64:
		return int64(n), n < 1<<63
	case uint32:
		return int64(n), true
	case uint16:
		return int64(n), true
	case uint8:
		return int64(n), true
	}
	return 0, false
}

// answer: settled whatever the client asked, the filter under the service's own number, no capability offered (all recorded).
func (r *receiver) answer() amqpserver.Answer {
	request := r.l.Request()
	a := amqpserver.Answer{
		SndSettleMode: sndSettled,
		RcvSettleMode: request.RcvSettleMode.Or(rcvFirst),
		MessageBytes:  wishOr(request, 1<<64-1),
		Source:        &amqp.Source{Address: request.Source.Address},
	}
	if r.filtered {
		a.Source.Filter = echoFilter(r.selector)
	}
	if request.Properties != nil {
		a.Properties = r.properties()
	}
	return a
}

func (r *receiver) properties() amqp.Map {
	m := append(amqp.Map{{Key: amqp.Symbol(propTimeout), Value: uint32(65000)}}, r.c.backend(r.grant)...)
	m = append(m,
		amqp.Pair{Key: amqp.Symbol("client-auth-id"), Value: r.grant.Principal},
		amqp.Pair{Key: amqp.Symbol("client-auth-type"), Value: int32(2)},
		amqp.Pair{Key: amqp.Symbol("client-ip"), Value: clientIP(r.c.c.RemoteAddr())},
		amqp.Pair{Key: amqp.Symbol("client-network-type"), Value: int32(1)})
	if v, ok := r.l.Request().Properties.Lookup(propEpoch); ok {
		m = append(m, amqp.Pair{Key: amqp.Symbol(propEpoch), Value: v})
	}
	return m
}

func clientIP(a net.Addr) string {
	host, _, err := net.SplitHostPort(a.String())
	if err != nil {
		return a.String()
	}
	return host
}

// Credit tells the hall that the client waits for events.
func (r *receiver) Credit(n uint32) { r.link.SetCredit(n) }

// Fill puts out what the log has, up to the client's credit.
func (r *receiver) Fill(out *amqpserver.Outbox) {
	if r.paused.Load() {
		return // resumed by the delay's end
	}
	records, bytes := 0, 0
	for out.Room() > 0 {
		if !r.load(out.Room()) {
			break
		}
		for i := 0; i < len(r.read.List) && out.Room() > 0 && !r.paused.Load(); i++ {
			rec := &r.read.List[i]
			if (r.verdict != nil || r.c.svc.o.Hall.Rules() != nil) && !r.ruled() {
				break
			}
			r.put(out, rec)
			records, bytes = records+1, bytes+len(rec.Data)
			r.next = rec.Seq + 1
		}
		r.read.Release()
		if r.paused.Load() {
			break
		}
	}
	if records > 0 {
		r.link.Sent(records, bytes)
		r.link.SetCredit(uint32(out.Credit()))
	}
}

// wake has new records delivered. A few are written by the goroutine that stored them, if it has no other reader to wake: to wake the
// connection's writer would cost more, and the event would wait for that. What takes longer is the writer's, and so is whatever rules are
// to be asked about, since a delay or an error of theirs is not the storing client's business.
func (r *receiver) wake(last bool) {
	if last && r.c.svc.o.Hall.Rules() == nil && r.waits.few(r.log) {
		r.l.ReadyNow()
		return
	}
	r.l.Ready()
}

// waitPoint is where the log ended for a receiver when its watcher was told to wait. It is read on any goroutine.
type waitPoint struct{ seq, offset atomic.Int64 }

func (p *waitPoint) set(seq, offset int64) {
	p.seq.Store(seq)
	p.offset.Store(offset)
}

// few says whether what the log has behind the point is little, so that its delivery is soon done.
func (p *waitPoint) few(log eventlog.Log) bool {
	next := log.State().Next
	return next.Seq-p.seq.Load() <= promptMax && next.Offset-p.offset.Load() <= promptBytesMax
}

// load reads the next records. If there are none it asks to be woken, and says false.
func (r *receiver) load(bytesMax int) bool {
	for {
		err := r.log.Read(r.next, bytesMax, &r.read)
		if err != nil {
			if trimmed, ok := errors.AsType[*eventlog.TrimmedError](err); ok {
				r.c.log.Warn("reader fell behind: events were dropped before it read them", "hub", r.h.Name(), "part", r.p.Index(), "group", r.group,
					"from", r.next, "to", trimmed.First)
				r.next = trimmed.First
				continue
			}
			r.detach(r.c.refusal(err, r.system()))
			return false
		}
		if len(r.read.List) == 0 {
			r.waits.set(r.next, r.log.State().Next.Offset)
			r.log.Watch(r.next, &r.watcher)
			return false
		}
		if r.runtime {
			r.extra = event.AppendRuntime(r.extra[:0], event.Runtime{Last: event.Position(r.log.State().Last), RetrievedMs: r.c.svc.o.Clock.Now().UnixMilli()})
		}
		return true
	}
}

func (r *receiver) put(out *amqpserver.Outbox, rec *eventlog.Record) {
	stored, err := event.Open(rec.Data)
	if err != nil {
		panic("BUG: the log holds what is no event: " + err.Error())
	}
	b := append(out.BeginSame(&r.t), r.extra...)
	out.End(stored.AppendMessage(b, event.Position(rec.Position)))
}

// ruled asks the rules about the event at hand. It says whether to deliver it now; if not, the turn ends, or goes on elsewhere in the log.
func (r *receiver) ruled() bool {
	v := r.verdict
	r.verdict = nil
	subject := r.subject(hub.Deliver)
	subject.Records = 1
	if v == nil {
		rules := r.c.svc.o.Hall.Rules()
		if rules == nil {
			return true
		}
		asked := rules.Ask(&subject)
		v = &asked
		if v.Delay > 0 {
			r.delay(v)
			return false
		}
	}
	switch {
	case v.Action == hub.Rewind:
		r.next = max(r.next-v.Back, r.log.State().First)
		r.verdict = &hub.Verdict{} // what is there now is delivered: a rule that always rewinds must not hold the writer
		return false
	case r.c.act(subject, *v, fate{refuse: r.detach}):
		return true
	}
	r.paused.Store(true) // the link has ended, or stays up and silent
	return false
}

// delay keeps a verdict for later.
func (r *receiver) delay(v *hub.Verdict) {
	r.verdict = v
	r.paused.Store(true)
	r.c.svc.o.Clock.AfterFunc(v.Delay, func() {
		r.paused.Store(false)
		r.l.Ready()
	})
}

// Detached gives back what the receiver holds.
func (r *receiver) Detached() {
	r.log.Unwatch(&r.watcher)
	r.read.Release()
	r.forget()
	r.link.Close()
}
