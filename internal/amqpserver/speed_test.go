package amqpserver

import (
	"encoding/binary"
	"fmt"
	"net"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/evhub-dev/evhub/internal/amqp"
)

const (
	swiftCredit = 1000
	swiftRefill = 100
	swiftBytes  = 1000 // of an event
)

// swift is a container whose nodes cost nothing: a sink that accepts bursts, and a source that sends what a sink of the same server got,
// or as many events as it is told.
type swift struct {
	mu    sync.Mutex
	queue [][]byte // events between sink and source, or nil
	head  int
	free  [][]byte
	out   *swiftSource // the latest
}

func (s *swift) Accept(*Conn) Container      { return s }
func (s *swift) Plain(_, _ string) bool      { return false }
func (s *swift) Open(*amqp.Open) *amqp.Error { return nil }
func (s *swift) Closed()                     {}
func (s *swift) Attach(l *Link) {
	a := Answer{MessageBytes: 1 << 20, Credit: swiftCredit, Refill: swiftRefill}
	if l.ClientSends() {
		sink := &swiftSink{l: l}
		if addressOf(l) == "relay" {
			sink.to = s
		}
		l.AcceptSink(sink, a)
		return
	}
	source := &swiftSource{s: s, l: l}
	s.mu.Lock()
	s.out = source
	s.mu.Unlock()
	source.t = amqp.Transfer{DeliveryTag: []byte{}, MessageFormat: amqp.Some(uint32(0)), Settled: amqp.Some(true), Batchable: amqp.Some(true)}
	l.AcceptSource(source, a)
}

// make has the source send n events of some bytes.
func (s *swift) make(n, bytes int) {
	event := make([]byte, bytes)
	s.mu.Lock()
	out := s.out
	out.left, out.event = n, event
	s.mu.Unlock()
	out.l.Ready()
}

// pass hands an event over.
func (s *swift) pass(payload []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b []byte
	if n := len(s.free); n > 0 {
		b, s.free = s.free[n-1], s.free[:n-1]
	}
	if s.head == len(s.queue) {
		s.queue, s.head = s.queue[:0], 0
	}
	s.queue = append(s.queue, append(b[:0], payload...))
}

type swiftSink struct {
	l     *Link
	to    *swift
	first uint32
	n     uint32
	bytes int
}

func (s *swiftSink) Deliver(d *Delivery) {
	if s.n == 0 {
		s.first = d.ID
	}
	s.n, s.bytes = s.n+1, s.bytes+d.Bytes
	if s.to != nil {
		s.to.pass(d.Payload)
	}
}

func (s *swiftSink) Flush() {
	first, last, bytes := s.first, s.first+s.n-1, s.bytes
	s.n, s.bytes = 0, 0
	s.l.Settle(first, last, bytes, amqp.Accepted())
	if s.to != nil {
		s.to.out.l.Ready()
	}
}

func (s *swiftSink) Detached() {}

type swiftSource struct {
	s     *swift
	l     *Link
	t     amqp.Transfer
	left  int    // events it makes up; guarded by swift.mu, as
	event []byte // what each of them is
}

func (s *swiftSource) Fill(out *Outbox) {
	q := s.s
	q.mu.Lock()
	defer q.mu.Unlock()
	for out.Room() > 0 {
		switch {
		case q.head < len(q.queue):
			e := q.queue[q.head]
			q.head++
			out.End(append(out.Begin(&s.t), e...))
			q.free = append(q.free, e)
		case s.left > 0:
			s.left--
			out.End(append(out.Begin(&s.t), s.event...))
		default:
			return
		}
	}
}

func (s *swiftSource) Credit(uint32) {}
func (s *swiftSource) Detached()     {}

// pump is a raw client that allocates nothing once it runs.
type pump struct {
	t    testing.TB
	nc   net.Conn
	buf  []byte
	r, w int
	out  []byte

	id     uint32 // of the next delivery
	limit  uint32 // the delivery-count at which the credit ends
	sent   uint32
	acked  uint32 // ids below
	count  uint32 // deliveries received
	frames uint32 // same, in frames
}

const pumpFirstID = 1 << 24 // ids that all take the same number of bytes

// dialPump connects a pump with one session and one link under handle 0.
func dialPump(t testing.TB, srv *Server, attach *amqp.Attach) *pump {
	server, nc := pipe(1 << 20)
	srv.Go(server)
	return newPump(t, nc, attach)
}

func dialPumpTCP(t testing.TB, srv *Server, attach *amqp.Attach) *pump {
	server, nc := tcpPipe(t)
	srv.Go(server)
	return newPump(t, nc, attach)
}

