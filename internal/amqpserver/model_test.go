package amqpserver

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evhub-dev/evhub/internal/amqp"
)

// The model is a client that does random things, right and wrong, and knows what may come of each. It counts in 64 bits from 0; on the
// wire the counts start just below the wrap of 32 bits.
//
// Checked with every frame: the credit and window that were granted are not exceeded, delivery ids are consecutive, deliveries are whole
// and in order, each is settled at most once, handles are the lowest free, flows tell the truth. Checked whenever nothing moves any more:
// what could be delivered was, what could be settled was, a breach has cost what it must, and the engine's counts are the model's.
type model struct {
	t        *testing.T
	w        *world
	c        *client
	data     []byte // what to do
	sessions [3]*modelSession
	names    int
	closed   bool // a breach has cost the connection
	history  strings.Builder
}

// Where counts start on the wire.
const (
	baseOutgoing = 1<<32 - 5  // our transfer ids
	baseDelivery = 1<<32 - 3  // our delivery ids
	baseIncoming = 1<<32 - 4  // the client's transfer ids
	baseSent     = 1<<32 - 6  // the client's delivery ids
	baseCount    = 1<<32 - 20 // delivery counts of all links
)

type modelSession struct {
	channel  uint16 // the client's
	ours     uint16 // the server's
	answered bool
	failed   bool                  // a breach has cost it
	links    [4]*modelLink         // by the client's handle
	handles  map[uint32]*modelLink // by the server's

	frames, window, windowMax int64 // from the server: came, granted, granted at any time since nothing moved
	deliveries                int64 // begun by the server
	toSettle                  map[uint32]time.Time
	asked                     map[uint32]bool // of these, the client has told an outcome and waits

	sentFrames, sentBefore int64 // by the client; before the latest step
	sent                   int64 // deliveries begun
	unanswered             map[uint32]*modelLink
}

type modelLink struct {
	name     string
	handle   uint32 // the client's
	server   uint32
	address  string
	l        *Link
	source   *toySource
	sink     *toySink
	answered bool
	detached bool // by the server
	breached bool // it has to be
	leaving  bool // the client has detached

	// where the client receives
	count, credit, creditMax int64 // deliveries that came, granted, granted at any time since nothing moved
	draining, mayDrain       bool  // a drain is to be answered; it was when the step began
	drainEnd                 int64 // the credit it asks to give back
	emitted, whole           int
	open                     []byte // the delivery at hand, nil between two

	// where the client sends
	sent      int64
	flows     int // came
	partial   bool
	partialID uint32
	settled   bool // the partial one
}

func FuzzSequences(f *testing.F) {
	for seed := range uint64(4) {
		f.Add(randomBytes(seed, 300))
	}
	f.Fuzz(runModel)
}

