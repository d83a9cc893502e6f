// Package load drives AMQP 1.0 peers and counts what comes back.
//
// It has two clients. The raw one writes frames that were encoded before, 64 to a write, reads with a large buffer, and looks at no more
// of a frame than it must: it is there to see the server and not the client. The other is go-amqp as anybody would use it. Both run a
// closed loop (at most so many transfers between send and completion) and take latency from a stamp in the last eight bytes of a message,
// by one clock in one process.
//
// The numbers stand on three things. A transfer counts when it is complete, that is when every reader has it and, if it was sent
// unsettled, the peer has accepted it. Credit and session window of the peer are kept. A peer that detaches, rejects or falls silent ends
// the run with an error, and never with a low number.
package load

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/evhub-dev/evhub/internal/amqp"
	"github.com/evhub-dev/evhub/internal/auth"
)

// Peer says how to reach a server and what its addresses are called.
type Peer struct {
	Addr string // host:port

	User, Password string // policy or account
	Token          bool   // prove the policy by a put-token to $cbs, else by SASL PLAIN; without User: ANONYMOUS

	Target     string                 // where senders attach
	Source     func(group int) string // where readers attach
	Latest     bool                   // readers ask for what comes from now on, in Event Hubs' words
	Capability amqp.Symbol            // of source and target, for brokers that have to be told what a queue is
}

const (
	readBytes      = 256 << 10
	handshakeTime  = 10 * time.Second
	sessionWindow  = 1 << 30 // frames; large enough never to matter
	frameBytesMax  = 64 << 10
	tokenLifetime  = time.Hour
	readerCredit   = 1000
	writerBurstMax = 64 // frames to a write
)

// conn is one connection with one session. Reading and writing may be on two goroutines.
type conn struct {
	nc     net.Conn
	buf    []byte
	r, w   int
	begin  amqp.Begin // the peer's
	handle uint32     // the next free one

	sent, received uint32 // transfers while links were set up: delivery and transfer ids go on from there
}

// Reach opens a session and hangs up: the error is nil if the peer can be used.
func Reach(p *Peer) error {
	c, err := dial(p)
	if err == nil {
		err = c.nc.Close()
	}
	return err
}

// dial connects, opens and begins a session.
func dial(p *Peer) (*conn, error) {
	nc, err := net.DialTimeout("tcp", p.Addr, handshakeTime)
	if err != nil {
		return nil, err
	}
	c := &conn{nc: nc, buf: make([]byte, readBytes)}
	nc.SetDeadline(time.Now().Add(handshakeTime))
	if err := c.handshake(p); err != nil {
		nc.Close()
		return nil, fmt.Errorf("handshake with %s: %w", p.Addr, err)
	}
	nc.SetDeadline(time.Time{})
	return c, nil
}

func (c *conn) handshake(p *Peer) error {
	if err := c.sasl(p); err != nil {
		return err
	}
	if err := c.protocol(amqp.ProtocolAMQP); err != nil {
		return err
	}
	err := c.send(&amqp.Open{ContainerID: "bench", Hostname: amqp.Some("localhost"), MaxFrameSize: amqp.Some[uint32](frameBytesMax)})
	if err != nil {
		return err
	}
	if _, err := c.await(amqp.CodeOpen); err != nil {
		return err
	}
	if err := c.send(&amqp.Begin{NextOutgoingID: 0, IncomingWindow: sessionWindow, OutgoingWindow: sessionWindow}); err != nil {
		return err
	}
	body, err := c.await(amqp.CodeBegin)
	if err != nil {
		return err
	}
	if _, err := c.begin.Decode(body); err != nil {
		return err
	}
	if !p.Token {
		return nil
	}
	return c.putToken(p)
}

func (c *conn) sasl(p *Peer) error {
	if err := c.protocol(amqp.ProtocolSASL); err != nil {
		return err
	}
	if _, err := c.await(amqp.CodeSASLMechanisms); err != nil {
		return err
	}
	init := amqp.SASLInit{Mechanism: "ANONYMOUS"}
	if p.User != "" && !p.Token {
		init = amqp.SASLInit{Mechanism: "PLAIN", InitialResponse: []byte("\x00" + p.User + "\x00" + p.Password)}
	}
	b, mark := amqp.BeginFrame(nil, amqp.FrameSASL, 0)
	if _, err := c.nc.Write(amqp.EndFrame(init.Append(b), mark)); err != nil {
		return err
	}
	body, err := c.await(amqp.CodeSASLOutcome)
	if err != nil {
		return err
	}
	var outcome amqp.SASLOutcome
	if _, err := outcome.Decode(body); err != nil {
		return err
	}
	if outcome.Code != amqp.SASLOk {
		return fmt.Errorf("SASL %s ended with code %d", init.Mechanism, outcome.Code)
	}
	return nil
}

