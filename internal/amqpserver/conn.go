package amqpserver

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/evhub-dev/evhub/internal/amqp"
	"github.com/evhub-dev/evhub/internal/clock"
)

// Conn is one AMQP connection. Two goroutines own it, its reader and its writer; everyone else goes through mu and wake.
type Conn struct {
	srv       *Server      // immutable
	nc        net.Conn     // immutable; what is read from and written to is socketOf's
	log       *slog.Logger // immutable
	id        string       // immutable: our container id
	container Container    // immutable once the reader runs

	in       frameReader         // reader
	sessions map[uint16]*session // reader: by the peer's channel; nil for a channel that was ended
	dirty    []*Link             // reader: sinks that got deliveries from the bytes at hand
	delivery Delivery            // reader: the one at hand
	peer     amqp.Open           // reader; read by others only after opened

	box         Outbox       // guarded by writing
	to          io.Writer    // immutable
	try         tryWriter    // immutable; nil: nothing can be written without waiting
	writing     sync.Mutex   // held by who writes and runs sources: the writer, which may wait for the peer meanwhile, or others, who only try
	untaken     []byte       // guarded by writing: what the socket did not take at once; goes before all else
	lastSession *session     // reader: of the last transfer; saves looking it up
	lastChannel uint16       // reader: its channel, the peer's
	burstBytes  int64        // reader: of deliveries at hand, not yet in inflight
	partial     int          // reader: bytes of deliveries that are still arriving
	deaf        bool         // reader: our close is out, only the peer's close still counts
	inflight    atomic.Int64 // bytes delivered to sinks and not yet settled
	lastRead    atomic.Int64 // nanoseconds since born
	lastWrite   atomic.Int64
	born        time.Time
	wake        chan struct{} // capacity 1: the writer has something to do
	due         atomic.Bool   // there was a signal since the reader looked
	minded      atomic.Bool   // the reader will look at due before long, so that the writer may sleep on
	beatDue     atomic.Bool   // the peer waits for a sign of life
	roomFor     *sync.Cond    // on mu: the reader waits here while too much is pending, or its open is held

	mu        sync.Mutex  // guards the fields below; never held across I/O, nor while calling a Container, Sink or Source
	alive     clock.Timer // handshake at first, then the peer's silence; nil when the connection is over
	beat      clock.Timer // nil unless the peer asked for heartbeats
	beatEvery time.Duration
	out       []byte  // encoded answers, in order
	settling  []*Link // links with settlements to send
	ranges    int     // settlements of all links
	flowing   []flowDue
	ready     linkQueue
	channels  []*session // by our channel number, nil where free
	unsettled unsettledList
	frameMax  uint32 // the smaller of what the peer takes and what we use
	opened    bool
	answering openState
	refused   *amqp.Error // what AnswerOpen said
	closing   bool        // our close is queued, or the socket is to be cut: nothing more is queued
	cut       bool        // the reader is to stop at once
	waiting   bool        // the reader waits on roomFor
}

// flowDue is a flow to be encoded when the writer gets to it, so that several become one and carry the latest numbers.
type flowDue struct {
	s *session
	l *Link // nil: the session's own
}

func newConn(srv *Server, nc net.Conn) *Conn {
	n := srv.accepted.Add(1)
	c := &Conn{
		srv:      srv,
		nc:       nc,
		log:      srv.o.Log.With("conn", n),
		id:       srv.o.ContainerID(),
		sessions: make(map[uint16]*session),
		born:     srv.o.Clock.Now(),
		wake:     make(chan struct{}, 1),
		frameMax: srv.o.FrameBytesMax,
	}
	rw, try := socketOf(nc)
	c.to, c.try = rw, try
	c.in = frameReader{progress: progress{bell: &srv.looked}, nc: nc, from: rw, pool: &srv.buffers, frameMax: srv.o.FrameBytesMax, onRead: c.noteRead,
		quickAck: quickAckOf(nc)}
	c.roomFor = sync.NewCond(&c.mu)
	return c
}

// RemoteAddr is the peer's network address.
func (c *Conn) RemoteAddr() net.Addr { return c.nc.RemoteAddr() }

// ContainerID is the peer's container id. It may be called from Container.Open on.
func (c *Conn) ContainerID() string { return c.peer.ContainerID }

// Log is the connection's logger.
func (c *Conn) Log() *slog.Logger { return c.log }

// Close ends the connection with an error in the protocol's words, or without one if e is nil. It returns at once; what was queued
// before is still sent.
func (c *Conn) Close(e *amqp.Error) {
	c.mu.Lock()
	c.closeLocked(e)
	c.mu.Unlock()
	c.signal()
}