func TestRandomSequences(t *testing.T) {
	t.Parallel()
	for seed := range uint64(120) {
		runModel(t, randomBytes(seed, 100+int(seed)*4))
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func randomBytes(seed uint64, n int) []byte {
	rng, data := rand.New(rand.NewPCG(seed, 1)), make([]byte, n)
	for i := range data {
		data[i] = byte(rng.Uint32())
	}
	return data
}

func runModel(t *testing.T, data []byte) {
	playNow(t, Options{FirstOutgoingID: baseOutgoing, FirstDeliveryID: baseDelivery}, func(t *testing.T, w *world) {
		m := &model{t: t, w: w, data: data}
		defer func() {
			if t.Failed() {
				t.Logf("what happened:\n%s", m.history.String())
			}
		}()
		m.c = w.openWith(framesOf(512))
		for len(m.data) > 0 && !m.closed && !t.Failed() {
			m.step()
		}
		m.c.nc.Close()
	})
}

// pick takes a number below n from the data.
func (m *model) pick(n int) int {
	if len(m.data) == 0 {
		return 0
	}
	v := int(m.data[0]) % n
	m.data = m.data[1:]
	return v
}

func (m *model) note(format string, args ...any) { fmt.Fprintf(&m.history, format+"\n", args...) }

func (m *model) fail(format string, args ...any) {
	m.t.Helper()
	m.t.Fatalf(format, args...)
}

func (m *model) send(s *modelSession, p performative, payload string) {
	m.note("client ch%d %T%s %d bytes", s.channel, p, fieldsOf(p), len(payload))
	if _, ok := p.(*amqp.Transfer); ok {
		s.sentFrames++
	}
	m.c.send(on(s.channel, p).with(payload))
}

// step does one thing, or several that may meet each other on the way, and looks at what came of it.
func (m *model) step() {
	for _, s := range m.sessions {
		if s == nil {
			continue
		}
		s.sentBefore = s.sentFrames
		for _, l := range s.links {
			if l != nil {
				l.mayDrain = l.draining
			}
		}
	}
	if m.pick(3) > 0 {
		m.alone()
	} else {
		for range 2 + m.pick(5) {
			m.together()
		}
	}
	m.look()
	m.checkRest()
}

// together is what may go on while reader and writer are busy with what went before.
func (m *model) together() {
	s := m.sessions[m.pick(len(m.sessions))]
	if s == nil || s.failed {
		return
	}
	l := s.links[m.pick(4)]
	if l == nil || l.detached {
		return
	}
	switch what := m.pick(6); {
	case l.sink != nil:
		m.transfer(s, l)
	case what == 0:
		m.note("source %s is ready", l.name)
		l.l.Ready()
	case what == 1:
		m.sessionFlow(s)
	case what == 2:
		m.linkFlow(s, l, false)
	case what == 3:
		m.flowDuringFill(s, l, false)
	default:
		m.emit(l)
	}
}

// alone is what is looked at before anything else happens.
func (m *model) alone() {
	channel := m.pick(len(m.sessions))
	s := m.sessions[channel]
	if s == nil {
		m.begin(uint16(channel))
		return
	}
	handle := m.pick(4)
	l := s.links[handle]
	switch {
	case s.failed:
		m.end(s)
	case l == nil:
		m.attach(s, uint32(handle))
	case l.detached:
		m.detach(s, l)
	case l.source != nil:
		m.aloneWithSource(s, l)
	default:
		m.aloneWithSink(s, l)
	}
}

func (m *model) aloneWithSource(s *modelSession, l *modelLink) {
	switch m.pick(14) {
	case 0:
		m.settle(s)
	case 12, 13:
		m.flowDuringFill(s, l, m.pick(2) == 0)
	case 1, 2:
		m.linkFlow(s, l, true)
	case 3:
		m.sessionFlow(s)
	case 4, 5:
		m.linkFlow(s, l, false)
	case 6:
		m.anyLink(s, l)
	default:
		m.emit(l)
	}
}

func (m *model) aloneWithSink(s *modelSession, l *modelLink) {
	switch m.pick(8) {
	case 0, 1:
		m.note("sink %s settles", l.name)
		l.sink.settle(taken)
	case 2:
		m.anyLink(s, l)
	case 3:
		for range 60 {
			m.transfer(s, l)
		}
	default:
		m.transfer(s, l)
	}
}

func (m *model) anyLink(s *modelSession, l *modelLink) {
	switch m.pick(12) {
	case 0, 1, 2:
		m.detach(s, l)
	case 3, 4:
		m.breakLink(s, l)
	case 5:
		m.breakSession(s, l)
	case 6:
		m.note("the server detaches %s", l.name)
		l.breached = true
		l.l.Detach(nil)
	case 7:
		m.end(s)
	case 8:
		m.breakConnection(s)
	default:
		m.note("31 s pass")
		m.c.send(heartbeat)
		time.Sleep(31 * time.Second)
	}
}

func (m *model) begin(channel uint16) {
	n := []int64{0, 1, 2, 7, 30, 5000}[m.pick(6)]
	s := &modelSession{channel: channel, handles: make(map[uint32]*modelLink), window: n, windowMax: n, toSettle: make(map[uint32]time.Time),
		asked: make(map[uint32]bool), unanswered: make(map[uint32]*modelLink)}
	m.sessions[channel] = s
	m.send(s, &amqp.Begin{NextOutgoingID: baseIncoming, IncomingWindow: uint32(n), OutgoingWindow: 5000}, "")
}

func (m *model) end(s *modelSession) {
	m.send(s, &amqp.End{}, "")
	if s.failed { // the server has ended it before
		m.sessions[s.channel] = nil
	}
}

func (m *model) attach(s *modelSession, handle uint32) {
	m.names++
	l := &modelLink{name: fmt.Sprint("link ", m.names), handle: handle}
	s.links[handle] = l
	l.address = []string{"refuse", "sink", "sink/each", "sink/never", "source", "source", "source/unsettled"}[m.pick(7)]
	if strings.HasPrefix(l.address, "sink") {
		m.send(s, attachSink(l.name, handle, l.address), "")
	} else {
		m.send(s, attachSource(l.name, handle, l.address), "")
	}
	synctest.Wait()
	switch {
	case l.address == "refuse":
		l.breached = true
		return
	case strings.HasPrefix(l.address, "sink"):
		l.sink = m.w.sink(l.name)
		l.l = l.sink.l
		l.l.delivered.Store(baseCount)
		l.l.taken = baseCount
	default:
		l.source = m.w.source(l.name)
		l.l = l.source.l
		m.locked(func() { l.l.count, l.l.end = baseCount, baseCount })
	}
}

// locked reads or sets what the connection's mutex guards.
func (m *model) locked(f func()) {
	c := m.w.toys.conn()
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
}

func (m *model) detach(s *modelSession, l *modelLink) {
	l.leaving = true
	m.send(s, detached(l.handle, nil), "")
	if l.detached {
		m.forget(s, l)
	}
}

func (m *model) forget(s *modelSession, l *modelLink) {
	s.links[l.handle] = nil
	delete(s.handles, l.server)
}

func (m *model) emit(l *modelLink) {
	n := 1 + m.pick(6)
	m.note("source %s has %d more from %d on", l.name, n, l.emitted)
	for range n {
		size := []int{0, 0, 20, 475, 700, 3000}[m.pick(6)]
		l.source.emit(fmt.Sprintf("%08d", l.emitted) + strings.Repeat("x", size))
		l.emitted++
	}
}

// sessionFlow opens the window, or closes it. Some of it may be about what the client had not seen yet.
func (m *model) sessionFlow(s *modelSession) {
	m.send(s, m.flow(s), "")
}

func (m *model) flow(s *modelSession) *amqp.Flow {
	n, late := []int64{0, 1, 2, 5, 40, 5000}[m.pick(6)], int64(m.pick(3))
	seen := max(0, s.frames-late)
	s.window = seen + n
	s.windowMax = max(s.windowMax, s.window)
	return &amqp.Flow{NextIncomingID: amqp.Some(uint32(baseOutgoing + seen)), IncomingWindow: uint32(n),
		NextOutgoingID: uint32(baseIncoming + s.sentFrames), OutgoingWindow: uint32(m.pick(256)), Echo: amqp.Some(m.pick(4) == 0)}
}

func (m *model) linkFlow(s *modelSession, l *modelLink, drain bool) {
	p := m.creditFlow(s, l, drain)
	m.drains(l, drain)
	m.send(s, p, "")
}

func (m *model) drains(l *modelLink, drain bool) {
	if l.draining = drain; drain {
		l.drainEnd = l.credit
	}
}

// flowDuringFill has a flow, of the link or of its session only, arrive while the writer is busy with the link, if credit and window let
// it be.
func (m *model) flowDuringFill(s *modelSession, l *modelLink, drain bool) {
	synctest.Wait()
	credit, window := l.credit, s.window
	p := m.creditFlow(s, l, drain)
	if l.credit == credit {
		p = &amqp.Flow{NextIncomingID: p.NextIncomingID, IncomingWindow: p.IncomingWindow, NextOutgoingID: p.NextOutgoingID}
	}
	sent, arrived := false, false
	l.source.inFill(func() {
		m.note("during a fill of %s:", l.name)
		m.send(s, p, "")
		sent = true
		for n := 0; !arrived && n < 1e7; n++ {
			runtime.Gosched()
			m.locked(func() {
				arrived = l.l.s.window == uint32(max(0, int32(p.NextIncomingID.V+p.IncomingWindow-l.l.s.outgoingID)))
			})
		}
	})
	m.emit(l)
	synctest.Wait()
	l.source.inFill(nil)
	switch {
	case !sent: // the link has nothing to send, or may not
		l.credit, s.window = credit, window
	case !arrived:
		m.fail("the window of a flow that came during a fill does not show")
	case p.Handle.Set:
		m.drains(l, drain)
	}
}

func (m *model) creditFlow(s *modelSession, l *modelLink, drain bool) *amqp.Flow {
	p := m.flow(s)
	n, late := []int64{0, 1, 2, 5, 40, 1<<32 - 1}[m.pick(6)], int64(m.pick(3))
	seen := max(0, l.count-late)
	l.credit = seen + min(n, creditMax)
	l.creditMax = max(l.creditMax, l.credit)
	p.Handle, p.DeliveryCount = amqp.Some(l.handle), amqp.Some(uint32(baseCount+seen))
	p.LinkCredit, p.Drain = amqp.Some(uint32(n)), amqp.Some(drain)
	return p
}

// settle tells outcomes of a range of deliveries, some of which may have been settled already or never were.
func (m *model) settle(s *modelSession) {
	first := uint32(baseDelivery + max(0, s.deliveries-int64(m.pick(20))))
	p := settles(first, first+uint32(m.pick(8)), m.pick(2) == 0, amqp.Accepted())
	for id := first; id != p.Last.Or(p.First)+1; id++ {
		if _, ok := s.toSettle[id]; ok {
			delete(s.toSettle, id)
			if !p.Settled.V {
				s.asked[id] = true
			}
		}
	}
	m.send(s, p, "")
}

// transfer begins a delivery, or goes on with one.
func (m *model) transfer(s *modelSession, l *modelLink) {
	payload := fmt.Sprintf("delivery %d of %s", l.sent, l.name)
	if l.partial {
		p := &amqp.Transfer{Handle: l.handle}
		switch m.pick(6) {
		case 0:
			p.More = true
		case 1:
			p.DeliveryID = amqp.Some(l.partialID)
		case 2:
			p.Aborted = amqp.Some(true)
		case 3:
			p.Settled, l.settled = amqp.Some(true), true
		}
		if l.partial = p.More; !p.More && !l.settled && !p.Aborted.V {
			s.unanswered[l.partialID] = l
		}
		m.send(s, p, payload)
		return
	}
	id := uint32(baseSent + s.sent)
	s.sent++
	l.sent++
	p := transfer(l.handle, id)
	what := m.pick(8)
	l.settled = what&1 == 0
	if l.settled {
		p.Settled = amqp.Some(true)
	}
	switch {
	case what < 3:
		p.More, l.partial, l.partialID = true, true, id
	case what == 3:
		p.Aborted = amqp.Some(true)
	case !l.settled:
		s.unanswered[id] = l
	}
	m.send(s, p, payload)
}

// breakLink does what costs a client its link.
func (m *model) breakLink(s *modelSession, l *modelLink) {
	l.breached = true
	p := transfer(l.handle, uint32(baseSent+s.sent))
	if l.partial {
		p.DeliveryID.V = l.partialID + 1
	} else {
		p.DeliveryID.Set = false
	}
	m.send(s, p, "")
}

// breakSession does what costs a client its session.
func (m *model) breakSession(s *modelSession, l *modelLink) {
	s.failed = true
	switch m.pick(4) {
	case 0:
		m.send(s, attachSink("another", l.handle, "sink"), "")
	case 1:
		m.send(s, transfer(77, 0), "")
	case 2:
		m.send(s, credit(77, 0, 1), "")
	case 3:
		m.send(s, detached(77, nil), "")
	}
}

func (m *model) breakConnection(s *modelSession) {
	m.closed = true
	switch m.pick(4) {
	case 0:
		m.send(s, &clientBegin, "")
	case 1:
		m.send(s, rawPerformative("\x00\x53\x14\xc0\x05\x01"), "")
	case 2:
		m.send(s, rawPerformative("\x00\x53\x99\x45"), "")
	case 3:
		m.send(&modelSession{channel: 99}, &amqp.End{}, "")
	}
}
