package load

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"sync/atomic"

	"github.com/evhub-dev/evhub/internal/amqp"
)

// StartRaw starts one raw sender and its readers, each on a connection of its own.
func StartRaw(o Options) (*Run, error) {
	r, err := newRun(o)
	if err != nil {
		return nil, err
	}
	for group := range o.Readers {
		if err := r.startReader(group); err != nil {
			r.Stop()
			return nil, err
		}
	}
	if err := r.startSender(); err != nil {
		r.Stop()
		return nil, err
	}
	return r, nil
}

func (r *Run) dial() (*conn, error) {
	c, err := dial(&r.o.Peer)
	if err == nil {
		r.hangUp = append(r.hangUp, func() { c.nc.Close() })
	}
	return c, err
}

// sender writes bursts of frames that differ in delivery id and stamp only.
type sender struct {
	run *Run
	c   *conn

	frames  []byte // burst frames, all of one size
	size    int    // of a frame
	idAt    int    // in a frame
	tagAt   int
	perTime int // frames in a burst

	remote uint32 // the peer's handle
	acks   *lane  // nil: sent settled

	next   uint32        // the next delivery id, which is the next transfer id too
	first  uint32        // next as the link began, with the delivery-count that the flows count from
	limit  atomic.Uint32 // next may not reach this: link credit
	window atomic.Uint32 // nor this: the session's window
}

func (r *Run) startSender() error {
	c, err := r.dial()
	if err != nil {
		return err
	}
	l, err := c.attachSender(&r.o.Peer, r.o.Settled)
	if err != nil {
		return err
	}
	s := &sender{run: r, c: c, remote: l.remote, next: c.sent, first: c.sent, perTime: min(writerBurstMax, r.o.InFlight)}
	if !r.o.Settled {
		s.acks = r.lane(false)
	}
	s.limit.Store(s.next)
	s.window.Store(bounded(c.begin.IncomingWindow))
	s.encode(l.handle)
	r.spawn(s.read)
	r.spawn(s.write)
	return nil
}

func bounded(n uint32) uint32 { return min(n, math.MaxInt32/2) }

// encode makes the frames of a burst. Id and tag are told from the rest by their placeholders.
func (s *sender) encode(handle uint32) {
	const id, tag = 0xffffffff, "\xfe\xfe\xfe\xfe"
	o := &s.run.o
	t := amqp.Transfer{Handle: handle, DeliveryID: amqp.Some[uint32](id), DeliveryTag: []byte(tag), MessageFormat: amqp.Some(amqp.FormatMessage),
		Settled: amqp.Some(o.Settled)}
	if o.Events > 1 {
		t.MessageFormat.V = amqp.FormatBatch
	}
	b, mark := amqp.BeginFrame(nil, amqp.FrameAMQP, 0)
	b = t.Append(b)
	s.idAt = bytes.Index(b, []byte{0xff, 0xff, 0xff, 0xff})
	s.tagAt = bytes.Index(b, []byte(tag))
	frame := amqp.EndFrame(append(b, o.message()...), mark)
	s.size = len(frame)
	s.frames = bytes.Repeat(frame, s.perTime)
}

// message ends with the last event's body, and so with the stamp.
func (o *Options) message() []byte {
	event := amqp.Message{Data: [][]byte{bytes.Repeat([]byte("x"), o.Bytes)}}
	if o.Events == 1 {
		return event.Append(nil)
	}
	var batch amqp.Message
	for range o.Events {
		batch.Data = append(batch.Data, event.Append(nil))
	}
	return batch.Append(nil)
}

// write sends bursts. A burst waits until all of it may be in flight, so that writes stay large; credit may make it smaller.
func (s *sender) write() error {
	for s.run.wait(s.perTime, func() bool { return s.allowed() > 0 }) {
		n := min(s.perTime, s.allowed())
		now := uint64(s.run.now())
		for i := range n {
			frame := s.frames[i*s.size : (i+1)*s.size]
			binary.BigEndian.PutUint32(frame[s.idAt:], s.next)
			binary.BigEndian.PutUint32(frame[s.tagAt:], s.next)
			binary.BigEndian.PutUint64(frame[s.size-stampBytes:], now)
			s.next++
		}
		s.run.sent.Add(int64(n))
		if _, err := s.c.nc.Write(s.frames[:n*s.size]); err != nil {
			return fmt.Errorf("sending: %w", err)
		}
	}
	return nil
}

// allowed is how many transfers the peer takes now.
func (s *sender) allowed() int {
	return int(max(0, min(int32(s.limit.Load()-s.next), int32(s.window.Load()-s.next))))
}

// read takes credit and outcomes.
func (s *sender) read() error {
	for {
		body, err := s.c.frame()
		if err != nil {
			return fmt.Errorf("the sender's connection: %w", err)
		}
		if len(body) == 0 {
			continue
		}
		code, err := amqp.PeekCode(body)
		if err == nil {
			err = s.take(code, body)
		}
		if err != nil {
			return err
		}
	}
}