func newPump(t testing.TB, nc net.Conn, attach *amqp.Attach) *pump {
	p := &pump{t: t, nc: nc, buf: make([]byte, 80<<10), id: pumpFirstID, acked: pumpFirstID}
	begin := clientBegin
	begin.IncomingWindow = 1<<31 - 1
	p.write(append(pipelined(clientOpen), encode(on(0, &begin), on(0, attach))...))
	p.read(amqp.ProtocolHeaderBytes)
	p.frame() // mechanisms
	p.frame() // outcome
	p.read(amqp.ProtocolHeaderBytes)
	for code := amqp.Code(0); code != amqp.CodeAttach; {
		code, _ = p.frame()
	}
	return p
}

func (p *pump) write(b []byte) {
	if _, err := p.nc.Write(b); err != nil {
		p.t.Fatal(err)
	}
}

func (p *pump) read(n int) []byte {
	for p.w-p.r < n {
		if len(p.buf)-p.r < n || p.r == p.w {
			p.w = copy(p.buf, p.buf[p.r:p.w])
			p.r = 0
		}
		got, err := p.nc.Read(p.buf[p.w:])
		if err != nil {
			p.t.Fatal(err)
		}
		p.w += got
	}
	p.r += n
	return p.buf[p.r-n : p.r]
}

func (p *pump) frame() (amqp.Code, []byte) {
	size := binary.BigEndian.Uint32(p.read(4))
	rest := p.read(int(size) - 4)
	body := rest[4:]
	if len(body) == 0 {
		return 0, nil
	}
	code, err := amqp.PeekCode(body)
	if err != nil {
		p.t.Fatal(err)
	}
	return code, body
}

// take reads one frame and notes what it says.
func (p *pump) take() {
	switch code, body := p.frame(); code {
	case amqp.CodeFlow:
		var f amqp.Flow
		f.Decode(body)
		p.limit = f.DeliveryCount.V + f.LinkCredit.V
	case amqp.CodeDisposition:
		var d amqp.Disposition
		d.Decode(body)
		p.acked = d.Last.Or(d.First) + 1
	case amqp.CodeTransfer:
		var x amqp.Transfer
		x.Decode(body)
		p.frames++
		if !x.More {
			p.count++
		}
	}
}

// deliver sends n events, as many at a time as credit and burst allow, and waits until all are acknowledged.
func (p *pump) deliver(n, burst int, frame []byte) {
	for end := p.id + uint32(n); p.acked != end; {
		p.out = p.out[:0]
		for i := 0; i < burst && p.id != end && p.sent != p.limit; i++ {
			at := len(p.out)
			p.out = append(p.out, frame...)
			binary.BigEndian.PutUint32(p.out[at+transferIDAt:], p.id)
			p.id++
			p.sent++
		}
		if len(p.out) > 0 {
			p.write(p.out)
		}
		p.take()
	}
}

const transferIDAt = 8 + 3 + 3 + 1 + 1 // frame header, descriptor, list header, handle 0, constructor

func eventFrame(size int) []byte {
	p := transfer(0, pumpFirstID)
	p.DeliveryTag = []byte{1}
	return encode(on(0, p).with(string(make([]byte, size))))
}

// receive takes n events, and grants credit as it goes.
func (p *pump) receive(n int) {
	for end := p.count + uint32(n); p.count != end; {
		if p.limit-p.count < swiftCredit/2 {
			p.grant()
		}
		p.take()
	}
}

func (p *pump) grant() {
	p.limit = p.count + swiftCredit
	f := amqp.Flow{NextIncomingID: amqp.Some(1 + p.frames), IncomingWindow: 1<<31 - 1, OutgoingWindow: 5000,
		Handle: amqp.Some(uint32(0)), DeliveryCount: amqp.Some(p.count), LinkCredit: amqp.Some(uint32(swiftCredit))}
	b, mark := amqp.BeginFrame(p.out[:0], amqp.FrameAMQP, 0)
	p.out = amqp.EndFrame(f.Append(b), mark)
	p.write(p.out)
}

func swiftServer(t testing.TB) (*Server, *swift) {
	s := &swift{}
	srv := New(Options{Handler: s})
	t.Cleanup(srv.Close)
	return srv, s
}

// BenchmarkRelay takes events from one connection to another, in memory: what the engine itself costs for each of them.
func BenchmarkRelay(b *testing.B) {
	srv, _ := swiftServer(b)
	in := dialPump(b, srv, attachSink("in", 0, "relay"))
	out := dialPump(b, srv, attachSource("out", 0, "relay"))
	frame := eventFrame(swiftBytes)
	relay := func(n int) {
		done := make(chan struct{})
		go func() {
			defer close(done)
			out.receive(n)
		}()
		in.deliver(n, 300, frame)
		<-done
	}
	relay(5000)
	b.SetBytes(swiftBytes)
	b.ReportAllocs()
	b.ResetTimer()
	relay(b.N)
}