// protocol exchanges protocol headers.
func (c *conn) protocol(id uint8) error {
	if _, err := c.nc.Write(amqp.AppendProtocolHeader(nil, id)); err != nil {
		return err
	}
	if err := c.fill(amqp.ProtocolHeaderBytes); err != nil {
		return err
	}
	got, _, _, _, ok := amqp.ParseProtocolHeader(c.buf[c.r:c.w])
	if !ok || got != id {
		return fmt.Errorf("the peer answers protocol id %d with % x", id, c.buf[c.r:c.r+amqp.ProtocolHeaderBytes])
	}
	c.r += amqp.ProtocolHeaderBytes
	return nil
}

// putToken proves the policy to $cbs.
func (c *conn) putToken(p *Peer) error {
	const node = "$cbs"
	resource := "sb://" + p.Addr
	out, err := c.attach(&amqp.Attach{Name: "cbs-out", Role: amqp.RoleSender, Source: address(node, ""), Target: &amqp.Target{Address: amqp.Some(node)}})
	if err != nil {
		return err
	}
	in, err := c.attach(&amqp.Attach{Name: "cbs-in", Role: amqp.RoleReceiver, Source: address(node, ""), Target: &amqp.Target{Address: amqp.Some("cbs")}})
	if err != nil {
		return err
	}
	if err := c.send(&amqp.Flow{IncomingWindow: sessionWindow, OutgoingWindow: sessionWindow, NextIncomingID: amqp.Some(c.begin.NextOutgoingID),
		Handle: amqp.Some(in.handle), DeliveryCount: amqp.Some(in.count), LinkCredit: amqp.Some[uint32](10)}); err != nil {
		return err
	}
	message := amqp.Message{
		Properties: &amqp.Properties{MessageID: "1", ReplyTo: amqp.Some("cbs")},
		ApplicationProperties: amqp.Map{
			{Key: "operation", Value: "put-token"}, {Key: "type", Value: "servicebus.windows.net:sastoken"}, {Key: "name", Value: resource},
		},
		Value: auth.SignSAS(resource, p.User, p.Password, time.Now().Add(tokenLifetime)), HasValue: true,
	}
	if err := c.send(&amqp.Transfer{Handle: out.handle, DeliveryID: amqp.Some[uint32](0), DeliveryTag: []byte("t"), Settled: amqp.Some(true)}, message.Append(nil)...); err != nil {
		return err
	}
	c.sent, c.received = 1, 1
	if err := c.tokenTaken(); err != nil {
		return err
	}
	for _, l := range []*link{out, in} {
		if err := c.send(&amqp.Detach{Handle: l.handle, Closed: amqp.Some(true)}); err != nil {
			return err
		}
		if _, err := c.await(amqp.CodeDetach); err != nil {
			return err
		}
	}
	return nil
}

func (c *conn) tokenTaken() error {
	body, err := c.await(amqp.CodeTransfer)
	if err != nil {
		return err
	}
	var t amqp.Transfer
	payload, err := t.Decode(body)
	if err != nil {
		return err
	}
	reply, err := amqp.DecodeMessage(payload)
	if err != nil {
		return err
	}
	if code, _ := reply.ApplicationProperties.Lookup("status-code"); code != int32(202) && code != int32(200) {
		return fmt.Errorf("put-token: %v", reply.ApplicationProperties)
	}
	return nil
}

// link is an attached link as it was when the peer answered.
type link struct {
	handle  uint32
	remote  uint32 // the peer's handle
	count   uint32 // the sender's delivery-count
	settled bool   // the sender sends everything settled
}

func address(name string, capability amqp.Symbol) *amqp.Source {
	s := &amqp.Source{Address: amqp.Some(name)}
	if capability != "" {
		s.Capabilities = []amqp.Symbol{capability}
	}
	return s
}

// latest is Event Hubs' selector for what comes after the end of a partition.
var latest = amqp.Map{{
	Key: amqp.Symbol("apache.org:selector-filter:string"),
	Value: &amqp.Described{
		Descriptor: amqp.Symbol("apache.org:selector-filter:string"),
		Value:      "amqp.annotation.x-opt-offset > '@latest'",
	},
}}

func (c *conn) attachSender(p *Peer, settled bool) (*link, error) {
	a := &amqp.Attach{Name: "send", Role: amqp.RoleSender, SndSettleMode: amqp.Some(amqp.SndUnsettled), InitialDeliveryCount: amqp.Some[uint32](0),
		Source: &amqp.Source{Address: amqp.Some("bench")}, Target: &amqp.Target{Address: amqp.Some(p.Target)}}
	if settled {
		a.SndSettleMode.V = amqp.SndSettled
	}
	if p.Capability != "" {
		a.Target.Capabilities = []amqp.Symbol{p.Capability}
	}
	return c.attach(a)
}