// CloseAll ends the connection as the service ends one that fell silent: every link, every session and the connection get the error
// (recorded).
func (c *Conn) CloseAll(e *amqp.Error) {
	c.mu.Lock()
	if !c.closing {
		for _, s := range c.channels {
			if s != nil && !s.ended.Load() {
				s.endLocked(e, true)
			}
		}
		c.closeLocked(e)
	}
	c.mu.Unlock()
	c.signal()
}

// Drop cuts the socket without a word.
func (c *Conn) Drop() {
	c.mu.Lock()
	c.closing, c.cut = true, true
	c.roomFor.Signal()
	c.mu.Unlock()
	c.nc.Close()
	c.signal()
}

func (c *Conn) closeLocked(e *amqp.Error) {
	if c.closing {
		return
	}
	c.closing = true
	if c.opened {
		c.settleAllLocked()
		c.appendLocked(0, &amqp.Close{Error: e})
	}
	c.roomFor.Signal()
}

// performative is what appendLocked can put into a frame.
type performative interface{ Append([]byte) []byte }

// appendLocked queues one answer.
func (c *Conn) appendLocked(channel uint16, p performative) {
	b, mark := amqp.BeginFrame(c.out, amqp.FrameAMQP, channel)
	c.out = amqp.EndFrame(p.Append(b), mark)
}

// signal has someone look for what is to be written: the reader if it is handing on a burst, else the writer. It never blocks.
func (c *Conn) signal() {
	c.due.Store(true) // before minded is looked at, which the reader takes back before it looks at due: one of the two sees the other
	if !c.minded.Load() {
		c.rouse()
	}
}

// rouse tells the writer to look.
func (c *Conn) rouse() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// now is the time since the connection was accepted.
func (c *Conn) now() time.Duration { return c.srv.o.Clock.Now().Sub(c.born) }

// noteRead runs on the reader after each read.
func (c *Conn) noteRead() {
	c.lastRead.Store(int64(c.now()))
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deaf = c.closing || c.answering == openIgnored
}

// run is the reader. It returns when the connection is over and its writer has ended.
func (c *Conn) run() {
	c.mu.Lock()
	c.alive = c.srv.o.Clock.AfterFunc(c.srv.o.HandshakeTimeout, c.checkAlive)
	c.mu.Unlock()
	written := make(chan struct{})
	go func() {
		defer close(written)
		c.writeLoop()
	}()
	c.container = c.srv.o.Handler.Accept(c)

	err := c.converse()
	c.flushDirty()
	c.in.over()
	c.report(err)
	c.linger(err)
	<-written
	c.nc.Close()

	c.stopTimers()
	c.finish()
}

// finish takes everything down once reader and writer have stopped.
func (c *Conn) finish() {
	for _, s := range c.sessions {
		if s != nil {
			s.detachAll()
		}
	}
	c.container.Closed()
	c.in.release()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unsettled.stop()
	c.out, c.settling, c.flowing, c.channels = nil, nil, nil, nil
}

// converse reads until the peer closes, the socket fails or the peer breaks the protocol beyond repair.
func (c *Conn) converse() error {
	if err := c.handshake(); err != nil {
		return err
	}
	for {
		typ, channel, body, err := c.in.next()
		if err != nil {
			return err
		}
		if typ != amqp.FrameAMQP {
			return violation(amqp.CondFramingError, "a frame of type %d came where AMQP frames (type 0) are expected", typ)
		}
		if err := c.frame(channel, body); err != nil {
			return err
		}
		if !c.in.buffered() {
			if err := c.endBurst(); err != nil {
				return err
			}
		}
	}
}

// endBurst hands on what the bytes at hand have delivered, and waits while too much of it is pending.
func (c *Conn) endBurst() error {
	c.flushDirty()
	c.in.caughtUp()
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.crowdedLocked() && !c.cut {
		c.waiting = true
		c.roomFor.Wait()
	}
	c.waiting = false
	if c.cut {
		return net.ErrClosed
	}
	return nil
}

func (c *Conn) crowdedLocked() bool {
	return !c.closing && (c.inflight.Load() > c.srv.o.InflightBytesMax || len(c.out) > pendingBytesMax || c.ranges > settlementsMax)
}

// errPeerClosed ends converse when the peer has sent its close, with the error it gave or nil.
type errPeerClosed struct{ e *amqp.Error }

func (e errPeerClosed) Error() string { return fmt.Sprintf("the peer closed the connection: %v", e.e) }

// violated is a breach of the protocol that ends the connection.
type violated struct{ e *amqp.Error }

