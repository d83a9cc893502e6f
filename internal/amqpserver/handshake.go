package amqpserver

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/evhub-dev/evhub/internal/amqp"
)

// mechanisms in the order the service lists them (recorded). .NET speaks MSSBCBS only, every other SDK ANONYMOUS; only PLAIN proves
// anything, the others leave the proof to a put-token.
var mechanisms = [...]amqp.Symbol{"MSSBCBS", "PLAIN", "ANONYMOUS", "EXTERNAL"}

const (
	saslOK         = 0
	saslAuthFailed = 1
)

var errNotAuthenticated = errors.New("SASL PLAIN was refused")

// handshake takes the connection through protocol headers, SASL and open. Clients pipeline these in every possible way; since each step
// reads what is next in the stream, that makes no difference here.
func (c *Conn) handshake() error {
	id, err := c.protocolHeader()
	if err != nil {
		return err
	}
	if id == amqp.ProtocolSASL {
		c.send(func(b []byte) []byte { return amqp.AppendProtocolHeader(b, amqp.ProtocolSASL) })
		if err := c.sasl(); err != nil {
			return err
		}
		if id, err = c.protocolHeader(); err != nil {
			return err
		}
	}
	if id != amqp.ProtocolAMQP {
		return violation(amqp.CondFramingError, "protocol id %d came where AMQP (0) is expected", id)
	}
	c.send(func(b []byte) []byte { return amqp.AppendProtocolHeader(b, amqp.ProtocolAMQP) })
	return c.open()
}

// send queues bytes during the handshake.
func (c *Conn) send(add func([]byte) []byte) {
	c.mu.Lock()
	if !c.closing {
		c.out = add(c.out)
	}
	c.mu.Unlock()
	c.signal()
}

func (c *Conn) protocolHeader() (id uint8, err error) {
	head, err := c.in.take(8)
	if err != nil {
		if partial := c.in.buf[c.in.r:c.in.w]; len(partial) > 0 && !bytes.HasPrefix([]byte("AMQP"), partial[:min(4, len(partial))]) {
			return 0, c.turnAway(partial)
		}
		return 0, err
	}
	id, major, minor, revision, ok := amqp.ParseProtocolHeader(head)
	if !ok {
		return 0, c.turnAway(head)
	}
	if major != 1 || minor != 0 || revision != 0 || id != amqp.ProtocolAMQP && id != amqp.ProtocolSASL {
		// [2.2] an unsupported version or id is answered with the header we would take
		c.send(func(b []byte) []byte { return amqp.AppendProtocolHeader(b, amqp.ProtocolSASL) })
		return 0, knock{what: fmt.Sprintf("an AMQP client of protocol id %d, version %d.%d.%d (1.0.0 is spoken here)", id, major, minor, revision)}
	}
	return id, nil
}

// sasl plays the server's part of [5.3.2].
func (c *Conn) sasl() error {
	c.sendSASL(&amqp.SASLMechanisms{Mechanisms: mechanisms[:]})
	typ, _, body, err := c.in.next()
	for err == nil && len(body) == 0 {
		typ, _, body, err = c.in.next()
	}
	if err != nil {
		return err
	}
	var init amqp.SASLInit
	if typ != amqp.FrameSASL {
		return violation(amqp.CondFramingError, "a frame of type %d came where sasl-init is expected", typ)
	}
	if code, err := amqp.PeekCode(body); err != nil || code != amqp.CodeSASLInit {
		return violation(amqp.CondFramingError, "the first SASL frame is not sasl-init")
	}
	if _, err := init.Decode(body); err != nil {
		return undecodable(err)
	}
	if !c.allowed(&init) {
		c.sendSASL(&amqp.SASLOutcome{Code: saslAuthFailed})
		return fmt.Errorf("%w: mechanism %s", errNotAuthenticated, init.Mechanism)
	}
	c.sendSASL(&amqp.SASLOutcome{Code: saslOK, AdditionalData: []byte(saslWelcome)})
	return nil
}

func (c *Conn) sendSASL(p performative) {
	c.send(func(b []byte) []byte {
		b, mark := amqp.BeginFrame(b, amqp.FrameSASL, 0)
		return amqp.EndFrame(p.Append(b), mark)
	})
}

func (c *Conn) allowed(init *amqp.SASLInit) bool {
	switch init.Mechanism {
	case "MSSBCBS", "ANONYMOUS", "EXTERNAL":
		return true
	case "PLAIN": // RFC 4616: authorization id, NUL, user, NUL, password
		parts := bytes.Split(init.InitialResponse, []byte{0})
		return len(parts) == 3 && c.container.Plain(string(parts[1]), string(parts[2]))
	}
	return false
}

