package eventhubs

import (
	"testing"

	"github.com/evhub-dev/evhub/internal/amqp"
)

// pair is a request link and a reply link to one node.
type pair struct {
	send, recv *link
	asked      uint64
	replies    uint32
}

// pair attaches both links, the receiver first, as Python does, and gives credit for replies.
func (c *client) pair(node string) *pair {
	c.t.Helper()
	recv := receiving(node)
	recv.Target = &amqp.Target{Address: amqp.Some(node)}
	send := sending(node)
	send.Source = &amqp.Source{Address: amqp.Some(node)}
	return c.pairOf(channel1, send, recv)
}

func (c *client) pairOf(channel uint16, send, recv amqp.Attach) *pair {
	c.t.Helper()
	p := &pair{recv: c.attachOn(channel, recv), send: c.attachOn(channel, send)}
	p.recv.credit(0, 100)
	return p
}

// request sends a request, whose disposition it takes unless it is settled.
func (p *pair) request(m *amqp.Message, settled bool) {
	p.send.c.t.Helper()
	id := p.send.transfer(amqp.FormatMessage, settled, m.Append(nil))
	if !settled {
		p.send.wantAccepted(p.send.outcome(id))
	}
}

// reply takes one: its transfer, and its payload.
func (p *pair) reply() (t amqp.Transfer, payload []byte) {
	p.recv.c.t.Helper()
	payload, f := p.recv.c.want(amqp.CodeTransfer, &t)
	if t.Handle != p.recv.theirs || f.channel != p.recv.frame.channel {
		p.recv.c.t.Fatalf("a reply on channel %d, handle %d, want %d and %d", f.channel, t.Handle, p.recv.frame.channel, p.recv.theirs)
	}
	p.replies++
	return t, payload
}

// ask sends a request with a fresh id, takes the reply and gives it, decoded and as it came.
func (p *pair) ask(m *amqp.Message) (*amqp.Message, []byte) {
	t := p.send.c.t
	t.Helper()
	if m.Properties == nil {
		p.asked++
		m.Properties = &amqp.Properties{MessageID: p.asked}
	}
	p.request(m, false)
	_, payload := p.reply()
	return decodeReply(t, payload, m.Properties.MessageID), payload
}

func decodeReply(t testing.TB, payload []byte, id any) *amqp.Message {
	t.Helper()
	m, err := amqp.DecodeMessage(payload)
	if err != nil {
		t.Fatal(err)
	}
	if m.Properties == nil || m.Properties.CorrelationID != id {
		t.Fatalf("reply %+v, want one to %v", m.Properties, id)
	}
	return m
}

func putToken(audience string, token any) *amqp.Message {
	return &amqp.Message{
		ApplicationProperties: amqp.Map{
			{Key: "operation", Value: "put-token"}, {Key: "type", Value: "servicebus.windows.net:sastoken"},
			{Key: "name", Value: audience}, {Key: "expiration", Value: "2001-01-01T00:00:00Z"},
		},
		Value: token, HasValue: true,
	}
}

func read(kind, name, partition string) *amqp.Message {
	m := &amqp.Message{ApplicationProperties: amqp.Map{{Key: "operation", Value: "READ"}, {Key: "type", Value: kind}, {Key: "name", Value: name}}}
	if kind == typePartition {
		m.ApplicationProperties = append(m.ApplicationProperties, amqp.Pair{Key: "partition", Value: partition})
	}
	return m
}

// statusOf is what a reply says, ids masked.
func statusOf(m *amqp.Message) (code int32, description string, condition amqp.Symbol) {
	v, _ := m.ApplicationProperties.Lookup("status-code")
	code, _ = v.(int32)
	v, _ = m.ApplicationProperties.Lookup("status-description")
	description, _ = v.(string)
	v, _ = m.ApplicationProperties.Lookup("error-condition")
	condition, _ = v.(amqp.Symbol)
	return code, masked(description), condition
}

// login dials and puts a token for the whole namespace of a policy.
func (r *rig) login(policy, key string) *client {
	r.t.Helper()
	c := r.dial()
	c.pair(nodeCBS).mustPut("sb://localhost/", r.token("sb://localhost/", policy, key))
	return c
}

func (r *rig) root() *client { r.t.Helper(); return r.login("root", rootKey) }

func (p *pair) mustPut(audience, token string) {
	p.send.c.t.Helper()
	m, _ := p.ask(putToken(audience, token))
	if code, description, _ := statusOf(m); code != 202 {
		p.send.c.t.Fatalf("put-token for %s: %d %s", audience, code, description)
	}
}