func BenchmarkIn(b *testing.B) {
	for _, burst := range []int{1, 300} {
		b.Run(fmt.Sprint("burst=", burst), func(b *testing.B) {
			srv, _ := swiftServer(b)
			p, frame := dialPump(b, srv, attachSink("in", 0, "sink")), eventFrame(swiftBytes)
			p.deliver(2000, burst, frame)
			b.ReportAllocs()
			b.ResetTimer()
			p.deliver(b.N, burst, frame)
		})
	}
}

func BenchmarkOut(b *testing.B) {
	srv, s := swiftServer(b)
	p := dialPump(b, srv, attachSource("out", 0, "source"))
	s.make(2000+b.N, swiftBytes)
	p.receive(2000)
	b.ReportAllocs()
	b.ResetTimer()
	p.receive(b.N)
}

// mallocsEach is how many allocations f makes for each of n events, by anyone.
func mallocsEach(n int, f func()) float64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs-before.Mallocs) / float64(n)
}

// TestAllocations: an event costs none, neither way. Not parallel, so that nobody else's are counted.
func TestAllocations(t *testing.T) {
	const n, most = 20_000, 0.05
	frame := eventFrame(swiftBytes)
	dials := map[string]func(testing.TB, *Server, *amqp.Attach) *pump{"memory": dialPump, "TCP": dialPumpTCP}
	for network, dial := range dials {
		for _, burst := range []int{1, 100} {
			srv, _ := swiftServer(t)
			p := dial(t, srv, attachSink("in", 0, "sink"))
			p.deliver(2000, burst, frame)
			if each := mallocsEach(n, func() { p.deliver(n, burst, frame) }); each > most && !(raceEnabled && burst == 1) {
				t.Errorf("in by %s, %d at a time: %.3f allocations for each event", network, burst, each)
			}
		}
	}
	srv, s := swiftServer(t)
	p := dialPump(t, srv, attachSource("out", 0, "source"))
	s.make(2000+n, swiftBytes)
	p.receive(2000)
	if each := mallocsEach(n, func() { p.receive(n) }); each > most {
		t.Errorf("out: %.3f allocations for each event", each)
	}
}

// TestIdleMemory: what a connection with a session and a link holds while nothing happens. One that was busy is as small again once it
// has sent a heartbeat.
func TestIdleMemory(t *testing.T) { synctest.Test(t, testIdleMemory) }

func testIdleMemory(t *testing.T) {
	const n, most = 500, 24 << 10
	measure := func() int64 {
		for range 3 { // pools forget what they hold after two
			runtime.GC()
		}
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc + m.StackInuse)
	}
	large := eventFrame(60_000)
	for _, row := range []struct {
		name   string
		attach *amqp.Attach
		busy   func(s *swift, p *pump)
	}{
		{"fresh sender", attachSink("in", 0, "sink"), func(*swift, *pump) {}},
		{"fresh receiver", attachSource("out", 0, "source"), func(s *swift, p *pump) { p.grant() }},
		{"busy sender", attachSink("in", 0, "sink"), func(s *swift, p *pump) {
			p.deliver(1, 1, large)
			p.write(encode(on(0, transferMore(0, p.id)).with(string(large)), on(0, &amqp.Transfer{Handle: 0}).with("end")))
			p.take()
			p.write(encode(heartbeat))
		}},
		{"busy receiver", attachSource("out", 0, "source"), func(s *swift, p *pump) {
			s.make(1, 100_000)
			p.receive(1)
			s.make(0, 0)
		}},
	} {
		srv, s := swiftServer(t)
		pumps := make([]*pump, n)
		before := measure()
		for i := range pumps {
			p := dialPump(t, srv, row.attach)
			row.busy(s, p)
			p.buf, p.out = nil, nil
			pumps[i] = p
		}
		synctest.Wait()
		for _, p := range pumps {
			p.nc.(*pipeEnd).in.takeAll()
			p.nc.(*pipeEnd).out.takeAll()
		}
		each := (measure() - before) / n
		t.Logf("%s: %d bytes for each idle connection", row.name, each)
		if each > most && !raceEnabled {
			t.Errorf("%s: an idle connection holds %d bytes, more than %d", row.name, each, most)
		}
		runtime.KeepAlive(pumps)
		srv.Close()
	}
}
