package amqpserver

import (
	"encoding/binary"
	"math"

	"github.com/evhub-dev/evhub/internal/amqp"
)

// Outbox is where a Source puts its deliveries: straight into the connection's output buffer. It is valid during one Fill.
type Outbox struct {
	b        []byte
	limit    int // b's length at which the turn ends
	l        *Link
	credit   uint32 // deliveries left
	window   uint32 // frames left
	frameMax int
	nextID   uint32

	sent      uint32   // deliveries begun and ended in this turn
	frames    uint32   // frames put out in this turn
	unsettled []uint32 // ids of deliveries that the client has to settle

	open      *amqp.Transfer // of the last delivery
	mark      int            // of its frame
	payloadAt int            // in b
	idAt      int            // bytes from mark to the four of its id; 0: the id has less, or the frame says more
}

// remainder is the tail of a delivery whose session window closed before its last frame.
type remainder struct {
	buf []byte
	off int
}

func (r *remainder) active() bool { return r.off < len(r.buf) }

// Room says how many bytes the source should still put out in this turn; 0 if it must stop, because the client's credit or window or the
// turn is used up. A delivery may exceed it.
func (o *Outbox) Room() int {
	if o.credit == 0 || o.window == 0 || o.l.rest.active() {
		return 0
	}
	return max(0, o.limit-len(o.b))
}

// Credit says how many deliveries the client still takes.
func (o *Outbox) Credit() int { return int(o.credit) }

// Begin starts a delivery, for which Room must be positive. The caller appends the message to the returned buffer and gives it to End. t
// holds the fields the source decides (tag, format, settled, batchable); handle, delivery-id and more are set here. t is used until End.
func (o *Outbox) Begin(t *amqp.Transfer) []byte {
	t.Handle, t.DeliveryID, t.More = o.l.handle, amqp.Some(o.nextID), false
	o.open = t
	b, mark := amqp.BeginFrame(o.b, amqp.FrameAMQP, o.l.s.channel)
	b = t.Append(b)
	o.mark, o.payloadAt, o.idAt = mark, len(b), 0
	if at := amqp.DeliveryIDAt(b[mark+amqp.FrameHeaderBytes:]); at > 0 {
		o.idAt = amqp.FrameHeaderBytes + at
	}
	return b
}

// BeginSame is Begin for a t that has not changed since the delivery before, if that was of this Fill and of the same t: what went in front
// of that one's message is written again with the next id.
func (o *Outbox) BeginSame(t *amqp.Transfer) []byte {
	if o.open != t || o.idAt == 0 || o.nextID <= math.MaxUint8 {
		return o.Begin(t)
	}
	start := len(o.b)
	b := append(o.b, o.b[o.mark:o.payloadAt]...)
	binary.BigEndian.PutUint32(b[start+o.idAt:], o.nextID)
	o.mark, o.payloadAt = start, len(b)
	return b
}

// End finishes the delivery that Begin started.
func (o *Outbox) End(b []byte) {
	if !o.open.Settled.Or(false) {
		o.unsettled = append(o.unsettled, o.nextID)
	}
	o.credit--
	o.sent++
	o.nextID++
	if len(b)-o.mark <= o.frameMax {
		o.b = amqp.EndFrame(b, o.mark)
		o.frames++
		o.window--
		return
	}
	o.split(b)
}

// split puts a message out in as many frames as it needs. Only the first carries the delivery's fields; the others have handle and more
// and nothing else (recorded).
func (o *Outbox) split(b []byte) {
	end := o.mark + o.frameMax
	o.l.rest.buf, o.l.rest.off = append(o.l.rest.buf[:0], b[end:]...), 0
	o.open.More, o.idAt = true, 0
	o.open.DeliveryID.V = o.nextID - 1              // that of BeginSame
	o.open.Append(b[:o.mark+amqp.FrameHeaderBytes]) // takes as many bytes as before
	o.b = amqp.EndFrame(b[:end], o.mark)
	o.frames++
	o.window--
	o.resume()
}

// resume continues a delivery that is on its way, as far as the window goes.
func (o *Outbox) resume() {
	r := &o.l.rest
	for r.active() && o.window > 0 {
		start := len(o.b)
		t := amqp.Transfer{Handle: o.l.handle, More: true}
		b, mark := amqp.BeginFrame(o.b, amqp.FrameAMQP, o.l.s.channel)
		b = t.Append(b)
		room := o.frameMax - (len(b) - start)
		if left := len(r.buf) - r.off; left <= room {
			room, t.More = left, false
			b = t.Append(b[:start+amqp.FrameHeaderBytes])
		}
		b = append(b, r.buf[r.off:r.off+room]...)
		r.off += room
		o.b = amqp.EndFrame(b, mark)
		o.frames++
		o.window--
	}
	if !r.active() {
		r.off = 0
		r.buf = r.buf[:0]
		if cap(r.buf) > assemblyKeepMax {
			r.buf = nil
		}
	}
}