func (c *Conn) open() error {
	body, err := c.openFrame()
	if err == nil {
		if _, bad := c.peer.Decode(body); bad != nil {
			err = undecodable(bad)
		}
	}
	if err != nil {
		if _, ok := errors.AsType[violated](err); ok {
			c.answerOpen(nil) // no close without an open before it [2.4.3]
		}
		return err
	}
	refused, ignored := c.decided(c.container.Open(&c.peer))
	if !ignored {
		c.answerOpen(refused)
		c.startBeat(time.Duration(c.peer.IdleTimeOut.Or(0)) * time.Millisecond)
	}
	c.checkAliveIn(2 * c.srv.o.IdleTimeout)
	return nil
}

// openState is what the container has decided about the client's open.
type openState uint8

const (
	openAtOnce openState = iota // what Container.Open returns counts
	openHeld
	openSettled // what AnswerOpen said counts
	openIgnored
)

// HoldOpen, called inside Container.Open, has the client wait for our open until AnswerOpen or Ignore is called; what Open returns does not
// count then. Meanwhile nothing is read from the client, so a connection that it has left lasts until then. The handshake has no time limit
// any more.
func (c *Conn) HoldOpen() { c.decide(openHeld, nil) }

// AnswerOpen answers a client whose open is held: with our open and, if e is not nil, a close with that error behind it.
func (c *Conn) AnswerOpen(e *amqp.Error) { c.decide(openSettled, e) }

// Ignore, called inside Container.Open or while the open is held, leaves the client without an answer. What it sends is read and dropped
// until it goes, or has been silent for twice the idle time-out.
func (c *Conn) Ignore() { c.decide(openIgnored, nil) }

func (c *Conn) decide(to openState, e *amqp.Error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.answering < to && c.answering <= openHeld && !c.opened {
		c.answering, c.refused = to, e
		c.roomFor.Signal()
	}
}

// decided waits while the open is held, and says what became of it; refused is what Container.Open said.
func (c *Conn) decided(refused *amqp.Error) (_ *amqp.Error, ignored bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.answering == openHeld && !c.closing {
		c.roomFor.Wait()
	}
	if c.answering == openSettled {
		refused = c.refused
	}
	c.deaf = c.answering == openIgnored
	return refused, c.deaf
}

// answerOpen sends our open, and behind it a close if the client was refused.
func (c *Conn) answerOpen(refused *amqp.Error) {
	o := &c.srv.o
	answer := amqp.Open{
		ContainerID:  c.id,
		MaxFrameSize: amqp.Some(o.FrameBytesMax),
		ChannelMax:   amqp.Some(o.ChannelMax),
		IdleTimeOut:  amqp.Some(uint32(o.IdleTimeout / time.Millisecond)),
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.frameMax = max(frameBytesMin, min(o.FrameBytesMax, c.peer.MaxFrameSize.Or(o.FrameBytesMax)))
	if !c.closing {
		c.opened = true
		c.appendLocked(0, &answer)
		if refused != nil {
			c.closeLocked(refused)
		}
	}
	c.deaf = c.closing // what the client has pipelined behind its open is for nobody
	c.signal()
}

// openFrame reads up to the open. Heartbeats may come before it.
func (c *Conn) openFrame() ([]byte, error) {
	for {
		typ, _, body, err := c.in.next()
		if err != nil {
			return nil, err
		}
		if len(body) == 0 {
			continue
		}
		code, err := amqp.PeekCode(body)
		if typ != amqp.FrameAMQP || err != nil || code != amqp.CodeOpen {
			return nil, violation(amqp.CondFramingError, "the first AMQP frame is not an open")
		}
		return body, nil
	}
}

// startBeat sends empty frames so that a peer that closes after idle of silence hears from us: 7/8 of it after our last frame (recorded;
// no idle-time-out, no heartbeats). The timer only marks a beat as due, the writer sends it.
func (c *Conn) startBeat(idle time.Duration) {
	if idle <= 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.beatEvery = idle - idle/8
	c.beat = c.srv.o.Clock.AfterFunc(c.beatEvery, c.checkBeat)
}

func (c *Conn) checkBeat() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing || c.beat == nil {
		return
	}
	quiet := c.now() - time.Duration(c.lastWrite.Load())
	if quiet < c.beatEvery {
		c.beat.Reset(c.beatEvery - quiet)
		return
	}
	c.beatDue.Store(true)
	c.beat.Reset(c.beatEvery)
	c.signal()
}
