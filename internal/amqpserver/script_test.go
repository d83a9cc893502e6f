package amqpserver

import "github.com/evhub-dev/evhub/internal/amqp"

// What the scripted client says, and what it is answered.

// framesOf is the open of a client that takes frames of up to bytesMax.
func framesOf(bytesMax int) amqp.Open {
	return amqp.Open{ContainerID: "client", MaxFrameSize: amqp.Some(uint32(bytesMax))}
}

// clientBegin starts a session with the windows of the Go SDK.
var clientBegin = amqp.Begin{IncomingWindow: 5000, OutgoingWindow: 5000, HandleMax: amqp.Some(uint32(1<<32 - 1))}

// begin starts a session on the client's channel. It must be the connection's first: our channel is 0.
func (c *client) begin(channel uint16) {
	c.t.Helper()
	c.send(on(channel, &clientBegin))
	c.want(on(0, beginAnswer(channel)))
}

// beginAnswer answers clientBegin.
func beginAnswer(channel uint16) *amqp.Begin {
	return &amqp.Begin{
		RemoteChannel:  amqp.Some(channel),
		NextOutgoingID: 1,
		IncomingWindow: 5000,
		OutgoingWindow: 5000,
		HandleMax:      amqp.Some(uint32(255)),
	}
}

func sourceOf(address string) *amqp.Source { return &amqp.Source{Address: amqp.Some(address)} }
func targetOf(address string) *amqp.Target { return &amqp.Target{Address: amqp.Some(address)} }

// attachSink is the attach of a client that sends to the address.
func attachSink(name string, handle uint32, address string) *amqp.Attach {
	return &amqp.Attach{Name: name, Handle: handle, Role: amqp.RoleSender, Source: &amqp.Source{}, Target: targetOf(address),
		InitialDeliveryCount: amqp.Some(uint32(0))}
}

// attachSource is the attach of a client that receives from the address.
func attachSource(name string, handle uint32, address string) *amqp.Attach {
	return &amqp.Attach{Name: name, Handle: handle, Role: amqp.RoleReceiver, Source: sourceOf(address), Target: &amqp.Target{}}
}

func sinkAnswer(name string, handle uint32, address string) *amqp.Attach {
	return &amqp.Attach{
		Name:           name,
		Handle:         handle,
		Role:           amqp.RoleReceiver,
		SndSettleMode:  amqp.Some(amqp.SndMixed),
		RcvSettleMode:  amqp.Some(amqp.RcvFirst),
		Source:         &amqp.Source{},
		Target:         targetOf(address),
		MaxMessageSize: amqp.Some(uint64(toyBytes)),
	}
}

func sourceAnswer(name string, handle uint32, address string) *amqp.Attach {
	return &amqp.Attach{
		Name:                 name,
		Handle:               handle,
		Role:                 amqp.RoleSender,
		SndSettleMode:        amqp.Some(amqp.SndSettled),
		RcvSettleMode:        amqp.Some(amqp.RcvFirst),
		Source:               sourceOf(address),
		Target:               &amqp.Target{},
		InitialDeliveryCount: amqp.Some(uint32(0)),
		MaxMessageSize:       amqp.Some(uint64(toyBytes)),
	}
}

// refusal is how a refused attach is answered on our channel 0.
func refusal(name string, handle uint32, role amqp.Role, e *amqp.Error) []frame {
	return []frame{on(0, &amqp.Attach{Name: name, Handle: handle, Role: role}), on(0, detached(handle, e))}
}

// attachSink attaches a sending link on channel 0 under the same handle at both ends, and takes its credit.
func (c *client) attachSink(name string, handle uint32, address string) {
	c.t.Helper()
	c.send(on(0, attachSink(name, handle, address)))
	flow := creditFlow(handle, 0, 0, 0)
	got := c.got()
	if len(got) == 2 { // windows are the test's business
		was := got[1].body.(*amqp.Flow)
		flow.NextIncomingID, flow.NextOutgoingID, flow.OutgoingWindow = was.NextIncomingID, was.NextOutgoingID, was.OutgoingWindow
	}
	c.same(got, on(0, sinkAnswer(name, handle, address)), on(0, flow))
}

