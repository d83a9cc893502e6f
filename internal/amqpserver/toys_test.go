package amqpserver

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/evhub-dev/evhub/internal/amqp"
)

// The toy nodes. The address of an attach says what stands behind it:
//
//	sink            settles what a burst has brought when it ends, as ranges
//	sink/each       settles every delivery as soon as it comes
//	sink/never      keeps it; the test settles
//	sink/reject     rejects each
//	sink/wide       as sink, with more credit that is restored later
//	source          sends what the test emits, settled
//	source/unsettled
//	pending/...     is answered by the test, later
//	refuse          is refused
const (
	toyCredit = 300
	toyRefill = 100
	toyWide   = 1000 // credit of a wide sink, restored at half
	toyBytes  = 1 << 20
)

var errToyRefusal = &amqp.Error{Condition: amqp.CondNotFound, Description: "There is no such toy."}

// toyHandler makes a container for each connection and finds links by name.
type toyHandler struct {
	t testing.TB

	mu      sync.Mutex // guards the fields below
	all     []*toyContainer
	sinks   map[string]*toySink   // by link name, the latest
	sources map[string]*toySource // same
	pending map[string]*Link      // same
	refuse  *amqp.Error           // of Container.Open
	opening func(*Conn)           // runs inside it; may be nil
}

func newToyHandler(t testing.TB) *toyHandler {
	return &toyHandler{t: t, sinks: make(map[string]*toySink), sources: make(map[string]*toySource), pending: make(map[string]*Link)}
}

func (h *toyHandler) Accept(c *Conn) Container {
	h.mu.Lock()
	defer h.mu.Unlock()
	k := &toyContainer{h: h, c: c}
	h.all = append(h.all, k)
	return k
}

// conn is the latest connection.
func (h *toyHandler) conn() *Conn {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.all[len(h.all)-1].c
}

func find[T any](h *toyHandler, in map[string]T, name string) T {
	h.mu.Lock()
	defer h.mu.Unlock()
	v, ok := in[name]
	if !ok {
		panic(fmt.Sprintf("BUG: no toy behind a link %q", name))
	}
	return v
}

func (w *world) sink(name string) *toySink     { return find(w.toys, w.toys.sinks, name) }
func (w *world) source(name string) *toySource { return find(w.toys, w.toys.sources, name) }
func (w *world) pending(name string) *Link     { return find(w.toys, w.toys.pending, name) }

// checkOver checks that every connection and link was told its end exactly once, links first.
func (h *toyHandler) checkOver() {
	h.t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, k := range h.all {
		if k.closed != 1 {
			h.t.Errorf("Closed ran %d times, want once", k.closed)
		}
		for _, end := range k.ends {
			if n := end(); n != 1 {
				h.t.Errorf("Detached ran %d times, want once", n)
			}
		}
		if left := k.c.inflight.Load() - k.unsettledBytes(); left != 0 {
			h.t.Errorf("%d bytes are in flight that no sink holds", left)
		}
		if k.c.partial != 0 {
			h.t.Errorf("%d bytes of unfinished deliveries are accounted for after the end", k.c.partial)
		}
	}
}

// toyContainer is what one connection finds.
type toyContainer struct {
	h       *toyHandler
	c       *Conn
	closed  int
	ends    []func() int // how often each accepted link was told its end
	sinks   []*toySink
	attachs int
}

func (k *toyContainer) Plain(user, password string) bool {
	return user == "user" && password == "secret"
}

func (k *toyContainer) Open(*amqp.Open) *amqp.Error {
	k.h.mu.Lock()
	defer k.h.mu.Unlock()
	if k.h.opening != nil {
		k.h.opening(k.c)
	}
	return k.h.refuse
}

func (k *toyContainer) Attach(l *Link) {
	k.h.mu.Lock()
	k.attachs++
	k.h.mu.Unlock()
	switch kind, _, _ := strings.Cut(addressOf(l), "/"); kind {
	case "sink":
		k.acceptSink(l)
	case "source":
		k.acceptSource(l)
	case "pending":
		k.h.mu.Lock()
		k.h.pending[l.Request().Name] = l
		k.h.mu.Unlock()
	default:
		l.Refuse(errToyRefusal)
	}
}