func (s *sender) take(code amqp.Code, body []byte) error {
	switch code {
	case amqp.CodeFlow:
		var f amqp.Flow
		if _, err := f.Decode(body); err != nil {
			return err
		}
		s.window.Store(f.NextIncomingID.Or(0) + bounded(f.IncomingWindow))
		if f.Handle.Set && f.Handle.V == s.remote {
			s.limit.Store(s.first + f.DeliveryCount.Or(0) + bounded(f.LinkCredit.Or(0)))
		}
		s.run.wake()
	case amqp.CodeDisposition:
		var d amqp.Disposition
		if _, err := d.Decode(body); err != nil {
			return err
		}
		if d.Role != amqp.RoleReceiver || s.acks == nil {
			return nil
		}
		if d.State.Code != amqp.CodeAccepted {
			return fmt.Errorf("delivery %d was not accepted but %s: %v", d.First, d.State.Code, d.State.Error)
		}
		s.run.add(s.acks, int(d.Last.Or(d.First)-d.First)+1)
	case amqp.CodeDetach, amqp.CodeEnd, amqp.CodeClose:
		return orError(ending(code, body), "the peer ended the sender's link")
	}
	return nil
}

// reader counts transfers and takes their stamps.
type reader struct {
	run  *Run
	c    *conn
	lane *lane

	handle  uint32
	count   uint32 // delivery-count
	granted uint32 // delivery-count at the last flow
	frames  uint32 // transfer id of the next frame
	settled bool   // everything comes settled
	pending bool   // first to last wait for their disposition
	first   uint32
	last    uint32
}

func (r *Run) startReader(group int) error {
	c, err := r.dial()
	if err != nil {
		return err
	}
	l, err := c.attachReader(&r.o.Peer, group, r.o.Settled)
	if err != nil {
		return err
	}
	d := &reader{run: r, c: c, lane: r.lane(true), handle: l.handle, count: l.count, settled: l.settled, frames: c.begin.NextOutgoingID + c.received}
	if err := d.flow(); err != nil {
		return err
	}
	r.spawn(d.read)
	return nil
}

// flow restores the peer's credit.
func (d *reader) flow() error {
	d.granted = d.count
	return d.c.send(&amqp.Flow{
		NextIncomingID: amqp.Some(d.frames), IncomingWindow: sessionWindow, NextOutgoingID: d.c.sent, OutgoingWindow: sessionWindow,
		Handle: amqp.Some(d.handle), DeliveryCount: amqp.Some(d.count), LinkCredit: amqp.Some[uint32](readerCredit),
	})
}

// read takes a buffer full of frames at a time; credit and dispositions go out once for each.
func (d *reader) read() error {
	for {
		if err := d.c.fill(amqp.FrameHeaderBytes); err != nil {
			return fmt.Errorf("a reader's connection: %w", err)
		}
		if !d.c.whole() {
			if err := d.c.fill(int(binary.BigEndian.Uint32(d.c.buf[d.c.r:]))); err != nil {
				return fmt.Errorf("a reader's connection: %w", err)
			}
		}
		before := d.count
		if err := d.burst(d.run.now(), d.run.record.Load()); err != nil {
			return err
		}
		d.run.add(d.lane, int(d.count-before))
		if err := d.answer(); err != nil {
			return err
		}
	}
}

// burst takes the whole frames at hand.
func (d *reader) burst(now int64, record bool) error {
	const codeAt = amqp.FrameHeaderBytes + 2 // behind the descriptor's two constructor bytes, in the form every peer writes
	for d.c.whole() {
		frame := d.c.buf[d.c.r:]
		size := int(binary.BigEndian.Uint32(frame))
		frame = frame[:size]
		d.c.r += size
		if size <= codeAt+stampBytes {
			continue
		}
		if frame[codeAt] != byte(amqp.CodeTransfer) {
			if code := amqp.Code(frame[codeAt]); code >= amqp.CodeDetach && code <= amqp.CodeClose {
				return orError(ending(code, frame[amqp.FrameHeaderBytes:]), "the peer ended a reader's link")
			}
			continue
		}
		d.count++
		d.frames++
		if record {
			d.lane.latency.Add(now - int64(binary.BigEndian.Uint64(frame[size-stampBytes:])))
		}
		if !d.settled {
			if err := d.unsettled(frame[amqp.FrameHeaderBytes:]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *reader) unsettled(body []byte) error {
	var t amqp.Transfer
	if _, err := t.Decode(body); err != nil {
		return err
	}
	if t.More {
		return fmt.Errorf("delivery %d came in several frames, which are not counted here", t.DeliveryID.V)
	}
	if t.Settled.Or(false) {
		return nil
	}
	if !d.pending {
		d.first, d.pending = t.DeliveryID.V, true
	}
	d.last = t.DeliveryID.V
	return nil
}

func (d *reader) answer() error {
	if d.pending {
		d.pending = false
		err := d.c.send(&amqp.Disposition{Role: amqp.RoleReceiver, First: d.first, Last: amqp.Some(d.last), Settled: amqp.Some(true), State: amqp.Accepted()})
		if err != nil {
			return err
		}
	}
	if d.count-d.granted >= readerCredit/2 {
		return d.flow()
	}
	return nil
}
