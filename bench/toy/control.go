package toy

import (
	"errors"

	"github.com/evhub-dev/evhub/internal/amqp"
)

const cbs = "$cbs"

// answer queues a frame for the end of the read.
func (c *conn) answer(p interface{ Append([]byte) []byte }) {
	b, mark := amqp.BeginFrame(c.out, amqp.FrameAMQP, c.channel)
	c.out = amqp.EndFrame(p.Append(b), mark)
}

// control handles everything that is not a transfer.
func (c *conn) control(code amqp.Code, body []byte) (err error) {
	switch code {
	case amqp.CodeOpen:
		c.answer(&amqp.Open{ContainerID: "toy", MaxFrameSize: amqp.Some[uint32](64 << 10), ChannelMax: amqp.Some[uint16](0)})
	case amqp.CodeBegin:
		c.answer(&amqp.Begin{RemoteChannel: amqp.Some(c.channel), IncomingWindow: windowFrames, OutgoingWindow: windowFrames,
			HandleMax: amqp.Some[uint32](handlesMax - 1)})
	case amqp.CodeAttach:
		var p amqp.Attach
		if _, err = p.Decode(body); err == nil {
			err = c.attach(&p)
		}
	case amqp.CodeFlow:
		var p amqp.Flow
		if _, err = p.Decode(body); err == nil && p.Handle.Set && c.queue != nil && c.queue.handle == p.Handle.V {
			c.queue.grant(p.DeliveryCount.Or(0) + p.LinkCredit.Or(0))
		}
	case amqp.CodeDisposition: // a reader's; everything goes out settled
	case amqp.CodeDetach:
		var p amqp.Detach
		if _, err = p.Decode(body); err == nil && c.link(p.Handle) != nil {
			c.detached(c.links[p.Handle])
			c.answer(&amqp.Detach{Handle: p.Handle, Closed: amqp.Some(true)})
		}
	case amqp.CodeEnd:
		c.answer(&amqp.End{})
	case amqp.CodeClose:
		c.answer(&amqp.Close{})
		err = errBye
	default:
		err = errors.New("toy: an unknown performative")
	}
	return err
}

func (c *conn) attach(p *amqp.Attach) error {
	if p.Handle >= handlesMax || c.link(p.Handle) != nil {
		return errors.New("toy: a handle that is taken or too high")
	}
	l := &link{handle: p.Handle, sends: p.Role == amqp.RoleSender}
	for len(c.links) <= int(p.Handle) {
		c.links = append(c.links, nil)
	}
	c.links[p.Handle] = l
	answer := &amqp.Attach{Name: p.Name, Handle: p.Handle, Role: !p.Role, SndSettleMode: p.SndSettleMode, RcvSettleMode: amqp.Some(amqp.RcvFirst),
		Source: p.Source, Target: p.Target, MaxMessageSize: amqp.Some[uint64](1 << 20)}
	name := addressOf(p)
	if name != cbs {
		l.node = c.srv.node(name)
	}
	if l.sends {
		c.answer(answer)
		c.grant(l)
		return nil
	}
	answer.SndSettleMode, answer.InitialDeliveryCount = amqp.Some(amqp.SndSettled), amqp.Some[uint32](0)
	c.answer(answer)
	if name == cbs {
		return nil
	}
	if c.queue != nil {
		return errors.New("toy: a second reading link on one connection")
	}
	c.queue = newQueue(c.nc, c.channel, p.Handle)
	l.node.change(c.queue, true)
	return nil
}

func addressOf(p *amqp.Attach) string {
	switch {
	case p.Role == amqp.RoleSender && p.Target != nil:
		return p.Target.Address.V
	case p.Role == amqp.RoleReceiver && p.Source != nil:
		return p.Source.Address.V
	}
	return ""
}

// grant restores a sender's credit.
func (c *conn) grant(l *link) {
	l.granted = l.count + senderCredit
	c.answer(&amqp.Flow{NextIncomingID: amqp.Some(c.frames), IncomingWindow: windowFrames, OutgoingWindow: windowFrames,
		Handle: amqp.Some(l.handle), DeliveryCount: amqp.Some(l.count), LinkCredit: amqp.Some[uint32](senderCredit)})
}

func (c *conn) detached(l *link) {
	if l == nil {
		return
	}
	c.links[l.handle] = nil
	if !l.sends && l.node != nil {
		l.node.change(c.queue, false)
		c.queue.close()
		c.queue = nil
	}
}

// tokenTaken accepts whatever was put, and tells the client so over its link from $cbs, without asking for that link's credit.
func (c *conn) tokenTaken(payload []byte) error {
	request, err := amqp.DecodeMessage(payload)
	if err != nil {
		return err
	}
	reply := amqp.Message{
		Properties:            &amqp.Properties{},
		ApplicationProperties: amqp.Map{{Key: "status-code", Value: int32(202)}, {Key: "status-description", Value: "Accepted"}},
		Value:                 nil, HasValue: true,
	}
	if request.Properties != nil {
		reply.Properties.CorrelationID = request.Properties.MessageID
	}
	for _, l := range c.links {
		if l != nil && !l.sends && l.node == nil {
			c.out = appendTransfer(c.out, c.channel, l.handle, l.count, &transfer{payload: reply.Append(nil)})
			l.count++
			return nil
		}
	}
	return errors.New("toy: a put-token without a link to answer on")
}
