package load

import "github.com/evhub-dev/evhub/internal/amqp"

// Idle holds connections that do nothing. The zero value is ready.
type Idle struct{ conns []*conn }

// Add opens a connection with a session and a reader that has credit, and leaves it.
func (h *Idle) Add(p *Peer) error {
	c, err := dial(p)
	if err != nil {
		return err
	}
	h.conns = append(h.conns, c)
	l, err := c.attachReader(p, 0, true)
	if err != nil {
		return err
	}
	c.buf = nil // nothing more is read
	return c.send(&amqp.Flow{NextIncomingID: amqp.Some(c.begin.NextOutgoingID + c.received), IncomingWindow: sessionWindow, NextOutgoingID: c.sent,
		OutgoingWindow: sessionWindow, Handle: amqp.Some(l.handle), DeliveryCount: amqp.Some(l.count), LinkCredit: amqp.Some[uint32](readerCredit)})
}

// Close cuts them all.
func (h *Idle) Close() {
	for _, c := range h.conns {
		c.nc.Close()
	}
}