// attachSource attaches a receiving link on channel 0 under the same handle at both ends.
func (c *client) attachSource(name string, handle uint32, address string) {
	c.t.Helper()
	c.send(on(0, attachSource(name, handle, address)))
	c.want(on(0, sourceAnswer(name, handle, address)))
}

func (c *client) same(got []frame, want ...frame) {
	c.t.Helper()
	if g, w := encode(got...), encode(want...); string(g) != string(w) {
		c.t.Fatalf("came:\n%swant:\n%s", show(g), show(w))
	}
}

// creditFlow is the flow that grants a client credit: on our channel 0, in a session begun with clientBegin and nothing sent by us.
func creditFlow(handle, available, nextIncomingID, deliveryCount uint32) *amqp.Flow {
	p := ourLinkFlow(nextIncomingID, 0, handle, deliveryCount, toyCredit)
	p.Available = amqp.Some(available)
	return p
}

// ourFlow is a flow of ours about a session begun with clientBegin in which came frames have come and sent transfers were sent.
func ourFlow(came, sent uint32) *amqp.Flow {
	return &amqp.Flow{NextIncomingID: amqp.Some(came), IncomingWindow: 5000, NextOutgoingID: 1 + sent, OutgoingWindow: 5000 - sent,
		Echo: amqp.Some(false)}
}

// ourLinkFlow is the same about a link from which the client receives.
func ourLinkFlow(came, sent, handle, deliveryCount, credit uint32) *amqp.Flow {
	p := ourFlow(came, sent)
	p.Handle, p.DeliveryCount, p.LinkCredit, p.Available = amqp.Some(handle), amqp.Some(deliveryCount), amqp.Some(credit), amqp.Some(uint32(0))
	return p
}

// credit is the flow by which a client asks for deliveries. Its window is that of clientBegin, with nothing received so far.
func credit(handle, deliveryCount, n uint32) *amqp.Flow {
	return &amqp.Flow{NextIncomingID: amqp.Some(uint32(1)), IncomingWindow: 5000, OutgoingWindow: 5000,
		Handle: amqp.Some(handle), DeliveryCount: amqp.Some(deliveryCount), LinkCredit: amqp.Some(n)}
}

// window is the flow by which a client opens its session's window.
func window(nextIncomingID, n uint32) *amqp.Flow {
	return &amqp.Flow{NextIncomingID: amqp.Some(nextIncomingID), IncomingWindow: n, OutgoingWindow: 5000}
}

// transfer is a client's delivery in one frame.
func transfer(handle, id uint32) *amqp.Transfer {
	return &amqp.Transfer{Handle: handle, DeliveryID: amqp.Some(id), DeliveryTag: []byte{byte(id)}, MessageFormat: amqp.Some(uint32(0))}
}

// transferMore is the first frame of several.
func transferMore(handle, id uint32) *amqp.Transfer {
	p := transfer(handle, id)
	p.More = true
	return p
}

// delivery is an event as a toy source sends it.
func delivery(handle, id uint32) *amqp.Transfer {
	return &amqp.Transfer{Handle: handle, DeliveryID: amqp.Some(id), DeliveryTag: []byte{}, MessageFormat: amqp.Some(uint32(0)),
		Settled: amqp.Some(true), Batchable: amqp.Some(true)}
}

// settled is our acknowledgement of a client's deliveries first to last.
func settled(first, last uint32) *amqp.Disposition { return outcome(first, last, amqp.Accepted()) }

func outcome(first, last uint32, state amqp.DeliveryState) *amqp.Disposition {
	p := &amqp.Disposition{Role: amqp.RoleReceiver, First: first, Settled: amqp.Some(true), State: state}
	if first != last {
		p.Last = amqp.Some(last)
	}
	return p
}

func detached(handle uint32, e *amqp.Error) *amqp.Detach {
	return &amqp.Detach{Handle: handle, Closed: amqp.Some(true), Error: e}
}