func addressOf(l *Link) string {
	r := l.Request()
	switch {
	case l.ClientSends() && r.Target != nil:
		return r.Target.Address.V
	case !l.ClientSends() && r.Source != nil:
		return r.Source.Address.V
	}
	return ""
}

func (k *toyContainer) acceptSink(l *Link) bool {
	s := &toySink{k: k, l: l, how: strings.TrimPrefix(addressOf(l), "sink/")}
	k.h.mu.Lock()
	k.h.sinks[l.Request().Name] = s
	k.sinks = append(k.sinks, s)
	k.ends = append(k.ends, s.ends)
	k.h.mu.Unlock()
	mode := l.Request().SndSettleMode.Or(amqp.SndMixed)
	a := Answer{SndSettleMode: mode, MessageBytes: toyBytes, Credit: toyCredit, Refill: toyRefill}
	if s.how == "wide" {
		a.Credit, a.Refill = toyWide, toyWide/2
	}
	if l.AcceptSink(s, a) {
		return true
	}
	k.forget()
	return false
}

func (k *toyContainer) acceptSource(l *Link) bool {
	s := &toySource{k: k, l: l, settled: addressOf(l) != "source/unsettled"}
	s.t = amqp.Transfer{DeliveryTag: []byte{}, MessageFormat: amqp.Some(uint32(0)), Batchable: amqp.Some(true)}
	s.told = sync.NewCond(&s.mu)
	if s.settled {
		s.t.Settled = amqp.Some(true)
	}
	k.h.mu.Lock()
	k.h.sources[l.Request().Name] = s
	k.ends = append(k.ends, s.ends)
	k.h.mu.Unlock()
	if l.AcceptSource(s, Answer{SndSettleMode: amqp.SndSettled, MessageBytes: toyBytes}) {
		return true
	}
	k.forget()
	return false
}

// forget takes back the last link: it was not accepted, and will hear nothing.
func (k *toyContainer) forget() {
	k.h.mu.Lock()
	defer k.h.mu.Unlock()
	k.ends = k.ends[:len(k.ends)-1]
}

func (k *toyContainer) Closed() {
	for _, end := range k.ends {
		if end() == 0 {
			k.h.t.Errorf("Closed ran before a link's Detached")
		}
	}
	k.h.mu.Lock()
	defer k.h.mu.Unlock()
	k.closed++
}

func (k *toyContainer) unsettledBytes() (n int64) {
	for _, s := range k.sinks {
		s.mu.Lock()
		for _, d := range s.open {
			n += int64(d.Bytes)
		}
		s.mu.Unlock()
	}
	return n
}

// toySink keeps what it gets.
type toySink struct {
	k   *toyContainer
	l   *Link
	how string

	mu       sync.Mutex
	got      []string   // payloads; "oversize N" for those that were too large
	lent     [][]byte   // payloads since the last Flush, which must stay as they are until it returns
	all      []Delivery // without payload
	open     []Delivery // not settled yet
	burst    int        // deliveries since the last Flush
	flushes  int
	detached int
}

func (s *toySink) Deliver(d *Delivery) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.detached > 0 {
		s.k.h.t.Errorf("Deliver after Detached")
	}
	s.burst++
	text := string(d.Payload)
	if d.Payload == nil {
		text = fmt.Sprintf("oversize %d", d.Bytes)
	}
	s.got = append(s.got, text)
	s.lent = append(s.lent, d.Payload)
	copied := *d
	copied.Payload = nil
	s.all = append(s.all, copied)
	s.open = append(s.open, copied)
	switch s.how {
	case "each":
		s.settleLocked(taken)
	case "reject":
		s.settleLocked(busy)
	}
}

var (
	taken = amqp.Accepted()
	busy  = amqp.Rejected(&amqp.Error{Condition: amqp.CondServerBusy, Description: "busy"})
)

