package toy

import (
	"encoding/binary"
	"errors"
	"net"
	"sync"
)

// transfer is one frame of a delivery, as far as a relay looks at it.
type transfer struct {
	handle  uint32
	id      uint32
	hasID   bool
	format  uint32
	settled bool
	more    bool
	payload []byte // aliases the read buffer
}

var errTransfer = errors.New("toy: a transfer that cannot be parsed")

// parseTransfer reads handle, delivery-id, message-format, settled and more, in the encodings that senders use [2.7.5].
func parseTransfer(body []byte) (t transfer, err error) {
	b, left, ok := openList(body[3:])
	if !ok {
		return t, errTransfer
	}
	t.payload = body[len(body)-b.after:]
	for field := 0; field < left && field < 6; field++ {
		v, ok := b.next()
		if !ok {
			return t, errTransfer
		}
		switch field {
		case 0:
			t.handle = v.number
		case 1:
			t.id, t.hasID = v.number, !v.null
		case 3:
			t.format = v.number
		case 4:
			t.settled = v.number == 1
		case 5:
			t.more = v.number == 1
		}
	}
	return t, nil
}

// list walks the fields of a list.
type list struct {
	b     []byte
	after int // bytes behind the list
}

func openList(b []byte) (l list, count int, ok bool) {
	switch {
	case len(b) >= 3 && b[0] == 0xc0:
		end := 2 + int(b[1])
		if end > len(b) {
			return l, 0, false
		}
		return list{b[3:end], len(b) - end}, int(b[2]), true
	case len(b) >= 9 && b[0] == 0xd0:
		end := 5 + int(binary.BigEndian.Uint32(b[1:]))
		if end > len(b) || end < 9 {
			return l, 0, false
		}
		return list{b[9:end], len(b) - end}, int(binary.BigEndian.Uint32(b[5:])), true
	}
	return l, 0, false
}

type field struct {
	number uint32 // of a uint; 1 for true
	null   bool
}

func (l *list) next() (v field, ok bool) {
	if len(l.b) == 0 {
		return v, false
	}
	size := 1
	switch l.b[0] {
	case 0x40:
		v.null = true
	case 0x41:
		v.number = 1
	case 0x42, 0x43:
	case 0x52, 0x56:
		if size = 2; len(l.b) >= size {
			v.number = uint32(l.b[1])
		}
	case 0x70:
		if size = 5; len(l.b) >= size {
			v.number = binary.BigEndian.Uint32(l.b[1:])
		}
	case 0xa0:
		if size = 2; len(l.b) >= size {
			size += int(l.b[1])
		}
	default:
		return v, false
	}
	if size > len(l.b) {
		return v, false
	}
	l.b = l.b[size:]
	return v, true
}

// A transfer as it goes out, up to its payload; all fields of fixed width, so that a frame can be made by filling in a few bytes.
//
//	+0 size  +4 doff type channel  +8 descriptor  +11 list8 size count  +14 handle  +16 delivery-id  +21 tag  +23 format  +28 settled  +29 more
const headBytes = 30

func appendTransfer(b []byte, channel uint16, handle, id uint32, t *transfer) []byte {
	size := uint32(headBytes + len(t.payload))
	more := byte(0x42)
	if t.more {
		more = 0x41
	}
	b = append(b,
		byte(size>>24), byte(size>>16), byte(size>>8), byte(size), 2, 0, byte(channel>>8), byte(channel),
		0x00, 0x53, 0x14, 0xc0, headBytes-13, 6,
		0x52, byte(handle), 0x70, byte(id>>24), byte(id>>16), byte(id>>8), byte(id), 0xa0, 0,
		0x70, byte(t.format>>24), byte(t.format>>16), byte(t.format>>8), byte(t.format), 0x41, more)
	return append(b, t.payload...)
}

// queue is what waits for one reader. Senders put into pending; the writer takes all of it at once.
type queue struct {
	nc      net.Conn
	channel uint16
	handle  uint32

	mu      sync.Mutex // guards the fields below
	work    sync.Cond  // the writer waits here for frames or credit
	space   sync.Cond  // senders wait here
	pending []byte
	id      uint32 // of the next delivery
	written uint32 // delivery-count
	end     uint32 // delivery-count where the reader's credit ends
	closed  bool
}

func newQueue(nc net.Conn, channel uint16, handle uint32) *queue {
	q := &queue{nc: nc, channel: channel, handle: handle}
	q.work.L, q.space.L = &q.mu, &q.mu
	go q.write()
	return q
}

// put adds frames, and waits first while too much is there.
func (q *queue) put(burst []transfer) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.pending) > queueBytesMax && !q.closed {
		q.space.Wait()
	}
	if q.closed {
		return
	}
	for i := range burst {
		q.pending = appendTransfer(q.pending, q.channel, q.handle, q.id, &burst[i])
		if !burst[i].more {
			q.id++
		}
	}
	q.work.Signal()
}

func (q *queue) grant(end uint32) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.end = end
	q.work.Signal()
}

func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.work.Broadcast()
	q.space.Broadcast()
}

// write is the writer.
func (q *queue) write() {
	var taken []byte // frames taken out of pending
	rest := taken    // and not yet written
	for {
		q.mu.Lock()
		for !q.closed && (len(rest) == 0 && len(q.pending) == 0 || int32(q.end-q.written) <= 0) {
			q.work.Wait()
		}
		if q.closed {
			q.mu.Unlock()
			return
		}
		if len(rest) == 0 {
			taken, q.pending = q.pending, taken[:0]
			rest = taken
			q.space.Broadcast()
		}
		n, deliveries := q.sendableLocked(rest)
		q.written += deliveries
		q.mu.Unlock()
		if _, err := q.nc.Write(rest[:n]); err != nil {
			q.close()
			return
		}
		rest = rest[n:]
	}
}

// sendableLocked is how many bytes and deliveries of the frames the reader's credit covers.
func (q *queue) sendableLocked(frames []byte) (bytes int, deliveries uint32) {
	const moreAt = headBytes - 1
	credit := q.end - q.written
	for bytes < len(frames) && deliveries < credit {
		if frames[bytes+moreAt] == 0x42 {
			deliveries++
		}
		bytes += int(binary.BigEndian.Uint32(frames[bytes:]))
	}
	return bytes, deliveries
}
