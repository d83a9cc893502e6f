package amqpserver

import (
	"io"
	"net"
	"sync"

	"github.com/evhub-dev/evhub/internal/amqp"
)

const (
	readSmall = 2 << 10   // held by an idle connection
	readLarge = 128 << 10 // lent while a connection is busy; holds the largest frame and more

	// Some clients (Node) leave Nagle's algorithm on: a small frame of theirs waits until the one before is acknowledged, which the kernel
	// puts off for 40 ms. Their first event took a quarter of a second more. After reads below this that were not answered at once it is
	// told not to: an answer carries the acknowledgement, and one by itself costs as much as a small event.
	quickAckBytes = 512
)

// bufferPool lends the large read and write buffers, so that only busy connections hold one.
type bufferPool struct{ read, write sync.Pool }

func (p *bufferPool) take() *[readLarge]byte {
	if b, ok := p.read.Get().(*[readLarge]byte); ok {
		return b
	}
	return new([readLarge]byte)
}

func (p *bufferPool) give(b *[readLarge]byte) { p.read.Put(b) }

const (
	writeUsual = 64 << 10
	writeKeep  = 512 << 10 // a buffer that grew beyond for one large event is not kept
)

// takeWrite lends an output buffer to writers that have something to write. The writer may put a grown one in its place.
func (p *bufferPool) takeWrite() *[]byte {
	if b, ok := p.write.Get().(*[]byte); ok {
		return b
	}
	b := make([]byte, 0, writeUsual)
	return &b
}

func (p *bufferPool) giveWrite(b *[]byte) {
	if cap(*b) <= writeKeep {
		p.write.Put(b)
	}
}

// frameReader cuts the incoming bytes into frames, in place. What next returns is valid until the following call.
//
// An idle connection waits with a small buffer. As soon as a read fills it, or a frame does not fit, a large one is borrowed, and given
// back when it is empty and the last read was small.
type frameReader struct {
	progress
	nc       net.Conn
	from     io.Reader // of nc
	pool     *bufferPool
	frameMax uint32
	onRead   func()           // runs after each read that brought something
	quickAck func()           // runs before a read that may have to wait for a small frame's successor; nil: nothing to run
	answered bool             // what was written since the last read has acknowledged it
	small    []byte           // kept
	large    *[readLarge]byte // borrowed, or nil
	buf      []byte           // one of the two
	r, w     int
	lastRead int
}

// next gives the next frame that is not a heartbeat: its type, channel and body.
func (f *frameReader) next() (typ uint8, channel uint16, body []byte, err error) {
	for {
		head, err := f.peek(amqp.FrameHeaderBytes)
		if err != nil {
			return 0, 0, nil, err
		}
		h, err := amqp.ParseFrameHeader(head)
		if err != nil {
			return 0, 0, nil, violation(amqp.CondFramingError, "%v", err)
		}
		if h.Size > f.frameMax {
			return 0, 0, nil, violation(amqp.CondFramingError, "a frame of %d bytes exceeds max-frame-size %d", h.Size, f.frameMax)
		}
		frame, err := f.peek(int(h.Size))
		if err != nil {
			return 0, 0, nil, err
		}
		f.r += int(h.Size)
		if body := frame[4*int(h.DOff):]; len(body) > 0 {
			return h.Type, h.Channel, body, nil
		}
		if !f.buffered() {
			return h.Type, h.Channel, nil, nil // a heartbeat ends a burst
		}
	}
}

// buffered says whether a whole frame is at hand, so that next would not read.
func (f *frameReader) buffered() bool {
	n := f.w - f.r
	if n < amqp.FrameHeaderBytes {
		return false
	}
	h, err := amqp.ParseFrameHeader(f.buf[f.r:f.w])
	return err != nil || h.Size > f.frameMax || n >= int(h.Size)
}

// take gives the next n bytes.
func (f *frameReader) take(n int) ([]byte, error) {
	b, err := f.peek(n)
	if err == nil {
		f.r += n
	}
	return b, err
}

func (f *frameReader) peek(n int) ([]byte, error) {
	for f.w-f.r < n {
		if err := f.fill(n); err != nil {
			return nil, err
		}
	}
	return f.buf[f.r : f.r+n], nil
}

// fill reads once, after making room for n bytes from r on. No whole frame is left when it is called, and what those before have delivered
// is flushed.
func (f *frameReader) fill(n int) error {
	f.fit(n)
	f.caughtUp()
	if f.quickAck != nil && !f.answered && f.lastRead < quickAckBytes {
		f.quickAck()
	}
	f.answered = false
	got, err := f.from.Read(f.buf[f.w:])
	f.w += got
	f.lastRead = got
	if got > 0 {
		f.taken.Add(int64(got))
		f.onRead()
		return nil
	}
	if err == io.EOF && f.w > f.r {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (f *frameReader) fit(n int) {
	have := f.w - f.r
	full := f.lastRead >= readSmall
	switch {
	case f.buf == nil:
		f.small = make([]byte, readSmall)
		f.buf = f.small
	case have == 0 && !full && f.large != nil:
		f.release()
		f.buf = f.small
	case f.large == nil && (full || n > readSmall):
		f.large = f.pool.take()
		copy(f.large[:], f.buf[f.r:f.w])
		f.buf, f.r, f.w = f.large[:], 0, have
		return
	}
	if have == 0 || f.r > 0 && len(f.buf)-f.r < max(n, readSmall) {
		copy(f.buf, f.buf[f.r:f.w])
		f.r, f.w = 0, have
	}
}

// discard reads until the stream ends.
func (f *frameReader) discard() {
	f.fit(0)
	for {
		if _, err := f.from.Read(f.buf); err != nil {
			return
		}
	}
}

// release gives a borrowed buffer back. What it held is forgotten.
func (f *frameReader) release() {
	if f.large != nil {
		f.pool.give(f.large)
	}
	f.large, f.buf, f.r, f.w = nil, nil, 0, 0
}