func (s *toySink) Flush() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, payload := range s.lent {
		if text := s.got[len(s.got)-len(s.lent)+i]; payload != nil && string(payload) != text {
			s.k.h.t.Errorf("a payload changed between Deliver and Flush: %.40q became %.40q", text, payload)
		}
	}
	s.lent = s.lent[:0]
	if s.detached > 0 || s.burst == 0 {
		s.k.h.t.Errorf("Flush after %d deliveries, detached %d times", s.burst, s.detached)
	}
	s.burst = 0
	s.flushes++
	if s.how == "sink" {
		s.settleLocked(taken)
	}
}

// settle settles all that is open, in one call for each run of ids.
func (s *toySink) settle(state amqp.DeliveryState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settleLocked(state)
}

func (s *toySink) settleLocked(state amqp.DeliveryState) {
	for len(s.open) > 0 {
		first := s.open[0]
		last, bytes, n := first.ID, first.Bytes, 1
		for n < len(s.open) && s.open[n].ID == last+1 && !s.open[n].Settled && !first.Settled {
			last, bytes, n = last+1, bytes+s.open[n].Bytes, n+1
		}
		if first.Settled {
			s.l.Done(bytes)
		} else {
			s.l.Settle(first.ID, last, bytes, state)
		}
		s.open = s.open[n:]
	}
}

// settleOne settles one delivery.
func (s *toySink) settleOne(id uint32, state amqp.DeliveryState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.open, func(d Delivery) bool { return d.ID == id })
	s.l.Settle(id, id, s.open[i].Bytes, state)
	s.open = slices.Delete(s.open, i, i+1)
}

func (s *toySink) Detached() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.detached++
}

func (s *toySink) ends() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.detached
}

func (s *toySink) want(t *testing.T, payloads ...string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Equal(s.got, payloads) {
		t.Errorf("sink got %q, want %q", s.got, payloads)
	}
	s.got = nil
}

// toySource sends what it is told to.
type toySource struct {
	k       *toyContainer
	l       *Link
	settled bool
	t       amqp.Transfer // Fill's

	mu         sync.Mutex
	list       []string
	filling    bool
	creditLeft int // when the last Fill was done
	detached   int
	credits    []uint32
	told       *sync.Cond // on mu: credits has grown
	during     func()
	now        bool // the next emit is by ReadyNow: every other one
}

// emit adds events and says that they are there.
func (s *toySource) emit(events ...string) {
	s.mu.Lock()
	s.list = append(s.list, events...)
	now := s.now && s.during == nil // what runs during Fill may wait for the caller
	s.now = !now
	s.mu.Unlock()
	if now {
		s.l.ReadyNow()
		return
	}
	s.l.Ready()
}

// emitN adds n small events.
func (s *toySource) emitN(n int) { s.emit(slices.Repeat([]string{"event"}, n)...) }

// inFill has f run once on who writes, inside the source's next Fill, behind what that puts out: all that f does is done before the writer
// looks again.
func (s *toySource) inFill(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.during = f
}

func (s *toySource) Fill(out *Outbox) {
	s.mu.Lock()
	if s.detached > 0 || s.filling {
		s.k.h.t.Errorf("Fill while filling %v, detached %d times", s.filling, s.detached)
	}
	s.filling = true
	for out.Room() > 0 && len(s.list) > 0 {
		out.End(append(out.BeginSame(&s.t), s.list[0]...))
		s.list = s.list[1:]
	}
	s.creditLeft = out.Credit()
	during := s.during
	s.during = nil
	s.mu.Unlock()
	if during != nil {
		during()
	}
	s.mu.Lock()
	s.filling = false
	s.mu.Unlock()
}

func (s *toySource) Credit(n uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.credits = append(s.credits, n)
	s.told.Broadcast()
}

// waitCredits waits until the reader has told the source of credit n times.
func (s *toySource) waitCredits(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.credits) < n {
		s.told.Wait()
	}
}

func (s *toySource) Detached() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.filling {
		s.k.h.t.Errorf("Detached while filling")
	}
	s.detached++
}

func (s *toySource) ends() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.detached
}

func (s *toySource) left() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.list)
}