func (c *conn) attachReader(p *Peer, group int, settled bool) (*link, error) {
	a := &amqp.Attach{Name: fmt.Sprintf("read-%d", group), Role: amqp.RoleReceiver, SndSettleMode: amqp.Some(amqp.SndUnsettled),
		RcvSettleMode: amqp.Some(amqp.RcvFirst), Source: address(p.Source(group), p.Capability), Target: &amqp.Target{Address: amqp.Some("bench")}}
	if settled {
		a.SndSettleMode.V = amqp.SndSettled
	}
	if p.Latest {
		a.Source.Filter = latest
	}
	return c.attach(a)
}

// attach sends an attach and takes the answer. A refusal is an error.
func (c *conn) attach(a *amqp.Attach) (*link, error) {
	a.Handle = c.handle
	c.handle++
	if err := c.send(a); err != nil {
		return nil, err
	}
	body, err := c.await(amqp.CodeAttach)
	if err != nil {
		return nil, err
	}
	var answer amqp.Attach
	if _, err := answer.Decode(body); err != nil {
		return nil, err
	}
	if a.Role == amqp.RoleSender && answer.Target == nil || a.Role == amqp.RoleReceiver && answer.Source == nil {
		_, err := c.await(amqp.CodeDetach)
		return nil, fmt.Errorf("attach was refused: %w", orError(err, "without a reason"))
	}
	mode := answer.SndSettleMode.Or(amqp.SndMixed)
	return &link{handle: a.Handle, remote: answer.Handle, count: answer.InitialDeliveryCount.Or(0), settled: mode == amqp.SndSettled}, nil
}

func orError(err error, text string) error {
	if err == nil {
		return errors.New(text)
	}
	return err
}

// send writes one frame, and a payload behind the performative.
func (c *conn) send(p interface{ Append([]byte) []byte }, payload ...byte) error {
	b, mark := amqp.BeginFrame(nil, amqp.FrameAMQP, 0)
	_, err := c.nc.Write(amqp.EndFrame(append(p.Append(b), payload...), mark))
	return err
}

// await reads up to the next frame of the wanted kind. Flows that come before it are kept for the caller that wants credit by not being
// read yet: a peer sends them behind the attach. An error from the peer is an error here.
func (c *conn) await(want amqp.Code) ([]byte, error) {
	for {
		body, err := c.frame()
		if err != nil {
			return nil, fmt.Errorf("waiting for %s: %w", want, err)
		}
		if len(body) == 0 {
			continue
		}
		code, err := amqp.PeekCode(body)
		if err != nil {
			return nil, err
		}
		if err := ending(code, body); err != nil {
			return nil, err
		}
		if code == want {
			return body, nil
		}
	}
}

// ending gives the error of a frame by which a peer ends something.
func ending(code amqp.Code, body []byte) error {
	var e *amqp.Error
	var err error
	switch code {
	case amqp.CodeDetach:
		var p amqp.Detach
		_, err = p.Decode(body)
		e = p.Error
	case amqp.CodeEnd:
		var p amqp.End
		_, err = p.Decode(body)
		e = p.Error
	case amqp.CodeClose:
		var p amqp.Close
		_, err = p.Decode(body)
		e = p.Error
	}
	if err != nil {
		return err
	}
	if e != nil {
		return fmt.Errorf("the peer sent %s: %w", code, e)
	}
	return nil
}

// frame gives the body of the next frame, valid until the next call.
func (c *conn) frame() ([]byte, error) {
	if err := c.fill(amqp.FrameHeaderBytes); err != nil {
		return nil, err
	}
	h, err := amqp.ParseFrameHeader(c.buf[c.r:c.w])
	if err != nil {
		return nil, err
	}
	if int(h.Size) > len(c.buf) {
		return nil, fmt.Errorf("a frame of %d bytes", h.Size)
	}
	if err := c.fill(int(h.Size)); err != nil {
		return nil, err
	}
	body := c.buf[c.r+h.BodyBytesAt() : c.r+int(h.Size)]
	c.r += int(h.Size)
	return body, nil
}

// whole says whether a whole frame is at hand.
func (c *conn) whole() bool {
	n := c.w - c.r
	return n >= amqp.FrameHeaderBytes && n >= int(binary.BigEndian.Uint32(c.buf[c.r:]))
}

// fill reads until n bytes are at hand.
func (c *conn) fill(n int) error {
	for c.w-c.r < n {
		if c.r == c.w {
			c.r, c.w = 0, 0
		} else if c.r > 0 && (c.r+n > len(c.buf) || len(c.buf)-c.w < readBytes/4) {
			c.w = copy(c.buf, c.buf[c.r:c.w])
			c.r = 0
		}
		got, err := c.nc.Read(c.buf[c.w:])
		c.w += got
		if got == 0 && err != nil {
			return err
		}
	}
	return nil
}