func (v violated) Error() string { return string(v.e.Condition) + ": " + v.e.Description }

func violation(cond amqp.Symbol, format string, args ...any) error {
	return violated{&amqp.Error{Condition: cond, Description: fmt.Sprintf(format, args...)}}
}

// undecodable is the violation of a frame that is not what it should be.
func undecodable(err error) error {
	condition := amqp.CondDecodeError
	if e, ok := errors.AsType[*amqp.DecodeError](err); ok {
		condition = e.Condition
	}
	return violation(condition, "%v", err)
}

// report answers and logs why the conversation ended.
func (c *Conn) report(err error) {
	var v violated
	var k knock
	var pc errPeerClosed
	switch {
	case errors.As(err, &k):
		c.log.Warn("this is the AMQP port: "+k.what+" knocked and was turned away", "remote", c.RemoteAddr(), "first", k.first)
		c.Close(nil)
	case errors.As(err, &v):
		c.log.Warn("connection closed: the client broke the protocol", "remote", c.RemoteAddr(), "condition", v.e.Condition, "reason", v.e.Description)
		c.Close(v.e)
	case errors.Is(err, errNotAuthenticated):
		c.log.Warn("connection refused", "remote", c.RemoteAddr(), "reason", err)
		c.Close(nil)
	case errors.As(err, &pc):
		c.log.Debug("connection closed by the client", "remote", c.RemoteAddr(), "err", pc.e)
		c.Close(nil)
	default:
		c.log.Debug("connection ended", "remote", c.RemoteAddr(), "err", err)
		c.mu.Lock()
		lingering := c.closing && !c.cut
		c.mu.Unlock()
		if !lingering {
			c.Drop()
		}
	}
}

// linger lets the last answers reach the peer: closing a socket that still holds unread bytes would reset it and could take them along.
// After report the writer ends by itself, at the latest when the deadline fails its write.
func (c *Conn) linger(err error) {
	c.nc.SetDeadline(time.Now().Add(lingerTime))
	if !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
		c.in.discard()
	}
}

// checkAlive runs on a timer: it closes a connection whose client has not finished its handshake in time, or has sent nothing for twice
// the advertised idle time-out, as the service does (recorded). While the client waits for us there is nothing to check; once its open is
// answered the timer is set again.
func (c *Conn) checkAlive() {
	c.mu.Lock()
	opened, closing, answering := c.opened, c.closing, c.answering
	c.mu.Unlock()
	switch {
	case answering == openHeld && !closing:
		return
	case !opened && answering != openIgnored:
		c.log.Warn("connection cut: the client did not finish its handshake", "remote", c.RemoteAddr(), "after", c.srv.o.HandshakeTimeout)
		c.Drop()
		return
	case closing:
		c.Drop() // the peer does not even take our close
		return
	}
	allowed := 2 * c.srv.o.IdleTimeout
	if silent := c.now() - time.Duration(c.lastRead.Load()); silent < allowed {
		c.checkAliveIn(allowed - silent)
		return
	}
	c.log.Info("connection closed: the client was silent", "remote", c.RemoteAddr(), "for", allowed)
	c.CloseAll(&amqp.Error{
		Condition: amqp.CondConnectionForced,
		Description: fmt.Sprintf("The connection was inactive for more than the allowed %d milliseconds and is closed by container '%s'.",
			allowed.Milliseconds(), c.id),
	})
	c.checkAliveIn(lingerTime)
}

func (c *Conn) checkAliveIn(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.alive != nil {
		c.alive.Reset(d)
	}
}

// stopTimers ends the calls of checkAlive and checkBeat. One that runs just now finds no timer to set again.
func (c *Conn) stopTimers() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.alive.Stop()
	c.alive = nil
	if c.beat != nil {
		c.beat.Stop()
		c.beat = nil
	}
}

// linkQueue is a queue of links that may have something to send. A link is in it at most once (Link.queued).
type linkQueue struct {
	list []*Link
	head int
}

func (q *linkQueue) empty() bool { return q.head == len(q.list) }

func (q *linkQueue) push(l *Link) { q.list = append(q.list, l) }

func (q *linkQueue) pop() *Link {
	if q.head == len(q.list) {
		q.list, q.head = q.list[:0], 0
		return nil
	}
	l := q.list[q.head]
	q.list[q.head] = nil
	q.head++
	if q.head > 64 && q.head*2 > len(q.list) { // a queue that never runs empty must not grow
		n := copy(q.list, q.list[q.head:])
		clear(q.list[n:])
		q.list, q.head = q.list[:n], 0
	}
	return l
}
