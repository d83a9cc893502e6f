package amqpserver

import (
	"bytes"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evhub-dev/evhub/internal/amqp"
	"github.com/evhub-dev/evhub/internal/clock"
)

// world is a server with toy nodes behind it, alone in a bubble of time. Its methods are for the bubble's goroutine.
type world struct {
	t     *testing.T
	srv   *Server
	clock *countingClock
	log   syncBuffer
	toys  *toyHandler
}

// play runs a scene in a bubble. When it is over the world is taken down, and nothing may be left of it.
func play(t *testing.T, o Options, scene func(t *testing.T, w *world)) {
	t.Helper()
	t.Parallel()
	playNow(t, o, scene)
}

func playNow(t *testing.T, o Options, scene func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, o)
		defer w.srv.Close() // a scene that failed must end as well
		scene(t, w)
		w.end()
	})
}

func newWorld(t *testing.T, o Options) *world {
	w := &world{t: t, clock: &countingClock{}, toys: newToyHandler(t)}
	o.Clock, o.Handler = w.clock, w.toys
	o.Log = slog.New(slog.NewTextHandler(&w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	w.srv = New(o)
	return w
}

// end cuts what is left and checks that all of it went: every link and connection told once, no timer armed, no byte accounted for. That
// no goroutine is left is the bubble's own check.
func (w *world) end() {
	w.t.Helper()
	w.srv.Close()
	synctest.Wait()
	if s := w.srv.Stats(); s.Open != 0 {
		w.t.Errorf("%d connections open after Close", s.Open)
	}
	if n := w.clock.armed(); n != 0 {
		w.t.Errorf("%d timers armed after Close", n)
	}
	w.toys.checkOver()
}

// logged says whether a line of the log holds all the words.
func (w *world) logged(words ...string) bool {
	for line := range strings.Lines(w.log.String()) {
		all := true
		for _, word := range words {
			all = all && strings.Contains(line, word)
		}
		if all {
			return true
		}
	}
	return false
}

func (w *world) wantLogged(words ...string) {
	w.t.Helper()
	synctest.Wait()
	if !w.logged(words...) {
		w.t.Errorf("no line of the log has %q:\n%s", words, w.log.String())
	}
}

const pipeBytes = 1 << 20 // of each direction, unless a test is about full sockets

// dial connects a client that has said nothing yet.
func (w *world) dial() *client { return w.dialSized(pipeBytes) }

func (w *world) dialSized(bytesMax int) *client {
	server, nc := pipe(bytesMax)
	w.srv.Go(server)
	return &client{t: w.t, w: w, nc: nc}
}

// open connects a client and takes it through ANONYMOUS and open.
func (w *world) open() *client { return w.openWith(clientOpen) }

func (w *world) openWith(o amqp.Open) *client {
	w.t.Helper()
	c := w.dial()
	c.handshake(o)
	return c
}

var clientOpen = amqp.Open{ContainerID: "client"}

func (c *client) handshake(o amqp.Open) {
	c.t.Helper()
	c.write(pipelined(o))
	c.want(header(amqp.ProtocolSASL), offered, welcome, header(amqp.ProtocolAMQP), on(0, c.w.openAnswer()))
}

// pipelined is a client's handshake in one go.
func pipelined(o amqp.Open) []byte {
	return encode(header(amqp.ProtocolSASL), inSASL(&amqp.SASLInit{Mechanism: "ANONYMOUS"}), header(amqp.ProtocolAMQP), on(0, &o))
}

var (
	offered = inSASL(&amqp.SASLMechanisms{Mechanisms: []amqp.Symbol{"MSSBCBS", "PLAIN", "ANONYMOUS", "EXTERNAL"}})
	welcome = inSASL(&amqp.SASLOutcome{Code: amqp.SASLOk, AdditionalData: []byte("Welcome!")})
)

func (w *world) openAnswer() *amqp.Open {
	o := &w.srv.o
	return &amqp.Open{
		ContainerID:  o.ContainerID(),
		MaxFrameSize: amqp.Some(o.FrameBytesMax),
		ChannelMax:   amqp.Some(o.ChannelMax),
		IdleTimeOut:  amqp.Some(uint32(o.IdleTimeout.Milliseconds())),
	}
}

// frame is one frame, or a protocol header, as the tests write it down.
type frame struct {
	typ     uint8
	channel uint16
	body    performative // nil: a heartbeat
	payload []byte
	header  []byte // nothing but these bytes
}

func on(channel uint16, p performative) frame    { return frame{channel: channel, body: p} }
func inSASL(p performative) frame                { return frame{typ: amqp.FrameSASL, body: p} }
func header(id uint8) frame                      { return frame{header: amqp.AppendProtocolHeader(nil, id)} }
func (f frame) with(payload string) frame        { f.payload = []byte(payload); return f }
func rawBytes(b []byte) frame                    { return frame{header: b} }
func rawBody(channel uint16, body ...byte) frame { return on(channel, rawPerformative(body)) }

// rawPerformative is a frame body that is not what it should be.
type rawPerformative []byte

func (p rawPerformative) Append(b []byte) []byte { return append(b, p...) }

var heartbeat = frame{}

func (f frame) append(b []byte) []byte {
	if f.header != nil {
		return append(b, f.header...)
	}
	b, mark := amqp.BeginFrame(b, f.typ, f.channel)
	if f.body != nil {
		b = f.body.Append(b)
	}
	return amqp.EndFrame(append(b, f.payload...), mark)
}

func encode(frames ...frame) (b []byte) {
	for _, f := range frames {
		b = f.append(b)
	}
	return b
}

// client is the other end of a connection. It does what the test says and nothing by itself.
type client struct {
	t  *testing.T
	w  *world
	nc *pipeEnd
}

func (c *client) write(b []byte) {
	c.t.Helper()
	if _, err := c.nc.Write(b); err != nil {
		c.t.Fatalf("client writes: %v", err)
	}
}

// send writes frames in one go.
func (c *client) send(frames ...frame) {
	c.t.Helper()
	c.write(encode(frames...))
}

// want waits until nothing moves any more and compares what has come since it was last asked, byte for byte.
func (c *client) want(frames ...frame) {
	c.t.Helper()
	synctest.Wait()
	got, _ := c.nc.arrived()
	if want := encode(frames...); !bytes.Equal(got, want) {
		c.t.Fatalf("came:\n%swant:\n%s", show(got), show(want))
	}
}

// wantOneOf is want where several courses are right.
func (c *client) wantOneOf(courses ...[]frame) {
	c.t.Helper()
	synctest.Wait()
	got, _ := c.nc.arrived()
	if !slices.ContainsFunc(courses, func(f []frame) bool { return bytes.Equal(got, encode(f...)) }) {
		c.t.Fatalf("came:\n%swant, or another of %d courses:\n%s", show(got), len(courses), show(encode(courses[0]...)))
	}
}

// wantNothing is want without frames: nothing may have come.
func (c *client) wantNothing() {
	c.t.Helper()
	c.want()
}

// wantBytes compares with bytes written down in the test.
func (c *client) wantBytes(want string) {
	c.t.Helper()
	synctest.Wait()
	if got, _ := c.nc.arrived(); fmt.Sprintf("%x", got) != strings.ReplaceAll(want, " ", "") {
		c.t.Fatalf("came:\n%x\nwant:\n%s\n%s", got, want, show(got))
	}
}

// wantEOF checks that the server has ended its side and says nothing more.
func (c *client) wantEOF() {
	c.t.Helper()
	synctest.Wait()
	if got, ended := c.nc.arrived(); len(got) > 0 || !ended {
		c.t.Fatalf("end of stream %v, came:\n%s", ended, show(got))
	}
}

// wantViolation checks that the connection was closed with the condition, and that the log says why.
func (c *client) wantViolation(condition amqp.Symbol, words ...string) {
	c.t.Helper()
	p, ok := c.last().(*amqp.Close)
	if !ok || p.Error == nil || p.Error.Condition != condition {
		c.t.Fatalf("last frame is %s, want a close with %s", show(encode(on(0, p))), condition)
	}
	c.wantEOF()
	c.w.wantLogged(append([]string{string(condition)}, words...)...)
	for _, word := range words {
		if !strings.Contains(p.Error.Description, word) {
			c.t.Errorf("close says %q, want %q in it", p.Error.Description, word)
		}
	}
}

// got waits until nothing moves any more and takes what has come, decoded.
func (c *client) got() []frame {
	c.t.Helper()
	var all []byte
	for more := true; more; { // taking it may let more come
		synctest.Wait()
		b, _ := c.nc.arrived()
		more = len(b) > 0
		all = append(all, b...)
	}
	frames, err := decode(all)
	if err != nil {
		c.t.Fatalf("what came does not decode: %v", err)
	}
	return frames
}

// last is the body of the last frame that has come, nil for none.
func (c *client) last() performative {
	c.t.Helper()
	if frames := c.got(); len(frames) > 0 {
		return frames[len(frames)-1].body
	}
	return nil
}

// bodiesOf picks the frames of one kind.
func bodiesOf[T performative](frames []frame) (list []T) {
	for _, f := range frames {
		if p, ok := f.body.(T); ok {
			list = append(list, p)
		}
	}
	return list
}

// close says goodbye and checks that it is answered.
func (c *client) close() {
	c.t.Helper()
	c.send(on(0, &amqp.Close{}))
	if p, ok := c.last().(*amqp.Close); !ok || p.Error != nil {
		c.t.Fatalf("a close was answered with %v", p)
	}
	c.nc.Close()
	synctest.Wait()
}

// decode takes a stream of frames and protocol headers apart.
func decode(b []byte) (frames []frame, err error) {
	for len(b) > 0 {
		if _, _, _, _, ok := amqp.ParseProtocolHeader(b); ok {
			frames = append(frames, rawBytes(b[:8:8]))
			b = b[8:]
			continue
		}
		h, err := amqp.ParseFrameHeader(b)
		if err != nil || int(h.Size) > len(b) {
			return frames, fmt.Errorf("%x: %v", b[:min(len(b), 64)], err)
		}
		f := frame{typ: h.Type, channel: h.Channel}
		if body := b[h.BodyBytesAt():h.Size]; len(body) > 0 {
			if f.body, f.payload, err = decodeBody(body); err != nil {
				return frames, err
			}
		}
		frames, b = append(frames, f), b[h.Size:]
	}
	return frames, nil
}

func decodeBody(body []byte) (performative, []byte, error) {
	code, err := amqp.PeekCode(body)
	if err != nil {
		return nil, nil, err
	}
	type decodable interface {
		performative
		Decode([]byte) ([]byte, error)
	}
	var p decodable
	switch code {
	case amqp.CodeOpen:
		p = new(amqp.Open)
	case amqp.CodeBegin:
		p = new(amqp.Begin)
	case amqp.CodeAttach:
		p = new(amqp.Attach)
	case amqp.CodeFlow:
		p = new(amqp.Flow)
	case amqp.CodeTransfer:
		p = new(amqp.Transfer)
	case amqp.CodeDisposition:
		p = new(amqp.Disposition)
	case amqp.CodeDetach:
		p = new(amqp.Detach)
	case amqp.CodeEnd:
		p = new(amqp.End)
	case amqp.CodeClose:
		p = new(amqp.Close)
	case amqp.CodeSASLMechanisms:
		p = new(amqp.SASLMechanisms)
	case amqp.CodeSASLOutcome:
		p = new(amqp.SASLOutcome)
	default:
		return nil, nil, fmt.Errorf("a %s came", code)
	}
	rest, err := p.Decode(body)
	return p, rest, err
}

// show makes a stream readable, a frame a line.
func show(b []byte) string {
	frames, err := decode(b)
	var s strings.Builder
	for _, f := range frames {
		switch {
		case f.header != nil:
			fmt.Fprintf(&s, "  header %q\n", f.header)
		case f.body == nil:
			fmt.Fprintf(&s, "  heartbeat\n")
		default:
			fmt.Fprintf(&s, "  ch%d %T%s payload %d bytes: %x\n", f.channel, f.body, fieldsOf(f.body), len(f.payload), f.body.Append(nil))
		}
	}
	if err != nil {
		fmt.Fprintf(&s, "  then: %v\n", err)
	}
	if s.Len() == 0 {
		return "  nothing\n"
	}
	return s.String()
}

func fieldsOf(p performative) string {
	switch p := p.(type) {
	case *amqp.Attach:
		return fmt.Sprintf("{%q handle %d role %v source %+v target %+v}", p.Name, p.Handle, p.Role, p.Source, p.Target)
	case *amqp.Detach:
		return fmt.Sprintf("{%d %v}", p.Handle, p.Error)
	case *amqp.End:
		return fmt.Sprintf("{%v}", p.Error)
	case *amqp.Close:
		return fmt.Sprintf("{%v}", p.Error)
	}
	return fmt.Sprintf("%+v", p)
}

// syncBuffer is a log that may be read while it is written.
type syncBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// countingClock is the system's clock (in a bubble: the bubble's), and knows how many calls are still to come.
type countingClock struct {
	mu      sync.Mutex
	pending map[*countingTimer]struct{}
}

type countingTimer struct {
	c *countingClock
	t clock.Timer
}

func (c *countingClock) Now() time.Time { return time.Now() }

func (c *countingClock) AfterFunc(d time.Duration, f func()) clock.Timer {
	t := &countingTimer{c: c}
	t.arm(true)
	t.t = clock.System.AfterFunc(d, func() {
		t.arm(false)
		f()
	})
	return t
}

func (t *countingTimer) arm(on bool) {
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	if t.c.pending == nil {
		t.c.pending = make(map[*countingTimer]struct{})
	}
	if on {
		t.c.pending[t] = struct{}{}
	} else {
		delete(t.c.pending, t)
	}
}

func (t *countingTimer) Stop() bool {
	t.arm(false)
	return t.t.Stop()
}

func (t *countingTimer) Reset(d time.Duration) bool {
	t.arm(true)
	return t.t.Reset(d)
}

func (c *countingClock) armed() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.pending)
}
