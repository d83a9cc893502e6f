package gateway

import (
	"errors"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"
)

const (
	bodyStepBytes = 16 << 10 // how much is reserved at first for a body of unannounced size
	pooledBytes   = 64 << 10 // larger buffers are left to the collector
	pooledAtLeast = 2 << 10
)

// buffers lends out body buffers.
type buffers struct{ pool sync.Pool } // of *[]byte

func (b *buffers) get(size int) []byte {
	if size <= pooledBytes {
		if p, _ := b.pool.Get().(*[]byte); p != nil && cap(*p) >= size {
			return (*p)[:0]
		}
	}
	return make([]byte, 0, max(size, pooledAtLeast))
}

func (b *buffers) put(buf []byte) {
	if c := cap(buf); c >= pooledAtLeast && c <= pooledBytes {
		b.pool.Put(&buf)
	}
}

// readBody reserves memory and then reads the body into it, all at once if its size was announced, else in steps that double.
func (c *call) readBody(h *head) *problem {
	bytesMax := c.g.o.Limits.BodyBytesMax
	if h.form.isBatch() {
		bytesMax = c.g.o.Limits.BatchBytesMax
	}
	announced := c.r.ContentLength
	if announced > int64(bytesMax) {
		return bodyTooLarge(bytesMax)
	}
	size := int(announced)
	if announced < 0 {
		size = min(bodyStepBytes, bytesMax+1)
	}
	c.lease = lease{memory: &c.g.memory, holder: c.principalID}
	if p := c.lease.grow(bodyCost(size, h.form.isTakenApart())); p != nil {
		return p
	}
	begun := c.g.o.Clock.Now()
	c.body = c.g.buffers.get(size)
	pace := newPace(c.w, &c.g.o.Limits)
	p := c.fill(&pace, size, bytesMax, h.form.isTakenApart())
	if p == nil {
		pace.lift()
	}
	c.bodyTime = c.g.o.Clock.Now().Sub(begun)
	return p
}

// fill reads to the end of the body. The buffer is never larger than what is reserved, nor than bytesMax and one.
func (c *call) fill(pace *pace, size, bytesMax int, apart bool) *problem {
	for {
		if len(c.body) == size {
			if int64(size) == c.r.ContentLength {
				return nil
			}
			if size > bytesMax {
				return bodyTooLarge(bytesMax)
			}
			more := min(size, bytesMax+1-size)
			if p := c.lease.grow(bodyCost(more, apart) - requestBytes); p != nil {
				return p
			}
			size += more
			c.body = slices.Grow(c.body, more)
		}
		pace.expect(len(c.body))
		n, err := c.r.Body.Read(c.body[len(c.body):size])
		c.body = c.body[:len(c.body)+n]
		switch {
		case err == io.EOF && len(c.body) <= bytesMax:
			return nil
		case err == io.EOF:
			return bodyTooLarge(bytesMax)
		case err != nil:
			return c.bodyFailed(err)
		}
	}
}

// bodyTooLarge names a number that is this service's own: what the hub takes is known to the hub, and properties count there as well.
func bodyTooLarge(bytesMax int) *problem {
	return problemOf(tooLarge, "this service reads "+strconv.Itoa(bytesMax)+" bytes of a body, and the event hub may take less than that in a "+
		"message, together with its properties: send less at once, or a reference to what is large")
}

func (c *call) bodyFailed(err error) *problem {
	c.w.Header()["Connection"] = valueClose // what is left of the body cannot be told from a next request
	if errors.Is(err, os.ErrDeadlineExceeded) {
		l := &c.g.o.Limits
		return problemOf(slowBody, "after "+bodyGrace.String()+" a body must come at "+strconv.Itoa(l.BodyRateMin)+
			" bytes a second on average, and be there after "+l.BodyTime.String()+": nothing was stored")
	}
	return problemOf(brokenBody, "the connection broke, or fewer bytes came than Content-Length says: nothing was stored")
}

// pace moves the connection's read deadline along with the bytes that come, so that a body must keep up a rate.
type pace struct {
	rc        *http.ResponseController
	begun     time.Time
	set       time.Time // the deadline as it stands
	last      time.Time // that no body may pass
	byteTime  time.Duration
	supported bool
}

func newPace(w http.ResponseWriter, l *Limits) pace {
	now := time.Now()
	return pace{
		rc: http.NewResponseController(w), begun: now, last: now.Add(l.BodyTime),
		byteTime: time.Second / time.Duration(l.BodyRateMin), supported: true,
	}
}

// expect allows the time for one more read after so many bytes. Steps under a quarter of a second are not worth the call.
func (p *pace) expect(bytes int) {
	deadline := p.begun.Add(bodyGrace + time.Duration(bytes)*p.byteTime)
	if deadline.After(p.last) {
		deadline = p.last
	}
	if p.supported && deadline.Sub(p.set) > time.Second/4 {
		p.set = deadline
		p.supported = p.rc.SetReadDeadline(deadline) == nil
	}
}

// lift takes the deadline away once the body is in: net/http goes on reading to notice a client that leaves, and would take the deadline
// for that. A body that was refused keeps it, since net/http then reads some more of it before it answers.
func (p *pace) lift() {
	if p.supported {
		p.rc.SetReadDeadline(time.Time{})
	}
}
